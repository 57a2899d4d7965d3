"""The end of a suite: when nothing is pending and nothing more is expected."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog

from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.storage import suites
from mitosis_coordinator.storage.pool import Database

log = structlog.get_logger(__name__)


class Completion:
    """Completes suites, and lets their managers go."""

    def __init__(self, database: Database, signals: Signals, sessions: LiveSessions) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions

    async def complete_if_finished(self, suite_ids: Iterable[UUID]) -> None:
        """Complete those of some suites that are finished."""
        for suite_id in suite_ids:
            async with self._database.connection() as connection:
                finished = await suites.complete(connection, suite_id)
            if finished:
                log.info("suite_completed", suite_uuid=str(suite_id))
                self._signals.suite_ended(suite_id)
                self._sessions.release_suite(suite_id)
            else:
                # It is quiet and waits for its auto-close time.
                self._signals.deadline_changed()

    async def complete_due(self) -> float | None:
        """Complete every suite that is due; seconds until the next one is, None when none is quiet."""
        async with self._database.connection() as connection:
            due = await suites.due(connection)
        await self.complete_if_finished(due)
        async with self._database.connection() as connection:
            return await suites.seconds_until_due(connection)
