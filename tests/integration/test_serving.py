"""The coordinator as a whole: what it answers over HTTP, how it comes up and goes down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import psycopg
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from psycopg.conninfo import make_conninfo

from mitosis.v1 import auth_service_pb2
from mitosis_common.config import ConfigError
from mitosis_coordinator.app import VERSION, serving
from mitosis_coordinator.rpc.server import RpcServer
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from tests.support.coordinator import RunningCoordinator, coordinator_config, quick_passwords, running
from tests.support.postgres import postgres_directory
from tests.support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert isinstance(response, health_pb2.HealthCheckResponse)
    return response.status


async def test_http_tells_health_and_where_grpc_is(coordinator: RunningCoordinator) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{coordinator.http_url}/health") as response:
            assert response.status == 200
            assert await response.json() == {"status": "ok", "database": "ok"}
        async with session.get(f"{coordinator.http_url}/info") as response:
            expected = {"grpc": coordinator.grpc_address, "grpc_tls": False, "version": VERSION}
            assert await response.json() == expected


async def test_info_tells_the_advertised_address(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, server={"advertised_grpc": "mitosis.example.com:443"})
    async with (
        running(config) as coordinator,
        aiohttp.ClientSession() as session,
        session.get(f"{coordinator.http_url}/info") as response,
    ):
        assert (await response.json())["grpc"] == "mitosis.example.com:443"


async def test_health_tells_when_the_database_is_away(coordinator: RunningCoordinator) -> None:
    await coordinator.inner.components.database.close()
    async with aiohttp.ClientSession() as session, session.get(f"{coordinator.http_url}/health") as response:
        assert response.status == 503
        assert await response.json() == {"status": "unavailable", "database": "unavailable"}


async def test_metrics_count_calls(coordinator: RunningCoordinator) -> None:
    await coordinator.auth.GetCurrentUser(auth_service_pb2.GetCurrentUserRequest(), metadata=coordinator.as_admin)
    async with aiohttp.ClientSession() as session, session.get(coordinator.metrics_url) as response:
        text = await response.text()
    counted = 'mitosis_grpc_request_duration_seconds_count{code="OK",method="/mitosis.v1.AuthService/GetCurrentUser"}'
    assert f"{counted} 1.0" in text
    assert "process_resident_memory_bytes" in text


async def test_health_and_reflection_need_no_token(coordinator: RunningCoordinator) -> None:
    for service in ("", "mitosis.v1.AuthService", "mitosis.v1.AdminService"):
        assert await health_of(coordinator.channel, service) == SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(coordinator.channel)  # type: ignore[arg-type]
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    (listed,) = [response async for response in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {"mitosis.v1.AuthService", "mitosis.v1.AdminService", "grpc.health.v1.Health"} <= names


async def test_a_taken_port_is_told_by_its_key(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for section, key in (("server", "port"), ("server", "grpc_port"), ("metrics", "port")):
            config = coordinator_config(database_url, tmp_path, **{section: {key: port}})
            with pytest.raises(ConfigError, match=rf"{section}\.{key}: cannot listen on 127\.0\.0\.1:{port}"):
                async with serving(config, quick_passwords()):
                    pass
    assert not (tmp_path / "ready.json").exists()


async def test_it_says_not_serving_and_goes_on_serving() -> None:
    server = RpcServer([], [], host="127.0.0.1", port=0, max_message_bytes=1024 * 1024)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert await health_of(channel) == SERVING
        await server.announce_shutdown()
        assert await health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(1)


async def test_the_way_down_runs_backwards(database_url: str, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(coordinator_config(database_url, tmp_path), quick_passwords()):
            pass
    steps = [entry["step"] for entry in logs if entry["event"] == "drain_step_done"]
    assert steps[:2] == ["health", "processes-told"]
    assert steps[-7:] == ["grpc", "http", "metrics", "background", "hints", "processes-ended", "pool"]
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error")]


async def test_a_database_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    with postgres_directory() as directory:
        postgres = EmbeddedPostgres(directory)
        process = start(tmp_path, DATABASE_URL=postgres.url)
        try:
            await until(lambda: "waiting_for_database" in (tmp_path / "log").read_text(), seconds=30)
            await postgres.start()
            await until((tmp_path / "data" / "ready.json").exists, seconds=30)
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()
            process.wait()
            await postgres.stop()


def start(directory: Path, **environ: str) -> subprocess.Popen[bytes]:
    config = directory / "coordinator.yaml"
    config.write_text(
        json.dumps(
            {
                "server": {"host": "127.0.0.1", "port": 0, "grpc_port": 0, "data_dir": str(directory / "data")},
                "metrics": {"port": 0},
            }
        )
    )
    command = [sys.executable, "-m", "mitosis_coordinator", "--config", str(config), "--die-with-parent"]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(command, env={**os.environ, **environ}, stdout=log, stderr=log)


async def test_several_processes_share_the_ports_and_end_together(database_url: str, tmp_path: Path) -> None:
    def document() -> dict[str, Any]:
        read: dict[str, Any] = json.loads((tmp_path / "data" / "ready.json").read_text())
        return read

    process = start(tmp_path, DATABASE_URL=database_url, MITOSIS_SERVER__WORKERS="2")
    try:
        ready = tmp_path / "data" / "ready.json"
        await until(lambda: ready.exists() or process.poll() is not None, seconds=60)
        [other] = document()["processes"]
        assert other["metrics"] != document()["metrics"]
        coordinators = psycopg.connect(database_url, autocommit=True)
        with coordinators:
            row = coordinators.execute("SELECT array_agg(pid) FROM coordinators").fetchone()
            assert row is not None
            assert set(row[0]) == {process.pid, other["pid"]}
        listeners = _listeners(int(document()["grpc"].rpartition(":")[2]))
        assert len(listeners) >= 2

        os.kill(other["pid"], signal.SIGKILL)
        await until(lambda: document()["processes"][0]["pid"] != other["pid"], seconds=60)
        [other] = document()["processes"]
        os.kill(other["pid"], 0)

        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(other["pid"], 0)
        assert not list((tmp_path / "data" / "processes").iterdir())
    finally:
        process.kill()
        process.wait()


def _listeners(port: int) -> list[str]:
    """The sockets of this machine that listen on a port, by their inode."""
    sockets = []
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
        sockets += [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]
    return sockets


async def test_too_many_processes_for_what_the_database_allows_are_refused(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 9 IN ROLE mitosis")
    try:
        narrow = make_conninfo(database_url, user="narrow")
        # Three processes need four each.
        config = coordinator_config(narrow, tmp_path, server={"workers": 3})
        with pytest.raises(ConfigError, match="given 3, and the database allows 9 connections"):
            async with serving(config, quick_passwords()):
                pass
        config = coordinator_config(narrow, tmp_path, database={"url": narrow, "pool_size": 50})
        async with serving(config, quick_passwords()) as coordinator:
            assert coordinator.components.database.max_size == 7
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("REASSIGN OWNED BY narrow TO mitosis; DROP OWNED BY narrow; DROP ROLE narrow")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_ends_the_process_in_order(database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, DATABASE_URL=database_url)
    ready = tmp_path / "data" / "ready.json"
    try:
        await until(lambda: ready.exists() or process.poll() is not None, seconds=30)
        document = json.loads(ready.read_text())
        assert document["pid"] == process.pid
        assert "token" not in document
        started = time.monotonic()
        process.send_signal(number)
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert time.monotonic() - started < 5
    finally:
        process.kill()
        process.wait()
    assert not ready.exists()
    log = (tmp_path / "log").read_text()
    password = (tmp_path / "data" / "admin-password").read_text().strip()
    assert password not in log
    assert str(tmp_path / "data" / "admin-password") in log


async def test_a_start_that_waits_can_be_ended(tmp_path: Path) -> None:
    process = start(tmp_path, DATABASE_URL="postgresql://u@10.255.255.1/d")
    try:
        await asyncio.sleep(2)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 35) in (0, 1)
    finally:
        process.kill()
        process.wait()


async def test_a_configuration_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    process = start(tmp_path, LOG_LEVEL="loud", MITOSIS_SERVER__PORT="99999")
    assert await asyncio.to_thread(process.wait, 20) == 2
    told = (tmp_path / "log").read_text().splitlines()
    assert [line.partition("; ")[0] for line in sorted(told)] == [
        'mitosis-coordinator: LOG_LEVEL: logging.level: given "loud"',
        'mitosis-coordinator: MITOSIS_SERVER__PORT: server.port: given "99999"',
    ]
    assert not (tmp_path / "data").exists()
