"""Bulk submission to a suite whose workers are warm: from the first submit call to the suite's last result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness import Mitosis, suite_spec
from mitosis_client import AsyncClient, Suite
from mitosis_client.specs import NewTask, WorkerScheduleSpec

TIMEOUT_SECONDS = 600
_WARM_UP_TASKS_PER_WORKER = 50


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds until everything was submitted, and until the last result was there."""

    submitted: float
    total: float


def run_warm(mitosis: Mitosis, name: str, count: int, task: Callable[[int], NewTask], *, workers: int) -> Timing:
    """Run a suite of so many tasks.

    Args:
        mitosis: Where.
        name: The suite's.
        count: Tasks that are measured.
        task: Makes task number i; -1 is one of the warm-up.
        workers: Of all managers together; each starts as many as it has room for.

    Raises:
        RuntimeError: Not all of them completed.
    """
    return asyncio.run(_run(mitosis, name, count, task, workers))


async def settled(client: AsyncClient, uuid: str, tasks: int, *, timeout: float = TIMEOUT_SECONDS) -> Suite:
    """Wait until so many tasks of a suite completed.

    Raises:
        TimeoutError: They did not.
    """
    async with asyncio.timeout(timeout):
        while (suite := await client.get_suite(uuid)).completed_tasks < tasks:
            await asyncio.sleep(0.05)
    return suite


async def _run(mitosis: Mitosis, name: str, count: int, task: Callable[[int], NewTask], workers: int) -> Timing:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        schedule: WorkerScheduleSpec = {"strategy": "Fixed", "worker_count": workers}
        suite = await client.create_suite({**suite_spec(name), "worker_schedule": schedule})
        warm_up = _WARM_UP_TASKS_PER_WORKER * workers
        await client.submit_many((task(-1) for _ in range(warm_up)), suite_uuid=suite.uuid)
        await settled(client, suite.uuid, warm_up)
        started = time.perf_counter()
        await client.submit_many((task(index) for index in range(count)), suite_uuid=suite.uuid)
        submitted = time.perf_counter() - started
        await client.close_suite(suite.uuid)
        final = await client.wait_for_suite(suite.uuid, timeout=TIMEOUT_SECONDS)
        total = time.perf_counter() - started
    if final.completed_tasks != warm_up + count:
        raise RuntimeError(f"{name}: {final.completed_tasks} of {warm_up + count} tasks completed")
    return Timing(submitted, total)
