"""`make soak`: a long life in a short time, after which every process must be where it began.

Thousands of suites are opened, filled, closed, reopened and cancelled, connections break now and then, and timeouts are
short. What the processes take is measured at rest: after a while, in the middle, and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from mitosis_client import AsyncClient
from mitosis_client.errors import WrongState
from mitosis_client.specs import NewTask, SuiteSpec
from mitosis_common import log
from tests.chaos import evidence
from tests.chaos.deployment import Deployment, Size, Timing, deployed
from tests.chaos.footprint import MEBIBYTE, Footprint, grown, measure
from tests.chaos.handlers import COMPLETES, HANDLER, Work
from tests.e2e.support import sandbox
from tests.support.invariants import contradictions

# Caches, pools and imports have what they need by then.
_WARM_SHARE = 0.2
_AUTHORS = 6
_REST_SECONDS = 120.0
# Between two broken connections.
_BREAK_SECONDS = 5.0
_BROKEN_SECONDS = 0.2
_WAIT_SECONDS = 120.0
_SIZE = Size(coordinators=2, managers=2, threads=1, workers=1, clients=1)
_TIMING = Timing(heartbeat_interval_seconds=1, heartbeat_timeout_seconds=20)


@dataclass(frozen=True, slots=True)
class Life:
    """What was done, what was measured, and what is wrong."""

    done: Mapping[str, int]
    measured: Sequence[dict[str, Footprint]]
    wrong: Sequence[str]


class _Authors:
    """Lives of suites, one after the other, several at once."""

    def __init__(self, client: AsyncClient, seed: int, executed: Path) -> None:
        self.done: Counter[str] = Counter()
        self._client = client
        self._random = random.Random(seed)
        self._log = executed

    async def live(self, seconds: float) -> None:
        """Returns after some seconds, when the suites under way have ended."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(_AUTHORS):
                group.create_task(self._live_until(until))

    async def _live_until(self, until: float) -> None:
        lives = (self._empty, self._worked, self._reopened, self._cancelled, self._independent)
        while time.monotonic() < until:
            [life] = self._random.choices(lives, (10, 2, 1, 6, 1))
            await life()
            self.done[life.__name__.strip("_")] += 1

    async def _empty(self) -> None:
        suite = await self._client.create_suite(self._spec())
        await self._client.close_suite(suite.uuid)

    async def _worked(self) -> str:
        suite = await self._client.create_suite(self._spec())
        await self._submit(suite.uuid)
        await self._client.close_suite(suite.uuid)
        await self._client.wait_for_suite(suite.uuid, timeout=_WAIT_SECONDS)
        return suite.uuid

    async def _reopened(self) -> None:
        uuid = await self._worked()
        await self._submit(uuid)
        await self._client.wait_for_suite(uuid, timeout=_WAIT_SECONDS)

    async def _cancelled(self) -> None:
        suite = await self._client.create_suite(self._spec())
        await self._submit(suite.uuid)
        # An answer that was lost with its connection has done it.
        with contextlib.suppress(WrongState):
            await self._client.cancel_suite(suite.uuid, cancel_running_tasks=self._random.random() < 0.5)

    async def _independent(self) -> None:
        await self._client.submit_many(self._tasks(), group_name="default")

    async def _submit(self, suite: str) -> None:
        await self._client.submit_many(self._tasks(), suite_uuid=suite)

    def _spec(self) -> SuiteSpec:
        spec: SuiteSpec = {"name": "soak", "group_name": "default", "auto_close_timeout_seconds": 1}
        if self._random.random() < 0.3:
            spec["env_preparation"] = {"command": "true"}
        return spec

    def _tasks(self) -> list[NewTask]:
        payload = Work(number=0, log=str(self._log), seconds=0.0, fate=COMPLETES)
        return [{"handler": HANDLER, "payload": payload}] * self._random.randint(1, 20)


async def live(seconds: float, seed: int) -> Life:
    """Runs a life of some seconds, and ends everything."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(sandbox())
        log.configure(output=box.root / "chaos.log")
        async with deployed(box, _SIZE, _TIMING) as deployment, deployment.client(0) as client:
            authors = _Authors(client, seed, box.root / "executions")
            breaking = asyncio.create_task(_break_connections(deployment, seed), name="break-connections")
            measured, wrong = [], []
            try:
                for share in (_WARM_SHARE, (1 - _WARM_SHARE) / 2, (1 - _WARM_SHARE) / 2):
                    await authors.live(seconds * share)
                    wrong += await _rest(deployment)
                    measured.append(await asyncio.to_thread(measure, deployment))
            finally:
                breaking.cancel()
                await asyncio.gather(breaking, return_exceptions=True)
            wrong += grown(measured[0], measured[-1])
            wrong += await asyncio.to_thread(contradictions, deployment.postgres.url)
            codes = await deployment.stop()
            wrong += [f"{name} ended with {code}" for name, code in codes.items() if code != 0]
            wrong += [f"left behind: {path}" for path in box.shared_memory()]
            return Life(authors.done, measured, wrong)


async def _break_connections(deployment: Deployment, seed: int) -> None:
    rng = random.Random(seed)
    while True:
        await asyncio.sleep(_BREAK_SECONDS)
        link = deployment.links[rng.choice(deployment.agents)]
        await link.cut()
        await asyncio.sleep(_BROKEN_SECONDS)
        await link.heal()


async def _rest(deployment: Deployment) -> list[str]:
    """Waits for rest, and returns what keeps it from that."""
    left = ["not looked at"]
    until = time.monotonic() + _REST_SECONDS
    while left and time.monotonic() < until:
        await asyncio.sleep(1)
        with contextlib.suppress(psycopg.OperationalError):
            left = await asyncio.to_thread(evidence.unsettled, deployment.postgres.url)
    return left


def show(life: Life) -> None:
    """Prints what was done, and the measurements side by side."""
    console = Console(width=120)
    console.print("suites and batches: " + ", ".join(f"{count} {what}" for what, count in sorted(life.done.items())))
    table = Table("process", "", "start", "middle", "end", title="soak")
    for name in life.measured[0]:
        rows = [footprints[name] for footprints in life.measured]
        lines = (
            ("MiB", [row.memory_bytes // MEBIBYTE for row in rows]),
            ("descriptors", [row.descriptors for row in rows]),
            ("threads", [row.threads for row in rows]),
            ("files in shared memory", [row.shared_files for row in rows]),
            ("database connections", [row.connections for row in rows]),
        )
        shared = rows[0].memory_bytes == 0
        for what, values in lines[3:] if shared else lines[:3]:
            table.add_row(name, what, *map(str, values))
    console.print(table)
    for problem in life.wrong:
        console.print(problem, markup=False, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when everything ended where it began."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    life = asyncio.run(live(given.minutes * 60, seed))
    show(life)
    return 1 if life.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
