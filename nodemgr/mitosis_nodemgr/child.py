"""A child process on the event loop: its output's tail and its end, each by a file descriptor and without polling."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mitosis_common.processes import OutputTail, signal_group

_CHUNK = 65536
# What a dead process may still have in its pipe; more than the kernel's default of 64 KiB.
_LAST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that is not mistaken for a later one with the same number: its start is part of its name."""

    pid: int
    # In clock ticks since boot, from /proc/PID/stat; 0 when the process was gone before it could be asked.
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Names a process that exists now."""
        try:
            # The command's name, in parentheses, may itself hold any character; field 22 is the start time.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return cls(pid, int(fields[19]))
        except (OSError, IndexError, ValueError):
            return cls(pid, 0)

    def exists(self) -> bool:
        """Tells whether this very process is still there."""
        return self.start_ticks != 0 and ProcessId.of(self.pid) == self


class Child:
    """A process that leads a group of its own. `exited` resolves to its return code, as `subprocess` gives it."""

    def __init__(self, process: subprocess.Popen[bytes], output: int | None, tail: OutputTail) -> None:
        self.id = ProcessId.of(process.pid)
        self.tail = tail
        self._process = process
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._output = output
        if output is not None:
            os.set_blocking(output, False)
            self._loop.add_reader(output, self._read)
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tells whether the process has not been reaped."""
        return not self.exited.done()

    def signal(self, number: int) -> None:
        """Signals the process alone; one that has ended is left in peace."""
        if self.is_alive:
            self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Signals every process of the group."""
        signal_group(self.pid, number)

    async def end(self, grace_seconds: float) -> int:
        """Ends the whole group: SIGTERM, at most the grace, SIGKILL. Returns the return code of the child."""
        try:
            self.signal_group(signal.SIGTERM)
            await asyncio.wait([self.exited], timeout=grace_seconds)
        finally:
            # Also for members that outlive their leader, and when the wait is cancelled.
            self.signal_group(signal.SIGKILL)
        return await asyncio.shield(self.exited)

    def _read(self) -> bool:
        """Reads what there is, and tells whether more may come."""
        if self._output is None:
            return False
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if chunk:
            self.tail.write(chunk)
            return True
        self._close_output()
        return False

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        returncode = self._process.wait()
        # A process left behind may hold the pipe open for ever: what is in it now is all that the child wrote.
        for _ in range(_LAST_BYTES // _CHUNK):
            if not self._read():
                break
        self._close_output()
        if not self.exited.done():
            self.exited.set_result(returncode)

    def _close_output(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = None


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str | None,
    stdin: bytes | None = None,
    before_stdin: Callable[[int], None] | None = None,
    tail_bytes: int,
) -> Child:
    """Starts a process in a session of its own, with standard output and error in one pipe.

    `stdin` is written whole and closed, so it must fit a pipe's buffer or be read by the child at once; `before_stdin`
    is called with the process id before. Raises `OSError` when the program cannot be started.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
        )
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    child = Child(process, read_end, OutputTail(tail_bytes))
    if before_stdin is not None:
        before_stdin(process.pid)
    if process.stdin is not None:
        try:
            process.stdin.write(stdin or b"")
            process.stdin.close()
        except BrokenPipeError:
            # It died at once, or does not want to know; its end says the rest.
            process.stdin.close()
    return child
