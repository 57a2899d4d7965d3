"""What the streams of managers and of workers have in common: three tasks that read, feed and commit."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import SessionReplaced, StorageUnavailable
from mitosis_coordinator.domain.orders import ShutdownOrder, StandingOrders
from mitosis_coordinator.domain.task import AttemptRef, Report
from mitosis_coordinator.services.ports import Vacancy
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.sessions import machine
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.held import HeldTasks
from mitosis_coordinator.sessions.machine import Phase, SessionState
from mitosis_coordinator.sessions.outbox import Outbox, OutboxFull
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage.tasks import ClaimedTask

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
IncomingMessage = TypeVar("IncomingMessage")
OutgoingMessage = TypeVar("OutgoingMessage")

ATTACH_TIMEOUT_SECONDS = 15.0
SWEEP_SECONDS = 5.0
MAX_REPORTS_PER_COMMIT = 4096
REPORT_BATCHES_AHEAD = 16
CANCEL_AGAIN_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a holder is told about the beat that is expected of it."""

    heartbeat_interval: timedelta
    heartbeat_timeout: timedelta


class HolderSession(ABC, Generic[IncomingMessage, OutgoingMessage]):
    """One connected holder of tasks.

    The reader takes messages, the feeder turns credit into claims, the committer turns reports into transactions;
    each waits for the database on its own, so that none holds up another. What differs between managers and workers is
    left to the methods without a body.
    """

    def __init__(self, holder_id: UUID, reports: ReportService, signals: SignalHub) -> None:
        self.holder_id = holder_id
        self.outbox: Outbox[OutgoingMessage | msg.TaskFlow] = Outbox()
        self.epoch = 0
        self.heard_at = time.monotonic()
        self._reports = reports
        self._signals = signals
        self._state = SessionState()
        self._attached = False
        self._feed_wanted = asyncio.Event()
        self._look_wanted = False
        # Told already; it stays in the database until the holder's process is another.
        self._shutdown_told: ShutdownOrder | None = None
        self._to_commit: asyncio.Queue[msg.TaskReports] = asyncio.Queue(REPORT_BATCHES_AHEAD)
        self._closed_because: Exception | None = None
        self._closed = asyncio.Event()
        self._goodbye = False
        self._tasks = HeldTasks()
        # A claim failed, and may have happened all the same.
        self._in_doubt = False
        # The last claim got less than was asked for: there is no more to hand out.
        self._starving = False
        # Held by whoever claims for the holder: no claim may be under way while what it holds is compared.
        self._claiming = asyncio.Lock()

    @property
    def state(self) -> SessionState:
        """What the session knows of its holder."""
        return self._state

    async def run(self, incoming: AsyncIterator[IncomingMessage]) -> None:
        """Serve the stream until it ends, the holder says goodbye, or `close` is called.

        Raises:
            InvalidField: The first message is not the one that attaches.
            SessionReplaced: A newer session of the holder took over.
            StorageUnavailable: The database was away when the session began.
        """
        try:
            await self._attach(incoming)
            workers = [
                asyncio.create_task(self._read(incoming), name="session-reader"),
                asyncio.create_task(self._feed(), name="session-feeder"),
                asyncio.create_task(self._commit(), name="session-committer"),
                asyncio.create_task(self._closed.wait(), name="session-closed"),
            ]
            try:
                done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(workers)
            for worker in done:
                worker.result()
            if self._closed_because is not None:
                raise self._closed_because
        finally:
            self._attached = False
            self._detached()
            self.outbox.close()

    def close(self, because: Exception | None = None) -> None:
        """End the session; what is queued is still sent."""
        self._closed_because = because
        self._closed.set()

    def replace(self) -> None:
        """End the session in favour of a newer one of the same holder."""
        self.close(SessionReplaced("a newer session took over"))

    def cancel_tasks(self, cancel: msg.CancelTasks) -> None:
        """Tell the holder to stop some tasks."""
        if self._state.holds(cancel.assignment_id):
            self._tasks.cancelled(cancel.refs)
            self._put(cancel)

    @property
    def is_waiting(self) -> bool:
        """Whether the holder would take a task now, and nobody is claiming for it."""
        open_and_free = not self._closed.is_set() and not self._claiming.locked()
        return self._starving and open_and_free and self._allowed() > 0

    @asynccontextmanager
    async def vacancy(self) -> AsyncIterator[Vacancy]:
        """Lend the right to claim tasks for the holder, which has to be waiting."""
        assignment_id = self._state.assignment_id
        if assignment_id is None or not self.is_waiting:
            raise RuntimeError("the session does not wait for tasks")
        async with self._claiming:
            self._tasks.claim_begins()
            vacancy = Vacancy(self.holder_id, assignment_id, self.epoch, self._allowed())
            try:
                yield vacancy
            finally:
                if vacancy.claimed is not None:
                    self._starving = len(vacancy.claimed) < vacancy.limit
                    self._send(assignment_id, vacancy.claimed)
                elif vacancy.claim_sent:
                    self._in_doubt = True
                    self._feed_wanted.set()

    def look_again(self) -> None:
        """Read from the database, soon, what there is to say to the holder: another coordinator wrote it."""
        self._look_wanted = True
        self._feed_wanted.set()

    @abstractmethod
    def shut_down(self, reason: str, *, graceful: bool) -> None:
        """Have the holder's process end."""

    @abstractmethod
    async def _attach(self, incoming: AsyncIterator[IncomingMessage]) -> None:
        """Take the first message, answer it, and be found from then on."""

    @abstractmethod
    def _detached(self) -> None:
        """The stream is over."""

    @abstractmethod
    async def _handle(self, message: IncomingMessage) -> None:
        """Take a message that is not the first one."""

    @abstractmethod
    async def _claim_tasks(self, limit: int) -> list[ClaimedTask]:
        """Have tasks handed to the assignment that is held. Raises StorageUnavailable: it may have happened."""

    @abstractmethod
    async def _believed_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        """What the database believes that the holder holds."""

    @abstractmethod
    async def _orders(self) -> StandingOrders | None:
        """What the database has to say to the holder; None when it is gone."""

    @abstractmethod
    async def _sweep(self) -> None:
        """Look at what a lost hint would have told of."""

    async def _resize(self) -> None:
        """The holder may run more workers from now on, or fewer."""

    def _exhausted(self) -> None:
        """There is nothing left to hand out."""

    async def _committed(self, reports: list[Report]) -> None:
        """Reports were committed, and are about to be acknowledged."""

    def _put(self, message: OutgoingMessage | msg.TaskFlow) -> None:
        try:
            self.outbox.put(message)
        except OutboxFull:
            # Whoever wanted to say something is not to blame, and the holder attaches anew if it lives.
            log.warning("holder_reads_no_more", holder_uuid=str(self.holder_id))
            self.close()

    async def _read(self, incoming: AsyncIterator[IncomingMessage]) -> None:
        async for message in incoming:
            self.heard_at = time.monotonic()
            await self._handle(message)
            if self._goodbye:
                return

    async def _flow(self, message: msg.TaskNews) -> None:
        """Take what every holder says of its tasks."""
        match message:
            case msg.TaskReports():
                await self._to_commit.put(message)
            case msg.TaskCredit():
                self._state = machine.credited(self._state, message.assignment_id, message.granted_total)
                self._feed_wanted.set()
            case msg.TasksStarted():
                if self._state.holds(message.assignment_id):
                    await self._persist(
                        lambda: self._reports.started(self.holder_id, message.assignment_id, message.starts)
                    )
            case msg.TaskReturn():
                await self._persist(
                    lambda: self._reports.handed_back(self.holder_id, message.assignment_id, self.epoch, message.refs)
                )
                self._tasks.came_back(message.refs)

    async def _commit(self) -> None:
        """Turn reports into transactions: everything that came while the last one ran goes into the next."""
        while True:
            batches = [await self._to_commit.get()]
            count = len(batches[0].reports)
            while not self._to_commit.empty() and count < MAX_REPORTS_PER_COMMIT:
                batches.append(self._to_commit.get_nowait())
                count += len(batches[-1].reports)
            reports = [report for batch in batches for report in batch.reports]
            stale = await self._persist(partial(self._reports.commit, self.holder_id, reports))
            self._tasks.came_back(reports)
            await self._committed(reports)
            if stale:
                log.info("stale_reports", holder_uuid=str(self.holder_id), count=len(stale))
            self._put(msg.ReportsAcked(batches[-1].sequence, tuple(stale)))
            if self._starving:
                # It may have ended the last task that it held.
                self._exhausted()
            for _ in batches:
                self._to_commit.task_done()

    async def _feed(self) -> None:
        """Turn credit into claims: at once when tasks are ready, and every few seconds in case a hint was lost."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS * random.uniform(0.8, 1.2)):
                    await self._feed_wanted.wait()
            except TimeoutError:
                await self._sweep()
            self._feed_wanted.clear()
            if self._look_wanted:
                self._look_wanted = False
                await self._look()
            while await self._claim():
                await self.outbox.room()
            if self._in_doubt:
                self._in_doubt = False
                await self._compare()

    async def _look(self) -> None:
        """Do what another coordinator wanted of this session."""
        orders = await self._persist(self._orders)
        if orders is None or (orders.epoch == self.epoch and orders.offline):
            # It is gone, or was given up while it was silent; one that is there after all attaches anew.
            self.close()
        elif orders.epoch > self.epoch:
            self.replace()
        else:
            if orders.shutdown is not None and orders.shutdown != self._shutdown_told:
                self._shutdown_told = orders.shutdown
                self.shut_down(orders.shutdown.reason, graceful=orders.shutdown.graceful)
            await self._sweep()
            await self._resize()

    async def _claim(self) -> bool:
        """Claim and send one batch; whether more may be there."""
        async with self._claiming:
            limit, assignment_id = self._allowed(), self._state.assignment_id
            if not limit or assignment_id is None:
                return False
            self._tasks.claim_begins()

            async def claim() -> list[ClaimedTask]:
                # The holder may have let go while the database was away.
                if not self._state.holds(assignment_id):
                    return []
                try:
                    return await self._claim_tasks(limit)
                except StorageUnavailable:
                    self._in_doubt = True
                    raise

            claimed = await self._persist(claim)
            more = self._may_have_more(len(claimed), limit)
            self._starving = not more
            sent = self._send(assignment_id, claimed)
        if not sent and not more:
            self._exhausted()
        return more

    def _send(self, assignment_id: int, claimed: list[ClaimedTask]) -> bool:
        """Send what was claimed; whether that was anything."""
        claimed = self._tasks.without_cancelled(claimed)
        # Credit may have moved to another assignment meanwhile; what was claimed goes out all the same, and the
        # holder hands back what it does not want.
        if self._state.holds(assignment_id):
            self._tasks.sent(claimed)
            size = sum(len(task.spec) for task in claimed)
            self._state = machine.sent(self._state, len(claimed), size)
        for batch in _split(claimed):
            self._put(msg.TaskBatch(assignment_id, batch))
        return bool(claimed)

    def _may_have_more(self, claimed: int, limit: int) -> bool:
        """Whether another claim could find something."""
        return claimed == limit

    async def _compare(self) -> None:
        """Compare what the holder was sent with what the database believes that it holds.

        What it was never sent was claimed by a statement whose answer was lost, and is Ready again: nobody else would
        ever miss it. What it does not hold any more was cancelled through another coordinator, and is to be stopped.
        No claim is under way meanwhile; what comes back is fenced by its attempt, and a holder passes over orders for
        what it has not.
        """
        async with self._claiming:
            assignment_id = self._state.assignment_id
            if assignment_id is not None:
                await self._compare_held(assignment_id)

    async def _compare_held(self, assignment_id: int) -> None:
        before = self._tasks.refs()
        believed = await self._persist(lambda: self._believed_tasks(assignment_id))
        revoked = self._tasks.revoked(before, believed)
        if revoked:
            self._tasks.came_back(revoked)
            self.cancel_tasks(msg.CancelTasks(assignment_id, tuple(revoked)))
        unheard = self._tasks.unheard(believed)
        if unheard and self._state.holds(assignment_id) and self._state.phase is Phase.HOLDING:
            log.warning("claim_unheard", holder_uuid=str(self.holder_id), count=len(unheard))
            await self._persist(lambda: self._reports.handed_back(self.holder_id, assignment_id, self.epoch, unheard))

    def _allowed(self) -> int:
        """How many tasks to claim now."""
        return min(self._state.claimable(), max(0, machine.MAX_OUTSTANDING - len(self._tasks)))

    async def _persist(self, write: Callable[[], Awaitable[Result]]) -> Result:
        """Write until the database takes it: it may be away for a while, and the stream stays up meanwhile."""
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                written = await write()
                if delay > _FIRST_RETRY_SECONDS:
                    # An earlier try may have counted, and what followed from it was never announced.
                    self._signals.deadline_changed()
                return written
            except StorageUnavailable as error:
                log.warning("session_waits_for_storage", holder_uuid=str(self.holder_id), error=str(error))
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(5.0, delay * 2)


async def end_tasks(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: again after a while, because what one waits for may lose a cancellation."""
    while not all(task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


def _split(claimed: list[ClaimedTask]) -> list[tuple[ClaimedTask, ...]]:
    """Cut a claim into messages that are not too large."""
    batches: list[tuple[ClaimedTask, ...]] = []
    current: list[ClaimedTask] = []
    size = 0
    for task in claimed:
        if current and size + len(task.spec) > machine.TARGET_BATCH_BYTES:
            batches.append(tuple(current))
            current, size = [], 0
        current.append(task)
        size += len(task.spec)
    if current:
        batches.append(tuple(current))
    return batches
