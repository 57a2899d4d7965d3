"""Results on disk, until the coordinator has acknowledged them.

An append-only file in segments. Each record is one report behind its length and checksum, so that a record torn by a
crash ends the reading and nothing before it is lost. What was written outlives the process; it is not forced to the
disk, so a machine that loses power may forget the last results, and their tasks run again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from mitosis.v1 import manager_stream_pb2 as stream

# A segment is deleted as a whole, so it bounds what is read again although it was acknowledged.
SEGMENT_BYTES = 1024 * 1024
# While the disk takes nothing, it is asked this often.
RETRY_SECONDS = 1.0

_HEADER = struct.Struct("<II")
_PATTERN = "outbox.*"
_log = structlog.get_logger(__name__)


def encode(reports: Sequence[stream.TaskReport]) -> bytes:
    """Returns the reports as records, one after the other."""
    parts: list[bytes] = []
    for report in reports:
        body = report.SerializeToString()
        parts += (_HEADER.pack(len(body), zlib.crc32(body)), body)
    return b"".join(parts)


def decode(data: bytes) -> tuple[list[stream.TaskReport], int]:
    """Reads records up to the first that is torn or damaged; also returns how many bytes were good."""
    reports: list[stream.TaskReport] = []
    position = 0
    while position + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, position)
        end = position + _HEADER.size + length
        body = data[position + _HEADER.size : end]
        # No report is empty: a run of zeros, as some file systems leave after a crash, is no record.
        if not length or len(body) < length or zlib.crc32(body) != checksum:
            break
        try:
            reports.append(stream.TaskReport.FromString(body))
        except DecodeError:
            break
        position = end
    return reports, position


@dataclass(frozen=True, slots=True)
class _Closed:
    """A segment that is full. `end` counts the reports in it and before it."""

    path: Path
    end: int


class ReportJournal:
    """Reports of this process and of the one before it, in the order in which they were given.

    Reports are counted from the first one that `recover` returned: `release` takes such a count. Every method may be
    called on any thread. A disk that takes nothing is no error here: reports then wait in memory, where their owner
    bounds them, and are written once the disk is well.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        write: Callable[[int, bytes, int], int] = os.pwrite,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._pwrite = write
        self._clock = clock
        self._lock = threading.Lock()
        self._closed: deque[_Closed] = deque()
        self._number = 0
        self._path: Path | None = None
        self._file = -1
        self._size = 0
        self._appended = 0
        # Records that the disk did not take, each with the count at its end.
        self._unwritten: deque[tuple[int, bytes]] = deque()
        self._retry_at: float | None = None

    @property
    def size(self) -> int:
        """The bytes on disk, full segments counted as such."""
        with self._lock:
            return len(self._closed) * self._segment_bytes + self._size

    @property
    def is_failing(self) -> bool:
        """Tells whether the disk takes nothing."""
        with self._lock:
            return self._retry_at is not None

    def recover(self) -> list[stream.TaskReport]:
        """Returns what an earlier process left, oldest first. Call it once, before anything else. Raises `OSError`."""
        with self._lock:
            found: list[stream.TaskReport] = []
            for path in sorted(self._directory.glob(_PATTERN), key=_number_of):
                self._number = _number_of(path)
                data = path.read_bytes()
                reports, good = decode(data)
                if good < len(data):
                    _log.warning("outbox_damaged", path=str(path), reports=len(reports), bytes_ignored=len(data) - good)
                found += reports
                self._closed.append(_Closed(path, len(found)))
            self._appended = len(found)
            if not found:
                self._delete_closed()
            return found

    def append(self, reports: Sequence[stream.TaskReport]) -> None:
        """Takes reports over. They outlive this process once this returns, unless the disk takes nothing."""
        if not reports:
            return
        record = encode(reports)
        with self._lock:
            self._appended += len(reports)
            self._unwritten.append((self._appended, record))
            self._catch_up()

    def release(self, count: int) -> None:
        """Forgets the first `count` reports, as far as whole segments can be deleted."""
        with self._lock:
            while self._unwritten and self._unwritten[0][0] <= count:
                self._unwritten.popleft()
            if count == self._appended:
                self._delete_closed()
                self._empty()
            while self._closed and self._closed[0].end <= count:
                _delete(self._closed.popleft().path)

    def mend(self) -> None:
        """Tries again to write what the disk did not take."""
        with self._lock:
            if self._unwritten:
                self._catch_up()

    def close(self) -> None:
        """Closes the file, and leaves none behind that is empty."""
        with self._lock:
            if self._path is not None:
                os.close(self._file)
                if not self._size:
                    _delete(self._path)
                self._path = None

    def _catch_up(self) -> None:
        if self._retry_at is not None and self._clock() < self._retry_at:
            return
        try:
            while self._unwritten:
                self._write(*self._unwritten[0])
                self._unwritten.popleft()
        except OSError as error:
            if self._retry_at is None:
                _log.error("outbox_not_written", directory=str(self._directory), problem=error.strerror)
            self._retry_at = self._clock() + RETRY_SECONDS
        else:
            if self._retry_at is not None:
                _log.info("outbox_written_again", directory=str(self._directory))
            self._retry_at = None

    def _write(self, end: int, record: bytes) -> None:
        if self._path is None:
            path = self._directory / f"outbox.{self._number + 1}"
            # Results may hold secrets.
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._path, self._size = path, 0
            self._number += 1
        # At a place, not at the end: what a failed write left is written over.
        if self._pwrite(self._file, record, self._size) < len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(record)
        if self._size >= self._segment_bytes:
            os.close(self._file)
            self._closed.append(_Closed(self._path, end))
            self._path = None

    def _empty(self) -> None:
        if self._path is not None and self._size:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            self._size = 0

    def _delete_closed(self) -> None:
        while self._closed:
            _delete(self._closed.popleft().path)


def _delete(path: Path) -> None:
    """Deletes a file whose reports are acknowledged. One that stays is told of again, and that is ignored."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.error("outbox_not_deleted", path=str(path), problem=error.strerror)


def _number_of(path: Path) -> int:
    number = path.suffix.removeprefix(".")
    return int(number) if number.isdigit() else 0
