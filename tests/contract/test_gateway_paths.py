"""Every documented path, asked the way a user asks, against the real coordinator."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

from mitosis.v1 import suite_pb2
from tests.support.api import Api
from tests.support.coordinator import ADMIN_PASSWORD, RunningCoordinator
from tests.support.rest import Rest, rest_of

SUITE: dict[str, Any] = {
    "name": "ML Training Campaign",
    "group_name": "default",
    "description": "October 2024 ResNet training",
    "labels": ["project:resnet", "campaign:oct2024"],
    "tags": ["gpu", "linux", "cuda:12.0"],
    "worker_schedule": {"strategy": "Proportional", "worker_count": 16, "cpu_binding": "RoundRobin"},
    "env_preparation": {
        "command": "./scripts/setup_training_env.sh",
        "timeout_seconds": 300,
        "working_directory": "/opt/ml",
    },
    "env_cleanup": {"command": "./scripts/cleanup.sh", "timeout_seconds": 60},
    "auto_close_timeout_seconds": 180,
}


async def new_suite(rest: Rest, **fields: Any) -> Any:
    return await rest.post("/suites", {**SUITE, **fields})


async def test_a_suite_comes_back_as_it_was_given_and_as_the_guide_shows_it(rest: Rest) -> None:
    suite = await new_suite(rest)

    hook: dict[str, Any] = {"args": [], "envs": {}}
    assert (
        suite
        | {
            **SUITE,
            "env_preparation": SUITE["env_preparation"] | hook,
            "env_cleanup": SUITE["env_cleanup"] | hook | {"working_directory": ""},
            "worker_schedule": SUITE["worker_schedule"] | {"cores": [], "task_prefetch_count": 32},
        }
        == suite
    )
    assert str(uuid.UUID(suite["uuid"])) == suite["uuid"]
    assert suite["state"] == "Queued"
    counters = ("total_tasks", "pending_tasks", "completed_tasks", "failed_tasks", "cancelled_tasks")
    assert [suite[name] for name in counters] == [0] * 5
    assert datetime.fromisoformat(suite["created_at"]).tzinfo is not None
    assert "finished_at" not in suite
    assert "task_defaults" not in suite
    assert await rest.get(f"/suites/{suite['uuid']}") == suite


async def test_suites_are_found_by_every_filter(rest: Rest) -> None:
    first = await new_suite(rest, name="first")
    second = await new_suite(rest, name="second", labels=["project:bert"], tags=["linux"])

    async def found(query: str) -> list[str]:
        return [suite["name"] for suite in (await rest.get(f"/suites{query}"))["suites"]]

    assert await found("") == ["second", "first"]
    assert await found("?group_name=default&state=Queued&labels=project:resnet") == ["first"]
    assert await found("?tags=gpu&tags=linux") == ["first"]
    assert await found("?tags=linux") == ["second", "first"]
    assert await found("?state=Executing") == []
    assert await found("?name=SEC") == ["second"]
    page = await rest.get("/suites?page_size=1")
    assert [suite["uuid"] for suite in page["suites"]] == [second["uuid"]]
    page = await rest.get("/suites", params={"page_size": 1, "page_token": page["next_page_token"]})
    assert [suite["uuid"] for suite in page["suites"]] == [first["uuid"]]
    assert page["next_page_token"] == ""


async def test_a_suite_is_changed_closed_cancelled_and_retried(rest: Rest) -> None:
    uuid = (await new_suite(rest, auto_close_timeout_seconds=600))["uuid"]
    changed = await rest.ask(
        "PATCH", f"/suites/{uuid}", {"labels": [], "priority": 7, "env_cleanup": {"args": ["true"]}}
    )
    assert (changed.status, changed.document["labels"], changed.document["priority"]) == (200, [], 7)
    assert changed.document["tags"] == SUITE["tags"]
    await rest.post("/tasks", {"suite_uuid": uuid, "task_spec": {"command": "true"}})
    assert (await rest.post(f"/suites/{uuid}/close"))["closed"] is True
    retried = await rest.post(f"/suites/{uuid}/retry")
    assert (retried["suite"]["uuid"], retried["retried_task_count"]) == (uuid, 0)
    cancelled = await rest.post(f"/suites/{uuid}/cancel", {"reason": "enough", "cancel_running_tasks": True})
    assert cancelled == {"cancelled_task_count": 1, "suite_state": "Cancelled"}
    again = await rest.ask("POST", f"/suites/{uuid}/cancel")
    assert (again.status, again.error["status"], again.error["reason"]) == (409, "FAILED_PRECONDITION", "WRONG_STATE")
    assert again.error["metadata"]["state"] == "Cancelled"


async def test_managers_are_registered_matched_added_and_removed(rest: Rest, coordinator: RunningCoordinator) -> None:
    body = {
        "name": "gpu-node-01",
        "tags": ["gpu", "linux", "cuda:12.0"],
        "group_memberships": [{"group_name": "default", "role": "Worker"}],
    }
    registered = await rest.post("/managers", body)
    manager = registered["manager"]
    assert manager["state"] == "Offline"
    assert manager["metrics"]["active_workers"] == 0
    assert manager["group_memberships"] == [{"group_name": "default", "role": "Worker"}]
    assert [item["name"] for item in (await rest.get("/managers?tags=gpu"))["managers"]] == ["gpu-node-01"]
    assert (await rest.get("/managers?tags=tpu"))["managers"] == []
    assert (await rest.get(f"/managers/{manager['uuid']}"))["name"] == "gpu-node-01"

    suite = f"/suites/{(await new_suite(rest))['uuid']}"
    eligible = {"manager_uuid": manager["uuid"], "manager_name": "gpu-node-01", "assigned": False}
    matched = await rest.post(f"{suite}/managers/refresh")
    assert matched == {"managers": [eligible | {"selection": "TagMatched"}]}
    added = await rest.post(f"{suite}/managers", {"manager_uuids": [manager["uuid"]]})
    assert added == {"managers": [eligible | {"selection": "UserSpecified"}]}
    removed = await rest.ask("DELETE", f"{suite}/managers", {"manager_uuids": [manager["uuid"]]})
    assert (removed.status, removed.document) == (200, {"managers": []})

    async with rest_of(coordinator, registered["token"]) as as_manager:
        beat = await as_manager.post("/managers/heartbeat", {"metrics": {"active_workers": 2, "tasks_completed": 5}})
        assert beat["heartbeat_interval_seconds"] > 0
        assert await as_manager.post("/managers/refresh-token")
        wrong = await as_manager.ask("GET", "/suites")
        assert (wrong.status, wrong.error["reason"]) == (401, "WRONG_TOKEN_KIND")
    assert (await rest.get(f"/managers/{manager['uuid']}"))["metrics"]["tasks_completed"] == 5
    assert (await rest.post(f"/managers/{manager['uuid']}/drain"))["draining"] is True
    assert (await rest.get(f"/managers/{manager['uuid']}"))["draining"] is True
    assert (await rest.post(f"/managers/{manager['uuid']}/resume"))["draining"] is False
    offline = await rest.ask("POST", f"/managers/{manager['uuid']}/shutdown")
    assert offline.status in (403, 409)


async def test_tasks_are_submitted_shown_listed_and_cancelled(rest: Rest) -> None:
    suite = (await new_suite(rest))["uuid"]
    spec = {"model": "resnet50", "batch": 1, "epochs": 10}
    task = await rest.post("/tasks", {"group_name": "default", "suite_uuid": suite, "task_spec": spec})
    assert task["task_spec"]["payload"] == spec
    assert (task["state"], task["attempt"], task["suite_uuid"]) == ("Ready", 0, suite)
    assert "result" not in task
    batch = await rest.post("/tasks/batch", {"suite_uuid": suite, "tasks": [{"task_spec": {"batch": 2}}] * 3})
    assert len(batch["task_uuids"]) == 3
    listed = await rest.get(f"/tasks?suite_uuid={suite}&state=Ready")
    assert [item["uuid"] for item in listed["tasks"]] == [*reversed(batch["task_uuids"]), task["uuid"]]
    assert (await rest.get(f"/tasks/{task['uuid']}"))["uuid"] == task["uuid"]
    cancelled = await rest.post(f"/tasks/{task['uuid']}/cancel", {"reason": "no"})
    assert cancelled["state"] == "Cancelled"
    shown = await rest.get(f"/suites/{suite}")
    assert (shown["total_tasks"], shown["pending_tasks"], shown["cancelled_tasks"]) == (4, 3, 1)


async def test_arrays_of_tasks_take_their_payloads_as_json(rest: Rest) -> None:
    suite = (await new_suite(rest))["uuid"]
    template = {"suite_uuid": suite, "task_spec": {"handler": "m:f"}, "priority": 3}
    payloads = [{"name": "a.png", "sizes": [1, 2.5]}, None, "x"]
    listed = (await rest.post("/tasks/array", {**template, "list": {"payloads": payloads}}))["tasks"]
    assert listed["count"] == 3
    first = int(uuid.UUID(listed["first_task_uuid"]))
    tasks = [await rest.get(f"/tasks/{uuid.UUID(int=first + place)}") for place in range(3)]
    assert [(task["task_spec"]["payload"], task["priority"]) for task in tasks] == [(value, 3) for value in payloads]

    ranged = (await rest.post("/tasks/array", {**template, "range": {"start": 5, "stop": -500_000, "step": -1}}))[
        "tasks"
    ]
    assert ranged["count"] == 500_005
    last = uuid.UUID(int=int(uuid.UUID(ranged["first_task_uuid"])) + 500_004)
    assert (await rest.get(f"/tasks/{last}"))["task_spec"]["payload"] == -499_999
    assert (await rest.get(f"/suites/{suite}"))["pending_tasks"] == 500_008

    both = {**template, "range": {"stop": 1}, "list": {"payloads": payloads}}
    refused = await rest.ask("POST", "/tasks/array", both)
    assert (refused.status, refused.error["reason"]) == (400, "INVALID_FIELD")
    [violation] = refused.error["fields"]
    assert violation["field"] == "list"
    assert "either this or range" in violation["description"]
    refused = await rest.ask("POST", "/tasks/array", {**template, "task_spec": {"model": "x"}, "range": {"stop": 1}})
    assert [item["field"] for item in refused.error["fields"]] == ["task_spec.payload"]


async def test_people_log_in_and_are_put_into_groups(rest: Rest, coordinator: RunningCoordinator) -> None:
    assert (await rest.get("/auth"))["username"] == "admin"
    group = await rest.post("/groups", {"group_name": "ml-team"})
    assert group["group_name"] == "ml-team"
    assert await rest.post("/users", {"username": "ada", "password": "correct horse"})
    members = await rest.post("/groups/ml-team/members", {"username": "ada", "role": "Member"})
    assert {"username": "ada", "role": "Member"} in members["members"]
    assert (await rest.get("/groups/ml-team"))["members"] == members["members"]
    assert [item["group_name"] for item in (await rest.get("/groups"))["groups"]] == ["default", "ml-team"]
    assert "ada" in [item["username"] for item in (await rest.get("/users"))["users"]]
    async with rest_of(coordinator, "") as nobody:
        login = await nobody.post("/login", {"username": "ada", "password": "correct horse"})
        refused = await nobody.ask("GET", "/suites")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    async with rest_of(coordinator, login["token"]) as ada:
        assert (await ada.get("/auth"))["memberships"] == [{"group_name": "ml-team", "role": "Member"}]
        denied = await ada.ask("POST", "/users", {"username": "eve", "password": "12345678"})
        assert (denied.status, denied.error["reason"]) == (403, "PERMISSION_DENIED")
        passwords = {"current_password": "correct horse", "new_password": "battery staple"}
        assert await ada.post("/auth/password", passwords) == {}
        assert (await ada.ask("GET", "/auth")).status == 401
    removed = await rest.ask("DELETE", "/groups/ml-team/members/ada")
    assert [item["username"] for item in removed.document["members"]] == ["admin"]
    disabled = await rest.ask("PATCH", "/users/ada", {"disabled": True})
    assert disabled.document["disabled"] is True


async def test_a_suite_of_another_group_does_not_exist(rest: Rest, coordinator: RunningCoordinator) -> None:
    uuid_there = (await new_suite(rest))["uuid"]
    _, token = await coordinator.new_user()
    async with rest_of(coordinator, token) as stranger:
        there = await stranger.ask("GET", f"/suites/{uuid_there}")
        nowhere = await stranger.ask("GET", f"/suites/{uuid.uuid4()}")
    assert there.status == nowhere.status == 404
    assert re.sub(r"[0-9a-f-]{36}", "", there.error["message"]) == re.sub(
        r"[0-9a-f-]{36}", "", nowhere.error["message"]
    )


async def test_rest_and_grpc_show_the_same(rest: Rest, coordinator: RunningCoordinator) -> None:
    api = Api(coordinator)
    suite = await api.create("over grpc", tags=["x"], priority=3)
    shown = await rest.get(f"/suites/{suite.uuid}")
    assert (shown["name"], shown["tags"], shown["priority"]) == ("over grpc", ["x"], 3)
    created = await new_suite(rest)
    assert (await api.suite(created["uuid"])).state == suite_pb2.TASK_SUITE_STATE_QUEUED


async def test_calls_over_rest_are_counted_like_all_others(rest: Rest, coordinator: RunningCoordinator) -> None:
    await rest.ask("POST", "/suites", {"nmae": 1})
    await rest.ask("POST", "/login", {"username": "admin", "password": ADMIN_PASSWORD})
    async with rest.session.get(coordinator.metrics_url) as response:
        text = await response.text()
    name = "mitosis_grpc_request_duration_seconds_count"
    assert f'{name}{{code="INVALID_ARGUMENT",method="/mitosis.v1.SuiteService/CreateSuite"}} 1.0' in text
    assert f'{name}{{code="OK",method="/mitosis.v1.AuthService/Login"}} 1.0' in text
