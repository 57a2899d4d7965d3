"""What a system costs that has nothing to do: one coordinator, one manager, four workers with a suite at hand.

Beside it stands what PostgreSQL costs, which idles with them.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness import Mitosis, Report, Row, mitosis_up, suite_spec
from mitosis_client import AsyncClient

NAME = "idle"
WORKERS = 4
SECONDS = 30
SETTLE_SECONDS = 5


def run() -> Report:
    """Measure the processor time of every process over a while."""
    with mitosis_up(workers=WORKERS) as mitosis:
        asyncio.run(_hold_a_suite(mitosis))
        time.sleep(SETTLE_SECONDS)
        before = mitosis.cpu_seconds()
        time.sleep(SECONDS)
        after = mitosis.cpu_seconds()
    used = {part: 100 * (after[part] - before.get(part, 0.0)) / SECONDS for part in after}
    ours = sum(share for part, share in used.items() if part != "postgres")
    by_part = ", ".join(f"{part} {share:.2f} %" for part, share in sorted(used.items()))
    postgres = used.get("postgres", 0.0)
    return Report(
        NAME,
        [
            Row(
                "coordinator, manager, 4 workers and `up`",
                f"{ours:.2f} % of a core",
                f"PostgreSQL: {postgres:.2f} %",
                f"{ours / postgres:.1f}" if postgres else "",
                "under 2 % of a core",
            ),
            Row("by part", by_part, "", "", ""),
        ],
        {"percent_of_a_core": used},
    )


async def _hold_a_suite(mitosis: Mitosis) -> None:
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        suite = await client.create_suite(suite_spec(NAME, auto_close_timeout_seconds=3600))
        await client.submit_many([{"handler": "benchmarks.tasks:noop"}] * 20, suite_uuid=suite.uuid)
        while (await client.get_suite(suite.uuid)).pending_tasks:
            await asyncio.sleep(0.05)
