"""No-op handlers, submitted in bulk, two workers: from the first submit call to the suite's last result.

The floor beside it is `multiprocessing.Pool(2)` calling the same function once per task: two processes and a pipe, but
no database, no network and no promise.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time

from benchmarks.harness import Mitosis, Report, Row, median, mitosis_up, suite_spec
from benchmarks.tasks import noop
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

NAME = "handler throughput"
TASKS = 10_000
ROUNDS = 3
WORKERS = 2
TARGET = 2_000


def run() -> Report:
    """Measure both in turn."""
    with mitosis_up(workers=WORKERS) as mitosis:
        asyncio.run(_suite(mitosis, TASKS // 10))
        ours, floor, submit = [], [], []
        for _ in range(ROUNDS):
            submitted, total = asyncio.run(_suite(mitosis, TASKS))
            submit.append(TASKS / submitted)
            ours.append(TASKS / total)
            floor.append(TASKS / _pool())
    ratio = median(ours) / median(floor)
    return Report(
        NAME,
        [
            Row(
                f"{TASKS:,} no-op handlers, end to end",
                f"{median(ours):,.0f} tasks/s",
                f"multiprocessing.Pool: {median(floor):,.0f} tasks/s",
                f"{ratio:.2f}",
                f"at least {TARGET:,} tasks/s",
            ),
            Row("submission in bulk", f"{median(submit):,.0f} tasks/s", "", "", ""),
        ],
        {"tasks_per_second": ours, "floor_tasks_per_second": floor, "submitted_per_second": submit},
    )


async def _suite(mitosis: Mitosis, count: int) -> tuple[float, float]:
    """Seconds until everything was submitted, and until the last result was there."""
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME))
        started = time.perf_counter()
        specs = (NewTask(handler="benchmarks.tasks:noop", payload=index) for index in range(count))
        await client.submit_many(specs, suite_uuid=suite.uuid)
        submitted = time.perf_counter() - started
        await client.close_suite(suite.uuid)
        final = await client.wait_for_suite(suite.uuid, timeout=120)
        total = time.perf_counter() - started
    if final.completed_tasks != count:
        raise RuntimeError(f"{final.completed_tasks} of {count} tasks completed")
    return submitted, total


def _pool() -> float:
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(noop, range(WORKERS))
        started = time.perf_counter()
        for _ in pool.imap_unordered(noop, range(TASKS), chunksize=1):
            pass
        return time.perf_counter() - started
