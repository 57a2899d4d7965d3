"""What users do with tasks: submit one or many, find, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import grpc

from mitosis.v1 import suite_pb2, task_pb2, task_service_pb2, user_pb2
from tests.support.api import NOOP, Api, refused
from tests.support.coordinator import coordinator_config, running
from tests.support.invariants import snapshot

READY, GONE = task_pb2.TASK_STATE_READY, task_pb2.TASK_STATE_CANCELLED

FULL = task_pb2.TaskSpec(
    args=["convert", "a b"],
    envs={"A": "1"},
    working_directory="/tmp",
    timeout_seconds=2.5,
    payload='{"model": "résumé", "batch": 1}',
    max_retries=3,
    retry_backoff_seconds=0.5,
)


async def submit_one(api: Api, **fields: object) -> task_pb2.Task:
    request = task_service_pb2.SubmitTaskRequest(**fields)  # type: ignore[arg-type]
    return (await api.tasks.SubmitTask(request, metadata=api.metadata)).task


async def test_a_task_is_stored_as_it_was_described(api: Api) -> None:
    suite = await api.create()
    task = await submit_one(api, suite_uuid=suite.uuid, group_name="default", task_spec=FULL, priority=-4)
    assert task.task_spec == FULL
    assert (task.suite_uuid, task.group_name, task.state, task.attempt) == (suite.uuid, "default", READY, 0)
    assert (task.priority, task.created_by, task.manager_uuid) == (-4, "admin", "")
    assert not task.HasField("result")
    assert await api.task(task.uuid) == task
    assert (await api.suite(suite.uuid)).pending_tasks == 1


async def test_many_tasks_get_ids_in_the_order_of_the_request(api: Api) -> None:
    suite = await api.create()
    specs = [task_pb2.TaskSpec(handler="m:f", payload=str(number)) for number in range(1000)]
    ids = await api.submit_all(suite.uuid, [task_service_pb2.NewTask(task_spec=spec) for spec in specs])
    assert ids == sorted(ids)
    for place in (0, 500, 999):
        assert (await api.task(ids[place])).task_spec.payload == str(place)
    assert (await api.suite(suite.uuid)).total_tasks == 1000


async def test_the_same_request_stores_its_tasks_once(api: Api) -> None:
    suite = await api.create()
    new = [task_service_pb2.NewTask(task_spec=NOOP)] * 10
    many = await asyncio.gather(*(api.submit_all(suite.uuid, new, request_id="r-1") for _ in range(4)))
    assert all(ids == many[0] for ids in many)
    assert len(set(many[0])) == 10
    assert (await api.suite(suite.uuid)).total_tasks == 10
    # Also when the tasks have gone on meanwhile.
    await api.cancel_task(many[0][0])
    assert await api.submit_all(suite.uuid, new, request_id="r-1") == many[0]
    told = await refused(api.submit_all(suite.uuid, new[:9], request_id="r-1"))
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")
    assert (await api.suite(suite.uuid)).total_tasks == 10


async def test_one_task_is_submitted_once_too(api: Api) -> None:
    suite = await api.create()
    fields = {"suite_uuid": suite.uuid, "task_spec": NOOP, "request_id": "r-1"}
    first, second = await submit_one(api, **fields), await submit_one(api, **fields)
    assert first == second
    assert (await refused(submit_one(api, **fields, priority=1))).reason == "REQUEST_ID_REUSED"
    assert (await api.suite(suite.uuid)).total_tasks == 1


async def test_the_same_request_is_answered_after_the_suite_ended(api: Api) -> None:
    """The answer to the first call may have been lost, and the repetition is late."""
    suite = await api.create()
    new = [task_service_pb2.NewTask(task_spec=NOOP)]
    ids = await api.submit_all(suite.uuid, new, request_id="r-1")
    await api.cancel(suite.uuid)
    assert await api.submit_all(suite.uuid, new, request_id="r-1") == ids


async def test_a_batch_is_stored_whole_or_not_at_all(api: Api, database_url: str) -> None:
    suite = await api.create()
    before = snapshot(database_url)
    new = [task_service_pb2.NewTask(task_spec=NOOP) for _ in range(20)]
    new[17].task_spec.CopyFrom(task_pb2.TaskSpec(handler="nonsense"))
    told = await refused(api.submit_all(suite.uuid, new, request_id="r-1"))
    assert list(told.fields) == ["tasks[17].task_spec.handler"]
    assert snapshot(database_url) == before


async def test_a_suite_says_what_runs_where_a_task_does_not(api: Api) -> None:
    silent = task_pb2.TaskSpec()
    suite = await api.create("with defaults", task_defaults=task_pb2.TaskSpec(handler="m:f"))
    await api.submit(suite.uuid, spec=silent)
    bare = await api.create("without")
    told = await refused(api.submit(bare.uuid, 2, silent))
    assert list(told.fields) == ["tasks[0].task_spec", "tasks[1].task_spec"]
    # What a payload means may be the manager's business.
    await api.submit(bare.uuid, spec=task_pb2.TaskSpec(payload="{}"))


async def test_the_group_of_a_task_is_its_suites(api: Api) -> None:
    group = await api.group("physics")
    suite = await api.create(group_name=group)
    told = await refused(submit_one(api, suite_uuid=suite.uuid, group_name="default", task_spec=NOOP))
    assert list(told.fields) == ["group_name"]
    assert '"physics", the group of the suite' in told.fields["group_name"]
    assert (await submit_one(api, suite_uuid=suite.uuid, task_spec=NOOP)).group_name == "physics"


async def test_an_independent_task_needs_a_group(api: Api) -> None:
    assert list((await refused(submit_one(api, task_spec=NOOP))).fields) == ["group_name"]
    task = await submit_one(api, task_spec=NOOP, group_name="default")
    assert (task.suite_uuid, task.state) == ("", READY)
    assert (await api.cancel_task(task.uuid)).state == GONE


async def test_tasks_are_found_by_every_filter_page_by_page(api: Api) -> None:
    group = await api.group("physics")
    suite, foreign = await api.create(), await api.create(group_name=group)
    ids = await api.submit(suite.uuid, 5)
    [elsewhere] = await api.submit(foreign.uuid)
    independent = (await submit_one(api, task_spec=NOOP, group_name="default")).uuid
    await api.cancel_task(ids[2])

    async def found(**filters: object) -> list[str]:
        seen: list[str] = []
        token = ""
        while True:
            page = await api.list_tasks(page_size=2, page_token=token, **filters)
            seen += [task.uuid for task in page.tasks]
            token = page.next_page_token
            if not token:
                return seen
            assert len(page.tasks) == 2

    assert await found() == [independent, elsewhere, *reversed(ids)]
    assert await found(suite_uuid=suite.uuid) == ids[::-1]
    assert await found(suite_uuid=suite.uuid, state=GONE) == [ids[2]]
    assert await found(suite_uuid=suite.uuid, state=READY) == [ids[4], ids[3], ids[1], ids[0]]
    assert await found(state=GONE) == [ids[2]]
    assert await found(group_name="physics") == [elsewhere]
    assert await found(group_name="physics", suite_uuid=suite.uuid) == []
    assert await found(suite_uuid=suite.uuid, state=task_pb2.TASK_STATE_RUNNING) == []


async def test_users_see_and_change_what_their_role_allows(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    stranger = await api.user()
    viewer = await api.user(user_pb2.GROUP_ROLE_VIEWER)
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)
    hidden: list[Awaitable[object]] = [
        stranger.task(task_uuid),
        stranger.cancel_task(task_uuid),
        stranger.submit(suite.uuid),
        stranger.list_tasks(suite_uuid=suite.uuid),
    ]
    for call in hidden:
        assert (await refused(call)).reason == "NOT_FOUND"
    assert not (await stranger.list_tasks()).tasks
    assert (await viewer.task(task_uuid)).uuid == task_uuid
    forbidden: list[Awaitable[object]] = [viewer.cancel_task(task_uuid), viewer.submit(suite.uuid)]
    for call in forbidden:
        assert (await refused(call)).reason == "PERMISSION_DENIED"
    assert (await member.cancel_task(task_uuid)).state == GONE


async def test_a_finished_task_cannot_be_cancelled(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    await api.cancel_task(task_uuid)
    told = await refused(api.cancel_task(task_uuid))
    assert (told.reason, told.facts) == (
        "WRONG_STATE",
        {"state": "Cancelled", "event": "cancelled", "allowed": ""},
    )
    assert (await api.suite(suite.uuid)).cancelled_tasks == 1


async def test_cancelling_at_once_from_many_sides_counts_once(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 20)
    calls = [api.cancel_task(task_uuid) for task_uuid in ids for _ in range(2)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, task_pb2.Task) for answer in answers) == 20
    assert (await api.suite(suite.uuid)).cancelled_tasks == 20


async def test_submitting_while_the_suite_is_cancelled_leaves_nothing_behind(api: Api) -> None:
    for _ in range(5):
        suite = await api.create()
        calls = [api.submit(suite.uuid, 5) for _ in range(4)]
        *answers, cancelled = await asyncio.gather(*calls, api.cancel(suite.uuid), return_exceptions=True)
        assert not isinstance(cancelled, BaseException)
        stored = sum(len(answer) for answer in answers if isinstance(answer, list))
        ended = await api.suite(suite.uuid)
        assert (ended.pending_tasks, ended.cancelled_tasks) == (0, stored)


async def test_a_suite_has_room_for_so_many_tasks(consistent: None, database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, task_suites={"max_tasks_per_suite": 5})
    async with running(config) as coordinator:
        api = Api(coordinator)
        suite = await api.create()
        await api.submit(suite.uuid, 4)
        told = await refused(api.submit(suite.uuid, 2))
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        assert "6 is over the limit of 5" in told.message
        await api.submit(suite.uuid, 1)
        assert (await api.suite(suite.uuid)).total_tasks == 5


async def test_a_complete_suite_opens_for_more(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    [task_uuid] = await api.submit(suite.uuid)
    await api.cancel_task(task_uuid)
    assert (await api.suite(suite.uuid)).state == suite_pb2.TASK_SUITE_STATE_COMPLETE
    await api.submit(suite.uuid)
    assert (await api.suite(suite.uuid)).state == suite_pb2.TASK_SUITE_STATE_QUEUED


async def test_a_back_off_too_short_to_be_stored_is_none(api: Api) -> None:
    spec = task_pb2.TaskSpec(command="true", retry_backoff_seconds=1e-300)
    suite = await api.create(task_defaults=spec)
    [task] = await api.submit(suite.uuid, spec=spec)
    assert (await api.task(task)).state == task_pb2.TASK_STATE_READY
