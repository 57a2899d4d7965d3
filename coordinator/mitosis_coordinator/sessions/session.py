"""One manager's stream: what it adds to that of any holder are suites."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Set
from contextlib import ExitStack, suppress
from typing import assert_never
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.domain.manager import HOLDING_STATES, ManagerMetrics, ManagerState
from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.domain.principal import ManagerPrincipal
from mitosis_coordinator.domain.suite import FINAL_STATES, SuiteState
from mitosis_coordinator.domain.task import AttemptRef, Report
from mitosis_coordinator.services.assignments import Assignment, AssignmentService, FinishReason, Standing
from mitosis_coordinator.services.attachment import Attachment, AttachmentService, Verdict
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.sessions import machine
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.front import QueueFront
from mitosis_coordinator.sessions.holder import ATTACH_TIMEOUT_SECONDS, HolderSession, SessionSettings
from mitosis_coordinator.sessions.machine import Phase, SessionEvent
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage.managers import HookReport
from mitosis_coordinator.storage.tasks import ClaimedTask, QueuePlace

log = structlog.get_logger(__name__)

RECALL_SECONDS = 1.0
"""How long a manager has to answer a recall, and how long what it hands back is left to those that can start it."""


class Session(HolderSession[msg.Incoming, msg.Outgoing]):
    """One connected manager."""

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
        super().__init__(manager.manager_id, reports, signals)
        self.manager = manager
        self.metrics: ManagerMetrics | None = None
        self._attachments = attachments
        self._assignments = assignments
        self._settings = settings
        self._changed = changed
        self._feeding = ExitStack()
        self._front = QueueFront()
        self._workers = 0
        # Until when a recall is under way, and until when no tasks are claimed that would only wait; monotonic clock.
        self._recalled_until = 0.0
        self._gives_way_until = 0.0
        # The assignment under which a task is known to have ended.
        self._proven: int | None = None

    @property
    def pulse(self) -> ManagerMetrics:
        """What to write of the manager with its liveness."""
        return self.metrics or ManagerMetrics()

    def is_idle(self) -> bool:
        """Whether the manager could take a suite."""
        return self._attached and self._state.phase is Phase.IDLE and not self._closed.is_set()

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

    def resize(self, update: msg.ConfigUpdate) -> None:
        """Tell the manager how many workers it runs from now on."""
        if self._state.holds(update.assignment_id):
            self._workers = update.worker_count
            self._put(update)

    def room(self) -> int:
        """How many tasks the manager takes, when some of its workers have had nothing to run since the last claim."""
        return self._allowed() if self._starving and len(self._tasks) < self._workers else 0

    def idle_workers(self) -> int:
        """How many of the manager's workers have nothing to run, as far as is known."""
        return max(0, self._workers - len(self._tasks))

    def recall_tasks(self, recall: msg.RecallTasks) -> None:
        """Ask the manager to hand back unstarted tasks, unless it was asked already and has not answered."""
        if self._state.phase is not Phase.HOLDING or not self._state.holds(recall.assignment_id):
            return
        self.give_way()
        if time.monotonic() >= self._recalled_until:
            self._recalled_until = time.monotonic() + RECALL_SECONDS
            self._put(recall)

    def give_way(self) -> None:
        """Claim for a moment only what the manager can start at once: others of its suite have nothing to run."""
        self._gives_way_until = time.monotonic() + RECALL_SECONDS

    def shut_down(self, reason: str, *, graceful: bool) -> None:
        """Have the manager's process end."""
        self._state = machine.shutdown_wanted(self._state)
        self._put(msg.Shutdown(graceful, reason))
        self._changed(self)

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
            revoked = set(attachment.revoked)
            self._tasks.take_over(ref for ref in first.held if ref not in revoked)
            suite = attachment.assignment.suite
            self._follow_suite(Standing(suite.state, suite.reason, attachment.eligible))
            if self._state.phase is Phase.HOLDING:
                self.resize(msg.ConfigUpdate(attachment.assignment.id, attachment.assignment.worker_count))
        else:
            self._changed(self)
        # Only now can somebody find the session.
        self._signals.manager_changed(self.manager.manager_id)
        self._feed_wanted.set()

    def _hold(self, event: SessionEvent, assignment: Assignment) -> None:
        self._state = machine.taken(self._state, event, assignment.id, assignment.suite.id)
        self._workers = assignment.worker_count
        self._feeding.close()
        self._front = QueueFront()
        self._feeding.enter_context(self._signals.feeding(assignment.suite.id, self._tasks_ready))
        self._changed(self)

    def _let_go(self, finished: msg.SuiteFinished) -> None:
        wants_more = finished.reason is not FinishReason.DRAINED
        self._state = machine.finished(self._state, finished.assignment_id, wants_more=wants_more)
        if self._state.assignment_id is None:
            self._feeding.close()
            self._tasks.clear()
        self._changed(self)

    def _follow_suite(self, standing: Standing | None) -> None:
        """Tell the manager what it may have missed of its suite."""
        if standing is not None and standing.state is SuiteState.CANCELLED:
            if self._state.phase is Phase.HOLDING:
                # Tasks that were cancelled while they ran were taken away already: `Attached.revoked` stops them.
                self.cancel_suite(standing.reason, running_too=False)
        elif standing is None or standing.state in FINAL_STATES or not standing.eligible:
            self.release()

    async def _handle(self, message: msg.Incoming) -> None:
        match message:
            case msg.TaskReports() | msg.TaskCredit():
                await self._flow(message)
            case msg.TasksStarted():
                await self._flow(message)
                self._offer()
            case msg.TaskReturn():
                await self._flow(message)
                self._recalled_until = 0.0
            case msg.Heartbeat():
                self.metrics = message.metrics
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

    def _detached(self) -> None:
        self._feeding.close()

    async def _claim_tasks(self, limit: int) -> list[ClaimedTask]:
        assignment_id, suite_id = self._held()
        claimed: list[ClaimedTask] = []
        behind: QueuePlace | None
        while True:
            behind = self._front.begin()
            wanted = limit - len(claimed)
            found = await self._assignments.claim(
                suite_id, self.manager.manager_id, assignment_id, self.epoch, wanted, behind
            )
            self._front.end(found, enough=len(found) == wanted)
            claimed += found
            if behind is None or len(found) == wanted:
                break
        if len(claimed) < limit:
            self._signals.tail_reached(suite_id)
        return claimed

    def _tasks_ready(self) -> None:
        self._front.rewind()
        self._feed_wanted.set()

    def _allowed(self) -> int:
        allowed = super()._allowed()
        if time.monotonic() < self._gives_way_until:
            return min(allowed, self.idle_workers())
        return allowed

    def _offer(self) -> None:
        """Have somebody look for managers that could start what waits here behind long tasks."""
        if self._state.suite_id is not None and len(self._tasks) > self._workers:
            self._signals.tail_reached(self._state.suite_id)

    async def _believed_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        return await self._assignments.held_tasks(assignment_id)

    def _exhausted(self) -> None:
        # Somebody else may need the manager.
        self._signals.manager_changed(self.manager.manager_id)

    async def _committed(self, reports: list[Report]) -> None:
        await self._prove(reports)

    async def _prove(self, reports: list[Report]) -> None:
        """Say once for each assignment that a task ended under it."""
        assignment_id = self._state.assignment_id
        if assignment_id is None or assignment_id == self._proven:
            return
        if any(report.assignment_id == assignment_id for report in reports):
            self._proven = assignment_id
            await self._persist(lambda: self._assignments.proven(self.manager.manager_id, assignment_id))

    async def _orders(self) -> StandingOrders | None:
        return await self._assignments.orders(self.manager.manager_id)

    async def _sweep(self) -> None:
        suite_id = self._state.suite_id
        if suite_id is None:
            return
        # In this order: what was cancelled together with its suite is stopped, and not waited for.
        await self._compare()
        if self._state.phase is Phase.HOLDING:
            standing = await self._persist(lambda: self._assignments.standing(suite_id, self.manager.manager_id))
            if self._state.suite_id == suite_id:
                self._follow_suite(standing)
        self._offer()

    async def _resize(self) -> None:
        assignment_id, suite_id = self._state.assignment_id, self._state.suite_id
        if assignment_id is None or suite_id is None:
            return
        count = await self._persist(lambda: self._assignments.share_of(suite_id, self.manager.manager_id))
        if count is not None and count != self._workers and self._state.phase is Phase.HOLDING:
            self.resize(msg.ConfigUpdate(assignment_id, count))

    def _held(self) -> tuple[int, UUID]:
        if self._state.assignment_id is None or self._state.suite_id is None:
            raise RuntimeError("the session holds nothing")
        return self._state.assignment_id, self._state.suite_id
