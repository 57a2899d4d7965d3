"""Many small suites for several managers: what taking up and letting go of a suite costs."""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, mitosis_up, suite_spec
from benchmarks.results import Report, Row, percentile, scaled
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

NAME = "suites"
SUITES = 1_000
TASKS_EACH = 100
MANAGERS = 8
WORKERS_EACH = 1
TIMEOUT_SECONDS = 3600
_IN_FLIGHT = 16


def run(scale: float) -> Report:
    """Measure from the first suite's creation to the last one's end."""
    suites = scaled(SUITES, scale, MANAGERS)
    with mitosis_up(workers=WORKERS_EACH, managers=MANAGERS) as mitosis:
        before = mitosis.cpu_seconds()
        submitted, ends = asyncio.run(_measure(mitosis, suites))
        after = mitosis.cpu_seconds()
    total = ends[-1]
    cpu = {part: after[part] - before.get(part, 0.0) for part in after}
    rows = [
        Row(f"{suites:,} suites of {TASKS_EACH} tasks, {MANAGERS} managers", f"{suites / total:,.1f} suites/s"),
        Row("their tasks", f"{suites * TASKS_EACH / total:,.0f} tasks/s"),
        Row("their creation and submission", f"{suites / submitted:,.1f} suites/s"),
        Row("end of a suite, median", f"{percentile(ends, 50):,.1f} s", f"of the last: {total:,.1f} s"),
        Row("coordinator", f"{1000 * cpu['coordinator'] / suites:.1f} ms a suite", "processor time"),
    ]
    return Report(NAME, rows, {"submitted_seconds": submitted, "ended_after_seconds": ends, "cpu_seconds": cpu})


async def _measure(mitosis: Mitosis, suites: int) -> tuple[float, list[float]]:
    slots = asyncio.Semaphore(_IN_FLIGHT)
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:

        async def submit(number: int) -> str:
            async with slots:
                suite = await client.create_suite(suite_spec(f"{NAME}-{number}"))
                tasks = [NewTask(handler="benchmarks.tasks:noop")] * TASKS_EACH
                await client.submit_many(tasks, suite_uuid=suite.uuid)
                await client.close_suite(suite.uuid)
                return suite.uuid

        began = time.perf_counter()
        uuids = await asyncio.gather(*(submit(number) for number in range(suites)))
        submitted = time.perf_counter() - began
        ends = []
        # In the order of their creation, so few of them wait at a time and none is asked about for long.
        for uuid in uuids:
            suite = await client.wait_for_suite(uuid, timeout=TIMEOUT_SECONDS)
            if suite.completed_tasks != TASKS_EACH:
                raise RuntimeError(f"suite {uuid}: {suite.completed_tasks} of {TASKS_EACH} tasks completed")
            ends.append(time.perf_counter() - began)
    return submitted, ends
