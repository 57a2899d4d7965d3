"""`GET /suites/{uuid}/watch`: the stream of a suite's changes as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mitosis_coordinator.gateway import endpoint
from tests.contract.test_gateway_paths import new_suite
from tests.support.coordinator import RunningCoordinator, coordinator_config, running
from tests.support.rest import Rest, rest_of
from tests.support.waiting import until


def in_flight(coordinator: RunningCoordinator) -> float:
    """How many streams of changes are open."""
    labels = {"method": "/mitosis.v1.SuiteService/WatchSuite"}
    value = coordinator.inner.components.registry.get_sample_value("mitosis_grpc_requests_in_flight", labels)
    return value or 0.0


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream: kind and data; comments have no data."""
    kind, data = "message", ""
    async for raw in response.content:
        line = raw.decode().removesuffix("\n")
        if line.startswith(":"):
            yield "comment", None
        elif line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data += line.removeprefix("data: ")
        elif data:
            yield kind, json.loads(data)
            kind, data = "message", ""


async def test_it_tells_each_change_and_ends_with_the_suite(rest: Rest, coordinator: RunningCoordinator) -> None:
    suite = await new_suite(rest)
    async with rest.session.get(f"/suites/{suite['uuid']}/watch") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        stream = events(response)
        _, first = await anext(stream)
        assert first["suite"]["state"] == "Queued"
        await rest.post("/tasks", {"suite_uuid": suite["uuid"], "task_spec": {"command": "true"}})
        _, second = await anext(stream)
        assert second["suite"]["pending_tasks"] == 1
        await rest.post(f"/suites/{suite['uuid']}/cancel")
        states = [data["suite"]["state"] async for _, data in stream]
    assert states[-1] == "Cancelled"
    await until(lambda: in_flight(coordinator) == 0)


async def test_what_cannot_be_watched_is_refused_like_everything_else(rest: Rest) -> None:
    unknown = await rest.ask("GET", "/suites/6ba7b810-9dad-11d1-80b4-00c04fd430c8/watch")
    assert (unknown.status, unknown.error["reason"]) == (404, "NOT_FOUND")
    malformed = await rest.ask("GET", "/suites/x/watch")
    assert malformed.fields.keys() == {"uuid"}
    assert (await rest.ask("HEAD", "/suites/x/watch")).status == 405


async def test_a_quiet_stream_is_kept_open_by_comments(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "HEARTBEAT_SECONDS", 0.05)
    suite = await new_suite(rest)
    async with rest.session.get(f"/suites/{suite['uuid']}/watch") as response:
        stream = events(response)
        kinds = [(await anext(stream))[0] for _ in range(4)]
    assert kinds == ["message", "comment", "comment", "comment"]


async def test_a_reader_who_leaves_leaves_nothing_behind(rest: Rest, coordinator: RunningCoordinator) -> None:
    suite = await new_suite(rest)
    async with rest_of(coordinator) as reader:
        responses = [await reader.session.get(f"/suites/{suite['uuid']}/watch") for _ in range(20)]
        for response in responses:
            await anext(events(response))
        assert in_flight(coordinator) == 20
        for response in responses:
            response.close()
    await until(lambda: in_flight(coordinator) == 0)
    assert await rest.get(f"/suites/{suite['uuid']}")


async def test_a_shutdown_is_told_and_not_waited_for(database_url: str, tmp_path: Path) -> None:
    told: list[tuple[str, Any]] = []

    async def read_on(stream: AsyncIterator[tuple[str, Any]]) -> None:
        told.extend([event async for event in stream])

    loop = asyncio.get_running_loop()
    async with running(coordinator_config(database_url, tmp_path)) as coordinator, rest_of(coordinator) as rest:
        suite = await new_suite(rest)
        async with asyncio.TaskGroup() as readers:
            response = await rest.session.get(f"/suites/{suite['uuid']}/watch")
            readers.create_task(read_on(events(response)))
            await until(lambda: in_flight(coordinator) == 1)
            began = loop.time()
            for goodbye in coordinator.inner.components.goodbyes.values():
                await goodbye()
    assert loop.time() - began < 3
    kind, data = told[-1]
    assert (kind, data["error"]["reason"]) == ("error", "SHUTTING_DOWN")
