"""procrastinate: jobs in PostgreSQL, deferred in batches, for two worker processes of ten coroutines each."""

from __future__ import annotations

import asyncio
import multiprocessing

import procrastinate
import psycopg

from benchmarks.peers.programs.common import order, timed_async, until

CONCURRENCY = 10
BATCH = 1_000
_DONE = "SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"


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


def _app(database: str) -> tuple[procrastinate.App, procrastinate.tasks.Task]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database))

    async def noop(number: int) -> None:
        """Do nothing."""

    return app, app.task(noop, name="noop")


async def _install(database: str) -> None:
    app, _ = _app(database)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def _measure(database: str, tasks: int) -> None:
    app, task = _app(database)
    async with app.open_async(), await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

        async def run(count: int) -> None:
            for first in range(0, count, BATCH):
                numbers = range(first, min(first + BATCH, count))
                await task.batch_defer_async(*({"number": number} for number in numbers))
            await until(is_done)

        async def is_done() -> bool:
            row = await (await connection.execute(_DONE)).fetchone()
            return bool(row and row[0])

        await timed_async(run, tasks)


def _work(database: str) -> None:
    asyncio.run(_run_worker(database))


async def _run_worker(database: str) -> None:
    app, _ = _app(database)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    main()
