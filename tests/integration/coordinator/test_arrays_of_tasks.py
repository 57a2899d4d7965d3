"""Tasks by the million: arrays that are made when they are about to run, and submission by a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

import grpc
import pytest

from mitosis.v1 import explain_pb2, suite_pb2, task_pb2, task_service_pb2
from mitosis_coordinator.domain.ids import UuidBlock
from mitosis_coordinator.sessions import holder
from mitosis_coordinator.storage import task_arrays
from mitosis_coordinator.storage.task_arrays import CHUNK, LOW_WATER
from tests.support.api import NOOP, Api, refused
from tests.support.invariants import assert_counters_agree, snapshot

HANDLER = task_pb2.TaskSpec(handler="m:f", envs={"A": "1"}, max_retries=2)
LONG = CHUNK * 2 + 100


async def submit_array(
    api: Api, suite_uuid: str, items: range | list[str], spec: task_pb2.TaskSpec = HANDLER, **fields: Any
) -> UuidBlock:
    """Submit an array; its ids."""
    request = task_service_pb2.SubmitArrayRequest(suite_uuid=suite_uuid, task_spec=spec, **fields)
    if isinstance(items, range):
        request.range.start, request.range.stop, request.range.step = items.start, items.stop, items.step
    else:
        request.list.payloads[:] = items
    made = (await api.tasks.SubmitArray(request, metadata=api.metadata)).tasks
    return UuidBlock(UUID(made.first_task_uuid), made.count)


async def submit_stream(api: Api, messages: Iterable[task_service_pb2.SubmitTaskStreamRequest]) -> Any:
    async def each() -> AsyncIterator[task_service_pb2.SubmitTaskStreamRequest]:
        for message in messages:
            yield message

    return await api.tasks.SubmitTaskStream(each(), metadata=api.metadata)


def message(count: int, **fields: Any) -> task_service_pb2.SubmitTaskStreamRequest:
    new = [task_service_pb2.NewTask(task_spec=NOOP)] * count
    return task_service_pb2.SubmitTaskStreamRequest(tasks=new, **fields)


async def test_an_array_of_a_million_is_one_row(api: Api, database_url: str) -> None:
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(1_000_000))
    assert len(ids) == 1_000_000
    now = await api.suite(suite.uuid)
    assert (now.total_tasks, now.pending_tasks) == (1_000_000, 1_000_000)
    assert len(snapshot(database_url)["active_tasks"]) == CHUNK
    assert_counters_agree(database_url)
    for index in (0, CHUNK - 1, CHUNK, 999_999):
        task = await api.task(str(ids[index]))
        assert (task.state, task.attempt) == (task_pb2.TASK_STATE_READY, 0)
        assert task.task_spec == task_pb2.TaskSpec(handler="m:f", envs={"A": "1"}, max_retries=2, payload=str(index))
    after = UUID(int=ids[999_999].int + 1)
    assert (await refused(api.task(str(after)))).reason == "NOT_FOUND"


async def test_what_was_cancelled_one_by_one_does_not_hide_what_comes_after_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "SWEEP_SECONDS", 600.0)
    monkeypatch.setattr(task_arrays, "CHUNK", 2)
    monkeypatch.setattr(task_arrays, "LOW_WATER", 1)
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(10))
    for index in range(2, 8):
        await api.cancel_task(str(ids[index]))
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(4)
    assert [task.task_uuid for task in tasks] == [str(ids[index]) for index in (0, 1, 8, 9)]
    await manager.report(tasks)
    counted = await api.suite(suite.uuid)
    assert (counted.completed_tasks, counted.cancelled_tasks, counted.pending_tasks) == (4, 6, 0)


@pytest.mark.parametrize("items", [range(10), range(5, -6, -3), range(-(2**53), 2**53 + 1, 2**53)])
async def test_payloads_are_the_numbers_of_the_range(api: Api, items: range) -> None:
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, items)
    payloads = [(await api.task(str(one))).task_spec.payload for one in ids]
    assert payloads == [str(number) for number in items]


async def test_a_list_of_payloads_is_made_at_once(api: Api) -> None:
    suite = await api.create()
    payloads = ['{"a": "é"}', "null", '"' + "x" * 1000 + '"']
    ids = await submit_array(api, suite.uuid, payloads, priority=3)
    tasks = [await api.task(one) for one in ids.texts()]
    assert [task.task_spec.payload for task in tasks] == payloads
    assert {(task.priority, task.task_spec.handler, task.task_spec.max_retries) for task in tasks} == {(3, "m:f", 2)}


async def test_a_manager_gets_every_task_of_an_array_once(api: Api, database_url: str) -> None:
    manager = await api.connect(max_workers=2)
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(LONG), task_pb2.TaskSpec(handler="m:f"))
    await api.close_suite(suite.uuid)
    await manager.start()
    seen: list[str] = []
    while len(seen) < LONG:
        tasks = await manager.fetch(min(1000, LONG - len(seen)))
        assert all(task_pb2.TaskSpec.FromString(task.task_spec).handler == "m:f" for task in tasks)
        seen += [task.task_uuid for task in tasks]
        await manager.report(tasks)
        assert len(snapshot(database_url)["active_tasks"]) <= CHUNK + LOW_WATER
    assert sorted(seen) == ids.texts()
    await api.suite_when(suite.uuid, lambda suite: suite.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)
    assert_counters_agree(database_url)
    assert snapshot(database_url)["task_arrays"] == []


async def test_what_is_more_urgent_goes_before_an_array_that_is_half_made(api: Api) -> None:
    manager = await api.connect(max_workers=2)
    suite = await api.create()
    await submit_array(api, suite.uuid, range(LONG), task_pb2.TaskSpec(handler="m:slow"))
    await manager.start()
    await manager.fetch(10)
    urgent = await submit_array(api, suite.uuid, range(LONG), task_pb2.TaskSpec(handler="m:fast"), priority=5)
    seen: list[str] = []
    while len(seen) < LONG:
        tasks = await manager.fetch(min(1000, LONG - len(seen)))
        seen += [task.task_uuid for task in tasks]
    assert seen == urgent.texts()


async def test_a_task_that_is_not_made_yet_can_be_cancelled(api: Api, database_url: str) -> None:
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(LONG))
    for index in (1, CHUNK + 1, LONG - 1):
        cancelled = await api.cancel_task(str(ids[index]), "not needed")
        assert cancelled.state == task_pb2.TASK_STATE_CANCELLED
        assert (cancelled.result.error, cancelled.task_spec.payload) == ("cancelled: not needed", str(index))
        assert (await refused(api.cancel_task(str(ids[index])))).reason == "WRONG_STATE"
    now = await api.suite(suite.uuid)
    assert (now.pending_tasks, now.cancelled_tasks) == (LONG - 3, 3)
    assert_counters_agree(database_url)
    manager = await api.connect(max_workers=2)
    await manager.start()
    seen: list[str] = []
    while len(seen) < LONG - 3:
        tasks = await manager.fetch(min(1000, LONG - 3 - len(seen)))
        seen += [task.task_uuid for task in tasks]
        await manager.report(tasks)
    assert len(set(seen)) == LONG - 3
    assert str(ids[CHUNK + 1]) not in seen
    assert_counters_agree(database_url)


async def test_a_task_that_is_not_made_yet_knows_its_place_in_line(api: Api) -> None:
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(LONG))
    for index in (CHUNK, LONG - 1):
        request = task_service_pb2.ExplainTaskRequest(uuid=str(ids[index]))
        explanation = (await api.tasks.ExplainTask(request, metadata=api.metadata)).explanation
        assert explanation.position == index + 1
        assert [obstacle.kind for obstacle in explanation.obstacles] == [explain_pb2.OBSTACLE_KIND_NO_HOLDER]


async def test_cancelling_a_suite_cancels_what_was_not_made(api: Api, database_url: str) -> None:
    suite = await api.create()
    ids = await submit_array(api, suite.uuid, range(LONG))
    await api.cancel_task(str(ids[LONG - 1]))
    answer = await api.cancel(suite.uuid)
    assert answer.cancelled_task_count == LONG - 1
    assert_counters_agree(database_url)
    last = await api.task(str(ids[LONG - 2]))
    assert (last.state, last.result.error) == (task_pb2.TASK_STATE_CANCELLED, "suite cancelled")


async def test_the_same_array_is_stored_once(api: Api) -> None:
    suite = await api.create()
    many = await asyncio.gather(*(submit_array(api, suite.uuid, range(LONG), request_id="a-1") for _ in range(4)))
    assert {ids[0] for ids in many} == {many[0][0]}
    assert (await api.suite(suite.uuid)).total_tasks == LONG
    told = await refused(submit_array(api, suite.uuid, range(LONG + 1), request_id="a-1"))
    assert told.reason == "REQUEST_ID_REUSED"


async def test_an_array_beyond_the_suite_s_limit_changes_nothing(api: Api, database_url: str) -> None:
    suite = await api.create()
    before = snapshot(database_url)
    for items in (range(1_000_001), range(-(2**53), 2**53)):
        told = await refused(submit_array(api, suite.uuid, items))
        assert (told.reason, told.code) == ("LIMIT_EXCEEDED", grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert snapshot(database_url) == before


async def test_a_stream_stores_each_message_in_order(api: Api) -> None:
    suite = await api.create()
    answer = await submit_stream(api, [message(300, suite_uuid=suite.uuid), message(200), message(1)])
    assert answer.task_count == 501
    assert [one.count for one in answer.ranges] == [300, 200, 1]
    firsts = [one.first_task_uuid for one in answer.ranges]
    assert firsts == sorted(firsts)
    assert (await api.suite(suite.uuid)).total_tasks == 501
    assert (await submit_stream(api, [])).task_count == 0


async def test_a_stream_that_fails_keeps_what_came_before(api: Api, database_url: str) -> None:
    suite = await api.create()
    bad = task_service_pb2.SubmitTaskStreamRequest(
        tasks=[task_service_pb2.NewTask(task_spec=task_pb2.TaskSpec(handler="no colon"))]
    )
    told = await refused(submit_stream(api, [message(10, suite_uuid=suite.uuid), message(10), bad, message(10)]))
    assert (told.reason, list(told.fields)) == ("INVALID_FIELD", ["tasks[20].task_spec.handler"])
    assert (await api.suite(suite.uuid)).total_tasks == 20
    assert_counters_agree(database_url)


async def test_a_repeated_stream_stores_nothing_twice(api: Api) -> None:
    suite = await api.create()
    messages = [message(10, suite_uuid=suite.uuid, request_id="s-1"), message(20)]
    first = await submit_stream(api, messages[:1])
    again = await submit_stream(api, messages)
    assert again.ranges[0] == first.ranges[0]
    # One message of it, repeated by itself.
    alone = task_service_pb2.SubmitTasksRequest(suite_uuid=suite.uuid, tasks=messages[1].tasks, request_id="s-1/1")
    answer = await api.tasks.SubmitTasks(alone, metadata=api.metadata)
    assert (answer.task_uuids[0], len(answer.task_uuids)) == (again.ranges[1].first_task_uuid, 20)
    assert (await api.suite(suite.uuid)).total_tasks == 30


async def test_a_stream_goes_to_one_place(api: Api) -> None:
    one, other = await api.create(), await api.create()
    told = await refused(submit_stream(api, [message(1, suite_uuid=one.uuid), message(1, suite_uuid=other.uuid)]))
    assert (told.reason, list(told.fields)) == ("INVALID_FIELD", ["suite_uuid"])
