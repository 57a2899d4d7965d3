"""One manager's stream: three tasks that read, feed and commit, around the machine."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar, assert_never
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidField, SessionReplaced, StorageUnavailable
from mitosis_coordinator.domain.manager import HOLDING_STATES, ManagerMetrics, ManagerState
from mitosis_coordinator.domain.principal import ManagerPrincipal
from mitosis_coordinator.domain.suite import FINAL_STATES, SuiteState
from mitosis_coordinator.domain.task import AttemptRef, Report
from mitosis_coordinator.services.assignments import Assignment, AssignmentService, FinishReason, Standing
from mitosis_coordinator.services.attachment import Attachment, AttachmentService, Verdict
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.sessions import machine
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.machine import Phase, SessionEvent, SessionState
from mitosis_coordinator.sessions.outbox import Outbox, OutboxFull
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage.managers import HookReport
from mitosis_coordinator.storage.tasks import ClaimedTask

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

ATTACH_TIMEOUT_SECONDS = 15.0
SWEEP_SECONDS = 5.0
MAX_REPORTS_PER_COMMIT = 4096
REPORT_BATCHES_AHEAD = 16
_FIRST_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a manager is told about the beat that is expected of it."""

    heartbeat_interval: timedelta
    heartbeat_timeout: timedelta


