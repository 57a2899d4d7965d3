"""What users do with suites: create, find, change, close, cancel, retry, watch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc.aio

from mitosis.v1 import hook_pb2, suite_pb2, suite_service_pb2, task_pb2, user_pb2
from tests.support.api import Api, refused
from tests.support.coordinator import coordinator_config, running

QUEUED, OPEN = suite_pb2.TASK_SUITE_STATE_QUEUED, suite_pb2.TASK_SUITE_STATE_OPEN
RUNS, COMPLETE = suite_pb2.TASK_SUITE_STATE_EXECUTING, suite_pb2.TASK_SUITE_STATE_COMPLETE
CANCELLED = suite_pb2.TASK_SUITE_STATE_CANCELLED

FULL: dict[str, Any] = {
    "name": "Nightly",
    "group_name": "default",
    "description": "every night",
    "labels": ["nightly build", "team=a"],
    "tags": ["gpu", "linux"],
    "priority": -7,
    "worker_schedule": suite_pb2.WorkerSchedulePlan(
        strategy=suite_pb2.WORKER_SCHEDULE_STRATEGY_PROPORTIONAL,
        worker_count=12,
        cpu_binding=suite_pb2.CPU_BINDING_EXCLUSIVE,
        cores=[0, 2],
        task_prefetch_count=5,
    ),
    "env_preparation": hook_pb2.EnvHookSpec(args=["prepare", "--all"], timeout_seconds=1.5, envs={"A": "1"}),
    "env_cleanup": hook_pb2.EnvHookSpec(command="rm -rf scratch", working_directory="/tmp"),
    "task_defaults": task_pb2.TaskSpec(handler="census:count", envs={"B": "2"}, timeout_seconds=60),
    "auto_close_timeout_seconds": 17,
    "max_preparation_failures": 4,
    "max_attempts": 5,
}


async def test_a_suite_is_stored_as_it_was_described(api: Api) -> None:
    created = await api.create(**FULL)
    for name, value in FULL.items():
        stored = getattr(created, name)
        assert (list(stored) if isinstance(value, list) else stored) == value, name
    assert (created.state, created.created_by, created.closed) == (QUEUED, "admin", False)
    assert created.HasField("created_at")
    assert not created.HasField("finished_at")
    assert await api.suite(created.uuid) == created


async def test_what_is_not_said_has_its_default(api: Api) -> None:
    suite = await api.create()
    assert (suite.priority, suite.auto_close_timeout_seconds) == (0, 180)
    assert (suite.max_preparation_failures, suite.max_attempts) == (3, 3)
    assert suite.worker_schedule.strategy == suite_pb2.WORKER_SCHEDULE_STRATEGY_FIXED
    assert not suite.worker_schedule.HasField("worker_count")
    assert suite.worker_schedule.task_prefetch_count == 32
    assert not suite.HasField("env_preparation")


async def test_the_same_request_creates_one_suite(api: Api) -> None:
    many = await asyncio.gather(*(api.create("once", request_id="r-1") for _ in range(5)))
    assert len({suite.uuid for suite in many}) == 1
    told = await refused(api.create("another", request_id="r-1"))
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")
    assert [suite.name for suite in (await api.list_suites()).suites] == ["once"]
    # The id is the caller's own: another user's is another one.
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)
    assert (await member.create("once", request_id="r-1")).uuid != many[0].uuid


async def test_a_request_id_is_not_used_up_by_a_call_that_failed(api: Api) -> None:
    assert (await refused(api.create("x", group_name="nowhere", request_id="r-1"))).reason == "NOT_FOUND"
    assert (await api.create("y", request_id="r-1")).name == "y"


async def test_suites_are_found_by_every_filter(api: Api) -> None:
    group = await api.group("physics")
    plain = await api.create("Plain")
    marked = await api.create("Marked", labels=["a", "b"], tags=["gpu", "linux"])
    foreign = await api.create("plain in physics", group_name=group, labels=["a"])
    await api.cancel(plain.uuid)

    async def found(**filters: object) -> list[str]:
        return [suite.uuid for suite in (await api.list_suites(**filters)).suites]

    assert await found() == [foreign.uuid, marked.uuid, plain.uuid]
    assert await found(state=CANCELLED) == [plain.uuid]
    assert await found(labels=["a"]) == [foreign.uuid, marked.uuid]
    assert await found(labels=["b", "a"]) == [marked.uuid]
    assert await found(tags=["gpu"]) == [marked.uuid]
    assert await found(name="PLAIN") == [foreign.uuid, plain.uuid]
    assert await found(name="%") == []
    assert await found(group_name=group) == [foreign.uuid]
    assert await found(group_name="default", name="plain", state=CANCELLED) == [plain.uuid]


async def test_a_list_goes_from_page_to_page(api: Api) -> None:
    created = [(await api.create(f"suite {number}", labels=["x"])).uuid for number in range(5)]
    seen: list[str] = []
    sizes = []
    token = ""
    while True:
        page = await api.list_suites(labels=["x"], page_size=2, page_token=token)
        seen += [suite.uuid for suite in page.suites]
        sizes.append(len(page.suites))
        # What comes meanwhile is newer than the first page.
        await api.create("later", labels=["x"])
        token = page.next_page_token
        if not token:
            break
    assert seen == created[::-1]
    assert sizes == [2, 2, 1]


async def test_users_see_and_change_what_their_role_allows(api: Api) -> None:
    suite = await api.create()
    stranger = await api.user()
    viewer = await api.user(user_pb2.GROUP_ROLE_VIEWER)
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)

    assert (await viewer.suite(suite.uuid)).uuid == suite.uuid
    assert [one.uuid for one in (await viewer.list_suites()).suites] == [suite.uuid]
    assert not (await stranger.list_suites()).suites
    hidden: list[Awaitable[object]] = [
        stranger.suite(suite.uuid),
        stranger.cancel(suite.uuid),
        stranger.update(suite.uuid, name="x"),
        stranger.list_suites(group_name="default"),
    ]
    for call in hidden:
        assert (await refused(call)).reason == "NOT_FOUND"
    forbidden: list[Awaitable[object]] = [
        viewer.cancel(suite.uuid),
        viewer.close_suite(suite.uuid),
        viewer.retry(suite.uuid),
        viewer.update(suite.uuid, name="x"),
        viewer.refresh(suite.uuid),
        viewer.create(),
    ]
    for call in forbidden:
        assert (await refused(call)).reason == "PERMISSION_DENIED"
    assert (await member.update(suite.uuid, name="renamed")).name == "renamed"


async def test_an_update_changes_what_is_present_and_nothing_else(api: Api) -> None:
    created = await api.create(**FULL)
    changed = await api.update(created.uuid, priority=3, labels={"values": []}, description="")
    assert (changed.priority, list(changed.labels), changed.description) == (3, [], "")
    for name in FULL.keys() - {"priority", "labels", "description"}:
        assert getattr(changed, name) == getattr(created, name), name
    replaced = await api.update(
        created.uuid,
        worker_schedule=suite_pb2.WorkerSchedulePlan(worker_count=2),
        env_cleanup=hook_pb2.EnvHookSpec(args=["true"]),
        task_defaults=task_pb2.TaskSpec(),
        max_attempts=1,
    )
    assert replaced.worker_schedule.strategy == suite_pb2.WORKER_SCHEDULE_STRATEGY_FIXED
    assert replaced.env_cleanup == hook_pb2.EnvHookSpec(args=["true"])
    assert (replaced.env_preparation, replaced.max_attempts) == (created.env_preparation, 1)
    assert replaced.task_defaults == task_pb2.TaskSpec()


async def test_a_cancelled_suite_allows_nothing_more(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 3)
    answer = await api.cancel(suite.uuid, reason="changed my mind")
    assert (answer.cancelled_task_count, answer.suite_state) == (3, CANCELLED)
    stored = await api.suite(suite.uuid)
    assert (stored.reason, stored.pending_tasks, stored.cancelled_tasks) == ("changed my mind", 0, 3)
    assert stored.HasField("finished_at")
    task = await api.task(ids[0])
    assert (task.state, task.result.error) == (
        task_pb2.TASK_STATE_CANCELLED,
        "suite cancelled: changed my mind",
    )
    calls: list[Awaitable[object]] = [
        api.cancel(suite.uuid),
        api.close_suite(suite.uuid),
        api.retry(suite.uuid),
        api.update(suite.uuid, name="x"),
        api.refresh(suite.uuid),
        api.submit(suite.uuid),
    ]
    for call in calls:
        told = await refused(call)
        assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
        assert (told.facts["state"], told.facts["allowed"]) == ("Cancelled", "")
        [violation] = told.details["PreconditionFailure"].violations
        assert violation.subject == f"suite/{suite.uuid}"


async def test_a_closed_suite_completes_when_nothing_is_pending(api: Api) -> None:
    suite = await api.create()
    assert (await api.close_suite(suite.uuid)).state == COMPLETE
    assert (await api.close_suite(suite.uuid)).state == COMPLETE
    # A task opens it again, and it is not closed any more.
    [task_uuid] = await api.submit(suite.uuid)
    opened = await api.suite(suite.uuid)
    assert (opened.state, opened.closed, opened.HasField("finished_at")) == (QUEUED, False, False)
    closed = await api.close_suite(suite.uuid)
    assert (closed.state, closed.closed) == (QUEUED, True)
    await api.cancel_task(task_uuid)
    assert (await api.suite(suite.uuid)).state == COMPLETE


async def test_a_complete_suite_can_be_cancelled(api: Api) -> None:
    suite = await api.create()
    await api.close_suite(suite.uuid)
    assert (await api.cancel(suite.uuid)).cancelled_task_count == 0
    assert (await api.suite(suite.uuid)).state == CANCELLED


async def test_a_timeout_of_zero_completes_the_suite_with_its_last_task(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    # Not before the first one.
    assert (await api.suite(suite.uuid)).state == QUEUED
    first, second = await api.submit(suite.uuid, 2)
    await api.cancel_task(first)
    assert (await api.suite(suite.uuid)).state == QUEUED
    await api.cancel_task(second)
    assert (await api.suite(suite.uuid)).state == COMPLETE


async def test_a_suite_completes_when_it_was_quiet_for_its_time(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=1)
    [task_uuid] = await api.submit(suite.uuid)
    await api.cancel_task(task_uuid)
    complete = await api.suite_when(suite.uuid, lambda s: s.state == COMPLETE)
    quiet = complete.finished_at.ToDatetime() - (await api.task(task_uuid)).finished_at.ToDatetime()
    assert quiet.total_seconds() >= 1


async def test_a_suite_with_pending_tasks_is_not_closed_by_time(api: Api) -> None:
    waiting = await api.create("waiting", auto_close_timeout_seconds=1)
    [task_uuid] = await api.submit(waiting.uuid)
    quiet = await api.create("quiet", auto_close_timeout_seconds=1)
    await api.suite_when(quiet.uuid, lambda s: s.state == COMPLETE)
    assert (await api.suite(waiting.uuid)).state == QUEUED
    await api.cancel_task(task_uuid)


async def test_a_shorter_timeout_counts_at_once(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=604_800)
    await api.update(suite.uuid, auto_close_timeout_seconds=1)
    await api.suite_when(suite.uuid, lambda s: s.state == COMPLETE)


async def test_retrying_what_has_nothing_failed_changes_nothing(api: Api) -> None:
    suite = await api.create()
    await api.close_suite(suite.uuid)
    answer = await api.retry(suite.uuid)
    assert (answer.retried_task_count, answer.suite.state) == (0, COMPLETE)


async def test_managers_are_added_by_their_place_in_the_group(api: Api) -> None:
    group = await api.group("physics")
    suite = await api.create(group_name=group)
    foreign = await api.register("foreign")
    told = await refused(api.add_managers(suite.uuid, foreign))
    assert told.fields == {
        "manager_uuids[0]": f"given {foreign.uuid}; accepts managers with the role Worker in group physics"
    }
    foreign.uuid = suite.uuid
    assert (await refused(api.add_managers(suite.uuid, foreign))).details["ResourceInfo"].resource_type == "manager"
    assert not (await api.suite(suite.uuid)).eligible_managers


async def test_watching_sends_every_change_and_ends_with_the_suite(api: Api) -> None:
    suite = await api.create()
    watch = watching(api, suite.uuid)
    seen = [(await watch.read()).suite]
    await api.submit(suite.uuid, 2)
    seen.append((await watch.read()).suite)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(2))
    await api.close_suite(suite.uuid)
    await manager.receive("suite_drained")
    await manager.finish()
    async with asyncio.timeout(10):
        while isinstance(response := await watch.read(), suite_service_pb2.WatchSuiteResponse):
            seen.append(response.suite)
    assert [(one.state, one.total_tasks) for one in seen[:2]] == [(QUEUED, 0), (QUEUED, 2)]
    last = seen[-1]
    assert (last.state, last.completed_tasks, last.assigned_managers) == (COMPLETE, 2, 0)
    # What is final has everything, the others only what a progress bar needs.
    for one in seen:
        names = [eligible.manager_name for eligible in one.eligible_managers]
        assert names == ([manager.name] if one.state == COMPLETE else [])
    assert all(before != after for before, after in pairwise(seen))


async def test_a_settled_suite_is_sent_once(api: Api) -> None:
    suite = await api.create()
    await api.cancel(suite.uuid)
    watch = watching(api, suite.uuid)
    assert [response.suite.state async for response in watch] == [CANCELLED]


async def test_watchers_are_told_when_the_coordinator_goes_down(
    consistent: None, database_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as outlives:
        async with running(coordinator_config(database_url, tmp_path)) as coordinator:
            suite = await Api(coordinator).create()
            channel = await outlives.enter_async_context(grpc.aio.insecure_channel(coordinator.grpc_address))
            watch = watching(Api(replace(coordinator, channel=channel)), suite.uuid)
            await watch.read()
        told = await refused(watch.read())
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert told.details["RetryInfo"].retry_delay.seconds == 1


def watching(api: Api, uuid: str) -> Any:
    """The stream of a suite's changes."""
    return api.suites.WatchSuite(suite_service_pb2.WatchSuiteRequest(uuid=uuid), metadata=api.metadata)
