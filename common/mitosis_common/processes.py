"""Child processes: their output's tail, their end, and what their exit code means."""

import ctypes
import os
import signal
from collections.abc import Callable

DEFAULT_TAIL_BYTES = 64 * 1024
PR_SET_PDEATHSIG = 1

# Loaded before any fork: a child between fork and exec must not import, allocate locks or load libraries.
_prctl: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)


class OutputTail:
    """Keeps the last bytes of a stream, and counts those it let go.

    Memory is bounded by twice `limit` however much is written.
    """

    def __init__(self, limit: int = DEFAULT_TAIL_BYTES) -> None:
        if limit <= 0:
            raise ValueError(f"limit: given {limit}; accepts 1 or more bytes")
        self._limit = limit
        self._buffer = bytearray()
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Every byte that was written."""
        return self._total

    @property
    def dropped_bytes(self) -> int:
        """The bytes that were written before those still kept."""
        return self._total - min(self._total, self._limit)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Add what was read from the stream."""
        self._total += len(chunk)
        self._buffer += chunk[-self._limit :]
        # Trimming at twice the limit moves each byte once on average; at the limit it would move the tail per chunk.
        if len(self._buffer) >= 2 * self._limit:
            del self._buffer[: -self._limit]

    def text(self) -> str:
        """Decode the tail as UTF-8.

        A character cut in two at the start is left out, one at the end is shown as U+FFFD like any malformed byte, and
        so is NUL, which PostgreSQL's text cannot hold. The result encodes to at most `limit` bytes, so malformed input
        cannot grow by its replacements.
        """
        kept = bytes(self._buffer[-self._limit :])
        if self.dropped_bytes:
            start = 0
            while start < min(3, len(kept)) and kept[start] & 0xC0 == 0x80:
                start += 1
            kept = kept[start:]
        text = kept.decode("utf-8", errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        encoded = text.encode()
        if len(encoded) > self._limit:
            text = encoded[-self._limit :].decode("utf-8", errors="ignore")
        return text


def describe_exit(returncode: int) -> str:
    """Say how a process ended: `exit code 3`, or `killed by SIGSEGV` for a negative code as subprocess gives it."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def set_parent_death_signal(signum: int = signal.SIGKILL, parent_pid: int | None = None) -> None:
    """Ask the kernel to send this process a signal when the thread that started it ends; for use between fork and exec.

    With `parent_pid` the process ends at once when that parent is gone already, which closes the race between fork and
    this call. It does nothing where the kernel has no such request (outside Linux). The request survives exec, but not
    the start of a set-user-id program, and the process can still change it.
    """
    if _prctl is None:
        return
    _prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(128 + signum)


def signal_group(pgid: int, signum: int) -> bool:
    """Send a signal to a process group; return False when no process is left in it.

    Raises ValueError for 0, 1 and negative numbers, which mean the caller's own group or everybody.
    """
    if pgid <= 1:
        raise ValueError(f"pgid: given {pgid}; accepts the id of one group")
    try:
        os.killpg(pgid, signum)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS answers so for a group of zombies; a group that changed its user is out of our hands as well.
        return False
    return True
