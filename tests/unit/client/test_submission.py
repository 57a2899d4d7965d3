"""Many tasks by the client: streams that outlive broken connections, arrays, and the fast way to read a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from mitosis.v1 import task_service_pb2
from mitosis_client import AsyncClient, Client, StoredTasks, TaskRange, errors
from mitosis_client.aio import batching, submission
from mitosis_client.specs import NewTask
from tests.unit.client.fake import FakeCoordinator, failure

PART_BATCHES = 3


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "MAX_PART_BATCHES", PART_BATCHES)


def numbered(count: int) -> Iterator[NewTask]:
    """Tasks that can be read once."""
    return ({"handler": "m:f", "payload": number} for number in range(count))


def payloads(coordinator: FakeCoordinator, uuids: Sequence[str]) -> list[int]:
    return [int(coordinator.tasks[uuid].task_spec.payload) for uuid in uuids]


async def test_a_stream_is_stored_in_order_part_after_part(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    told: list[str] = []
    stored = await client.submit_stream(numbered(14_001), suite_uuid="s", on_stored=told.extend)
    assert coordinator.stream_sizes == [2000] * 7 + [1]
    assert coordinator.calls["SubmitTaskStream"] == 3
    assert (stored.task_count, [item.count for item in stored.ranges]) == (14_001, coordinator.stream_sizes)
    assert payloads(coordinator, stored.uuids) == list(range(14_001))
    assert told == list(stored.uuids)
    assert {task.suite_uuid for task in coordinator.tasks.values()} == {"s"}


async def test_asynchronous_tasks_are_streamed_and_no_tasks_make_no_call(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    async def tasks() -> AsyncIterator[NewTask]:
        for number in range(10):
            await asyncio.sleep(0)
            yield {"payload": number, "priority": 3, "tags": ["gpu"]}

    assert (await client.submit_stream([], group_name="g")) == StoredTasks()
    assert not coordinator.calls
    assert (await client.submit_stream(tasks(), group_name="g")).task_count == 10
    request: Any = coordinator.requests[0]
    assert (request.group_name, request.suite_uuid, request.tasks[0].priority) == ("g", "", 3)


async def test_a_stream_that_breaks_is_resumed_without_reading_its_source_again(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    coordinator.stream_breaks.extend([1, 3, 0])
    coordinator.lost_answers = 1
    told: list[str] = []
    stored = await client.submit_stream(numbered(14_001), suite_uuid="s", on_stored=told.extend)
    assert not coordinator.stream_breaks
    assert sorted(coordinator.stream_sizes + coordinator.batch_sizes) == [1] + [2000] * 7
    assert told == list(stored.uuids)
    assert payloads(coordinator, stored.uuids) == list(range(14_001))


async def test_a_stream_that_is_not_answered_is_resumed_too(coordinator: FakeCoordinator) -> None:
    coordinator.unanswered = 1
    async with AsyncClient(coordinator.address, timeout=0.5) as client:
        stored = await client.submit_stream(numbered(3000), suite_uuid="s")
    assert coordinator.batch_sizes == [2000, 1000]
    assert payloads(coordinator, stored.uuids) == list(range(3000))


async def test_a_stream_that_cannot_go_on_says_so_and_can_be_repeated(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    def go_away(uuids: Sequence[str]) -> None:
        coordinator.failures.extend([failure("SHUTTING_DOWN")] * 10)

    with pytest.raises(errors.Unavailable) as caught:
        await client.submit_stream(numbered(9000), suite_uuid="s", request_id="mine", on_stored=go_away)
    assert caught.value.__notes__ == ["6000 tasks were stored for certain"]
    coordinator.failures.clear()
    stored = await client.submit_stream(numbered(9000), suite_uuid="s", request_id="mine")
    assert coordinator.stream_sizes == [2000] * 4 + [1000]
    assert len(coordinator.tasks) == 9000
    assert payloads(coordinator, stored.uuids) == list(range(9000))


async def test_a_break_does_not_change_how_a_stream_is_cut(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    async def tasks() -> AsyncIterator[NewTask]:
        for task in numbered(14_001):
            if task["payload"] == 2001:
                # The first batch is stored, its stream is broken, and the client can know.
                while not coordinator.stream_sizes:  # noqa: ASYNC110 - the coordinator lives on another loop
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
            yield task

    coordinator.stream_breaks.append(1)
    first = await client.submit_stream(tasks(), suite_uuid="s", request_id="mine")
    assert coordinator.batch_sizes
    again = await client.submit_stream(numbered(14_001), suite_uuid="s", request_id="mine")
    assert again == first
    assert len(coordinator.tasks) == 14_001


async def test_what_comes_before_a_bad_task_is_stored(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    def tasks() -> Iterator[NewTask]:
        yield from numbered(8500)
        yield {"comand": "true"}  # type: ignore[typeddict-unknown-key]

    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_stream(tasks(), suite_uuid="s")
    assert [item.field for item in caught.value.violations] == ["tasks[8500].comand"]
    assert caught.value.__notes__ == ["8000 tasks were stored for certain"]
    assert len(coordinator.tasks) == 8000


async def test_a_refused_task_is_named_by_its_place_among_all(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    def refuse(uuids: Sequence[str]) -> None:
        # gRPC may lose the first, so both ways of storing a batch meet it.
        refusal = failure("INVALID_FIELD", violations={"tasks[7].task_spec.handler": "no"})
        coordinator.failures.extend([refusal, refusal])

    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_stream(numbered(10_000), suite_uuid="s", on_stored=refuse)
    assert caught.value.violations[0].field == "tasks[6007].handler"
    assert len(coordinator.tasks) == 6000


async def test_memory_of_a_stream_is_bounded(client: AsyncClient) -> None:
    made = done = most = 0

    def tasks() -> Iterator[NewTask]:
        nonlocal made, most
        for task in numbered(20_000):
            made += 1
            most = max(most, made - done)
            yield task

    def count(uuids: Sequence[str]) -> None:
        nonlocal done
        done += len(uuids)

    await client.submit_stream(tasks(), suite_uuid="s", on_stored=count)
    # A part, and the task that shows that its last batch is full.
    assert (done, most) == (20_000, PART_BATCHES * batching.MAX_BATCH_TASKS + 1)


async def test_a_name_that_leaves_no_room_is_refused(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    with pytest.raises(errors.InvalidField, match="request_id: given 81 characters; accepts 1 to 80"):
        await client.submit_stream(numbered(1), suite_uuid="s", request_id="x" * 81)
    assert not coordinator.calls


async def test_an_array_of_a_range_is_one_call(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.lost_answers = 1
    made = await client.submit_array(
        suite_uuid="s", task={"handler": "m:f", "max_retries": 2}, payloads=range(100), priority=4
    )
    assert (made.count, made.uuids[0], len(made.uuids)) == (100, made.first_task_uuid, 100)
    assert payloads(coordinator, made.uuids) == list(range(100))
    request: Any = coordinator.requests[0]
    assert (request.range.start, request.range.stop, request.range.step) == (0, 100, 1)
    assert (request.task_spec.handler, request.task_spec.max_retries, request.priority) == ("m:f", 2, 4)
    assert coordinator.calls["SubmitArray"] == 2
    assert coordinator.requests[1] == request


def test_an_array_of_values_by_the_synchronous_client(coordinator: FakeCoordinator) -> None:
    with Client(coordinator.address) as client:
        made = client.submit_array(suite_uuid="s", task={"command": "cat"}, payloads=[None, {"é": [1]}], request_id="a")
    request: Any = coordinator.requests[0]
    assert list(request.list.payloads) == ["null", '{"é":[1]}']
    assert (made.count, request.request_id) == (2, "a")


@pytest.mark.parametrize(
    ("task", "items", "field"),
    [
        ({"handler": 1}, [1], "task.handler"),
        ({"nonsense": 1}, [1], "task.nonsense"),
        ({}, "text", "payloads"),
        ({}, {"a": 1}, "payloads"),
        ({}, [1, {2}], "payloads[1]"),
        ({}, range(2**64), "payloads.stop"),
    ],
)
async def test_a_bad_array_names_its_arguments(
    client: AsyncClient, coordinator: FakeCoordinator, task: Any, items: Any, field: str
) -> None:
    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_array(suite_uuid="s", task=task, payloads=items)
    [violation] = caught.value.violations
    assert violation.field == field
    assert "; accepts " in violation.description
    assert not coordinator.calls


async def test_what_the_coordinator_refuses_of_an_array_is_named_by_its_arguments(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    told = {"task_spec.payload": "a", "range": "b", "list.payloads[3]": "c", "range.step": "d", "suite_uuid": "e"}
    coordinator.failures.append(failure("INVALID_FIELD", violations=told))
    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_array(suite_uuid="s", task={}, payloads=range(0))
    named = [item.field for item in caught.value.violations]
    assert named == ["task.payload", "payloads", "payloads[3]", "payloads.step", "suite_uuid"]


def test_uuids_are_a_sequence_over_all_ranges() -> None:
    first, second = "018f0000-0000-7000-8000-0000ffffffff", "018f0000-0000-7000-8000-0000000000fe"
    uuids = StoredTasks(5, (TaskRange(first, 2), TaskRange(second, 3))).uuids
    expected = [
        first,
        "018f0000-0000-7000-8000-000100000000",
        second,
        "018f0000-0000-7000-8000-0000000000ff",
        "018f0000-0000-7000-8000-000000000100",
    ]
    assert list(uuids) == [uuids[place] for place in range(5)] == uuids[:] == expected
    assert (uuids[-1], uuids[1:4:2], len(uuids)) == (expected[-1], expected[1:4:2], 5)
    with pytest.raises(IndexError):
        uuids[5]
    assert list(StoredTasks().uuids) == []


TASKS: list[Any] = [
    {},
    {"handler": "m:f"},
    {"handler": "m:f", "payload": None},
    {"command": "true", "working_directory": "/x", "payload": True},
    {"payload": 2**70},
    {"payload": {"a": [1.5, "é\u2028", {"b": None}]}},
    {"handler": None, "payload": 1},
    {"args": ["a"], "payload": [1], "priority": 2, "tags": ["x"]},
    {"handler": "m:f", "envs": {"A": "1"}, "max_retries": 1.0},
]
BAD_TASKS: list[Any] = [
    "text",
    {"handler": b"m:f"},
    {"handler": "\ud800"},
    {"payload": "\ud800"},
    {"payload": float("nan")},
    {"payload": {1, 2}},
    {"nonsense": 1, "handler": 5},
    {1: 2},
]


async def _message(task: Any) -> task_service_pb2.NewTask:
    [batch] = [item async for item in batching.batches([task], task_service_pb2.SubmitTasksRequest)]
    return batch.request.tasks[0]


@pytest.mark.parametrize("task", TASKS)
async def test_the_fast_way_makes_the_same_message(task: Any) -> None:
    assert await _message(task) == batching.new_task(task, 0)


@pytest.mark.parametrize("task", BAD_TASKS)
async def test_the_fast_way_refuses_the_same(task: Any) -> None:
    with pytest.raises(errors.InvalidField) as slow:
        batching.new_task(task, 0)
    with pytest.raises(errors.InvalidField) as fast:
        await _message(task)
    assert fast.value.violations == slow.value.violations
