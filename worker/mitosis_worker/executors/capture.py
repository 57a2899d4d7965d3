"""Standard output and standard error of handlers, kept as tails."""

import io
import sys
from typing import TYPE_CHECKING, TextIO

from mitosis_common.processes import OutputTail

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _TailStream(io.RawIOBase):
    def __init__(self) -> None:
        self.tail = OutputTail()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data).cast("B")
        self.tail.write(view)
        return len(view)


class CapturedStream:
    """Stands in for one of `sys.stdout` and `sys.stderr`, and keeps the last 64 KiB that one task wrote.

    It sees what Python code writes to the stream or to its `buffer`. What C code or a child process writes to the file
    descriptor goes to the worker's own output, which the manager keeps: redirecting descriptors for each task would
    cost more than many a task does.
    """

    def __init__(self) -> None:
        self._raw, self.stream = self._open()

    def take(self) -> str:
        """Return the tail of what was written since the last call, and forget it."""
        if self.stream.closed:
            # A handler may close what it thinks is its own.
            text = self._raw.tail.text()
            self._raw, self.stream = self._open()
            return text
        if not self._raw.tail.total_bytes:
            return ""
        text = self._raw.tail.text()
        self._raw.tail = OutputTail()
        return text

    @staticmethod
    def _open() -> tuple[_TailStream, TextIO]:
        raw = _TailStream()
        # write_through: nothing may wait in the wrapper until another task runs.
        return raw, io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]


class CapturedOutput:
    """Both streams."""

    def __init__(self) -> None:
        self._stdout = CapturedStream()
        self._stderr = CapturedStream()

    def install(self) -> None:
        """Put the streams in place of `sys.stdout` and `sys.stderr`, where a handler may have put others."""
        sys.stdout = self._stdout.stream
        sys.stderr = self._stderr.stream

    def take(self) -> tuple[str, str]:
        """Return the tails of both since the last call, and forget them."""
        return self._stdout.take(), self._stderr.take()