class Session:
    """One connected manager.

    The reader takes messages, the feeder turns credit into claims, the committer turns reports into transactions;
    each waits for the database on its own, so that none holds up another.
    """

    def __init__(
        self,
        manager: ManagerPrincipal,
        attachments: AttachmentService,
        assignments: AssignmentService,
        reports: ReportService,
        signals: SignalHub,
        settings: SessionSettings,
        changed: Callable[[Session], None],
    ) -> None:
        self.manager = manager
        self.outbox = Outbox()
        self.metrics: ManagerMetrics | None = None
        self.epoch = 0
        self.heard_at = time.monotonic()
        self._attachments = attachments
        self._assignments = assignments
        self._reports = reports
        self._signals = signals
        self._settings = settings
        self._changed = changed
        self._state = SessionState()
        self._attached = False
        self._feed_wanted = asyncio.Event()
        self._feeding = ExitStack()
        self._to_commit: asyncio.Queue[msg.TaskReports] = asyncio.Queue(REPORT_BATCHES_AHEAD)
        self._closed_because: Exception | None = None
        self._closed = asyncio.Event()
        self._goodbye = False
        # Attempts, by task, that the manager was sent and that have not come back.
        self._out: dict[str, int] = {}
        # A claim failed, and may have happened all the same.
        self._in_doubt = False
        # The assignment under which a task is known to have ended.
        self._proven: int | None = None
        # Attempts that were cancelled while a claim was under way, which may be about to be sent.
        self._cancelled: set[AttemptRef] = set()
        # The last claim got less than was asked for: the suite has no more to hand out.
        self._starving = False

    @property
    def state(self) -> SessionState:
        """What the session knows of its manager."""
        return self._state

    def is_idle(self) -> bool:
        """Whether the manager could take a suite."""
        return self._attached and self._state.phase is Phase.IDLE and not self._closed.is_set()

    async def run(self, incoming: AsyncIterator[msg.Incoming]) -> None:
        """Serve the stream until it ends, the manager says goodbye, or `close` is called.

        Raises:
            InvalidField: The first message is not `Attach`.
            SessionReplaced: A newer session of the manager took over.
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
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
            for worker in done:
                worker.result()
            if self._closed_because is not None:
                raise self._closed_because
        finally:
            self._attached = False
            self._feeding.close()
            self.outbox.close()

    def close(self, because: Exception | None = None) -> None:
        """End the session; what is queued is still sent."""
        self._closed_because = because
        self._closed.set()

    def replace(self) -> None:
        """End the session in favour of a newer one of the same manager."""
        self.close(SessionReplaced("a newer session of this manager took over"))

    def take(self, assignment: Assignment) -> None:
        """Give the manager a suite."""
        self._hold(SessionEvent.ASSIGNED, assignment)
        self._put(msg.SuiteAssigned(assignment.id, assignment.suite, assignment.worker_count))

    def release(self) -> None:
        """Have the manager finish what runs and let go."""
        before, self._state = self._state, machine.release_wanted(self._state)
        if before is not self._state and self._state.assignment_id is not None:
            self._put(msg.SuiteDrained(self._state.assignment_id))
            self._changed(self)

    def cancel_suite(self, reason: str, *, running_too: bool) -> None:
        """Tell the manager that its suite was cancelled."""
        before, self._state = self._state, machine.release_wanted(self._state)
        if self._state.assignment_id is not None and self._state.phase is Phase.RELEASING:
            self._put(msg.CancelSuite(self._state.assignment_id, running_too, reason))
        if before is not self._state:
            self._changed(self)

    def cancel_tasks(self, cancel: msg.CancelTasks) -> None:
        """Tell the manager to stop some tasks."""
        if self._state.holds(cancel.assignment_id):
            self._cancelled.update(cancel.refs)
            self._put(cancel)

    def resize(self, update: msg.ConfigUpdate) -> None:
        """Tell the manager how many workers it runs from now on."""
        if self._state.holds(update.assignment_id):
            self._put(update)

    def shut_down(self, reason: str, *, graceful: bool) -> None:
        """Have the manager's process end."""
        self._state = machine.shutdown_wanted(self._state)
        self._put(msg.Shutdown(graceful, reason))
        self._changed(self)

    def _put(self, message: msg.Outgoing) -> None:
        try:
            self.outbox.put(message)
        except OutboxFull:
            # Whoever wanted to say something is not to blame, and the manager attaches anew if it lives.
            log.warning("manager_reads_no_more", manager_uuid=str(self.manager.manager_id))
            self.close()

    async def _attach(self, incoming: AsyncIterator[msg.Incoming]) -> None:
        first: msg.Incoming | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTACH_TIMEOUT_SECONDS):
                first = await anext(incoming, None)
        if not isinstance(first, msg.Attach):
            given = "nothing" if first is None else type(first).__name__
            raise InvalidField.one("message", given, "attach, as the first message of a stream")
        attachment = await self._attachments.attach(
            self.manager.manager_id, first.introduction, first.state, first.assignment_id, first.held
        )
        self.epoch = attachment.epoch
        self._attached = True
        self._put(
            msg.Attached(
                attachment.epoch,
                attachment.verdict,
                self.manager.manager_id,
                attachment.name,
                self._settings.heartbeat_interval,
                self._settings.heartbeat_timeout,
                tuple(attachment.revoked),
                self.manager.token_expires_at,
            )
        )
        self._begin(attachment, first)
        if attachment.verdict is Verdict.RESUME:
            # It may have gone further while it was away.
            await self._persist(
                lambda: self._assignments.follow(self.manager.manager_id, first.assignment_id, first.state)
            )
        log.info(
            "manager_attached",
            manager_uuid=str(self.manager.manager_id),
            epoch=attachment.epoch,
            verdict=attachment.verdict,
            assignment_id=first.assignment_id or None,
        )

    def _begin(self, attachment: Attachment, first: msg.Attach) -> None:
        if attachment.verdict is Verdict.ABORT or (
            attachment.verdict is Verdict.IDLE and first.state in HOLDING_STATES
        ):
            # It cleans up something that is over, and says when it is Idle.
            self._state = machine.taken(self._state, SessionEvent.ABORTED, first.assignment_id, None)
            self._changed(self)
        elif attachment.assignment is not None:
            self._hold(SessionEvent.RESUMED, attachment.assignment)
            self._out = {ref.task_id: ref.attempt for ref in first.held}
            suite = attachment.assignment.suite
            self._follow_suite(Standing(suite.state, suite.reason, attachment.eligible))
            update = msg.ConfigUpdate(attachment.assignment.id, attachment.assignment.worker_count)
            if self._state.phase is Phase.HOLDING:
                self._put(update)
        else:
            self._changed(self)
        # Only now can somebody find the session.
        self._signals.manager_changed(self.manager.manager_id)
        self._feed_wanted.set()

    def _hold(self, event: SessionEvent, assignment: Assignment) -> None:
        self._state = machine.taken(self._state, event, assignment.id, assignment.suite.id)
        self._feeding.close()
        self._feeding.enter_context(self._signals.feeding(assignment.suite.id, self._feed_wanted))
        self._changed(self)

    def _let_go(self, finished: msg.SuiteFinished) -> None:
        wants_more = finished.reason is not FinishReason.DRAINED
        self._state = machine.finished(self._state, finished.assignment_id, wants_more=wants_more)
        if self._state.assignment_id is None:
            self._feeding.close()
            self._out.clear()
        self._changed(self)

    def _follow_suite(self, standing: Standing | None) -> None:
        """Tell the manager what it may have missed of its suite."""
        if standing is not None and standing.state is SuiteState.CANCELLED:
            if self._state.phase is Phase.HOLDING:
                # Tasks that were cancelled while they ran were taken away already: `Attached.revoked` stops them.
                self.cancel_suite(standing.reason, running_too=False)
        elif standing is None or standing.state in FINAL_STATES or not standing.eligible:
            self.release()

    async def _read(self, incoming: AsyncIterator[msg.Incoming]) -> None:
        async for message in incoming:
            self.heard_at = time.monotonic()
            await self._handle(message)
            if self._goodbye:
                return

    async def _handle(self, message: msg.Incoming) -> None:
        match message:
            case msg.TaskReports():
                await self._to_commit.put(message)
            case msg.TaskCredit():
                self._state = machine.credited(self._state, message.assignment_id, message.granted_total)
                self._feed_wanted.set()
            case msg.Heartbeat():
                self.metrics = message.metrics
            case msg.TasksStarted():
                if self._state.holds(message.assignment_id):
                    await self._persist(
                        lambda: self._reports.started(self.manager.manager_id, message.assignment_id, message.starts)
                    )
            case msg.TaskReturn():
                await self._persist(
                    lambda: self._reports.handed_back(self.manager.manager_id, message.assignment_id, message.refs)
                )
                self._came_back(message.refs)
            case msg.WorkerFailure():
                log.warning(
                    "worker_failed",
                    manager_uuid=str(self.manager.manager_id),
                    worker_index=message.worker_index,
                    reason=message.reason,
                )
            case msg.StateChanged():
                await self._state_changed(message)
            case HookReport():
                await self._persist(lambda: self._assignments.hook_ended(self.manager.manager_id, message))
            case msg.SuiteFinished():
                await self._to_commit.join()
                await self._persist(
                    lambda: self._assignments.finished(self.manager.manager_id, message.assignment_id, message.reason)
                )
                self._let_go(message)
                self._signals.manager_changed(self.manager.manager_id)
            case msg.Goodbye():
                await self._to_commit.join()
                await self._persist(lambda: self._assignments.left(self.manager.manager_id, self.epoch))
                log.info("manager_said_goodbye", manager_uuid=str(self.manager.manager_id), reason=message.reason)
                self._goodbye = True
            case msg.Attach():
                raise InvalidField.one("message", "attach", "attach once, as the first message of a stream")
            case _:
                assert_never(message)

    async def _state_changed(self, message: msg.StateChanged) -> None:
        if message.state is ManagerState.IDLE:
            self._state = machine.idle_again(self._state)
            self._changed(self)
            self._signals.manager_changed(self.manager.manager_id)
        elif self._state.holds(message.assignment_id):
            await self._persist(
                lambda: self._assignments.follow(self.manager.manager_id, message.assignment_id, message.state)
            )

    async def _commit(self) -> None:
        """Turn reports into transactions: everything that came while the last one ran goes into the next."""
        while True:
            batches = [await self._to_commit.get()]
            count = len(batches[0].reports)
            while not self._to_commit.empty() and count < MAX_REPORTS_PER_COMMIT:
                batches.append(self._to_commit.get_nowait())
                count += len(batches[-1].reports)
            reports = [report for batch in batches for report in batch.reports]
            stale = await self._persist(partial(self._reports.commit, self.manager.manager_id, reports))
            self._came_back(reports)
            await self._prove(reports)
            if stale:
                log.info("stale_reports", manager_uuid=str(self.manager.manager_id), count=len(stale))
            self._put(msg.ReportsAcked(batches[-1].sequence, tuple(stale)))
            if self._starving:
                # It may have ended the last task that it held: somebody else may need the manager.
                self._signals.manager_changed(self.manager.manager_id)
            for _ in batches:
                self._to_commit.task_done()

    async def _prove(self, reports: list[Report]) -> None:
        """Say once for each assignment that a task ended under it."""
        assignment_id = self._state.assignment_id
        if assignment_id is None or assignment_id == self._proven:
            return
        if any(report.assignment_id == assignment_id for report in reports):
            self._proven = assignment_id
            await self._persist(lambda: self._assignments.proven(self.manager.manager_id, assignment_id))

    async def _feed(self) -> None:
        """Turn credit into claims: at once when tasks are ready, and every few seconds in case a hint was lost."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS * random.uniform(0.8, 1.2)):
                    await self._feed_wanted.wait()
            except TimeoutError:
                await self._sweep()
            self._feed_wanted.clear()
            while (limit := self._allowed()) and await self._claim(limit):
                await self.outbox.room()
            if self._in_doubt:
                self._in_doubt = False
                await self._give_back_unheard()

    async def _claim(self, limit: int) -> bool:
        """Claim and send one batch; whether more may be there."""
        assignment_id, suite_id = self._held()
        self._cancelled.clear()

        async def claim() -> list[ClaimedTask]:
            try:
                return await self._assignments.claim(
                    suite_id, self.manager.manager_id, assignment_id, self.epoch, limit
                )
            except StorageUnavailable:
                self._in_doubt = True
                raise

        claimed = await self._persist(claim)
        more = len(claimed) == limit
        self._starving = not more
        # What was cancelled since it was claimed must not reach the manager after the order to stop it.
        claimed = [task for task in claimed if AttemptRef(task.task_id, task.attempt) not in self._cancelled]
        if not claimed and not more:
            # There is nothing left to hand out: somebody else may need the manager.
            self._signals.manager_changed(self.manager.manager_id)
            return False
        # Credit may have moved to another assignment meanwhile; what was claimed goes out all the same, and the
        # manager hands back what it does not want.
        if self._state.holds(assignment_id):
            self._out.update((task.task_id, task.attempt) for task in claimed)
            size = sum(len(task.spec) for task in claimed)
            self._state = machine.sent(self._state, len(claimed), size)
        for batch in _split(claimed):
            self._put(msg.TaskBatch(assignment_id, batch))
        return more

    async def _sweep(self) -> None:
        if self._state.phase is not Phase.HOLDING or self._state.suite_id is None:
            return
        suite_id = self._state.suite_id
        standing = await self._persist(lambda: self._assignments.standing(suite_id, self.manager.manager_id))
        if self._state.suite_id == suite_id:
            self._follow_suite(standing)
        await self._give_back_unheard()

    async def _give_back_unheard(self) -> None:
        """Make Ready again what was claimed by a statement whose answer was lost: nobody else would ever miss it.

        Only the feeder claims, so none of its claims is under way while it looks here; what comes back meanwhile is
        fenced by its attempt.
        """
        assignment_id = self._state.assignment_id
        if assignment_id is None or self._state.phase is not Phase.HOLDING:
            return
        believed = await self._persist(lambda: self._assignments.held_tasks(assignment_id))
        unheard = [ref for ref in believed if self._out.get(ref.task_id) != ref.attempt]
        if unheard and self._state.holds(assignment_id):
            log.warning("claim_unheard", manager_uuid=str(self.manager.manager_id), count=len(unheard))
            await self._persist(lambda: self._reports.handed_back(self.manager.manager_id, assignment_id, unheard))

    def _came_back(self, attempts: Iterable[AttemptRef | Report]) -> None:
        for one in attempts:
            if self._out.get(one.task_id) == one.attempt:
                del self._out[one.task_id]

    def _allowed(self) -> int:
        """How many tasks to claim now."""
        return min(self._state.claimable(), max(0, machine.MAX_OUTSTANDING - len(self._out)))

    def _held(self) -> tuple[int, UUID]:
        if self._state.assignment_id is None or self._state.suite_id is None:
            raise RuntimeError("the session holds nothing")
        return self._state.assignment_id, self._state.suite_id

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
                log.warning("session_waits_for_storage", manager_uuid=str(self.manager.manager_id), error=str(error))
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(5.0, delay * 2)


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
