"""The pool: one round trip for one statement, and recovery when PostgreSQL comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from mitosis_coordinator.domain.errors import InvalidField, StorageUnavailable
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from mitosis_coordinator.storage.facts import Fact, SuiteCreated
from mitosis_coordinator.storage.pool import Database
from mitosis_coordinator.storage.rows import execute, fetch_value
from tests.support.postgres import postgres_directory
from tests.support.waiting import until

BACKENDS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mitosis-coordinator' "


@pytest.fixture
async def mortal() -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own, to be killed; it comes back by itself."""
    with postgres_directory() as directory:
        server = EmbeddedPostgres(directory)
        await server.start()
        yield server
        await server.stop()


async def test_a_connection_is_set_up_for_short_work(database: Database) -> None:
    async with database.connection() as connection:
        shown = await fetch_value(
            connection,
            "SELECT string_agg(current_setting(name), ' ') FROM unnest(ARRAY['statement_timeout', 'lock_timeout', "
            "'default_transaction_isolation', 'TimeZone', 'application_name']) AS name",
        )
    assert shown == "30s 10s read committed UTC mitosis-coordinator"


async def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    insert = "INSERT INTO groups (id, name) VALUES (gen_random_uuid(), %(name)s)"
    async with database.transaction() as connection:
        await execute(connection, insert, {"name": "kept"})
    with pytest.raises(InvalidField):
        async with database.transaction() as connection:
            await execute(connection, insert, {"name": "lost"})
            raise InvalidField.one("name", "lost", "kept")
    async with database.connection() as connection:
        assert await fetch_value(connection, "SELECT string_agg(name, ',') FROM groups") == "kept"


async def test_what_transactions_did_is_told_once_they_are_committed(database: Database) -> None:
    told: list[Fact] = []
    database.on_facts(lambda committed, seconds: told.extend(committed))
    with pytest.raises(InvalidField):
        async with database.transaction() as connection:
            connection.facts.append(SuiteCreated("rolled back"))
            raise InvalidField.one("name", "lost", "kept")
    async with database.transaction() as connection:
        connection.facts.append(SuiteCreated("committed"))
        assert told == []
    assert told == [SuiteCreated("committed")]
    # The pool lends the same connection again, without what was noted on it before.
    await database.ping()
    assert told == [SuiteCreated("committed")]


async def test_broken_connections_are_never_seen_by_the_next_caller(database: Database) -> None:
    # Three connections lie idle, then the server ends them all.
    async with database.connection(), database.connection(), database.connection():
        pass
    async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as other:
        await other.execute(BACKENDS + "AND pid <> pg_backend_pid()")
    await asyncio.sleep(0.05)
    started = time.monotonic()
    for _ in range(5):
        await database.ping()
    assert time.monotonic() - started < 1


async def test_work_that_loses_its_connection_is_told_so(database: Database) -> None:
    with pytest.raises(StorageUnavailable):
        async with database.transaction() as connection:
            pid = connection.info.backend_pid
            async with await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as other:
                await other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await connection.execute("SELECT 1")
    await database.ping()


async def test_a_lock_that_is_not_given_up_is_told_as_unavailable(database_url: str) -> None:
    async with Database(database_url, max_size=3, lock_timeout_seconds=0.1) as database:
        async with database.transaction() as holder:
            await holder.execute("LOCK TABLE groups")
            with pytest.raises(StorageUnavailable):
                async with database.transaction() as connection:
                    await connection.execute("LOCK TABLE groups")
        await database.ping()


async def test_mistakes_in_statements_stay_what_they_are(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.connection() as connection:
            await connection.execute("SELECT * FROM no_such_table")


async def test_an_exhausted_pool_is_told_after_the_timeout(database_url: str) -> None:
    async with Database(database_url, max_size=1, checkout_timeout_seconds=0.2) as database:
        async with database.connection():
            with pytest.raises(StorageUnavailable):
                await database.ping()
        await database.ping()


async def test_a_cancellation_is_heard_that_comes_together_with_a_connection(database_url: str) -> None:
    async with Database(database_url, max_size=1) as database:
        async with database.connection():
            waiting = asyncio.create_task(database.ping())
            await until(lambda: database._pool.get_stats().get("requests_waiting"), seconds=5, what="the second caller")
        # The connection is the task's by now, and the task has not run since.
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=5)
        assert waiting.cancelled()
        await database.ping()


async def test_it_refuses_to_open_without_a_server() -> None:
    database = Database("postgresql://u@/d?host=/nonexistent", checkout_timeout_seconds=0.5)
    with pytest.raises(StorageUnavailable):
        await database.open()


async def test_it_outlives_the_server(mortal: EmbeddedPostgres) -> None:
    async with Database(mortal.url, max_size=5) as database:
        pid = mortal.postmaster_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: mortal.postmaster_pid not in (pid, None), seconds=30, what="the new server")
        deadline = time.monotonic() + 30
        while True:
            try:
                await database.ping()
                break
            except StorageUnavailable:
                assert time.monotonic() < deadline
        # From here on no call fails any more.
        for _ in range(20):
            await asyncio.gather(*(database.ping() for _ in range(10)))


async def test_callers_learn_soon_that_the_server_is_away(mortal: EmbeddedPostgres) -> None:
    async with Database(mortal.url, max_size=5) as database:
        await mortal.stop()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(StorageUnavailable):
                await database.ping()
            assert time.monotonic() - started < 5
        await mortal.start()
        async with asyncio.timeout(10):
            while True:
                try:
                    await database.ping()
                    break
                except StorageUnavailable:
                    continue
