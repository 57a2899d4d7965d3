"""Sends reports as they come, in batches that grow with the load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_journal import ReportJournal
from mitosis_common.report_ledger import Key, ReportLedger

# The least time from one batch to the next, unless it is full: each costs the coordinator a transaction.
GATHER_SECONDS = 0.015


class ReportPump:
    """The ledger with a stream and a timer, and with a journal that survives the process.

    A report goes out at once when none went out for 15 ms; otherwise it waits until then. So a single result is not
    delayed, and thousands a second travel together. `inherited` are the reports that the journal was found with.
    """

    def __init__(
        self,
        send: Callable[[stream.TaskReports], object],
        journal: ReportJournal,
        inherited: Sequence[stream.TaskReport] = (),
    ) -> None:
        self._send = send
        self._journal = journal
        self._ledger = ReportLedger()
        for report in inherited:
            self._ledger.add(report)
        self._connected = False
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ledger)

    @property
    def is_full(self) -> bool:
        """Tells whether no further task should start."""
        return self._ledger.is_full

    def keys(self) -> list[Key]:
        """Returns task and attempt of every report that is not acknowledged."""
        return self._ledger.attempts()

    def keep(self, reports: Sequence[stream.TaskReport]) -> None:
        """Puts reports where they outlive the process. Each is given to `add` or counted by `skip` later, in order.

        May be called on any thread.
        """
        self._journal.append(reports)

    def skip(self, count: int) -> None:
        """Forgets reports that were kept: nobody waits for them."""
        self._ledger.skip(count)
        self._journal.release(self._ledger.settled)

    def mend(self) -> None:
        """Tries again to keep what could not be kept."""
        self._journal.mend()

    def add(self, reports: Sequence[stream.TaskReport]) -> None:
        """Takes reports over, and sends them when it is time."""
        for report in reports:
            self._ledger.add(report)
        if self._ledger.waiting_fill_a_batch:
            self._flush()
        elif reports and self._timer is None and self._connected:
            loop = asyncio.get_running_loop()
            due = self._flushed_at + GATHER_SECONDS
            if loop.time() >= due:
                self._flush()
            else:
                self._timer = loop.call_at(due, self._flush)

    def acknowledged(self, sequence: int) -> None:
        """Forgets what the coordinator has committed."""
        self._ledger.acknowledge(sequence)
        self._journal.release(self._ledger.settled)

    def attached(self, revoked: Collection[Key]) -> None:
        """Sends everything again on a new stream, without what is no longer ours."""
        self._connected = True
        if revoked:
            self._ledger.drop(revoked)
            self._journal.release(self._ledger.settled)
        for batch in self._ledger.unacknowledged():
            self._send(batch)
        self._flush()

    def disconnected(self) -> None:
        """Keeps everything until the next stream."""
        self._connected = False
        self._cancel_timer()

    def clear(self) -> None:
        """Forgets every report: their assignment is over."""
        self._ledger.clear()
        self._journal.release(self._ledger.settled)
        self._cancel_timer()

    def _flush(self) -> None:
        self._cancel_timer()
        if not self._connected:
            return
        while (batch := self._ledger.seal()) is not None:
            self._flushed_at = asyncio.get_running_loop().time()
            self._send(batch)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
