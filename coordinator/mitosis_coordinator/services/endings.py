"""The end of an assignment, and what it means for the others that hold the same suite."""

from __future__ import annotations

from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.domain.plan import worker_counts
from mitosis_coordinator.domain.suite import FINAL_STATES, SUITE, Suite, SuiteEvent, SuiteState
from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.services.reports import cancel_ready
from mitosis_coordinator.storage import managers, suites, tasks
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)


class Endings:
    """Ends assignments inside a transaction, and tells the others after it."""

    def __init__(self, database: Database, signals: Signals, sessions: LiveSessions) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions

    async def end(
        self,
        connection: Connection,
        assignment_id: int,
        suite_id: UUID,
        reason: str,
        *,
        lost: tuple[UUID, str] | None = None,
    ) -> None:
        """End an assignment whose suite is locked, and hand what it held to others.

        `lost`, the manager and what happened to it, charges the loss to each task that it held.
        """
        # First of all: from here on no claim can be made for it, and those under way are waited for.
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

    async def announce(self, suite_id: UUID, manager_id: UUID, reason: str) -> None:
        """Tell everybody whom the end of an assignment concerns, once it is committed."""
        log.info("suite_released", suite_uuid=str(suite_id), manager_uuid=str(manager_id), reason=str(reason))
        self._signals.suite_changed(suite_id)
        self._signals.tasks_ready(suite_id)
        self._signals.deadline_changed()
        try:
            await self.share_workers(suite_id, but=manager_id)
        except StorageUnavailable as error:
            # What was committed stands; the others keep the workers that they have.
            log.warning("workers_not_shared_anew", suite_uuid=str(suite_id), error=str(error))

    def tasks_came_back(self, suite_id: UUID) -> None:
        """Tell everybody that tasks of an assignment that lasts are Ready again."""
        self._signals.suite_changed(suite_id)
        self._signals.tasks_ready(suite_id)

    async def share_workers(self, suite_id: UUID, but: UUID) -> None:
        """Tell the holders of a suite how many workers each runs now, one manager excepted."""
        counts = await self._shares(suite_id)
        for manager_id, (assignment_id, count) in counts.items():
            if manager_id != but:
                self._sessions.resize(manager_id, assignment_id, count)

    async def share_of(self, suite_id: UUID, manager_id: UUID) -> int | None:
        """How many workers a holder of a suite runs now, where holders share them; None where they do not."""
        _, count = (await self._shares(suite_id)).get(manager_id, (0, None))
        return count

    async def _shares(self, suite_id: UUID) -> dict[UUID, tuple[int, int]]:
        async with self._database.connection() as connection:
            suite = await suites.get(connection, suite_id)
            if suite is None or not suite.spec.plan.is_shared:
                return {}
            return await _worker_counts(connection, suite)


async def worker_count(connection: Connection, suite: Suite, manager_id: UUID, max_workers: int) -> int:
    """How many workers one holder of a suite runs. Only where holders share workers are the others looked at."""
    if not suite.spec.plan.is_shared:
        return worker_counts(suite.spec.plan, {manager_id: max_workers})[manager_id]
    return (await _worker_counts(connection, suite))[manager_id][1]


async def _worker_counts(connection: Connection, suite: Suite) -> dict[UUID, tuple[int, int]]:
    """For each holder of a suite its assignment and how many workers it runs."""
    holders = await managers.holders(connection, suite.id)
    counts = worker_counts(suite.spec.plan, {holder.manager_id: holder.max_workers for holder in holders})
    return {holder.manager_id: (holder.assignment_id, counts[holder.manager_id]) for holder in holders}
