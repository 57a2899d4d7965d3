"""Managers that cannot be reached for a while: within the timeout nothing happens, beyond it everything runs once more.

Two of three managers are cut off at once, one by resets, one by silence. The times are scaled down;
`MITOSIS_REAL_PARTITIONS=1` runs with those that are promised, which takes some minutes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask
from tests.chaos import evidence
from tests.chaos.deployment import Deployment, Size, Timing, deployed
from tests.chaos.handlers import COMPLETES, END, HANDLER, START, Work
from tests.chaos.verdict import Failure
from tests.e2e.cluster import alive
from tests.e2e.support import sandbox
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REAL = os.environ.get("MITOSIS_REAL_PARTITIONS") == "1"
# (timing, length of the partition). A manager that was refused waits before it tries again, at most as long as the
# partition took by then: the timeout must leave room for that.
SHORT = (Timing(30, 90), 10.0) if REAL else (Timing(1, 20), 2.0)
LONG = (Timing(30, 90), 120.0) if REAL else (Timing(1, 4), 8.0)
ABORT_SECONDS = 5.0
SIZE = Size(coordinators=1, managers=3, threads=2, workers=0, clients=1)
REFUSED, SILENT = "manager-1", "manager-2"
TASKS = 100
TASK_SECONDS = 0.25


class Run:
    """A suite under way, on all three managers."""

    def __init__(self, deployment: Deployment, client: AsyncClient, log: Path) -> None:
        self.deployment = deployment
        self.client = client
        self.log = log
        self.suite = ""
        self.tasks: set[str] = set()

    async def begin(self) -> None:
        """Returns when every manager has begun."""
        suite = await self.client.create_suite({"name": "partitioned", "group_name": "default"})
        self.suite = suite.uuid
        payloads = [
            Work(number=number, log=str(self.log), seconds=TASK_SECONDS, fate=COMPLETES) for number in range(TASKS)
        ]
        tasks: list[NewTask] = [{"handler": HANDLER, "payload": payload} for payload in payloads]
        await self.client.submit_many(tasks, suite_uuid=self.suite, on_batch=self.tasks.update)
        await self.client.close_suite(self.suite)
        workers = SIZE.managers * SIZE.threads
        await until(lambda: len(self.pids()) == workers, seconds=30, what="all workers")

    def pids(self) -> set[int]:
        """Returns the workers that have begun a task."""
        return {execution.pid for execution in evidence.executions(self.log)}

    def workers_of(self, manager: str) -> set[int]:
        """Returns a manager's worker processes."""
        return {child.pid for child in self.deployment.parts[manager].children("mitosis_worker")}

    async def partition(self, seconds: float) -> None:
        """Cuts two managers off, each in its way, and ends that."""
        await self.deployment.links[REFUSED].cut()
        self.deployment.links[SILENT].swallow()
        await asyncio.sleep(seconds)
        await self.deployment.links[REFUSED].heal()
        await self.deployment.links[SILENT].heal()

    async def completed(self) -> None:
        """Waits for the suite."""
        suite = await self.client.wait_for_suite(self.suite, timeout=300)
        assert (suite.state, suite.completed_tasks) == ("Complete", TASKS)

    def failures(self) -> list[Failure]:
        """Returns what was charged to anybody."""
        with psycopg.connect(self.deployment.postgres.url) as connection:
            return evidence.failures(connection)

    def attempts(self) -> Mapping[str, int]:
        """Returns the attempt whose result was recorded, for each task."""
        with psycopg.connect(self.deployment.postgres.url) as connection:
            return {task: row.attempt for task, row in evidence.recorded(connection).items()}


@asynccontextmanager
async def begun(timing: Timing) -> AsyncIterator[Run]:
    async with AsyncExitStack() as stack:
        box = stack.enter_context(sandbox())
        deployment = await stack.enter_async_context(deployed(box, SIZE, timing))
        client = await stack.enter_async_context(deployment.client(0))
        run = Run(deployment, client, box.root / "executions")
        await run.begin()
        try:
            yield run
        finally:
            # Shown for a test that failed.
            print(deployment.output())
        assert set((await deployment.stop()).values()) == {0}


async def test_a_partition_within_the_timeout_costs_nothing() -> None:
    timing, seconds = SHORT
    async with begun(timing) as run:
        workers = run.pids()
        await run.partition(seconds)
        await run.completed()
        executions = evidence.executions(run.log)
        assert sorted(execution.task for execution in executions if execution.event == START) == sorted(run.tasks)
        assert {execution.pid for execution in executions} == workers
        assert run.failures() == []
        assert run.attempts() == dict.fromkeys(run.tasks, 1)


async def test_beyond_the_timeout_each_task_runs_once_more_and_the_late_manager_aborts() -> None:
    timing, seconds = LONG
    async with begun(timing) as run:
        late = {name: run.workers_of(name) for name in (REFUSED, SILENT)}
        await run.partition(seconds)
        await asyncio.gather(*(aborts(run, name, workers) for name, workers in late.items()))
        await run.completed()

        attempts, failures = run.attempts(), run.failures()
        affected = {failure.task for failure in failures}
        assert affected
        # Lost once, charged to the node, and recorded from the next attempt.
        assert sorted((one.task, one.attempt, one.kind) for one in failures) == sorted(
            (task, 1, "Node") for task in affected
        )
        assert attempts == {task: 2 if task in affected else 1 for task in run.tasks}
        ended = [(one.task, one.attempt) for one in evidence.executions(run.log) if one.event == END]
        assert len(ended) == len(set(ended))
        assert {(task, attempt) for task, attempt in attempts.items()} <= set(ended)
        assert {attempt for task, attempt in ended if task not in affected} == {1}


async def aborts(run: Run, manager: str, workers: set[int]) -> None:
    """Waits until a manager has come back, and checks that it ends what it was doing."""
    part = run.deployment.parts[manager]
    # Its back-off has grown to about the length of the partition.
    await until(lambda: "verdict=ABORT" in part.output(), seconds=60 + LONG[1], what=f"{manager} to return")
    await until(lambda: not any(map(alive, workers)), seconds=ABORT_SECONDS, what=f"{manager} to abort")
