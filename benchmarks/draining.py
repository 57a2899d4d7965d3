"""One large suite, stored while no manager may take it and then run to its end, with a look at everything meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from benchmarks.harness import Mitosis, suite_spec
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask

Way = Literal["array", "stream"]

TIMEOUT_SECONDS = 3600
PARTS = 10
_TAG = "later"
_WARM_UP_TASKS = 100
_HANDLER = "benchmarks.tasks:noop"
_TABLES = """
SELECT relname, pg_total_relation_size(relid), n_dead_tup
FROM pg_stat_user_tables
WHERE pg_total_relation_size(relid) > 1000000 OR n_dead_tup > 1000
ORDER BY 2 DESC
"""


@dataclass(frozen=True, slots=True)
class TableState:
    """One table at one moment: bytes with its indexes, and dead rows as the statistics count them."""

    name: str
    size: int
    dead_rows: int


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of one suite."""

    tasks: int
    submit_seconds: float
    decile_rates: list[float]
    # The most that one process of each part grew by from before the submission, in bytes.
    growth: dict[str, int]
    # After the submission, in the middle and at the end.
    tables: list[list[TableState]]

    @property
    def flatness(self) -> float:
        """The rate of the last decile by that of the second, the first that is past the start."""
        return self.decile_rates[-1] / self.decile_rates[1]


def drain(mitosis: Mitosis, tasks: int, way: Way, *, held_snapshot: bool = False) -> Drained:
    """Submit and run so many no-op tasks.

    Args:
        mitosis: Where; nothing else may run there.
        tasks: How many.
        way: How they are submitted.
        held_snapshot: Keeps a REPEATABLE READ transaction open in the database all along.
    """
    return asyncio.run(_drain(mitosis, tasks, way, held_snapshot))


def decile_rates(samples: Sequence[tuple[float, int]], total: int) -> list[float]:
    """Tasks per second in each tenth of the tasks.

    Args:
        samples: Seconds and completed tasks, both rising, from (0, 0) to the total.
        total: All tasks.
    """
    crossings = [_crossing(samples, total * part / PARTS) for part in range(PARTS + 1)]
    return [total / PARTS / max(after - before, 1e-9) for before, after in itertools.pairwise(crossings)]


def _crossing(samples: Sequence[tuple[float, int]], count: float) -> float:
    """The moment at which so many were completed, on straight lines between the samples."""
    for (before, fewer), (after, more) in itertools.pairwise(samples):
        if more >= count:
            return before + (after - before) * (count - fewer) / max(more - fewer, 1)
    return samples[-1][0]


async def _drain(mitosis: Mitosis, tasks: int, way: Way, held_snapshot: bool) -> Drained:
    async with (
        AsyncClient(mitosis.address, token=mitosis.token, timeout=TIMEOUT_SECONDS) as client,
        await psycopg.AsyncConnection.connect(mitosis.database_url, autocommit=True) as connection,
        _snapshot(mitosis, held_snapshot),
    ):
        await _warm_up(client)
        growth = _Growth(mitosis)
        suite = await client.create_suite({**suite_spec(way, TIMEOUT_SECONDS), "tags": [_TAG]})
        began = time.perf_counter()
        if way == "array":
            await client.submit_array(suite_uuid=suite.uuid, task={"handler": _HANDLER}, payloads=range(tasks))
        else:
            specs = (NewTask(handler=_HANDLER, payload=index) for index in range(tasks))
            await client.submit_stream(specs, suite_uuid=suite.uuid)
        submit_seconds = time.perf_counter() - began
        tables = [await _tables(connection)]
        growth.look()
        # Without its tag the manager may take it.
        await client.update_suite(suite.uuid, {"tags": []})
        await client.refresh_suite_managers(suite.uuid)
        began = time.perf_counter()
        samples = [(0.0, 0)]
        looks = iter(range(1, PARTS))
        next_look = next(looks)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while samples[-1][1] < tasks:
                await asyncio.sleep(0.1)
                completed = (await client.get_suite(suite.uuid)).completed_tasks
                samples.append((time.perf_counter() - began, completed))
                while completed >= tasks * next_look / PARTS and next_look < PARTS:
                    growth.look()
                    if next_look == PARTS // 2:
                        tables.append(await _tables(connection))
                    next_look = next(looks, PARTS)
        growth.look()
        tables.append(await _tables(connection))
        await client.close_suite(suite.uuid)
    return Drained(tasks, submit_seconds, decile_rates(samples, tasks), growth.most(), tables)


async def _warm_up(client: AsyncClient) -> None:
    suite = await client.create_suite(suite_spec("warm-up"))
    await client.submit_many([NewTask(handler=_HANDLER)] * _WARM_UP_TASKS, suite_uuid=suite.uuid)
    await client.close_suite(suite.uuid)
    await client.wait_for_suite(suite.uuid, timeout=60)


@contextlib.asynccontextmanager
async def _snapshot(mitosis: Mitosis, held: bool) -> AsyncIterator[None]:
    if not held:
        yield
        return
    async with await psycopg.AsyncConnection.connect(mitosis.database_url) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.execute("SELECT FROM task_suites LIMIT 1")
        yield
        # The server would have ended a transaction that it gave up on.
        await connection.execute("SELECT FROM task_suites LIMIT 1")


async def _tables(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> list[TableState]:
    cursor = await connection.execute(_TABLES)
    return [TableState(str(name), int(str(size)), int(str(dead))) for name, size, dead in await cursor.fetchall()]


class _Growth:
    """Follows the memory of every process from its first look on."""

    def __init__(self, mitosis: Mitosis) -> None:
        self._mitosis = mitosis
        self._first: dict[int, int] = {}
        self._most: dict[str, int] = {}
        self.look()

    def look(self) -> None:
        for part, sizes in self._mitosis.memory().items():
            for pid, size in sizes.items():
                grown = size - self._first.setdefault(pid, size)
                self._most[part] = max(self._most.get(part, 0), grown)

    def most(self) -> dict[str, int]:
        return dict(self._most)
