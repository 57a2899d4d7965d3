"""Unstarted tasks go back when another manager could start them at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import structlog

from mitosis_coordinator.domain.balance import Share, recalls
from mitosis_coordinator.domain.plan import worker_counts
from mitosis_coordinator.services.ports import LiveSessions
from mitosis_coordinator.storage import managers, suites
from mitosis_coordinator.storage.pool import Database

log = structlog.get_logger(__name__)


class BalanceService:
    """Looks at the tail of a suite and asks managers to hand back what others could start."""

    def __init__(self, database: Database, sessions: LiveSessions) -> None:
        self._database = database
        self._sessions = sessions

    async def level(self, suite_id: UUID, room: Mapping[UUID, int], idle_here: Collection[UUID]) -> None:
        """Recall what starving managers and idle ones could start sooner.

        Args:
            suite_id: The suite.
            room: For each manager that starves, as its session knows it, how many tasks it takes.
            idle_here: The idle managers that are connected here. Others are looked after where they are connected, or
                each coordinator would recall tasks for them.
        """
        async with self._database.connection() as connection:
            holders = await managers.holders_of_tail(connection, suite_id)
            if not any(holder.long_running for holder in holders):
                return
            known = await managers.idle_for(connection, suite_id)
            suite = await suites.get(connection, suite_id)
        if suite is None:
            return
        idle = {manager_id: workers for manager_id, workers in known.items() if manager_id in idle_here}
        limits = {holder.manager_id: holder.max_workers for holder in holders}
        workers = worker_counts(suite.spec.plan, limits | idle)
        shares = {
            holder.manager_id: Share(workers[holder.manager_id], holder.held, holder.long_running, holder.bound)
            for holder in holders
        }
        wanted = {manager_id: count for manager_id, count in room.items() if manager_id in shares}
        for manager_id in idle:
            shares[manager_id] = Share(workers[manager_id], held=0)
            wanted[manager_id] = workers[manager_id]
        given = recalls(shares, wanted)
        assignments = {holder.manager_id: holder.assignment_id for holder in holders}
        if given:
            # Before anything can come back: whoever is nearer would take it only to put it behind what it runs, and be
            # asked for it next.
            self._sessions.give_way(suite_id)
        for manager_id, count in given.items():
            log.info("tasks_recalled", suite_uuid=str(suite_id), manager_uuid=str(manager_id), count=count)
            self._sessions.recall_tasks(manager_id, assignments[manager_id], count)
