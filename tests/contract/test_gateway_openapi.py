"""The OpenAPI document: valid, complete, served, and with the names that the guide promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from openapi_spec_validator import validate

from mitosis_coordinator.gateway.routes import read_routes
from tests.support.coordinator import RunningCoordinator

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "api" / "openapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_it_is_valid() -> None:
    validate(DOCUMENT)


async def test_it_has_every_route_that_is_served(coordinator: RunningCoordinator) -> None:
    services = [service.descriptor for service in coordinator.inner.components.services]
    served = {(route.verb, route.path): route.method.name for route in read_routes(services)}
    documented = {
        (verb.upper(), path): operation["operationId"]
        for path, item in DOCUMENT["paths"].items()
        for verb, operation in item.items()
    }
    names = {method.name for service in services for method in service.methods}
    assert {place: name for place, name in documented.items() if name in names} == served
    assert documented["GET", "/health"] == "GetHealth"
    assert documented["GET", "/info"] == "GetInfo"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (
            "TaskSuite",
            """uuid name description state group_name labels tags worker_schedule env_preparation env_cleanup
            total_tasks pending_tasks completed_tasks failed_tasks auto_close_timeout_seconds created_at updated_at""",
        ),
        ("NodeManager", "uuid name state tags assigned_suite_uuid metrics created_at last_heartbeat"),
        ("ManagerMetrics", "active_workers tasks_completed tasks_failed"),
        ("WorkerSchedulePlan", "strategy worker_count cpu_binding"),
        ("EnvHookSpec", "command timeout_seconds working_directory"),
    ],
)
def test_it_has_the_names_of_the_guide(name: str, fields: str) -> None:
    assert set(fields.split()) <= SCHEMAS[name]["properties"].keys()


def test_states_and_formats_are_those_of_the_guide() -> None:
    suite = SCHEMAS["TaskSuite"]["properties"]
    assert suite["state"]["enum"] == ["Queued", "Open", "Executing", "Complete", "Cancelled", "Failed"]
    assert suite["uuid"]["format"] == "uuid"
    assert suite["created_at"]["format"] == "date-time"
    manager = SCHEMAS["NodeManager"]["properties"]["state"]["enum"]
    assert {"Idle", "Assigned", "Preparing", "Executing", "Cleaning", "Offline"} <= set(manager)


def test_every_operation_says_what_it_does_and_how_it_fails() -> None:
    for path, item in DOCUMENT["paths"].items():
        for verb, operation in item.items():
            assert operation["summary"], (verb, path)
            assert "200" in operation["responses"], (verb, path)
            if operation["tags"] != ["Coordinator"]:
                assert {"400", "503", "default"} <= operation["responses"].keys(), (verb, path)


async def test_it_is_served_with_a_page_that_loads_nothing_from_elsewhere(coordinator: RunningCoordinator) -> None:
    async with aiohttp.ClientSession(coordinator.http_url) as session:
        async with session.get("/openapi.json") as response:
            assert json.loads(await response.text()) == DOCUMENT
        async with session.get("/docs") as response:
            page = await response.text()
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        for name in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert "//" not in name
            async with session.get(f"/{name}") as response:
                assert response.status == 200
                assert "://" not in (await response.text()).replace(DOCUMENT["info"]["title"], "")
