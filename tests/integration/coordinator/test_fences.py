"""What happens at the same time: the database alone decides, so the services are called without streams."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from mitosis_coordinator.domain.ids import new_uuid, uuid_block
from mitosis_coordinator.domain.manager import ManagerRole, ManagerState
from mitosis_coordinator.domain.plan import WorkerPlan
from mitosis_coordinator.domain.suite import SuiteSpec, SuiteState
from mitosis_coordinator.domain.task import AttemptRef, NewTask, Retries
from mitosis_coordinator.services.assignments import Assignment, AssignmentService, FinishReason
from mitosis_coordinator.services.attachment import AttachmentService, Verdict
from mitosis_coordinator.services.endings import Endings
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage import groups, managers, suites, tasks
from mitosis_coordinator.storage.managers import Introduction
from mitosis_coordinator.storage.pool import Database
from tests.support.invariants import assert_counters_agree

ROUNDS = 25
TASKS = 200


@dataclass(frozen=True)
class World:
    """One group, one manager, and the services that argue about it."""

    database: Database
    assignments: AssignmentService
    attachments: AttachmentService
    group_id: UUID
    manager_id: UUID
    session_uuid: UUID

    async def suite(self, tags: tuple[str, ...] = ()) -> UUID:
        spec = SuiteSpec("s", "", (), tags, 0, WorkerPlan(), None, None, b"", False, 180, 3, 3, Retries())
        suite_id = new_uuid()
        async with self.database.transaction() as connection:
            await suites.insert(connection, suite_id, self.group_id, spec, "tester")
        return suite_id

    async def submit(self, suite_id: UUID, count: int) -> None:
        new = [NewTask(b"", 0, Retries(), says_nothing=False)] * count
        async with self.database.transaction() as connection:
            await tasks.insert(connection, uuid_block(count), new, suite_id, self.group_id, "tester", Retries())
            await (await suites.count_submitted(connection, suite_id, count, 1_000_000))()

    async def attach(self, assignment_id: int = 0, tags: tuple[str, ...] = ()) -> Verdict:
        introduction = Introduction(self.session_uuid, tags, 4, "", "")
        state = ManagerState.EXECUTING if assignment_id else ManagerState.IDLE
        attached = await self.attachments.attach(self.manager_id, introduction, state, assignment_id, frozenset())
        return attached.verdict

    async def epoch(self) -> int:
        orders = await self.assignments.orders(self.manager_id)
        assert orders is not None
        return orders.epoch

    async def take(self) -> Assignment:
        assignment = await self.assignments.assign(self.manager_id, await self.epoch())
        assert assignment is not None
        await self.assignments.follow(self.manager_id, assignment.id, ManagerState.EXECUTING)
        return assignment

    async def claim(self, assignment: Assignment) -> int:
        await asyncio.sleep(random.uniform(0, 0.004))
        claimed = await self.assignments.claim(
            assignment.suite.id, self.manager_id, assignment.id, assignment.session_epoch, TASKS
        )
        return len(claimed)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    signals, registry = SignalHub(), SessionRegistry(10)
    endings = Endings(database, signals, registry)
    group_id, manager_id = new_uuid(), new_uuid()
    async with database.transaction() as connection:
        await groups.insert(connection, group_id, "team")
        await managers.insert(connection, manager_id, "node", [], 4, new_uuid(), "tester")
        await managers.insert_memberships(connection, manager_id, [(group_id, ManagerRole.WORKER)])
    yield World(
        database,
        AssignmentService(database, signals, registry, endings),
        AttachmentService(database, endings),
        group_id,
        manager_id,
        new_uuid(),
    )
    assert_counters_agree(database.conninfo)


async def ready(world: World, suite_id: UUID) -> int:
    async with world.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM active_tasks WHERE task_suite_id = %s AND state = 'Ready'", [suite_id]
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_no_task_stays_with_an_assignment_that_ends_while_it_is_claimed(world: World) -> None:
    await world.attach()
    suite_id = await world.suite()
    await world.submit(suite_id, TASKS)
    for _ in range(ROUNDS):
        assignment = await world.take()
        await asyncio.gather(
            world.claim(assignment), world.assignments.finished(world.manager_id, assignment.id, FinishReason.DRAINED)
        )
        assert await ready(world, suite_id) == TASKS


async def test_an_older_session_claims_nothing_once_a_newer_one_has_begun(world: World) -> None:
    await world.attach()
    suite_id = await world.suite()
    await world.submit(suite_id, TASKS)
    assignment = await world.take()
    for _ in range(ROUNDS):
        claimed, verdict = await asyncio.gather(world.claim(assignment), world.attach(assignment.id))
        assert verdict is Verdict.RESUME
        # The newer session says that it holds nothing: what the older one got in time is Ready again.
        assert claimed in (0, TASKS)
        assert await ready(world, suite_id) == TASKS
    assert await world.claim(assignment) == 0


async def test_a_suite_and_a_manager_that_come_at_once_see_each_other(world: World) -> None:
    for number in range(ROUNDS):
        tags = (f"kind-{number}",)
        suite_id, _ = await asyncio.gather(world.suite(tags), world.attach(tags=tags))
        async with world.database.connection() as connection:
            eligible = await suites.eligible_managers(connection, suite_id)
        assert [manager.manager_id for manager in eligible] == [world.manager_id]


async def test_what_a_manager_never_heard_of_is_withdrawn(world: World) -> None:
    await world.attach()
    suite_id = await world.suite()
    await world.submit(suite_id, 1)
    assert await world.assignments.assign(world.manager_id, await world.epoch()) is not None
    [held] = await world.assignments.unheard_of([world.manager_id])
    await world.assignments.withdraw(held.manager_id, held.id, held.session_epoch)
    async with world.database.connection() as connection:
        suite = await suites.get(connection, suite_id)
    assert suite is not None
    assert suite.state is SuiteState.QUEUED
    assert await world.assignments.wanted([world.manager_id]) == [world.manager_id]


async def test_a_manager_says_nothing_about_an_assignment_of_another(world: World) -> None:
    await world.attach()
    suite_id = await world.suite()
    await world.submit(suite_id, 1)
    assignment = await world.take()
    [task] = await world.assignments.claim(suite_id, world.manager_id, assignment.id, assignment.session_epoch, 1)
    stranger = new_uuid()
    async with world.database.connection() as connection:
        ref = AttemptRef(task.task_id, task.attempt)
        moment = assignment.suite.created_at
        assert await tasks.start(connection, stranger, assignment.id, [(ref, moment)]) == 0
        assert await tasks.start(connection, world.manager_id, assignment.id, [(ref, moment)]) == 1
