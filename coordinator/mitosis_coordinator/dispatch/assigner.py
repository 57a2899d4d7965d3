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
                log.warning("assigner_waits_for_storage", error=str(error))
                timeout = _RETRY_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)

    async def round(self) -> float:
        """Look once; how long until the next look without a hint."""
        await self._withdraw_unheard()
        await self._assign_idle()
        holding = self._registry.holding()
        if holding:
            connected = [session.manager.manager_id for session in self._registry.attached()]
            to_release = await self._assignments.to_release(holding, connected)
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

    async def _withdraw_unheard(self) -> None:
        """End what managers hold that are idle: they never heard of it, and everybody would wait for ever."""
        idle = [session.manager.manager_id for session in self._registry.idle()]
        if not idle:
            return
        for held in await self._assignments.unheard_of(idle):
            session = self._registry.of(held.manager_id)
            if session is None or not session.is_idle():
                continue
            if held.session_epoch > session.epoch:
                # The manager is connected elsewhere by now, and has it there.
                session.look_again()
                continue
            log.warning("assignment_unheard", assignment_id=held.id)
            await self._assignments.withdraw(held.manager_id, held.id, held.session_epoch)

    async def _assign_idle(self) -> None:
        for session in await self._wanted_and_idle():
            if not session.is_idle():
                continue
            assignment = await self._assignments.assign(session.manager.manager_id, session.epoch)
            if assignment is None:
                continue
            # The manager may have come back with a new session meanwhile, which may be the one it was given to.
            current = self._registry.of(session.manager.manager_id)
            if current is not None and current.is_idle() and current.epoch == assignment.session_epoch:
                current.take(assignment)
                await self._assignments.delivered(assignment, current.manager.manager_id)
            else:
                log.info("assignment_undelivered", assignment_id=assignment.id)
                await self._assignments.withdraw(session.manager.manager_id, assignment.id, assignment.session_epoch)
