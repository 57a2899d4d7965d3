"""Programs of users: the guide's Python example as it is printed, and functions as tasks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mitosis.v1 import manager_pb2, task_pb2
from mitosis_client import AsyncClient, DeadlineExceeded, InvalidField, MitosisClient, TaskFailed, Tls
from tests.support.api import Api
from tests.support.coordinator import RunningCoordinator, coordinator_config, running
from tests.support.scripted_manager import FAILED, ScriptedManager

# As the guide prints it; the host, the token and the import are put in place of its own.
PRINTED = """
client = MitosisClient("https://api.example.com", token="...")

# Create suite
suite = client.create_suite({
    "name": "ML Training",
    "group_name": "ml-team",
    "tags": ["gpu"],
    "worker_schedule": {
        "strategy": "Proportional",
        "worker_count": 16
    }
})

# Submit tasks
for i in range(1000):
    client.submit_task({
        "group_name": "ml-team",
        "task_spec": {"batch": i}
    }, suite_uuid=suite["uuid"])

# Wait for completion
final_suite = client.wait_for_suite(suite["uuid"])
print(f"Suite completed: {final_suite['completed_tasks']} tasks")
"""


def double(payload: dict[str, int]) -> int:
    return 2 * payload["batch"]


async def test_the_guides_python_example_works_as_printed(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = coordinator_config(database_url, tmp_path, task_suites={"default_auto_close_timeout_seconds": 1})
    async with running(config) as coordinator:
        api = Api(coordinator)
        group = await api.group("ml-team")
        membership = manager_pb2.GroupMembership(group_name=group, role=manager_pb2.MANAGER_ROLE_WORKER)
        manager = await api.connect(memberships=[membership], tags=["gpu", "fast"], max_workers=16)
        program = PRINTED.replace("https://api.example.com", coordinator.http_url)
        program = program.replace('"..."', repr(coordinator.admin_token))
        names: dict[str, Any] = {"MitosisClient": MitosisClient}
        example = asyncio.create_task(asyncio.to_thread(exec, program, names))
        await manager.start()
        attempts = await manager.fetch(1000)
        batches = sorted(
            json.loads(task_pb2.TaskSpec.FromString(attempt.task_spec).payload)["batch"] for attempt in attempts
        )
        assert batches == list(range(1000))
        await manager.report(attempts)
        await asyncio.wait_for(example, 30)
        client = names["client"]
        suite = await asyncio.to_thread(client.get_suite, names["suite"]["uuid"])
        assert (suite["state"], suite["completed_tasks"]) == ("Complete", 1000)
        client.close()
        await api.close()
    assert "Suite completed: 1000 tasks" in capfd.readouterr().out


async def submitted(api: Api, client: AsyncClient) -> tuple[str, ScriptedManager]:
    suite = await api.create()
    manager = await api.connect()
    task = await client.submit(suite.uuid, double, {"timeout_seconds": 5}, batch=3)
    assert task.task_spec is not None
    assert task.task_spec.handler == f"{__name__}:double"
    assert task.task_spec.payload == {"batch": 3}
    await manager.start()
    return task.uuid, manager


@pytest.mark.parametrize("waits_first", [True, False])
async def test_what_a_function_returns_comes_back(coordinator: RunningCoordinator, waits_first: bool) -> None:
    async with AsyncClient(coordinator.grpc_address, token=coordinator.admin_token) as client:
        task, manager = await submitted(Api(coordinator), client)
        [attempt] = await manager.fetch(1)
        result = asyncio.create_task(client.result(task, timeout=30)) if waits_first else None
        with pytest.raises(DeadlineExceeded, match=r"did not end within 0\.2 s"):
            await client.result(task, timeout=0.2)
        await manager.report([attempt], return_value=json.dumps(double({"batch": 3})))
        assert (await (result or client.result(task))) == 6
        await manager.drop()


async def test_a_function_that_fails_says_how(coordinator: RunningCoordinator) -> None:
    async with AsyncClient(coordinator.grpc_address, token=coordinator.admin_token) as client:
        task, manager = await submitted(Api(coordinator), client)
        await manager.report(await manager.fetch(1), FAILED, error="ValueError: no")
        with pytest.raises(TaskFailed, match=f"task {task} is Failed: ValueError: no") as caught:
            await client.result(task)
        assert caught.value.task.state == "Failed"
        await manager.drop()


async def test_a_task_of_no_suite_is_waited_for_too(coordinator: RunningCoordinator) -> None:
    api = Api(coordinator)
    worker = await api.connect_worker()
    async with AsyncClient(coordinator.grpc_address, token=coordinator.admin_token) as client:
        task = await client.submit_task({"command": "true"}, group_name="default")
        waiting = asyncio.create_task(client.wait_for_task(task, timeout=30))
        await worker.report(await worker.fetch(1))
        assert (await waiting).state == "Completed"
    await api.close()


async def test_a_function_has_no_other_payload(coordinator: RunningCoordinator) -> None:
    async with AsyncClient(coordinator.grpc_address, token=coordinator.admin_token) as client:
        with pytest.raises(InvalidField, match="payload: given with a function"):
            await client.submit("u", double, {"payload": 1}, batch=3)


@pytest.mark.parametrize(
    ("url", "field"), [("http://api.example.com", "https://"), ("api.example.com:1", "http://"), ("", "http://")]
)
def test_a_token_goes_over_plain_text_to_no_other_machine(url: str, field: str) -> None:
    with pytest.raises(InvalidField, match=field):
        MitosisClient(url, token="t", tls=Tls())
