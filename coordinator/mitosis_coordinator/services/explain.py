"""Why does it not run?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from mitosis_coordinator.domain.errors import NotFound
from mitosis_coordinator.domain.explain import Explanation
from mitosis_coordinator.domain.explain_answer import explain_independent_task, explain_suite, explain_task
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.services.access import require_role
from mitosis_coordinator.storage import explain, suites, task_reads
from mitosis_coordinator.storage.explain import Viewer
from mitosis_coordinator.storage.pool import Connection, Database


class ExplainService:
    """Explains suites and tasks; each answer is true of one moment.

    Args:
        database: Where the facts are.
        heartbeat_timeout_seconds: After which a silent holder loses what it holds.
    """

    def __init__(self, database: Database, heartbeat_timeout_seconds: float) -> None:
        self._database = database
        # Heartbeats are written coarsely: one may be late by a third of the timeout and the holder well.
        self._silent_after_seconds = heartbeat_timeout_seconds * 2 / 3

    async def suite(self, principal: UserPrincipal, suite_id: UUID) -> Explanation:
        """Say why a suite does not run, or who runs it.

        Raises:
            NotFound: There is none that the caller may see.
        """
        async with self._snapshot() as connection:
            suite = await suites.get(connection, suite_id)
            read = await explain.suite(connection, suite_id)
            if suite is None or read is None:
                raise NotFound("suite", str(suite_id))
            require_role(principal, suite.group_id, GroupRole.VIEWER, "suite", str(suite_id))
            facts, now = read
            managers, left_out = await explain.managers(connection, suite_id, self._viewer(principal))
        return explain_suite(facts, managers, now, left_out)

    async def task(self, principal: UserPrincipal, task_id: UUID) -> Explanation:
        """Say why a task does not run, or where it runs, or how it ended.

        Raises:
            NotFound: There is none that the caller may see.
        """
        viewer = self._viewer(principal)
        async with self._snapshot() as connection:
            found = await task_reads.get(connection, task_id)
            if found is None:
                raise NotFound("task", str(task_id))
            require_role(principal, found.group_id, GroupRole.VIEWER, "task", str(task_id))
            task = await explain.task(connection, found, datetime.now(UTC), viewer)
            if found.suite_id is None:
                workers, left_out = await explain.workers(connection, task, viewer)
                return explain_independent_task(task.facts, workers, task.now, left_out)
            read = await explain.suite(connection, found.suite_id)
            if read is None:
                raise NotFound("suite", str(found.suite_id))
            facts, now = read
            managers, left_out = await explain.managers(connection, found.suite_id, viewer, task)
        return explain_task(task.facts, facts, managers, now, left_out)

    def _viewer(self, principal: UserPrincipal) -> Viewer:
        return Viewer(principal.visible_groups(), self._silent_after_seconds)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with self._database.transaction() as connection:
            await explain.begin_snapshot(connection)
            yield connection
