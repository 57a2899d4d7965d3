"""Results that the coordinator has not acknowledged. Without I/O and without a clock.

A result that a worker handed over must reach the coordinator, whatever happens to the stream. So reports are numbered
in batches, kept until `ReportsAcked`, and sent again after a reconnect. The ledger is bounded: when it is full the
holder stops starting tasks, and nothing is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from mitosis.v1 import manager_stream_pb2 as stream

MAX_BATCH_REPORTS = 1024
# Well below gRPC's default limit of 4 MiB for a message, to which one more report of about 1.2 MiB may come.
MAX_BATCH_BYTES = 2 * 1024 * 1024
MAX_REPORTS = 65_536
MAX_BYTES = 128 * 1024 * 1024

Key = tuple[str, int]


@dataclass(slots=True)
class _Batch:
    message: stream.TaskReports
    size: int
    # How many reports were taken over before its first one.
    first: int


@dataclass(slots=True)
class ReportLedger:
    """Reports waiting to be sent, and batches waiting to be acknowledged."""

    max_reports: int = MAX_REPORTS
    max_bytes: int = MAX_BYTES
    _waiting: deque[tuple[stream.TaskReport, int]] = field(default_factory=deque)
    _sent: deque[_Batch] = field(default_factory=deque)
    _sequence: int = 0
    _count: int = 0
    _bytes: int = 0
    _taken: int = 0
    # How many were taken over before the first one that waits, or fewer.
    _waiting_from: int = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Tells whether no further task should start until something is acknowledged."""
        return self._count >= self.max_reports or self._bytes >= self.max_bytes

    @property
    def waiting_fill_a_batch(self) -> bool:
        """Tells whether waiting for more reports would not make the next batch larger."""
        return len(self._waiting) >= MAX_BATCH_REPORTS

    @property
    def settled(self) -> int:
        """Counts the reports taken over, oldest first, up to the first one that is still kept."""
        if self._sent:
            return self._sent[0].first
        return self._waiting_from if self._waiting else self._taken

    def add(self, report: stream.TaskReport) -> None:
        """Takes a report over."""
        size = report.ByteSize()
        if not self._waiting:
            self._waiting_from = self._taken
        self._waiting.append((report, size))
        self._taken += 1
        self._count += 1
        self._bytes += size

    def skip(self, count: int) -> None:
        """Counts reports as taken over and forgotten."""
        self._taken += count

    def seal(self) -> stream.TaskReports | None:
        """Numbers the next batch and returns it for sending; None when nothing waits."""
        if not self._waiting:
            return None
        reports: list[stream.TaskReport] = []
        size = 0
        while self._waiting and len(reports) < MAX_BATCH_REPORTS and size < MAX_BATCH_BYTES:
            report, report_size = self._waiting.popleft()
            reports.append(report)
            size += report_size
        self._sequence += 1
        message = stream.TaskReports(sequence=self._sequence, reports=reports)
        self._sent.append(_Batch(message, size, self._waiting_from))
        self._waiting_from += len(reports)
        return message

    def acknowledge(self, sequence: int) -> None:
        """Lets go of every batch up to `sequence`. An acknowledgement that comes twice changes nothing."""
        while self._sent and self._sent[0].message.sequence <= sequence:
            batch = self._sent.popleft()
            self._count -= len(batch.message.reports)
            self._bytes -= batch.size

    def unacknowledged(self) -> list[stream.TaskReports]:
        """Returns the batches to send again on a new stream, in order."""
        return [batch.message for batch in self._sent]

    def attempts(self) -> list[Key]:
        """Returns task and attempt of every report that is kept."""
        sent = [_key(report) for batch in self._sent for report in batch.message.reports]
        return sent + [_key(report) for report, _ in self._waiting]

    def drop(self, revoked: Collection[Key]) -> None:
        """Forgets the reports of attempts that are no longer ours. Batches keep their numbers, and empty ones go."""
        gone = frozenset(revoked)
        self._waiting = deque(item for item in self._waiting if _key(item[0]) not in gone)
        rebuilt: deque[_Batch] = deque()
        for batch in self._sent:
            kept = [report for report in batch.message.reports if _key(report) not in gone]
            if kept:
                message = stream.TaskReports(sequence=batch.message.sequence, reports=kept)
                rebuilt.append(_Batch(message, sum(report.ByteSize() for report in kept), batch.first))
        self._sent = rebuilt
        self._count = len(self._waiting) + sum(len(batch.message.reports) for batch in rebuilt)
        self._bytes = sum(size for _, size in self._waiting) + sum(batch.size for batch in rebuilt)

    def clear(self) -> None:
        """Forgets everything but the numbers given so far."""
        self._waiting.clear()
        self._sent.clear()
        self._count = self._bytes = 0


def _key(report: stream.TaskReport) -> Key:
    return report.task_uuid, report.attempt
