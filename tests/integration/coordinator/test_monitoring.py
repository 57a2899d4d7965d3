"""What a coordinator exposes for Prometheus: counted once, when it is committed, and gone when its object is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mitosis.v1 import hook_pb2, task_pb2, task_service_pb2
from mitosis_coordinator.monitoring import backlog
from tests.support.api import GROUP, NOOP, Api, eventually
from tests.support.coordinator import RunningCoordinator, coordinator_config, running
from tests.support.metrics import Scrape, scrape
from tests.support.scripted_manager import CANCELLED, FAILED, WORKER_DIED


@pytest.fixture(autouse=True)
def _read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(backlog, "FIRST_SECONDS", 0.0)


async def scrape_when(coordinator: RunningCoordinator, holds: Callable[[Scrape], object]) -> Scrape:
    return await eventually(lambda: scrape(coordinator.metrics_url), holds)


async def test_a_suites_life_is_counted(api: Api, coordinator: RunningCoordinator) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 5)
    waiting = {"group_name": GROUP, "suite_state": "Queued"}
    before = await scrape_when(coordinator, lambda now: now.value("mitosis_queue_tasks", **waiting) == 5)
    assert before.value("mitosis_suites_active", state="Queued") == 1
    assert before.value("mitosis_suites_created_total", group_name=GROUP, state="Queued") == 1
    assert before.value("mitosis_suite_tasks", suite_uuid=suite.uuid, state="Pending") == 5
    assert before.value("mitosis_tasks_submitted_total", kind="suite") == 5
    assert before.value("mitosis_tasks_executed_total", via="managed", result="success") == 0

    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(5)
    await manager.hook_ended(hook_pb2.HOOK_TYPE_PREPARATION, hook_pb2.HOOK_RESULT_SUCCESS)
    await manager.report(tasks[:3])
    await manager.report(tasks[3:4], FAILED)
    await manager.report(tasks[4:], CANCELLED)
    # It was taken already.
    await manager.report(tasks[:1])
    await api.close_suite(suite.uuid)
    await manager.receive("suite_drained")
    await manager.finish()
    await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)

    # Nothing is told of a suite that is over.
    after = await scrape_when(coordinator, lambda now: not now.series("mitosis_suite_tasks"))
    assert after.value("mitosis_tasks_executed_total", via="managed", result="success") == 3
    assert after.value("mitosis_tasks_executed_total", via="managed", result="failure") == 1
    assert after.value("mitosis_tasks_cancelled_total", via="managed") == 1
    assert after.value("mitosis_tasks_dispatched_total", via="managed") == 5
    assert after.value("mitosis_stale_reports_total") == 1
    assert after.value("mitosis_task_commit_seconds_count", via="managed") == 3
    for move in (("Queued", "Open"), ("Open", "Executing"), ("Executing", "Complete")):
        labels = dict(zip(("from_state", "to_state"), move, strict=True))
        assert after.value("mitosis_suite_state_transitions_total", **labels) == 1, move
    assert after.value("mitosis_suite_duration_seconds_count", group_name=GROUP) == 1
    hook = {"hook_type": "preparation", "result": "success"}
    assert after.value("mitosis_env_hook_duration_seconds_count", **hook) == 1
    assert after.value("mitosis_env_hook_failures_total", hook_type="preparation") == 0
    assert not after.value("mitosis_suites_active", state="Executing")


async def test_what_is_refused_is_not_counted(api: Api, coordinator: RunningCoordinator) -> None:
    suite = await api.create()
    new = [task_service_pb2.NewTask(task_spec=NOOP)]
    await api.submit_all(suite.uuid, new, request_id="once")
    await api.submit_all(suite.uuid, new, request_id="once")
    await api.create(request_id="again")
    await api.create(request_id="again")
    found = await scrape(coordinator.metrics_url)
    assert found.value("mitosis_tasks_submitted_total", kind="suite") == 1
    assert found.value("mitosis_suites_created_total", group_name=GROUP, state="Queued") == 2


async def test_a_manager_has_series_while_it_is_connected(api: Api, coordinator: RunningCoordinator) -> None:
    manager = await api.connect()
    here = {"manager_uuid": manager.uuid}
    await manager.drop()
    await manager.attach()
    found = await scrape_when(coordinator, lambda now: now.value("mitosis_managers_active", state="Idle"))
    assert found.value("mitosis_manager_reconnections_total", **here) == 1
    assert found.value("mitosis_manager_workers", **here) == 0
    assert found.value("mitosis_stream_connections", type="manager") == 1
    assert found.value("mitosis_managers_registered") == 1
    assert found.value("mitosis_stream_messages_total", direction="received", message_type="attach") == 2
    assert found.value("mitosis_stream_messages_total", direction="sent", message_type="attached") == 2
    await manager.goodbye()
    found = await scrape_when(coordinator, lambda now: not now.value("mitosis_stream_connections", type="manager"))
    for name in ("mitosis_manager_workers", "mitosis_manager_reconnections_total"):
        assert found.series(name) == [], name
    moved = {"from_state": "Idle", "to_state": "Offline"}
    assert found.value("mitosis_manager_state_transitions_total", **moved) == 1


async def test_failures_are_counted_by_budget_and_reclaimed_tasks_by_cause(
    api: Api, coordinator: RunningCoordinator
) -> None:
    suite = await api.create()
    retried = task_pb2.TaskSpec(command="true", max_retries=1, retry_backoff_seconds=0)
    await api.submit(suite.uuid, 1, retried)
    await api.submit(suite.uuid, 3)
    manager = await api.connect()
    # Another one, so that a task that kills workers is worth another try.
    await api.connect()
    await manager.start()
    first, second, third, _ = sorted(await manager.fetch(4), key=lambda task: task.task_uuid)
    await manager.report([first], FAILED)
    await manager.report([second], WORKER_DIED)
    await manager.hand_back([third])
    returned = {"cause": "handed_back"}
    await scrape_when(coordinator, lambda now: now.value("mitosis_tasks_reclaimed_total", **returned) == 1)
    manager.restart()
    await manager.drop()
    await manager.attach()
    lost = {"cause": "holder_lost"}
    found = await scrape_when(coordinator, lambda now: now.value("mitosis_tasks_reclaimed_total", **lost))
    for budget in ("task", "worker"):
        assert found.value("mitosis_task_retries_total", budget=budget) == 1, budget
    assert found.value("mitosis_task_retries_total", budget="node") == found.value(
        "mitosis_tasks_reclaimed_total", **lost
    )


async def test_independent_workers_are_told_apart(api: Api, coordinator: RunningCoordinator) -> None:
    await api.submit_independent(2)
    found = await scrape_when(coordinator, lambda now: now.value("mitosis_queue_independent_tasks") == 2)
    assert found.value("mitosis_tasks_submitted_total", kind="independent") == 2
    worker = await api.connect_worker()
    await worker.report(await worker.fetch(2))
    found = await scrape_when(coordinator, lambda now: now.value("mitosis_queue_independent_tasks") == 0)
    assert found.value("mitosis_tasks_executed_total", via="independent", result="success") == 2
    assert found.value("mitosis_tasks_dispatched_total", via="independent") == 2
    assert found.value("mitosis_stream_connections", type="worker") == 1


async def test_the_one_that_leads_tells_of_the_database(database_url: str, tmp_path: Path) -> None:
    async with (
        running(coordinator_config(database_url, tmp_path / "one")) as first,
        running(coordinator_config(database_url, tmp_path / "two")) as second,
    ):
        await scrape_when(first, lambda now: now.value("mitosis_suites_active", state="Queued") == 0)
        followed = await scrape(second.metrics_url)
        assert followed.value("mitosis_coordinator_leader") == 0
        assert followed.series("mitosis_suites_active") == []
        assert followed.value("mitosis_db_pool_connections_max") == 5
        # What it says is not left behind when it leads no more.
        await first.inner.components.bus.leave()
        await scrape_when(first, lambda now: not now.series("mitosis_suites_active"))
        await scrape_when(second, lambda now: now.series("mitosis_suites_active"))
