"""Finds managers for suites and suites for managers."""

from __future__ import annotations

import asyncio
import random

import structlog

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.services.assignments import AssignmentService
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.session import Session
from mitosis_coordinator.sessions.signals import SignalHub

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 10.0
# A burst of submissions wakes this loop once per batch; the pause turns the burst into one round.
PAUSE_SECONDS = 0.02
# How long a manager that nobody could use may have to wait for another look.
_RETRY_SECONDS = 1.0


class Assigner:
    """Gives idle managers the best suite for each, and asks busy ones to let go for suites that nobody works for."""

    def __init__(self, assignments: AssignmentService, registry: SessionRegistry, signals: SignalHub) -> None:
        self._assignments = assignments
        self._registry = registry
        self._wanted = asyncio.Event()
        # A hand-out failed, and may have happened all the same.
        self._in_doubt = False
        signals.on_work(self._wanted.set)

    async def run(self) -> None:
        """Look whenever something changed, and every few seconds in case a hint was lost."""
        timeout = SWEEP_SECONDS
        while True:
            try:
                async with asyncio.timeout(timeout):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                timeout = await self.round()
            except StorageUnavailable as error:
                self._in_doubt = True
                log.warning("assigner_waits_for_storage", error=str(error))
                timeout = _RETRY_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)

    async def round(self) -> float:
        """Look once; how long until the next look without a hint."""
        if self._in_doubt:
            await self._deliver_unheard()
            self._in_doubt = False
        await self._assign_idle()
        holding = self._registry.holding()
        if holding:
            to_release = await self._assignments.to_release(holding)
            if to_release and await self._wanted_and_idle():
                # A suite came between the two looks: nobody is disturbed for what an idle manager can take.
                self._wanted.set()
            else:
                self._registry.release_assignments(held.id for held in to_release)
        sweep = SWEEP_SECONDS * random.uniform(0.8, 1.2)
        if not self._registry.idle():
            return sweep
        back_off = await self._assignments.seconds_until_back_off_ends()
        return sweep if back_off is None else min(sweep, max(0.0, back_off) + PAUSE_SECONDS)

    async def _wanted_and_idle(self) -> list[Session]:
        idle = {session.manager.manager_id: session for session in self._registry.idle()}
        if not idle:
            return []
        return [idle[manager_id] for manager_id in await self._assignments.wanted(list(idle))]

    async def _deliver_unheard(self) -> None:
        for session in self._registry.idle():
            assignment = await self._assignments.undelivered(session.manager.manager_id)
            if assignment is not None and session.is_idle():
                log.warning("assignment_unheard", assignment_id=assignment.id)
                session.take(assignment)

    async def _assign_idle(self) -> None:
        for session in await self._wanted_and_idle():
            if not session.is_idle():
                continue
            assignment = await self._assignments.assign(session.manager.manager_id)
            if assignment is None:
                continue
            if session.is_idle():
                session.take(assignment)
            else:
                # The stream ended meanwhile: the next session of the manager finds the assignment and ends it.
                log.info("assignment_undelivered", assignment_id=assignment.id)
