"""Thousands of managers at one coordinator: what they cost while idle, and how long it takes to reach them all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from benchmarks.coordinator import Coordinator, coordinator_up
from benchmarks.fleet import TAG, Fleet, allow_connections, fleet
from benchmarks.harness import Mitosis, suite_spec
from benchmarks.results import Report, Row, below, scaled
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_client import AsyncClient
from mitosis_client.specs import NewTask
from tests.support.scripted_manager import ScriptedManager

NAME = "managers"
SIZES = (1_000, 5_000)
IDLE_SECONDS = 30
SETTLE_SECONDS = 5
RECONNECT_TIMEOUT_SECONDS = 300
KILOBYTES_LIMIT, IDLE_LIMIT_PERCENT, CONNECT_LIMIT_SECONDS = 150, 10, 60


def run(scale: float) -> Report:
    """Measure each size on a system of its own."""
    rows: list[Row] = []
    raw: dict[str, object] = {}
    allow_connections()
    for full in SIZES:
        size = scaled(full, scale, 2)
        with coordinator_up({"stream": {"max_connections": size}}) as coordinator:
            figures = asyncio.run(_measure(coordinator, size, IDLE_SECONDS * min(1.0, scale)))
        raw[str(size)] = figures
        rows += _rows(f"{size:,} managers", figures, promised=full == SIZES[0])
    return Report(NAME, rows, raw)


def _rows(name: str, figures: dict[str, float], *, promised: bool) -> list[Row]:
    """What is said about each size; what they cost while idle is promised for the smaller one."""
    memory, idle = f"{name}: memory of the coordinator, each", f"{name}: coordinator, idle"
    costs = [
        below(memory, figures["kilobytes"], "KB", KILOBYTES_LIMIT),
        below(idle, figures["idle"], "% of a core", IDLE_LIMIT_PERCENT),
    ]
    return [
        Row(f"{name}: registered", f"{figures['register']:.1f} s"),
        below(f"{name}: connected", figures["connect"], "s", CONNECT_LIMIT_SECONDS),
        *(costs if promised else [replace(row, target="", reached=None) for row in costs]),
        Row(f"{name}: one suite assigned to all", f"{figures['assign']:.2f} s"),
        Row(f"{name}: its cancellation told to all", f"{figures['cancel']:.2f} s"),
        below(f"{name}: all back after a killed coordinator", figures["reconnect"], "s", CONNECT_LIMIT_SECONDS),
        Row(f"{name}: a suite assigned to all after that", f"{figures['reassign']:.2f} s"),
    ]


async def _measure(coordinator: Coordinator, size: int, idle_seconds: float) -> dict[str, float]:
    figures = {}
    mitosis = coordinator.mitosis
    async with AsyncClient(mitosis.address, token=mitosis.token) as client:
        memory = _coordinator_memory(mitosis)
        async with fleet(mitosis, client, size) as connected:
            figures["register"], figures["connect"] = connected.register_seconds, connected.connect_seconds
            await asyncio.sleep(SETTLE_SECONDS)
            figures["kilobytes"] = (_coordinator_memory(mitosis) - memory) / 1000 / size
            cpu = mitosis.cpu_seconds()["coordinator"]
            await asyncio.sleep(idle_seconds)
            figures["idle"] = 100 * (mitosis.cpu_seconds()["coordinator"] - cpu) / idle_seconds
            figures["assign"], figures["cancel"] = await _occupy(client, connected)
            began = time.perf_counter()
            await asyncio.to_thread(coordinator.restart)
            await connected.reconnect(RECONNECT_TIMEOUT_SECONDS)
            figures["reconnect"] = time.perf_counter() - began
            figures["reassign"], _ = await _occupy(client, connected)
    return figures


async def _occupy(client: AsyncClient, connected: Fleet) -> tuple[float, float]:
    """Seconds until every manager was given a suite, and until every one was told that it is cancelled."""
    suite = await client.create_suite({**suite_spec(TAG), "tags": [TAG]})
    began = time.perf_counter()
    tasks = [NewTask(handler="benchmarks.tasks:noop")] * len(connected.managers)
    await client.submit_many(tasks, suite_uuid=suite.uuid)
    await connected.all_at_once(lambda manager: manager.start())
    assigned = time.perf_counter() - began
    began = time.perf_counter()
    await client.cancel_suite(suite.uuid, cancel_running_tasks=True)
    await connected.all_at_once(lambda manager: manager.receive("cancel_suite"))
    cancelled = time.perf_counter() - began
    await connected.all_at_once(_let_go)
    return assigned, cancelled


async def _let_go(manager: ScriptedManager) -> None:
    await manager.finish(pb.FINISH_REASON_CANCELLED)


def _coordinator_memory(mitosis: Mitosis) -> int:
    return sum(mitosis.memory()["coordinator"].values())
