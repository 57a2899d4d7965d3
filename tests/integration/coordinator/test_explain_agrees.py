"""Explanations agree with the statements that hand suites and tasks out, in worlds made of every kind of fact."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from psycopg import Rollback

from mitosis_coordinator.domain.explain import Explanation, ObstacleKind
from mitosis_coordinator.domain.ids import uuid_block
from mitosis_coordinator.domain.principal import UserPrincipal
from mitosis_coordinator.services.explain import ExplainService
from mitosis_coordinator.storage import managers, tasks
from mitosis_coordinator.storage.pool import Connection, Database

# What the database would hand out all the same: it is the holder that has to ask, or to be heard of.
NOT_FORBIDDING = {ObstacleKind.BUFFER_FULL, ObstacleKind.SILENT}
EVERYBODY = UserPrincipal(uuid4(), "admin", is_admin=True)
GROUPS, TAGS = 2, ("gpu", "cuda")
PLAN = '{"strategy": "Fixed", "worker_count": null, "cpu_binding": null, "cores": [], "task_prefetch_count": 32}'
WORLDS = 16


@dataclass
class World:
    """What was made, at random."""

    groups: list[UUID] = field(default_factory=list)
    managers: dict[UUID, str] = field(default_factory=dict)
    workers: list[UUID] = field(default_factory=list)
    suites: dict[UUID, int] = field(default_factory=dict)
    tasks: dict[UUID, UUID | None] = field(default_factory=dict)
    # Suite and manager of each assignment that executes; worker of each session.
    executing: dict[int, tuple[UUID, UUID]] = field(default_factory=dict)
    sessions: dict[int, UUID] = field(default_factory=dict)


class _Maker:
    def __init__(self, connection: Connection, seed: int) -> None:
        self._connection = connection
        self._dice = random.Random(seed)
        self.world = World()

    async def make(self) -> World:
        for number in range(GROUPS):
            self.world.groups.append(await self._insert("groups", id=uuid4(), name=f"group-{number}"))
        for number in range(6):
            await self._manager(f"manager-{number}")
        for number in range(4):
            await self._worker(f"worker-{number}")
        for number in range(4):
            await self._suite(f"suite-{number}")
        await self._tasks(None, uuid_block(4))
        return self.world

    def _tags(self) -> list[str]:
        return [tag for tag in TAGS if self._dice.random() < 0.5]

    async def _manager(self, name: str) -> None:
        state = self._dice.choice(["Idle", "Idle", "Idle", "Idle", "Offline", "Failed"])
        manager = await self._insert(
            "node_managers",
            id=uuid4(),
            name=name,
            state=state,
            tags=self._tags(),
            max_workers=1,
            token_id=uuid4(),
            created_by="",
            reason="failed to prepare 3 different suites in a row" if state == "Failed" else "",
        )
        await self._connection.execute(
            "UPDATE node_managers SET last_heartbeat_at = now(), draining = %s WHERE id = %s",
            [self._dice.random() < 0.15, manager],
        )
        self.world.managers[manager] = state
        for group in self.world.groups:
            if self._dice.random() < 0.8:
                await self._insert("group_node_manager", group_id=group, manager_id=manager, role="Worker")

    async def _worker(self, name: str) -> None:
        there = self._dice.random() < 0.7
        worker = await self._insert(
            "independent_workers",
            id=uuid4(),
            name=name,
            state="Idle" if there else "Offline",
            tags=self._tags(),
            token_id=uuid4(),
            created_by="",
        )
        self.world.workers.append(worker)
        for group in self.world.groups:
            if self._dice.random() < 0.7:
                await self._insert("group_worker", group_id=group, worker_id=worker)
        if there:
            session = await self._insert("assignments", worker_id=worker, state="Executing", session_epoch=1)
            self.world.sessions[session] = worker

    async def _suite(self, name: str) -> None:
        dice = self._dice
        by_hand, priority, count = dice.random() < 0.2, dice.choice([0, 0, 5]), dice.choice([0, 1, 1, 4])
        [suite] = uuid_block(1)
        state = dice.choice(["Queued"] * 5 + ["Failed"])
        tags = self._tags()
        await self._insert(
            "task_suites",
            id=suite,
            group_id=dice.choice(self.world.groups),
            name=name,
            state=state,
            description="",
            labels=[],
            tags=tags,
            priority=priority,
            task_defaults=b"",
            runs_by_default=False,
            worker_schedule=PLAN,
            auto_close_timeout_seconds=180,
            max_preparation_failures=3,
            max_attempts=3,
            managers_by_hand=by_hand,
            created_by="",
            total_tasks=count,
            pending_tasks=count,
        )
        self.world.suites[suite] = priority
        for manager in self.world.managers:
            if dice.random() < 0.8:
                selection = "UserSpecified" if by_hand and dice.random() < 0.5 else "TagMatched"
                await self._insert("task_suite_managers", task_suite_id=suite, manager_id=manager, selection=selection)
                if dice.random() < 0.3:
                    await self._connection.execute(
                        "UPDATE task_suite_managers SET preparation_failures = 1, retry_after = now() + %s::interval"
                        " WHERE task_suite_id = %s AND manager_id = %s",
                        [dice.choice(["1 hour", "-1 hour"]), suite, manager],
                    )
        if state == "Queued":
            await self._assign(suite)
        await self._tasks(suite, uuid_block(count) if count else [])

    async def _assign(self, suite: UUID) -> None:
        idle = [manager for manager, state in self.world.managers.items() if state == "Idle"]
        for manager in self._dice.sample(idle, min(len(idle), self._dice.choice([0, 1, 2]))):
            state = self._dice.choice(["Preparing", "Executing", "Executing", "Cleaning"])
            assignment = await self._insert(
                "assignments", task_suite_id=suite, manager_id=manager, state=state, session_epoch=1
            )
            await self._connection.execute("UPDATE node_managers SET state = %s WHERE id = %s", [state, manager])
            self.world.managers[manager] = state
            if state == "Executing":
                self.world.executing[assignment] = (suite, manager)

    async def _tasks(self, suite: UUID | None, ids: Sequence[UUID]) -> None:
        dice = self._dice
        holders = self.world.workers if suite is None else list(self.world.managers)
        group = dice.choice(self.world.groups)
        for task in ids:
            await self._insert(
                "active_tasks",
                id=task,
                task_suite_id=suite,
                group_id=group,
                priority=dice.choice([0, 0, 1]),
                max_retries=0,
                retry_backoff_seconds=1,
                spec=b"",
                created_by="",
                tags=self._tags() if suite is None else [],
                excluded_manager_ids=dice.sample(holders, dice.choice([0, 0, 1, 3])),
            )
            if dice.random() < 0.2:
                retry_in = dice.choice(["1 hour", "-1 hour"])
                await self._connection.execute(
                    "UPDATE active_tasks SET retry_at = now() + %s::interval WHERE id = %s", [retry_in, task]
                )
            self.world.tasks[task] = suite

    async def _insert(self, table: str, **columns: object) -> Any:
        """Insert one row; its first column."""
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING {table}.*"
        cursor = await self._connection.execute(statement.encode(), list(columns.values()))
        row = await cursor.fetchone()
        assert row is not None
        return row[0]


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Connection]:
    """A transaction that leaves nothing."""
    async with database.transaction() as connection:
        yield connection
        raise Rollback


def allows(explanation: Explanation, holder: UUID) -> bool:
    """Whether nothing in an explanation forbids a holder to take it."""
    forbidding = [one for one in explanation.obstacles if one.kind not in NOT_FORBIDDING]
    return all((one.manager_id or one.worker_id) not in (holder, None) for one in forbidding)


async def test_what_would_be_handed_out_is_what_nothing_forbids(database: Database) -> None:
    seen: set[ObstacleKind] = set()
    for seed in range(WORLDS):
        async with database.transaction() as connection:
            await connection.execute("TRUNCATE groups, node_managers, independent_workers, active_tasks CASCADE")
            world = await _Maker(connection, seed).make()
        service = ExplainService(database, 90)
        suites = {suite: await service.suite(EVERYBODY, suite) for suite in world.suites}
        explained = {task: await service.task(EVERYBODY, task) for task in world.tasks}
        seen |= {one.kind for said in [*suites.values(), *explained.values()] for one in said.obstacles}
        await _compare_assignments(database, world, suites)
        await _compare_claims(database, world, explained)
    # What never occurred was not compared; there is always somebody here.
    assert seen == set(ObstacleKind) - {ObstacleKind.NO_HOLDER}


async def _compare_assignments(database: Database, world: World, suites: dict[UUID, Explanation]) -> None:
    for manager, state in world.managers.items():
        holds = [suite for suite, holder in world.executing.values() if holder == manager]
        allowed = [suite for suite, said in suites.items() if allows(said, manager) and suite not in holds]
        best = min(allowed, key=lambda suite: (-world.suites[suite], suite), default=None)
        async with undone(database) as connection:
            wanted = await managers.wanted(connection, [manager])
            picked = await managers.pick_suite(connection, manager) if wanted else None
        assert picked == best, (manager, state)


async def _compare_claims(database: Database, world: World, explained: dict[UUID, Explanation]) -> None:
    for assignment, (suite, manager) in world.executing.items():
        allowed = {task for task, of in world.tasks.items() if of == suite and allows(explained[task], manager)}
        async with undone(database) as connection:
            claimed, _ = await tasks.claim(connection, suite, manager, assignment, 1, 100)
        assert {UUID(task.task_id) for task in claimed} == allowed
    for worker in world.workers:
        allowed = {task for task, of in world.tasks.items() if of is None and allows(explained[task], worker)}
        [session] = [key for key, holder in world.sessions.items() if holder == worker] or [0]
        async with undone(database) as connection:
            independent = await tasks.claim_independent(connection, worker, session, 1, 100) or []
        assert {UUID(task.task_id) for task in independent} == allowed
