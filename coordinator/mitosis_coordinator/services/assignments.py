"""One manager holding one suite, from the hand-out to the end."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog

from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import (
    MANAGER,
    ManagerEvent,
    ManagerMetrics,
    ManagerState,
    quarantined,
)
from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.domain.suite import SUITE, Suite, SuiteEvent, SuiteState
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.services.endings import Endings, worker_count
from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.services.preparation import count_failure, count_success
from mitosis_coordinator.storage import managers, suites, task_arrays, tasks
from mitosis_coordinator.storage.managers import HeldAssignment, HookReport
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)

# Unless they were told otherwise, connected managers are heard of twice in this time.
_FRESH_SECONDS = 60.0
_PICK_TRIES = 3


class FinishReason(StrEnum):
    """Why a manager let go of a suite."""

    RELEASED = "Released"
    CANCELLED = "Cancelled"
    PREPARATION_FAILED = "PreparationFailed"
    DRAINED = "Drained"
    RESTARTED = "Restarted"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One manager holding one suite, given to the session with that epoch."""

    id: int
    suite: Suite
    worker_count: int
    session_epoch: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether an assignment may go on."""

    state: SuiteState
    reason: str
    eligible: bool


class AssignmentService:
    """Use cases of assignments; each is one transaction. Locks are taken in the order suite, assignment, tasks."""

    def __init__(self, database: Database, signals: Signals, sessions: LiveSessions, endings: Endings) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions
        self._endings = endings

    async def assign(self, manager_id: UUID, session_epoch: int) -> Assignment | None:
        """Give an idle manager the best suite that it could work for.

        None when there is none, or when the manager has a newer session, perhaps at another coordinator.
        """
        for _ in range(_PICK_TRIES):
            async with self._database.transaction() as connection:
                suite_id = await managers.pick_suite(connection, manager_id)
                if suite_id is None:
                    return None
                # Again, now that it is locked: another coordinator may just have given it all that it needs.
                if await managers.pick_suite(connection, manager_id) != suite_id:
                    continue
                manager = await managers.lock(connection, manager_id)
                if manager is None or not MANAGER.allows(ManagerState(manager.state), ManagerEvent.ASSIGNED):
                    return None
                suite = await suites.get(connection, suite_id)
                if suite is None or manager.session_epoch != session_epoch or manager.draining:
                    return None
                assignment_id = await managers.insert_assignment(connection, suite_id, manager_id, session_epoch)
                if assignment_id is None:
                    return None
                state = SUITE.after(suite.state, SuiteEvent.ASSIGNED)
                if state is not suite.state:
                    await suites.set_state(connection, suite_id, state, SuiteEvent.ASSIGNED)
                await managers.set_state(connection, manager_id, ManagerState.ASSIGNED, ManagerEvent.ASSIGNED)
                workers = await worker_count(connection, suite, manager_id, manager.max_workers)
            log.info(
                "suite_assigned", suite_uuid=str(suite_id), manager_uuid=str(manager_id), assignment_id=assignment_id
            )
            self._signals.suite_changed(suite_id)
            return Assignment(assignment_id, suite, workers, session_epoch)
        return None

    async def delivered(self, assignment: Assignment, manager_id: UUID) -> None:
        """A manager was told of its assignment: the other holders share the workers anew."""
        if assignment.suite.spec.plan.is_shared:
            await self._endings.share_workers(assignment.suite.id, but=manager_id)

    async def withdraw(self, manager_id: UUID, assignment_id: int, session_epoch: int) -> None:
        """End an assignment that its manager never heard of, unless a newer session of the manager has it."""
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, assignment_id)
            held = await managers.held_assignment(connection, manager_id)
            if suite_id is None or held is None or held.session_epoch != session_epoch:
                return
            await self._endings.end(connection, assignment_id, suite_id, "Undelivered")
            await self._free_manager(connection, manager_id)
        await self._endings.announce(suite_id, manager_id, "Undelivered")

    async def unheard_of(self, manager_ids: Sequence[UUID]) -> list[HeldAssignment]:
        """What managers hold that their sessions do not know of: the answer to `assign` was lost, or nobody took it."""
        async with self._database.connection() as connection:
            return await managers.live_assignments(connection, manager_ids)

    async def claim(
        self,
        suite_id: UUID,
        manager_id: UUID,
        assignment_id: int,
        session_epoch: int,
        limit: int,
        behind: tasks.QueuePlace | None = None,
    ) -> list[tasks.ClaimedTask]:
        """Hand at most `limit` Ready tasks to an assignment, by priority and age; none when it is over.

        With `behind`, what is in front of that place is passed over, and whatever has another priority.

        Raises:
            StorageUnavailable: It may have happened all the same.
        """
        async with self._database.connection() as connection:
            claimed, unmade = await tasks.claim(
                connection, suite_id, manager_id, assignment_id, session_epoch, limit, behind
            )
            if not unmade or not await task_arrays.make(connection, suite_id):
                return claimed
            if not claimed:
                claimed, _ = await tasks.claim(connection, suite_id, manager_id, assignment_id, session_epoch, limit)
        # For others that wait for tasks, and for this one if it could take more.
        self._signals.tasks_ready(suite_id)
        return claimed

    async def held_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        """Read the attempts that an assignment holds."""
        async with self._database.connection() as connection:
            return await tasks.held_by(connection, assignment_id)

    async def standing(self, suite_id: UUID, manager_id: UUID) -> Standing | None:
        """Whether a manager may go on with a suite; None when the suite is gone."""
        async with self._database.connection() as connection:
            suite = await suites.get(connection, suite_id)
            if suite is None:
                return None
            return Standing(suite.state, suite.reason, await managers.may_hold(connection, suite_id, manager_id))

    async def orders(self, manager_id: UUID) -> StandingOrders | None:
        """What there is to say to a connected manager; None when it is gone."""
        async with self._database.connection() as connection:
            return await managers.orders(connection, manager_id)

    async def share_of(self, suite_id: UUID, manager_id: UUID) -> int | None:
        """How many workers a holder of a suite runs now, where holders share them; None where they do not."""
        return await self._endings.share_of(suite_id, manager_id)

    async def wanted(self, manager_ids: Sequence[UUID]) -> list[UUID]:
        """Which of these idle managers could get a suite now."""
        async with self._database.connection() as connection:
            return await managers.wanted(connection, manager_ids)

    async def to_release(self, manager_ids: Sequence[UUID], connected_ids: Sequence[UUID]) -> list[HeldAssignment]:
        """Which assignments of these managers should end for the sake of suites that nobody works for.

        A manager with nothing left to run is anybody's; one that has work gives way to a higher priority alone. All
        coordinators choose among all holders, each lets its own go; and none for what an idle manager of another,
        which is none of `connected_ids`, can take.
        """
        async with self._database.connection() as connection:
            return await managers.to_release(connection, manager_ids, connected_ids, _FRESH_SECONDS)

    async def seconds_until_back_off_ends(self) -> float | None:
        """Seconds until a manager may try a suite again that it failed to prepare; None when none waits."""
        async with self._database.connection() as connection:
            return await managers.seconds_until_back_off_ends(connection)

    async def follow(self, manager_id: UUID, assignment_id: int, state: ManagerState) -> None:
        """Record where a manager stands with its assignment."""
        event = _EVENTS.get(state)
        if event is None:
            return
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, assignment_id)
            if suite_id is None:
                return
            await managers.set_assignment_state(connection, assignment_id, manager_id, state)
            await managers.set_state(connection, manager_id, state, event)
            if state is ManagerState.EXECUTING:
                await suites.set_state(connection, suite_id, SuiteState.EXECUTING, SuiteEvent.EXECUTION_STARTED)
        self._signals.suite_changed(suite_id)

    async def proven(self, manager_id: UUID, assignment_id: int) -> None:
        """A task ended under an assignment: its environment works, and failed preparations are counted anew."""
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, assignment_id)
            if suite_id is not None:
                await count_success(connection, manager_id, assignment_id, suite_id)

    async def hook_ended(self, manager_id: UUID, report: HookReport) -> None:
        """Record how a hook ended. The same report again changes nothing."""
        failed = report.hook_type is HookType.PREPARATION and report.result in (HookResult.FAILURE, HookResult.TIMEOUT)
        others: list[UUID] = []
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, report.assignment_id)
            if suite_id is None:
                return
            await managers.insert_hook_run(connection, manager_id, report)
            if failed:
                others = await count_failure(connection, manager_id, report.assignment_id, suite_id, report.error)
        self._sessions.release_suite(suite_id, others)
        log.info(
            "hook_ended",
            suite_uuid=str(suite_id),
            manager_uuid=str(manager_id),
            hook_type=report.hook_type,
            result=report.result,
        )
        self._signals.suite_changed(suite_id)
        self._signals.deadline_changed()

    async def finished(self, manager_id: UUID, assignment_id: int, reason: FinishReason) -> None:
        """A manager let go of a suite, after its cleanup. The same again changes nothing."""
        others: list[UUID] = []
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, assignment_id)
            if suite_id is not None:
                if reason is FinishReason.PREPARATION_FAILED:
                    others = await self._ensure_failure_recorded(connection, manager_id, assignment_id, suite_id)
                await self._endings.end(connection, assignment_id, suite_id, reason)
                await self._free_manager(connection, manager_id)
        if suite_id is not None:
            self._sessions.release_suite(suite_id, others)
            await self._endings.announce(suite_id, manager_id, reason)
        self._signals.manager_changed(manager_id)

    async def left(self, manager_id: UUID, session_epoch: int) -> None:
        """A manager said goodbye: it is Offline, and what it held goes to others without charge.

        Nothing happens when a newer session of the manager has begun.
        """
        async with self._database.transaction() as connection:
            held = await managers.held_assignment(connection, manager_id)
            if held is not None:
                await suites.lock(connection, held.task_suite_id)
            manager = await managers.lock(connection, manager_id)
            if manager is None or manager.session_epoch != session_epoch:
                return
            if held is not None:
                await self._endings.end(connection, held.id, held.task_suite_id, FinishReason.DRAINED)
            await managers.set_state(connection, manager_id, ManagerState.OFFLINE, ManagerEvent.LEFT)
        log.info("manager_left", manager_uuid=str(manager_id))
        if held is not None:
            await self._endings.announce(held.task_suite_id, manager_id, FinishReason.DRAINED)

    async def lost(self, manager_id: UUID, timeout_seconds: float) -> bool:
        """Take everything back from a manager that stayed away longer than the timeout; whether it did."""
        async with self._database.transaction() as connection:
            held = await managers.held_assignment(connection, manager_id)
            if held is not None:
                await suites.lock(connection, held.task_suite_id)
            if not await managers.still_silent(connection, manager_id, timeout_seconds):
                return False
            if held is not None:
                error = f"its manager was silent for more than {timeout_seconds:g} s"
                await self._endings.end(connection, held.id, held.task_suite_id, "TimedOut", lost=(manager_id, error))
            await managers.set_state(connection, manager_id, ManagerState.OFFLINE, ManagerEvent.TIMED_OUT)
        log.warning("manager_lost", manager_uuid=str(manager_id), assignment_id=held.id if held else None)
        if held is not None:
            await self._endings.announce(held.task_suite_id, manager_id, "TimedOut")
        return True

    async def _lock_suite_of(self, connection: Connection, manager_id: UUID, assignment_id: int) -> UUID | None:
        """Lock the suite of an assignment that lasts; None when it is over or another manager's."""
        held = await managers.held_assignment(connection, manager_id)
        if held is None or held.id != assignment_id:
            return None
        await suites.lock(connection, held.task_suite_id)
        again = await managers.held_assignment(connection, manager_id)
        return held.task_suite_id if again is not None and again.id == assignment_id else None

    async def _free_manager(self, connection: Connection, manager_id: UUID) -> None:
        manager = await managers.lock(connection, manager_id)
        if manager is None:
            return
        await managers.set_state(connection, manager_id, ManagerState.IDLE, ManagerEvent.RELEASED)
        if quarantined(manager.failed_preparations):
            reason = f"failed to prepare {len(manager.failed_preparations)} different suites in a row"
            await managers.set_state(connection, manager_id, ManagerState.FAILED, ManagerEvent.QUARANTINED, reason)
            log.warning("manager_quarantined", manager_uuid=str(manager_id), reason=reason)

    async def _ensure_failure_recorded(
        self, connection: Connection, manager_id: UUID, assignment_id: int, suite_id: UUID
    ) -> list[UUID]:
        """Count a failed preparation that no hook report told of, so that it cannot repeat without end."""
        error = "the manager could not start the suite"
        return await count_failure(connection, manager_id, assignment_id, suite_id, error)


class Liveness:
    """Writes that managers live, many at once, and takes back what the silent ones hold."""

    def __init__(self, database: Database, assignments: AssignmentService) -> None:
        self._database = database
        self._assignments = assignments

    async def write(self, beats: list[tuple[UUID, int, ManagerMetrics]]) -> set[UUID]:
        """Write the liveness of managers, each with the epoch of its session; whose session should look again."""
        if not beats:
            return set()
        async with self._database.connection() as connection:
            return {manager_id for manager_id, _, _ in beats} - await managers.write_heartbeats(connection, beats)

    async def silent(self, timeout_seconds: float) -> list[UUID]:
        """Managers that stayed away longer than the timeout."""
        async with self._database.connection() as connection:
            return await managers.silent(connection, timeout_seconds)

    async def lost(self, holder_id: UUID, timeout_seconds: float) -> bool:
        """Take everything back from a manager that stayed away longer than the timeout; whether it did."""
        return await self._assignments.lost(holder_id, timeout_seconds)


_EVENTS = {
    ManagerState.PREPARING: ManagerEvent.PREPARING,
    ManagerState.EXECUTING: ManagerEvent.EXECUTING,
    ManagerState.CLEANING: ManagerEvent.CLEANING,
}
