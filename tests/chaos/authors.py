"""Submits the load through the real client, and keeps what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from mitosis_client import AsyncClient
from mitosis_client.errors import DeadlineExceeded, Unavailable, WrongState
from tests.chaos.workload import Plan, task

_log = structlog.get_logger(__name__)

# Between two submissions of one suite tasks are already running.
_SUBMISSION = 250
_CANCEL_TRIES = 20
_REOPEN_SECONDS = 60.0


@dataclass(slots=True)
class Acknowledged:
    """What the submitting side knows: the only promises that the checker holds the system to."""

    # Task UUIDs with the plan that they belong to.
    tasks: set[str] = field(default_factory=set)
    suites: set[str] = field(default_factory=set)
    # Whatever was asked to be cancelled, whether or not an answer came.
    cancelled_tasks: set[str] = field(default_factory=set)
    cancelled_suites: set[str] = field(default_factory=set)
    reopened: int = 0
    # Calls whose answer never came although they were repeated.
    unanswered: int = 0


class Authors:
    """Performs plans at their time, several at once, each with one of the clients."""

    def __init__(self, seed: int, log: Path, clients: Sequence[AsyncClient]) -> None:
        self.acknowledged = Acknowledged()
        self._seed = seed
        self._log = log
        self._clients = clients

    async def perform(self, plans: Sequence[Plan]) -> None:
        """Returns when every plan was carried out."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, plan in enumerate(plans):
                await asyncio.sleep(max(0.0, began + plan.at - time.monotonic()))
                group.create_task(self._perform(plan, self._clients[number % len(self._clients)]))

    async def _perform(self, plan: Plan, client: AsyncClient) -> None:
        try:
            if plan.suite is None:
                submitted = await self._submit(client, plan.tasks, None)
                await self._cancel_tasks(client, plan, submitted)
            else:
                suite = await client.create_suite(plan.suite)
                self.acknowledged.suites.add(suite.uuid)
                await self._fill(plan, client, suite.uuid)
        except (DeadlineExceeded, Unavailable) as error:
            self.acknowledged.unanswered += 1
            _log.warning("unanswered", error=str(error))

    async def _fill(self, plan: Plan, client: AsyncClient, suite: str) -> None:
        early = plan.tasks[: len(plan.tasks) - plan.late]
        if plan.cancel_after is None:
            submitted = await self._submit(client, early, suite)
            await self._cancel_tasks(client, plan, submitted)
            if plan.late:
                await self._reopen(client, plan.tasks[len(early) :], suite)
            if plan.closes:
                await client.close_suite(suite)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit_until_cancelled(client, early, suite))
            await asyncio.sleep(plan.cancel_after)
            self.acknowledged.cancelled_suites.add(suite)
            await self._insist(client.cancel_suite, suite, cancel_running_tasks=plan.cancel_running)

    async def _submit(self, client: AsyncClient, numbers: Sequence[int], suite: str | None) -> list[str]:
        submitted: list[str] = []

        def stored(uuids: Sequence[str]) -> None:
            submitted.extend(uuids)
            self.acknowledged.tasks.update(uuids)

        for first in range(0, len(numbers), _SUBMISSION):
            tasks = [
                task(self._seed, number, self._log, independent=suite is None)
                for number in numbers[first : first + _SUBMISSION]
            ]
            group_name = "default" if suite is None else None
            await client.submit_many(tasks, suite_uuid=suite, group_name=group_name, on_batch=stored)
        return submitted

    async def _submit_until_cancelled(self, client: AsyncClient, numbers: Sequence[int], suite: str) -> None:
        try:
            await self._submit(client, numbers, suite)
        except WrongState:
            return

    async def _reopen(self, client: AsyncClient, numbers: Sequence[int], suite: str) -> None:
        """Submits to a suite that is complete, or that would not be in time."""
        try:
            found = await client.wait_for_suite(suite, timeout=_REOPEN_SECONDS)
        except DeadlineExceeded:
            found = await client.get_suite(suite)
        self.acknowledged.reopened += found.state == "Complete"
        await self._submit(client, numbers, suite)

    async def _cancel_tasks(self, client: AsyncClient, plan: Plan, submitted: Sequence[str]) -> None:
        for place in plan.cancelled_tasks:
            if place < len(submitted):
                self.acknowledged.cancelled_tasks.add(submitted[place])
                await self._insist(client.cancel_task, submitted[place])

    async def _insist(self, call: object, uuid: str, **options: object) -> None:
        """Makes a call that the client does not repeat by itself; one that took effect before is refused, and fine."""
        assert callable(call)
        for _ in range(_CANCEL_TRIES):
            try:
                await call(uuid, **options)
            except (DeadlineExceeded, Unavailable):
                await asyncio.sleep(0.5)
            except WrongState:
                return
            else:
                return
        self.acknowledged.unanswered += 1
