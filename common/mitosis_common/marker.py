"""A few bytes of shared memory that say which task a worker runs, and since when.

They cost no message, and they outlive the worker: after a SIGKILL or a segmentation fault the node manager reads which
task of a batch was running.

Format: three native unsigned 64-bit integers: the ordinal of the running task (0: none), the CLOCK_MONOTONIC nanosecond
at which it started, and the exclusive or of both. Each is stored by one aligned 8-byte move, so none is torn by itself;
the third proves that the first two belong together, whatever order another core sees the stores in.
"""

import contextlib
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_WORDS = 3
_SIZE = 8 * _WORDS
_READ_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that runs: its ordinal among all that this worker process was handed, from 1, and its start.

    `started_ns` is CLOCK_MONOTONIC, the same clock in every process of the machine (`time.monotonic_ns`).
    """

    ordinal: int
    started_ns: int


class _Mapping:
    def __init__(self, path: Path, *, writable: bool) -> None:
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            if size != _SIZE:
                raise ValueError(f"{path}: {size} bytes; a task marker has {_SIZE}")
            self._map = mmap.mmap(descriptor, _SIZE, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Unmap the file; repeating it changes nothing."""
        self._words.release()
        with contextlib.suppress(BufferError):
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TaskMarker(_Mapping):
    """The worker's side: says what it starts and that it ended."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, writable=True)

    def begin(self, ordinal: int) -> None:
        """Say that the task with this ordinal, 1 or more, starts now."""
        words = self._words
        started = time.monotonic_ns()
        words[1] = started
        words[2] = ordinal ^ started
        words[0] = ordinal

    def end(self) -> None:
        """Say that no task runs."""
        self._words[0] = 0


class TaskMarkerReader(_Mapping):
    """The manager's side: tells what runs, or what ran when the worker died."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, writable=False)

    def read(self) -> RunningTask | None:
        """Return the running task, or None between tasks."""
        words = self._words
        for _ in range(_READ_ATTEMPTS):
            ordinal, started, check = words[0], words[1], words[2]
            if ordinal == 0:
                return None
            if ordinal ^ started == check:
                return RunningTask(ordinal, started)
        # A writer that outruns every attempt changes tasks within microseconds: none of them is the one to name.
        return None


def create_marker(path: Path) -> None:
    """Write a marker that says that no task runs, in place of one that may be there.

    A new file, so that a reader of the predecessor's marker keeps what it says.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(bytes(_SIZE))
