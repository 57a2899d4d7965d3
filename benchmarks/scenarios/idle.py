"""What a system costs that has nothing to do: one coordinator, one manager, four workers with a suite at hand.

Beside it stands what PostgreSQL costs, which idles with them.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, mitosis_up, suite_spec
from benchmarks.results import Report, Row, below
from mitosis_client import AsyncClient

NAME = "idle"
WORKERS = 4
SECONDS = 30
SETTLE_SECONDS = 5
LIMIT_PERCENT = 2


def run(scale: float) -> Report:
    """Measure the processor time of every process over a while."""
    span = SECONDS * min(1.0, scale)
    with mitosis_up(workers=WORKERS) as mitosis:
        asyncio.run(_hold_a_suite(mitosis))
        time.sleep(SETTLE_SECONDS)
        before = mitosis.cpu_seconds()
        time.sleep(span)
        after = mitosis.cpu_seconds()
    used = {part: 100 * (after[part] - before.get(part, 0.0)) / span for part in after}
    ours = sum(share for part, share in used.items() if part != "postgres")
    by_part = ", ".join(f"{part} {share:.2f} %" for part, share in sorted(used.items()))
    postgres = used.get("postgres", 0.0)
    return Report(
        NAME,
        [
            below(
                "coordinator, manager, 4 workers and `up`",
                ours,
                "% of a core",
                LIMIT_PERCENT,
                beside=f"PostgreSQL: {postgres:.2f} %",
                ratio=f"{ours / postgres:.1f}" if postgres else "",
            ),
            Row("by part", by_part),
        ],
        {"percent_of_a_core": used},
    )


async def _hold_a_suite(mitosis: Mitosis) -> None:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME, auto_close_timeout_seconds=3600))
        await client.submit_many([{"handler": "benchmarks.tasks:noop"}] * 20, suite_uuid=suite.uuid)
        while (await client.get_suite(suite.uuid)).pending_tasks:
            await asyncio.sleep(0.05)
