"""What a task costs, part by part: processor microseconds of each process for no-op handlers submitted in bulk.

Processor time, unlike the rate, hardly changes with what else runs here, so this shows where the next gain is.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, mitosis_up, suite_spec
from benchmarks.results import Bars, Report, Row, scaled
from benchmarks.warm import settled
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

NAME = "costs"
TASKS = 30_000
WARM_UP = 3_000
WORKERS = 2


def run(scale: float) -> Report:
    """Measure one suite whose workers are warm."""
    tasks = scaled(TASKS, scale, 100)
    with mitosis_up(workers=WORKERS) as mitosis:
        seconds = asyncio.run(_measure(mitosis, tasks))
    micros = {part: used * 1e6 / tasks for part, used in seconds.items()}
    total = sum(micros.values())
    rows = [
        Row(part, f"{used:.0f} µs a task", ratio=f"{used / total:.2f} of all")
        for part, used in sorted(micros.items(), key=lambda item: -item[1])
    ]
    rows.append(Row("altogether", f"{total:.0f} µs a task"))
    return Report(NAME, rows, {"microseconds": micros}, [Bars("Processor time of a task", "µs", micros)])


async def _measure(mitosis: Mitosis, tasks: int) -> dict[str, float]:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME))

        async def complete(count: int, total: int) -> None:
            specs = (NewTask(handler="benchmarks.tasks:noop", payload=index) for index in range(count))
            await client.submit_many(specs, suite_uuid=suite.uuid)
            await settled(client, suite.uuid, total)

        await complete(WARM_UP, WARM_UP)
        before, client_before = mitosis.cpu_seconds(), time.process_time()
        await complete(tasks, WARM_UP + tasks)
        client_after, after = time.process_time(), mitosis.cpu_seconds()
        await client.close_suite(suite.uuid)
    used = {part: seconds - before.get(part, 0.0) for part, seconds in after.items() if part != "supervisor"}
    return used | {"client": client_after - client_before}
