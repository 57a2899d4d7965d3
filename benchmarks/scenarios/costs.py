"""What a task costs, part by part: processor microseconds of each process for no-op handlers submitted in bulk.

Processor time, unlike the rate, hardly changes with what else runs here, so this shows where the next gain is.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, Report, Row, mitosis_up, suite_spec
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

NAME = "costs"
TASKS = 30_000
WARM_UP = 3_000
WORKERS = 2


def run() -> Report:
    """Measure one suite whose workers are warm."""
    with mitosis_up(workers=WORKERS) as mitosis:
        seconds = asyncio.run(_measure(mitosis))
    micros = {part: used * 1e6 / TASKS for part, used in seconds.items()}
    total = sum(micros.values())
    rows = [
        Row(part, f"{used:.0f} µs a task", "", f"{used / total:.2f} of all", "")
        for part, used in sorted(micros.items(), key=lambda item: -item[1])
    ]
    return Report(NAME, [*rows, Row("altogether", f"{total:.0f} µs a task", "", "", "")], {"microseconds": micros})


async def _measure(mitosis: Mitosis) -> dict[str, float]:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME))

        async def complete(count: int, total: int) -> None:
            specs = (NewTask(handler="benchmarks.tasks:noop", payload=index) for index in range(count))
            await client.submit_many(specs, suite_uuid=suite.uuid)
            while (await client.get_suite(suite.uuid)).completed_tasks < total:
                await asyncio.sleep(0.1)

        await complete(WARM_UP, WARM_UP)
        before, client_before = mitosis.cpu_seconds(), time.process_time()
        await complete(TASKS, WARM_UP + TASKS)
        client_after, after = time.process_time(), mitosis.cpu_seconds()
        await client.close_suite(suite.uuid)
    used = {part: seconds - before.get(part, 0.0) for part, seconds in after.items() if part != "supervisor"}
    return used | {"client": client_after - client_before}
