"""One thing at a time for an idle system, as users and managers wait for it.

The floor beside submit to start is what the same client needs for a call that only reads one row: the network, the
server, and the database without a write. Commits are acknowledged to a client that speaks the managers' stream.
"""

from __future__ import annotations

import asyncio
import time

import grpc.aio

from benchmarks.harness import Mitosis, mitosis_up, suite_spec
from benchmarks.results import Report, Row, below, median, percentile, scaled
from benchmarks.warm import settled
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask
from tests.support.scripted_manager import ScriptedManager

NAME = "latency"
SAMPLES = 200
WORKERS = 2
LIMIT_START_MEDIAN, LIMIT_START_P99 = 5, 20
LIMIT_P95 = 20
# Long enough for everything to fall asleep again.
_PAUSE_SECONDS = 0.05
_TAG = "scripted"
_NOOP: NewTask = {"handler": "benchmarks.tasks:noop", "payload": None}


def run(scale: float) -> Report:
    """Measure everything in turn."""
    with mitosis_up(workers=WORKERS) as mitosis:
        samples = asyncio.run(_measure(mitosis, scaled(SAMPLES, scale, 5)))
    milliseconds = {name: [1000 * value for value in values] for name, values in samples.items()}
    starts, reads = milliseconds["submit to start"], milliseconds["GetSuite"]

    def start(name: str, value: float, floor: float, limit: float) -> Row:
        return below(
            f"submit to start, {name}",
            value,
            "ms",
            limit,
            beside=f"GetSuite: {floor:.2f} ms",
            ratio=f"{value / floor:.1f}",
        )

    return Report(
        NAME,
        [
            start("median", median(starts), median(reads), LIMIT_START_MEDIAN),
            start("p99", percentile(starts, 99), percentile(reads, 99), LIMIT_START_P99),
            *(
                below(
                    f"{name}, p95",
                    percentile(milliseconds[name], 95),
                    "ms",
                    LIMIT_P95,
                    beside=f"median: {median(milliseconds[name]):.2f} ms",
                )
                for name in ("report to acknowledgement", "suite creation", "submission of one task")
            ),
        ],
        dict(milliseconds),
    )


async def _measure(mitosis: Mitosis, count: int) -> dict[str, list[float]]:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        return await _starts(client, count) | await _creations(client, count) | await _commits(mitosis, client, count)


async def _starts(client: AsyncClient, count: int) -> dict[str, list[float]]:
    starts, submits, reads = [], [], []
    suite = await client.create_suite(suite_spec(NAME))
    await client.submit_many([_NOOP] * 20, suite_uuid=suite.uuid)
    await settled(client, suite.uuid, 20)
    for _ in range(count):
        await asyncio.sleep(_PAUSE_SECONDS)
        began = time.perf_counter()
        await client.get_suite(suite.uuid)
        reads.append(time.perf_counter() - began)
        submitted_at, began = time.time(), time.perf_counter()
        task = await client.submit_task(_NOOP, suite_uuid=suite.uuid)
        submits.append(time.perf_counter() - began)
        while (task := await client.get_task(task.uuid)).finished_at is None:
            await asyncio.sleep(0.01)
        if task.started_at is None:
            raise RuntimeError(f"task {task.uuid} ended in {task.state} without a start")
        starts.append(task.started_at.timestamp() - submitted_at)
    await client.close_suite(suite.uuid)
    return {"submit to start": starts, "submission of one task": submits, "GetSuite": reads}


async def _creations(client: AsyncClient, count: int) -> dict[str, list[float]]:
    samples = []
    for number in range(count):
        await asyncio.sleep(_PAUSE_SECONDS)
        began = time.perf_counter()
        suite = await client.create_suite(suite_spec(f"{NAME}-{number}"))
        samples.append(time.perf_counter() - began)
        await client.cancel_suite(suite.uuid)
    return {"suite creation": samples}


async def _commits(mitosis: Mitosis, client: AsyncClient, count: int) -> dict[str, list[float]]:
    memberships = [{"group_name": "default", "role": "Worker"}]
    registered = await client.register_manager(_TAG, group_memberships=memberships, tags=[_TAG], max_workers=1)
    samples = []
    async with grpc.aio.insecure_channel(mitosis.address) as channel:
        manager = ScriptedManager(channel, _TAG, registered.manager.uuid, registered.token, [_TAG], 1)
        await manager.attach()
        suite = await client.create_suite({**suite_spec(_TAG), "tags": [_TAG]})
        await client.submit_many([_NOOP] * count, suite_uuid=suite.uuid)
        await manager.start()
        for _ in range(count):
            tasks = await manager.fetch(1)
            await asyncio.sleep(_PAUSE_SECONDS)
            reports = manager.reports(tasks)
            began = time.perf_counter()
            await manager.deliver(reports)
            samples.append(time.perf_counter() - began)
        await manager.goodbye()
    return {"report to acknowledgement": samples}
