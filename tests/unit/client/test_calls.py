"""Retries, pages, bulk submission and waiting."""

import asyncio
import inspect
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest

from mitosis.v1 import suite_pb2, suite_service_pb2, task_service_pb2
from mitosis_client import AsyncClient, Client, NewTask, RetryPolicy, errors
from mitosis_client.aio import batching
from tests.unit.client.fake import FakeCoordinator, failure

EXECUTING = suite_pb2.TASK_SUITE_STATE_EXECUTING
COMPLETE = suite_pb2.TASK_SUITE_STATE_COMPLETE


async def test_a_read_is_repeated(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    suite = await client.create_suite(name="x", group_name="g")
    coordinator.failures.extend([failure("STORAGE_UNAVAILABLE"), failure("SHUTTING_DOWN")])
    assert (await client.get_suite(suite.uuid)).name == "x"
    assert coordinator.calls["GetSuite"] == 3


async def test_a_create_whose_answer_was_lost_creates_once(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.lost_answers = 1
    suite = await client.create_suite({"name": "x", "group_name": "g"}, tags=["a"])
    assert coordinator.calls["CreateSuite"] == 2
    assert list(coordinator.suites) == [suite.uuid]
    assert suite.tags == ("a",)


async def test_a_call_that_is_not_answered_in_time_is_repeated_if_that_is_safe(coordinator: FakeCoordinator) -> None:
    coordinator.unanswered = 2
    async with AsyncClient(coordinator.address, timeout=0.2, retry=RetryPolicy(initial_wait=0.01)) as client:
        assert await client.submit_many([{"command": "true"}] * 3, suite_uuid="s") == 3
        assert coordinator.calls["SubmitTasks"] == 3
        assert len(coordinator.tasks) == 3
        coordinator.unanswered = 1
        with pytest.raises(errors.DeadlineExceeded):
            await client.cancel_suite("u")
        assert coordinator.calls["CancelSuite"] == 1


async def test_all_attempts_together_end_with_the_policy(coordinator: FakeCoordinator) -> None:
    coordinator.unanswered = 100
    policy = RetryPolicy(attempts=100, initial_wait=0.01, max_wait=0.01, timeout=0.5)
    async with AsyncClient(coordinator.address, timeout=0.4, retry=policy) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(errors.DeadlineExceeded):
            await client.submit_many([{"command": "true"}], suite_uuid="s")
        # The second attempt has what is left, where a whole one would last until 0.8 s.
        assert asyncio.get_running_loop().time() - began < 0.75
        assert coordinator.calls["SubmitTasks"] == 2


async def test_a_cancel_is_not_repeated(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.failures.append(failure("STORAGE_UNAVAILABLE"))
    with pytest.raises(errors.StorageUnavailable):
        await client.cancel_suite("u")
    assert coordinator.calls["CancelSuite"] == 1


async def test_retries_end(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.failures.extend(failure("STORAGE_UNAVAILABLE") for _ in range(50))
    with pytest.raises(errors.StorageUnavailable):
        await client.get_suite("u")
    assert coordinator.calls["GetSuite"] == 4


async def test_the_wait_that_the_coordinator_asks_for_is_kept(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    suite = await client.create_suite(name="x", group_name="g")
    coordinator.failures.append(failure("STORAGE_UNAVAILABLE", retry_seconds=0.3))
    started = asyncio.get_running_loop().time()
    await client.get_suite(suite.uuid)
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_refusal_is_not_repeated(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    with pytest.raises(errors.NotFound):
        await client.get_suite("u")
    assert coordinator.calls["GetSuite"] == 1


async def test_lists_read_page_after_page(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    for index in range(7):
        await client.create_suite(name=str(index), group_name="g")
    names = [suite.name async for suite in client.list_suites(page_size=3, state="Queued")]
    assert names == [str(index) for index in range(7)]
    assert coordinator.calls["ListSuites"] == 3
    with pytest.raises(errors.InvalidField, match="accepts one of Queued"):
        client.list_suites(state="queued")


async def test_one_task_is_submitted_with_its_priority(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.lost_answers = 1
    task = await client.submit_task({"handler": "m:f", "payload": [1], "priority": 5}, suite_uuid="s")
    assert task.task_spec is not None
    assert (task.state, task.task_spec.payload) == ("Ready", [1])
    request = coordinator.requests[-1]
    assert isinstance(request, task_service_pb2.SubmitTaskRequest)
    assert request.priority == 5
    assert len(coordinator.tasks) == 1


async def test_a_bad_task_names_its_fields(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_task({"handler": 1, "priority": "x", "nonsense": 2}, suite_uuid="s")  # type: ignore[typeddict-item, typeddict-unknown-key]
    assert sorted(item.field for item in caught.value.violations) == ["handler", "nonsense", "priority"]
    assert not coordinator.calls


async def test_many_tasks_travel_in_batches(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.delay = 0.05
    seen: list[str] = []
    tasks: list[NewTask] = [{"handler": "m:f", "payload": index} for index in range(10_001)]
    assert await client.submit_many(tasks, suite_uuid="s", on_batch=seen.extend) == 10_001
    assert sorted(coordinator.batch_sizes) == [1, 2000, 2000, 2000, 2000, 2000]
    assert 1 < coordinator.most_in_flight <= 3
    assert sorted(seen) == sorted(coordinator.tasks)


async def test_large_tasks_make_small_batches(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    tasks: list[NewTask] = [{"payload": "x" * 1_000_000} for _ in range(9)]
    assert await client.submit_many(tasks, suite_uuid="s") == 9
    assert max(coordinator.batch_sizes) * 1_000_000 <= batching.MAX_BATCH_BYTES


async def test_a_batch_whose_answer_was_lost_is_stored_once(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.lost_answers = 2
    assert await client.submit_many(({"command": "true"} for _ in range(5000)), suite_uuid="s") == 5000
    assert len(coordinator.tasks) == 5000
    assert coordinator.calls["SubmitTasks"] == 5


async def test_asynchronous_tasks_are_taken_as_they_come(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    async def tasks() -> AsyncIterator[NewTask]:
        for index in range(10):
            await asyncio.sleep(0)
            yield {"payload": index}

    assert await client.submit_many(tasks(), group_name="g") == 10
    assert await client.submit_many([], group_name="g") == 0


async def test_a_bad_task_stops_the_submission_and_is_named(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    def tasks() -> Iterator[NewTask]:
        for _ in range(2500):
            yield {"command": "true"}
        yield {"comand": "true"}  # type: ignore[typeddict-unknown-key]

    stored = 0

    def count(uuids: object) -> None:
        nonlocal stored
        stored += len(uuids)  # type: ignore[arg-type]

    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_many(tasks(), suite_uuid="s", on_batch=count)
    assert [item.field for item in caught.value.violations] == ["tasks[2500].comand"]
    assert stored == len(coordinator.tasks) == 2000


async def test_a_refused_batch_is_named_by_its_place_among_all(
    client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    async def tasks() -> AsyncIterator[NewTask]:
        for index in range(2001):
            yield {"payload": index}
        while len(coordinator.tasks) < 2000:  # noqa: ASYNC110 - the coordinator lives on another loop
            await asyncio.sleep(0.01)
        coordinator.failures.append(
            failure("INVALID_FIELD", violations={"tasks[0].task_spec.handler": "given nothing; accepts a handler"})
        )

    with pytest.raises(errors.InvalidField) as caught:
        await client.submit_many(tasks(), suite_uuid="s")
    assert caught.value.violations[0].field == "tasks[2000].handler"


async def test_memory_stays_bounded_however_many_tasks_come(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    made = done = most = 0

    def tasks() -> Iterator[NewTask]:
        nonlocal made, most
        for index in range(30_000):
            made += 1
            most = max(most, made - done)
            yield {"payload": index}

    def count(uuids: object) -> None:
        nonlocal done
        done += len(uuids)  # type: ignore[arg-type]

    assert await client.submit_many(tasks(), suite_uuid="s", on_batch=count) == 30_000
    # Three batches in flight, one being filled, one waiting for its turn.
    assert most <= 5 * batching.MAX_BATCH_TASKS


def test_batches_hold_no_more_than_one() -> None:
    async def drain() -> int:
        most = 0
        tasks: Iterator[NewTask] = ({"payload": "x" * 1000} for _ in range(20_000))
        async for batch in batching.batches(tasks, task_service_pb2.SubmitTasksRequest):
            most = max(most, batch.size_bytes)
            tracemalloc.clear_traces() if batch.first == 0 else None
        return most

    tracemalloc.start()
    try:
        most = asyncio.run(drain())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= batching.MAX_BATCH_BYTES
    assert peak < 20_000 * 1000


def _suite(state: suite_pb2.TaskSuiteState, completed: int, holders: int = 1) -> suite_pb2.TaskSuite:
    return suite_pb2.TaskSuite(
        uuid="u", state=state, total_tasks=3, completed_tasks=completed, assigned_managers=holders
    )


async def test_waiting_survives_broken_connections(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.suites["u"] = _suite(COMPLETE, 3, 0)

    async def watch(call: int) -> AsyncIterator[suite_pb2.TaskSuite]:
        # The first stream ends early and the second is refused, as by a coordinator that goes down; the third breaks.
        if call == 1:
            yield _suite(EXECUTING, 1)
            coordinator.failures.append(failure("SHUTTING_DOWN"))
        elif call == 3:
            yield _suite(EXECUTING, 2)
            coordinator.break_connections()
            await asyncio.sleep(60)
        else:
            yield _suite(COMPLETE, 3, 0)

    coordinator.watch = watch
    seen: list[int] = []
    suite = await client.wait_for_suite("u", on_progress=lambda suite: seen.append(suite.completed_tasks))
    assert suite.state == "Complete"
    assert seen == [1, 2, 3]
    assert coordinator.calls["WatchSuite"] == 4


async def test_waiting_can_include_the_cleanup(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.suites["u"] = _suite(COMPLETE, 3, 0)
    released = asyncio.Event()

    async def watch(_: int) -> AsyncIterator[suite_pb2.TaskSuite]:
        yield _suite(COMPLETE, 3, 1)
        await asyncio.sleep(0.2)
        released.set()
        yield _suite(COMPLETE, 3, 0)

    coordinator.watch = watch
    await client.wait_for_suite("u")
    assert not released.is_set()
    await client.wait_for_suite("u", until_released=True)
    assert released.is_set()


async def test_waiting_has_a_limit(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    async def watch(_: int) -> AsyncIterator[suite_pb2.TaskSuite]:
        yield _suite(EXECUTING, 1)
        await asyncio.sleep(60)

    coordinator.watch = watch
    with pytest.raises(errors.DeadlineExceeded, match=r"did not end within 0\.2 s"):
        await client.wait_for_suite("u", timeout=0.2)


async def test_waiting_for_nothing_ends_at_once(client: AsyncClient) -> None:
    with pytest.raises(errors.NotFound):
        await client.wait_for_suite("u")


def test_the_synchronous_client_has_every_call_of_the_asynchronous_one() -> None:
    calls = {name for name, value in inspect.getmembers(AsyncClient, callable) if not name.startswith("_")}
    assert calls == {name for name, value in inspect.getmembers(Client, callable) if not name.startswith("_")}
    for name in calls - {"close"}:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))
        assert getattr(Client, name).__doc__


def test_the_synchronous_client_works_and_leaves_no_thread(coordinator: FakeCoordinator) -> None:
    before = threading.active_count()
    with Client(coordinator.address) as client:
        suite = client.create_suite(name="x", group_name="g")
        assert client.submit_many([{"command": "true"}] * 3, suite_uuid=suite.uuid) == 3
        assert [found.uuid for found in client.list_suites()] == [suite.uuid]
        assert next(client.watch_suite(suite.uuid)).uuid == suite.uuid
        with pytest.raises(errors.NotFound):
            client.get_task("u")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get_suite(suite.uuid)
    assert threading.active_count() == before


async def test_requests_are_built_before_anything_is_sent(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    with pytest.raises(errors.InvalidField):
        await client.create_suite(name="x", group_name="g", worker_schedule={"strategy": "Nope"})  # type: ignore[typeddict-item]
    assert not coordinator.calls
    await client.update_suite((await client.create_suite(name="x", group_name="g")).uuid, labels=["a"], priority=2)
    request = coordinator.requests[-1]
    assert isinstance(request, suite_service_pb2.UpdateSuiteRequest)
    assert list(request.labels.values) == ["a"]
