"""One task at a time for an idle, executing suite: from the submit call to the start of the handler.

The floor beside it is what the same client needs for a call that only reads one row: the network, the server, and the
database without a write.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, Report, Row, median, mitosis_up, percentile, suite_spec
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

NAME = "latency"
SAMPLES = 200
WORKERS = 2


def run() -> Report:
    """Measure both in turn."""
    with mitosis_up(workers=WORKERS) as mitosis:
        starts, reads = asyncio.run(_measure(mitosis))
    return Report(
        NAME,
        [
            Row(
                "submit to start, median",
                f"{median(starts) * 1000:.2f} ms",
                f"GetSuite: {median(reads) * 1000:.2f} ms",
                f"{median(starts) / median(reads):.1f}",
                "under 10 ms",
            ),
            Row(
                "submit to start, p99",
                f"{percentile(starts, 99) * 1000:.2f} ms",
                f"GetSuite: {percentile(reads, 99) * 1000:.2f} ms",
                f"{percentile(starts, 99) / percentile(reads, 99):.1f}",
                "",
            ),
        ],
        {"submit_to_start_seconds": starts, "get_suite_seconds": reads},
    )


async def _measure(mitosis: Mitosis) -> tuple[list[float], list[float]]:
    starts, reads = [], []
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME))
        spec: NewTask = {"handler": "benchmarks.tasks:noop", "payload": None}
        await client.submit_many([spec] * 20, suite_uuid=suite.uuid)
        while (await client.get_suite(suite.uuid)).pending_tasks:
            await asyncio.sleep(0.05)
        for _ in range(SAMPLES):
            # Long enough for everything to fall asleep again.
            await asyncio.sleep(0.05)
            began = time.perf_counter()
            await client.get_suite(suite.uuid)
            reads.append(time.perf_counter() - began)
            submitted_at = time.time()
            task = await client.submit_task(spec, suite_uuid=suite.uuid)
            while (task := await client.get_task(task.uuid)).finished_at is None:
                await asyncio.sleep(0.01)
            if task.started_at is None:
                raise RuntimeError(f"task {task.uuid} ended in {task.state} without a start")
            starts.append(task.started_at.timestamp() - submitted_at)
        await client.close_suite(suite.uuid)
    return starts, reads
