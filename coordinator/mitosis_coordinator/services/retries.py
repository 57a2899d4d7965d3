"""Tasks that wait for a retry."""

from __future__ import annotations

from mitosis_coordinator.services.ports import Signals
from mitosis_coordinator.storage import suites, tasks
from mitosis_coordinator.storage.pool import Database


class RetryService:
    """Ends the back-off of tasks whose time has come, and forgets request ids that are too old to be repeated."""

    def __init__(self, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals

    async def release_due(self) -> float | None:
        """Make due tasks available; seconds until the next one is, None when none waits."""
        async with self._database.connection() as connection:
            released = await tasks.release_due_retries(connection)
            seconds = await tasks.seconds_until_retry(connection)
        for suite_id, group_id in released:
            if suite_id is None:
                self._signals.independent_tasks_ready(group_id)
            else:
                self._signals.tasks_ready(suite_id)
        return seconds

    async def forget_requests(self) -> None:
        """Drop request ids that are older than any retry."""
        async with self._database.connection() as connection:
            await suites.forget_requests(connection)
