"""One manager holding one suite, from the hand-out to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import (
    MANAGER,
    ManagerEvent,
    ManagerMetrics,
    ManagerState,
    preparation_backoff_seconds,
    preparation_failed,
    quarantined,
)
from mitosis_coordinator.domain.plan import Strategy, worker_counts
from mitosis_coordinator.domain.suite import FINAL_STATES, SUITE, Suite, SuiteEvent, SuiteState
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.services.reports import cancel_ready
from mitosis_coordinator.storage import managers, suites, tasks
from mitosis_coordinator.storage.managers import HeldAssignment, HookReport, Introduction, LockedManager
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)

_ATTACH_TRIES = 5


class Verdict(StrEnum):
    """What a manager does with the assignment that it told of."""

    IDLE = "Idle"
    RESUME = "Resume"
    ABORT = "Abort"


class FinishReason(StrEnum):
    """Why a manager let go of a suite."""

    RELEASED = "Released"
    CANCELLED = "Cancelled"
    PREPARATION_FAILED = "PreparationFailed"
    DRAINED = "Drained"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One manager holding one suite."""

    id: int
    suite: Suite
    worker_count: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """The beginning of a session.

    Attributes:
        epoch: Number of the session; a newer one ends the older ones.
        assignment: What the manager goes on with; there with RESUME alone.
        revoked: Attempts that the manager holds and that are no longer its own.
        released_suite_id: The suite of an assignment that ended by this.
    """

    epoch: int
    name: str
    state: ManagerState
    verdict: Verdict
    assignment: Assignment | None
    revoked: list[AttemptRef]
    released_suite_id: UUID | None


class _HolderChanged(Exception):
    """The manager's assignment changed between reading and locking."""


