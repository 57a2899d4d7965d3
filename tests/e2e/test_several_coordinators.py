"""Coordinators are killed and restarted one after the other: managers move, and no running task notices.

`MITOSIS_RUNNING_TASKS` says how many tasks run at a time on three managers, each in a worker process of its own, and
`MITOSIS_TASK_SECONDS` how long each takes: for many, longer than it takes to start their workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc.aio
import psycopg
import pytest
import yaml

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_client import Client
from mitosis_client.connection import Connection, write_private
from mitosis_client.local.layout import GROUP, Layout, Ports, coordinator_config, manager_config
from mitosis_client.specs import NewTask
from tests.e2e.cluster import ManagerPart, Part
from tests.e2e.execution_log import RECORD_COMMAND, ExecutionLog
from tests.e2e.support import Sandbox, sandbox, until
from tests.support import waiting
from tests.support.scripted_manager import ScriptedManager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MANAGERS = 3
WORKERS = int(os.environ.get("MITOSIS_RUNNING_TASKS", "12")) // MANAGERS
# Each of the workers runs a few, one after the other; the first ones outlive the kill.
ROUNDS = 3
TASK_SECONDS = int(os.environ.get("MITOSIS_TASK_SECONDS", "3"))
MANY = 2_001
START_SECONDS = 60.0
# Promised for a machine that has nothing else to do is 5 s.
MOVE_SECONDS = 15.0


class Coordinator(Part):
    """One of several coordinators of a database, always on the same port."""

    def __init__(self, name: str, box: Sandbox, database_url: str) -> None:
        self.layout = Layout(box.root / name)
        self.grpc = f"127.0.0.1:{_free_port()}"
        super().__init__(name, "mitosis_coordinator", ["--config", str(self.layout.coordinator_config)], box)
        self.layout.root.mkdir()
        config: dict[str, Any] = coordinator_config(self.layout, Ports(int(self.grpc.rpartition(":")[2]), 0, 0))
        config["database"] = {"url": database_url, "pool_size": 5}
        config["stream"] = {"heartbeat_interval_seconds": 1, "heartbeat_timeout_seconds": 30}
        write_private(self.layout.coordinator_config, yaml.safe_dump(config))

    def serve(self) -> None:
        """Starts it, and returns when it serves."""
        self.layout.ready_file.unlink(missing_ok=True)
        self.start()
        until(lambda: self.layout.ready_file.exists() or not self.runs, START_SECONDS, self.output)
        assert self.runs, self.output()

    def client(self) -> Client:
        """Returns a client of this one, as administrator."""
        ready = json.loads(self.layout.ready_file.read_text())
        return Connection(grpc=ready["grpc"], token=ready["token"], username=ready["username"]).client()

    def attached(self) -> set[str]:
        """Returns the managers that have attached here, as its log tells."""
        lines = [line for line in self.output().splitlines() if "manager_attached" in line]
        return {line.partition("manager_uuid=")[2].split()[0] for line in lines}


@contextlib.contextmanager
def parts(box: Sandbox, *started: Part) -> Iterator[None]:
    """Shows the logs of a test that failed."""
    try:
        yield
    finally:
        for part in started:
            print(f"--- {part.name}\n{part.output()[-8000:]}")


def test_managers_move_to_another_coordinator_and_their_tasks_run_on(database_url: str) -> None:
    with sandbox() as box:
        first, second = (Coordinator(name, box, database_url) for name in ("a", "b"))
        first.serve()
        managers = [_manager(number, box, first, second) for number in range(1, MANAGERS + 1)]
        log = ExecutionLog(box.root / "executions")
        with parts(box, first, second, *managers):
            _check_moves(first, second, managers, log, database_url)
            for part in (*managers, first, second):
                assert part.stop() == 0, part.output()[-4000:]


def _check_moves(
    first: Coordinator, second: Coordinator, managers: list[ManagerPart], log: ExecutionLog, database_url: str
) -> None:
    everybody = {manager.uuid for manager in managers}
    for manager in managers:
        manager.start()
    until(lambda: first.attached() == everybody, START_SECONDS, first.output)
    second.serve()
    with first.client() as client:
        suite = client.create_suite(
            name="moving", group_name=GROUP, worker_schedule={"worker_count": WORKERS, "task_prefetch_count": 2}
        ).uuid
        task: NewTask = {
            "command": f"{RECORD_COMMAND}; sleep {TASK_SECONDS}",
            "envs": {"EXECUTION_LOG": str(log.path)},
        }
        running = MANAGERS * WORKERS
        tasks: set[str] = set()
        client.submit_many([task] * running * ROUNDS, suite_uuid=suite, on_batch=tasks.update)
        until(lambda: len(log.executions()) >= running, START_SECONDS + running, first.output)

    first.kill()
    killed_at = time.monotonic()
    until(lambda: second.attached() == everybody, MOVE_SECONDS, second.output)
    print(f"{MANAGERS} managers with {running} running tasks were back within {time.monotonic() - killed_at:.1f} s")
    assert all(manager.runs for manager in managers)

    # A rolling restart: the killed one comes back, then the other one goes in order and comes back.
    before = len(first.output())
    first.serve()
    assert second.stop() == 0
    until(lambda: _attached_since(first, before) == everybody, MOVE_SECONDS, first.output)
    second.serve()
    with second.client() as client:
        client.close_suite(suite)
        ended = client.wait_for_suite(suite, timeout=60 + ROUNDS * TASK_SECONDS * 3, until_released=True)
        assert ended.state == "Complete"
        assert (ended.completed_tasks, ended.total_tasks) == (len(tasks), len(tasks))
    # Nobody ran a task again, and nothing was charged to any.
    assert set(log.counts()) == tasks
    assert set(log.counts().values()) == {1}
    with psycopg.connect(database_url) as database:
        assert database.execute("SELECT count(*) FROM task_execution_failures").fetchone() == (0,)


async def test_two_thousand_running_tasks_outlive_their_coordinator(database_url: str) -> None:
    """More than worker processes of one machine: the managers are scripted, the coordinators real."""
    with sandbox() as box:
        first, second = (Coordinator(name, box, database_url) for name in ("a", "b"))
        first.serve()
        second.serve()
        async with contextlib.AsyncExitStack() as stack:
            with parts(box, first, second):
                managers = await _scripted_managers(stack, first)
                suite = await _run(first, managers)
                await waiting.until(lambda: _attempts(database_url) == {("Running", 1): MANY}, seconds=START_SECONDS)
                first.kill()
                killed_at = time.monotonic()
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(second.grpc))
                for manager, held in managers.items():
                    await manager.drop()
                    manager.turn_to(channel)
                    attached = await manager.attach(held)
                    assert attached.verdict == stream.ATTACH_VERDICT_RESUME
                    assert not attached.revoked_tasks
                print(f"{MANY} running tasks were known again after {time.monotonic() - killed_at:.1f} s")
                assert _attempts(database_url) == {("Running", 1): MANY}
                for manager, held in managers.items():
                    assert await manager.report(held) == []
                with second.client() as client:
                    assert client.get_suite(suite).completed_tasks == MANY
                with psycopg.connect(database_url) as database:
                    assert database.execute("SELECT count(*) FROM task_execution_failures").fetchone() == (0,)
                    repeated = "SELECT count(*) FROM archived_tasks WHERE attempt > 1 OR state <> 'Completed'"
                    assert database.execute(repeated).fetchone() == (0,)
                for manager in managers:
                    await manager.drop()
            assert second.stop() == 0


async def _scripted_managers(
    stack: contextlib.AsyncExitStack, coordinator: Coordinator
) -> dict[ScriptedManager, list[stream.AssignedTask]]:
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(coordinator.grpc))
    managers = {}
    memberships = [{"group_name": GROUP, "role": "Worker"}]
    with coordinator.client() as client:
        for number in range(MANAGERS):
            registered = client.register_manager(
                f"scripted-{number}", group_memberships=memberships, max_workers=MANY // MANAGERS
            )
            manager = ScriptedManager(
                channel, f"scripted-{number}", registered.manager.uuid, registered.token, [], MANY // MANAGERS
            )
            await manager.attach()
            managers[manager] = list[stream.AssignedTask]()
    return managers


async def _run(coordinator: Coordinator, managers: dict[ScriptedManager, list[stream.AssignedTask]]) -> str:
    """Have every manager start its part of a suite; the suite."""
    with coordinator.client() as client:
        suite = client.create_suite(name="many", group_name=GROUP).uuid
        task: NewTask = {"command": "true"}
        client.submit_many([task] * MANY, suite_uuid=suite)
        for manager in managers:
            await manager.start()
        for manager, held in managers.items():
            held += await manager.fetch(MANY // MANAGERS)
            await manager.started(held)
    return suite


def _attempts(database_url: str) -> dict[tuple[str, int], int]:
    with psycopg.connect(database_url) as database:
        rows = database.execute("SELECT state, attempt, count(*) FROM active_tasks GROUP BY 1, 2").fetchall()
    return {(state, attempt): count for state, attempt, count in rows}


def _attached_since(coordinator: Coordinator, offset: int) -> set[str]:
    lines = [line for line in coordinator.output()[offset:].splitlines() if "manager_attached" in line]
    return {line.partition("manager_uuid=")[2].split()[0] for line in lines}


def _manager(number: int, box: Sandbox, *coordinators: Coordinator) -> ManagerPart:
    files = Layout(box.data).manager(number)
    with coordinators[0].client() as client:
        granted = client.register_manager(files.name, group_memberships=[{"group_name": GROUP, "role": "Worker"}])
    config: dict[str, Any] = manager_config(files, WORKERS, "", "")
    config["coordinator"] = {"stream_url": [f"grpc://{one.grpc}" for one in coordinators]}
    config["manager"]["stop_grace_seconds"] = 1.0
    write_private(files.token, granted.token + "\n")
    write_private(files.config, yaml.safe_dump(config))
    arguments = ["--config", str(files.config), "--token-file", str(files.token), "--allow-several"]
    part = ManagerPart(f"manager-{number}", "mitosis_nodemgr", arguments, box)
    part.uuid = granted.manager.uuid
    return part


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
