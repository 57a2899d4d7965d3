"""pgqueuer: jobs in PostgreSQL, enqueued by lists, for two processes that run them in their event loops."""

from __future__ import annotations

import asyncio
import multiprocessing

import asyncpg
from pgqueuer import AsyncpgDriver, PgQueuer, Queries

from benchmarks.peers.programs.common import order, timed_async, until

BATCH = 500


def main() -> None:
    """Measure."""
    given = order()
    asyncio.run(_install(given.database))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(given.database,), daemon=True) for _ in range(given.workers)]
    for worker in workers:
        worker.start()
    try:
        asyncio.run(_measure(given.database, given.tasks))
    finally:
        for worker in workers:
            worker.kill()


async def _install(database: str) -> None:
    connection = await asyncpg.connect(database)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def _measure(database: str, tasks: int) -> None:
    connection = await asyncpg.connect(database)
    queries = Queries(AsyncpgDriver(connection))

    async def run(count: int) -> None:
        for first in range(0, count, 10 * BATCH):
            size = min(10 * BATCH, count - first)
            await queries.enqueue(["noop"] * size, [b""] * size, [0] * size)
        await until(is_empty)

    async def is_empty() -> bool:
        return not await queries.queue_size()

    await timed_async(run, tasks)
    await connection.close()


def _work(database: str) -> None:
    asyncio.run(_run_worker(database))


async def _run_worker(database: str) -> None:
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(database)))

    async def noop(_job: object) -> None:
        """Do nothing."""

    queuer.entrypoint("noop")(noop)
    await queuer.run(batch_size=BATCH)


if __name__ == "__main__":
    main()