class AssignmentService:
    """Use cases of assignments; each is one transaction. Locks are taken in the order suite, tasks, manager."""

    def __init__(self, database: Database, signals: Signals, sessions: LiveSessions) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions

    async def attach(
        self,
        manager_id: UUID,
        introduction: Introduction,
        state: ManagerState,
        assignment_id: int,
        held: Set[AttemptRef],
    ) -> Attachment:
        """Begin a session and agree with the manager on what it holds.

        Args:
            manager_id: Whose session it is.
            introduction: What the manager says of itself.
            state: Where it says it stands.
            assignment_id: The assignment that it says it holds, 0 for none.
            held: The attempts that it holds; what the database believes it holds besides is Ready again.

        Raises:
            InvalidToken: The manager is gone.
        """
        for _ in range(_ATTACH_TRIES):
            try:
                async with self._database.transaction() as connection:
                    attachment = await self._attach(connection, manager_id, introduction, state, assignment_id, held)
            except _HolderChanged:
                continue
            if attachment.assignment is not None:
                self._signals.tasks_ready(attachment.assignment.suite.id)
            if attachment.released_suite_id is not None:
                await self._after_end(attachment.released_suite_id, manager_id, "Restarted")
            self._signals.manager_changed(manager_id)
            return attachment
        raise RuntimeError(f"the assignment of manager {manager_id} changed {_ATTACH_TRIES} times while it attached")

    async def assign(self, manager_id: UUID) -> Assignment | None:
        """Give an idle manager the best suite that it could work for; None when there is none."""
        async with self._database.transaction() as connection:
            suite_id = await managers.pick_suite(connection, manager_id)
            if suite_id is None:
                return None
            manager = await managers.lock(connection, manager_id)
            if manager is None or not MANAGER.allows(ManagerState(manager.state), ManagerEvent.ASSIGNED):
                return None
            suite = await suites.get(connection, suite_id)
            assignment_id = await managers.insert_assignment(connection, suite_id, manager_id)
            if suite is None or assignment_id is None:
                return None
            state = SUITE.after(suite.state, SuiteEvent.ASSIGNED)
            if state is not suite.state:
                await suites.set_state(connection, suite_id, state, SuiteEvent.ASSIGNED)
            await managers.set_state(connection, manager_id, ManagerState.ASSIGNED, ManagerEvent.ASSIGNED)
            counts = await self._worker_counts(connection, suite)
        log.info("suite_assigned", suite_uuid=str(suite_id), manager_uuid=str(manager_id), assignment_id=assignment_id)
        self._resize_others(counts, suite, manager_id)
        self._signals.suite_changed(suite_id)
        return Assignment(assignment_id, suite, counts[manager_id][1])

    async def claim(self, suite_id: UUID, manager_id: UUID, assignment_id: int, limit: int) -> list[tasks.ClaimedTask]:
        """Hand at most `limit` Ready tasks to an assignment that lasts, by priority and age."""
        async with self._database.connection() as connection:
            return await tasks.claim(connection, suite_id, manager_id, assignment_id, limit)

    async def held_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        """Read the attempts that an assignment holds."""
        async with self._database.connection() as connection:
            return await tasks.held_by(connection, assignment_id)

    async def undelivered(self, manager_id: UUID) -> Assignment | None:
        """Read what a manager was given of which its session does not know: the answer to `assign` was lost."""
        async with self._database.connection() as connection:
            held = await managers.held_assignment(connection, manager_id)
            suite = await suites.get(connection, held.task_suite_id) if held is not None else None
            if held is None or suite is None:
                return None
            counts = await self._worker_counts(connection, suite)
        return Assignment(held.id, suite, counts[manager_id][1]) if manager_id in counts else None

    async def suite(self, suite_id: UUID) -> Suite | None:
        """Read the suite of an assignment."""
        async with self._database.connection() as connection:
            return await suites.get(connection, suite_id)

    async def wanted(self, manager_ids: Sequence[UUID]) -> list[UUID]:
        """Which of these idle managers could get a suite now."""
        async with self._database.connection() as connection:
            return await managers.wanted(connection, manager_ids)

    async def to_release(self, manager_ids: Sequence[UUID]) -> list[HeldAssignment]:
        """Which assignments of these managers should end for the sake of suites that nobody works for.

        A manager with nothing left to run is anybody's; one that has work gives way to a higher priority alone.
        """
        async with self._database.connection() as connection:
            return await managers.to_release(connection, manager_ids)

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
                await suites.reset_preparation_failures(connection, suite_id)
                await managers.forget_back_off(connection, suite_id, manager_id)
                await managers.note_failed_preparations(connection, manager_id, [])
        self._signals.suite_changed(suite_id)

    async def hook_ended(self, manager_id: UUID, report: HookReport) -> None:
        """Record how a hook ended. The same report again changes nothing."""
        failed = report.hook_type is HookType.PREPARATION and report.result in (HookResult.FAILURE, HookResult.TIMEOUT)
        others: list[UUID] = []
        async with self._database.transaction() as connection:
            suite_id = await self._lock_suite_of(connection, manager_id, report.assignment_id)
            if suite_id is None:
                return
            recorded = await managers.insert_hook_run(connection, manager_id, report)
            if recorded is not None and failed:
                others = await self._preparation_failed(connection, manager_id, suite_id, report.error)
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
                await self._end(connection, assignment_id, suite_id, reason, lost=None)
            await self._free_manager(connection, manager_id)
        if suite_id is not None:
            self._sessions.release_suite(suite_id, others)
            await self._after_end(suite_id, manager_id, reason)
        self._signals.manager_changed(manager_id)

    async def left(self, manager_id: UUID) -> None:
        """A manager said goodbye: it is Offline, and what it held goes to others without charge."""
        async with self._database.transaction() as connection:
            suite_id = await self._end_held(connection, manager_id, FinishReason.DRAINED, lost=None)
            await managers.lock(connection, manager_id)
            await managers.set_state(connection, manager_id, ManagerState.OFFLINE, ManagerEvent.LEFT)
        log.info("manager_left", manager_uuid=str(manager_id))
        if suite_id is not None:
            await self._after_end(suite_id, manager_id, FinishReason.DRAINED)

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
                await self._end(connection, held.id, held.task_suite_id, "TimedOut", lost=(manager_id, error))
            await managers.set_state(connection, manager_id, ManagerState.OFFLINE, ManagerEvent.TIMED_OUT)
        log.warning("manager_lost", manager_uuid=str(manager_id), assignment_id=held.id if held else None)
        if held is not None:
            await self._after_end(held.task_suite_id, manager_id, "TimedOut")
        return True

    async def _attach(
        self,
        connection: Connection,
        manager_id: UUID,
        introduction: Introduction,
        state: ManagerState,
        assignment_id: int,
        held_refs: Set[AttemptRef],
    ) -> Attachment:
        held = await managers.held_assignment(connection, manager_id)
        suite = await suites.lock(connection, held.task_suite_id) if held is not None else None
        manager = await managers.lock(connection, manager_id)
        if manager is None:
            raise InvalidToken("the manager does not exist any more")
        if await managers.held_assignment(connection, manager_id) != held:
            raise _HolderChanged
        restarted = manager.session_uuid != introduction.session_uuid
        revoked: list[AttemptRef] = []
        assignment: Assignment | None = None
        if held is not None and suite is not None and held.id == assignment_id and not restarted:
            verdict, new_state = Verdict.RESUME, state
            believed = await tasks.held_by(connection, held.id)
            await tasks.give_back(connection, held.id, sorted(believed - held_refs, key=lambda ref: ref.task_id))
            if suite.state is SuiteState.CANCELLED:
                await cancel_ready(connection, suite.id)
            revoked = sorted(held_refs - believed, key=lambda ref: ref.task_id)
            counts = await self._worker_counts(connection, suite)
            assignment = Assignment(held.id, suite, counts[manager_id][1])
        else:
            verdict = Verdict.ABORT if assignment_id else Verdict.IDLE
            # A broken environment is not mended by a new stream, only by a new process.
            in_quarantine = manager.state == ManagerState.FAILED and not restarted
            new_state = ManagerState.FAILED if in_quarantine else ManagerState.IDLE
            if held is not None:
                lost = (manager_id, "its manager was restarted") if restarted else None
                await self._end(connection, held.id, held.task_suite_id, "Restarted", lost=lost)
        epoch = await managers.attach(connection, manager_id, introduction, new_state, restarted=restarted)
        if _introduction_changed(manager, introduction):
            await suites.match_manager(connection, manager_id)
        released_suite_id = held.task_suite_id if held is not None and assignment is None else None
        return Attachment(epoch, manager.name, new_state, verdict, assignment, revoked, released_suite_id)

    async def _lock_suite_of(self, connection: Connection, manager_id: UUID, assignment_id: int) -> UUID | None:
        """Lock the suite of an assignment that lasts; None when it is over or another manager's."""
        held = await managers.held_assignment(connection, manager_id)
        if held is None or held.id != assignment_id:
            return None
        await suites.lock(connection, held.task_suite_id)
        again = await managers.held_assignment(connection, manager_id)
        return held.task_suite_id if again is not None and again.id == assignment_id else None

    async def _end_held(
        self, connection: Connection, manager_id: UUID, reason: str, lost: tuple[UUID, str] | None
    ) -> UUID | None:
        held = await managers.held_assignment(connection, manager_id)
        if held is None:
            return None
        await suites.lock(connection, held.task_suite_id)
        await self._end(connection, held.id, held.task_suite_id, reason, lost=lost)
        return held.task_suite_id

    async def _end(
        self,
        connection: Connection,
        assignment_id: int,
        suite_id: UUID,
        reason: str,
        *,
        lost: tuple[UUID, str] | None,
    ) -> None:
        """End an assignment whose suite is locked, and hand what it held to others.

        `lost`, the manager and what happened to it, charges the loss to each task that it held.
        """
        if not await managers.end_assignment(connection, assignment_id, reason):
            return
        if lost is None:
            await tasks.release(connection, assignment_id)
        else:
            await tasks.reclaim(connection, assignment_id, *lost)
        suite = await suites.get(connection, suite_id)
        if suite is None:
            return
        if suite.state is SuiteState.CANCELLED:
            await cancel_ready(connection, suite_id)
        elif suite.assigned_managers == 0 and suite.state not in FINAL_STATES:
            state = SUITE.after(suite.state, SuiteEvent.RELEASED)
            await suites.set_state(connection, suite_id, state, SuiteEvent.RELEASED)

    async def _after_end(self, suite_id: UUID, manager_id: UUID, reason: str) -> None:
        log.info("suite_released", suite_uuid=str(suite_id), manager_uuid=str(manager_id), reason=str(reason))
        self._signals.suite_changed(suite_id)
        self._signals.tasks_ready(suite_id)
        self._signals.deadline_changed()
        async with self._database.connection() as connection:
            suite = await suites.get(connection, suite_id)
            if suite is not None:
                self._resize_others(await self._worker_counts(connection, suite), suite, manager_id)

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
        report = HookReport(
            assignment_id, HookType.PREPARATION, HookResult.FAILURE, None, error, "", datetime.now(UTC), 0.0
        )
        if await managers.insert_hook_run(connection, manager_id, report) is None:
            return []
        return await self._preparation_failed(connection, manager_id, suite_id, error)

    async def _preparation_failed(
        self, connection: Connection, manager_id: UUID, suite_id: UUID, error: str
    ) -> list[UUID]:
        """Count a failed preparation; the other holders of the suite when it is Failed by it."""
        others: list[UUID] = []
        failures, allowed = await suites.count_preparation_failure(connection, suite_id)
        here = await managers.preparation_failures(connection, suite_id, manager_id) + 1
        await managers.back_off(connection, suite_id, manager_id, preparation_backoff_seconds(here))
        if failures >= allowed:
            reason = f"{failures} preparations in a row failed; the last: {error}"
            await suites.set_state(connection, suite_id, SuiteState.FAILED, SuiteEvent.PREPARATION_EXHAUSTED, reason)
            log.warning("suite_failed", suite_uuid=str(suite_id), reason=reason)
            holders = await managers.holders(connection, suite_id)
            others = [holder.manager_id for holder in holders if holder.manager_id != manager_id]
        manager = await managers.lock(connection, manager_id)
        if manager is not None:
            failed = preparation_failed(manager.failed_preparations, suite_id)
            await managers.note_failed_preparations(connection, manager_id, failed)
        return others

    async def _worker_counts(self, connection: Connection, suite: Suite) -> dict[UUID, tuple[int, int]]:
        """For each holder its assignment and how many workers it runs."""
        holders = await managers.holders(connection, suite.id)
        counts = worker_counts(suite.spec.plan, {holder.manager_id: holder.max_workers for holder in holders})
        return {holder.manager_id: (holder.assignment_id, counts[holder.manager_id]) for holder in holders}

    def _resize_others(self, counts: Mapping[UUID, tuple[int, int]], suite: Suite, manager_id: UUID) -> None:
        if suite.spec.plan.strategy is not Strategy.PROPORTIONAL:
            return
        for other, (assignment_id, count) in counts.items():
            if other != manager_id:
                self._sessions.resize(other, assignment_id, count)


class Liveness:
    """Writes that managers live, many at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, beats: list[tuple[UUID, int, ManagerMetrics]]) -> None:
        """Write the liveness of managers, each with the epoch of its session."""
        if beats:
            async with self._database.connection() as connection:
                await managers.write_heartbeats(connection, beats)

    async def silent(self, timeout_seconds: float) -> list[UUID]:
        """Managers that stayed away longer than the timeout."""
        async with self._database.connection() as connection:
            return await managers.silent(connection, timeout_seconds)


_EVENTS = {
    ManagerState.PREPARING: ManagerEvent.PREPARING,
    ManagerState.EXECUTING: ManagerEvent.EXECUTING,
    ManagerState.CLEANING: ManagerEvent.CLEANING,
}


def _introduction_changed(manager: LockedManager, introduction: Introduction) -> bool:
    return (
        (len(introduction.tags) > 0 and sorted(manager.tags) != sorted(introduction.tags))
        or manager.max_workers != introduction.max_workers
        or manager.session_uuid is None
    )
