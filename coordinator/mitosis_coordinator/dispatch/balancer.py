"""Levels the tails of suites: no manager waits for tasks while others hold more than they run."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.services.balance import BalanceService
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.signals import SignalHub

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.5
"""Between two looks at one suite: a tail changes by the second, and short claims come by the hundred."""


class Balancer:
    """Looks at a suite when a session says that its tail may be uneven."""

    def __init__(self, balance: BalanceService, registry: SessionRegistry, signals: SignalHub) -> None:
        self._balance = balance
        self._registry = registry
        self._suites: set[UUID] = set()
        self._wanted = asyncio.Event()
        signals.on_tail(self._look_at)

    async def run(self) -> None:
        """Look at every suite that was named since the last look. A lost hint is made up for by the sessions' sweep."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            suites, self._suites = self._suites, set()
            for suite_id in suites:
                try:
                    await self.level(suite_id)
                except StorageUnavailable as error:
                    log.warning("balancer_waits_for_storage", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def level(self, suite_id: UUID) -> None:
        """Look at one suite."""
        sessions = self._registry.of_suite(suite_id)
        room = {session.manager.manager_id: room for session in sessions if (room := session.room())}
        idle = {session.manager.manager_id for session in self._registry.idle()}
        await self._balance.level(suite_id, room, idle)

    def _look_at(self, suite_id: UUID) -> None:
        self._suites.add(suite_id)
        self._wanted.set()
