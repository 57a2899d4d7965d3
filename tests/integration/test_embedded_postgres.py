"""The embedded PostgreSQL: it starts, comes back when killed, and never outlives its coordinator."""

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from mitosis_coordinator.storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.support.postgres import postgres_directory

COORDINATOR = """
import asyncio, sys
from pathlib import Path
from mitosis_coordinator.storage.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print("postmaster", server.postmaster_pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def processes_in(data_dir: Path) -> list[int]:
    """List the running processes that work in the cluster or name it in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            works_in = str((entry / "cwd").readlink()).startswith(str(data_dir))
            zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if works_in and not zombie:
            found.append(int(entry.name))
    return found


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


async def query(server: EmbeddedPostgres, sql: str) -> object:
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        row = await (await connection.execute(sql)).fetchone()
        assert row is not None
        return row[0]


async def execute(server: EmbeddedPostgres, sql: str) -> None:
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await connection.execute(sql)


async def start_coordinator(data_dir: Path) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COORDINATOR, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"postmaster "):
            return process, int(line.split()[1])
    raise AssertionError("the coordinator ended before its server was there")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with postgres_directory() as directory:
        yield directory


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "pg")
    await server.start()
    yield server
    await server.stop()
    assert processes_in(tmp_path / "pg") == []


async def test_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    await server.start()
    await execute(server, "CREATE TABLE t AS SELECT 42 AS answer")
    await server.stop()
    assert server.postmaster_pid is None
    assert processes_in(tmp_path / "pg") == []

    again = EmbeddedPostgres(tmp_path / "pg")
    await again.start()
    try:
        assert await query(again, "SELECT answer FROM t") == 42
    finally:
        await again.stop()


async def test_nobody_else_can_reach_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    assert await query(server, "SHOW listen_addresses") == ""
    assert await query(server, "SHOW fsync") == "on"
    folder = Path(str(await query(server, "SHOW unix_socket_directories")).strip('"'))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "pg" / "cluster").stat().st_mode) == 0o700


async def test_comes_back_after_the_postmaster_is_killed(server: EmbeddedPostgres) -> None:
    await execute(server, "CREATE TABLE t AS SELECT 42 AS answer")
    url, killed = server.url, server.postmaster_pid
    assert killed is not None

    for _ in range(2):
        before = server.postmaster_pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda before=before: server.postmaster_pid not in (None, before))  # type: ignore[misc]

    assert server.url == url
    deadline = time.monotonic() + 30
    while True:
        try:
            assert await query(server, "SELECT answer FROM t") == 42
            break
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_stops_in_time_while_clients_hold_on(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    await server.start()
    connection = await psycopg.AsyncConnection.connect(server.url)
    busy = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
    await asyncio.sleep(0.2)

    started = time.monotonic()
    await server.stop()

    assert time.monotonic() - started < 10
    with pytest.raises(psycopg.OperationalError):
        await busy
    await connection.close()
    assert processes_in(tmp_path / "pg") == []


async def test_a_stop_while_it_is_being_restarted_leaves_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    await server.start()
    pid = server.postmaster_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.postmaster_pid != pid)
    await server.stop()
    assert processes_in(tmp_path / "pg") == []


async def test_ends_with_a_coordinator_that_is_killed_and_the_next_one_takes_over(tmp_path: Path) -> None:
    data_dir = tmp_path / "pg"
    coordinator, postmaster = await start_coordinator(data_dir)
    assert postmaster in processes_in(data_dir)

    coordinator.kill()
    await coordinator.wait()
    server = EmbeddedPostgres(data_dir)
    await server.start()
    try:
        assert server.postmaster_pid != postmaster
        assert await query(server, "SELECT 1") == 1
    finally:
        await server.stop()
    assert processes_in(data_dir) == []


async def test_no_server_outlives_a_coordinator_that_is_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "pg"
    coordinator, _ = await start_coordinator(data_dir)

    coordinator.kill()
    await coordinator.wait()

    await until(lambda: not processes_in(data_dir), 15)


async def test_two_coordinators_do_not_share_one_directory(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=rf"in use by another coordinator \(pid {os.getpid()}\)"):
        await EmbeddedPostgres(tmp_path / "pg").start()
    assert await query(server, "SELECT 1") == 1


async def test_a_directory_too_deep_for_a_socket_gets_a_short_one_that_is_removed(tmp_path: Path) -> None:
    data_dir = tmp_path / ("deep" * 20) / "pg"
    server = EmbeddedPostgres(data_dir)
    await server.start()
    folder = Path(str(await query(server, "SHOW unix_socket_directories")).strip('"'))
    assert not folder.is_relative_to(tmp_path)
    await server.stop()
    assert not folder.exists()


async def test_a_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    await server.start()
    await server.stop()
    (tmp_path / "pg" / "cluster" / "PG_VERSION").write_text("12\n")

    with pytest.raises(EmbeddedPostgresError, match="created by PostgreSQL 12"):
        await server.start()
    assert processes_in(tmp_path / "pg") == []


async def test_a_bad_setting_is_reported_in_the_servers_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", {"max_connections": "many"})
    with pytest.raises(EmbeddedPostgresError, match='parameter "max_connections"'):
        await server.start()
    assert processes_in(tmp_path / "pg") == []
