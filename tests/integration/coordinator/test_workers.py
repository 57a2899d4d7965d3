"""Independent workers: who gets which task, what is theirs, and what becomes of it when they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from mitosis.v1 import manager_service_pb2, task_pb2, task_service_pb2, user_pb2, worker_pb2, worker_service_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_coordinator.domain.worker import MAX_WORKERS_LOST
from tests.support.api import GROUP, NOOP, Api, refused
from tests.support.coordinator import bearer, coordinator_config, refusal, running
from tests.support.scripted_manager import CANCELLED, FAILED, WORKER_DIED
from tests.support.scripted_worker import ScriptedWorker

READY, DISPATCHED, RUNNING = task_pb2.TASK_STATE_READY, task_pb2.TASK_STATE_DISPATCHED, task_pb2.TASK_STATE_RUNNING
DONE, BROKEN, GONE = task_pb2.TASK_STATE_COMPLETED, task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_CANCELLED
OFFLINE, IDLE, BUSY = worker_pb2.WORKER_STATE_OFFLINE, worker_pb2.WORKER_STATE_IDLE, worker_pb2.WORKER_STATE_BUSY


async def test_a_worker_is_registered_attaches_and_leaves(api: Api) -> None:
    worker = await api.register_worker("laptop", tags=["gpu"])
    assert (await api.worker(worker)).state == OFFLINE
    attached = await worker.attach()
    assert (attached.worker_uuid, attached.worker_name, attached.session_epoch) == (worker.uuid, "laptop", 1)
    assert (attached.heartbeat_interval.seconds, attached.heartbeat_timeout.seconds) == (30, 90)
    assert attached.token_expires_at.seconds > 0
    shown = await api.worker(worker)
    assert (shown.state, shown.hostname) == (IDLE, "nowhere")
    assert (list(shown.tags), list(shown.group_names)) == (["gpu"], [GROUP])
    await worker.beat(completed=3, failed=1)
    shown = await api.worker_when(worker, lambda one: one.tasks_completed)
    assert (shown.tasks_completed, shown.tasks_failed) == (3, 1)
    await worker.goodbye()
    shown = await api.worker(worker)
    assert (shown.state, shown.tasks_completed) == (OFFLINE, 3)


async def test_a_task_of_no_suite_runs_on_a_worker(api: Api) -> None:
    [task_id] = await api.submit_independent()
    worker = await api.connect_worker()
    [task] = await worker.fetch(1)
    assert (task.task_uuid, task.attempt) == (task_id, 1)
    held = await api.task(task_id)
    assert (held.state, held.worker_uuid, held.worker_name) == (DISPATCHED, worker.uuid, worker.name)
    assert (held.manager_uuid, held.suite_uuid) == ("", "")
    assert (await api.worker(worker)).state == BUSY
    await worker.started([task])
    await api.task_when(task_id, lambda one: one.state == RUNNING)
    assert await worker.report([task]) == []
    done = await api.task(task_id)
    assert (done.state, done.worker_name, done.attempt) == (DONE, worker.name, 1)
    assert (await api.worker(worker)).state == IDLE
    # The same report again is late.
    assert await worker.report([task]) == [task_id]


async def test_a_waiting_worker_gets_a_task_at_once(api: Api) -> None:
    worker = await api.connect_worker()
    await worker.grant(2)
    await asyncio.sleep(0.2)
    async with asyncio.timeout(1.0):
        [task_id] = await api.submit_independent()
        [task] = await worker.tasks(1)
    assert task.task_uuid == task_id


async def test_workers_see_no_suite_and_managers_nothing_else(api: Api) -> None:
    suite = await api.create()
    of_suite = await api.submit(suite.uuid, 3)
    independent = await api.submit_independent(3)
    worker, manager = await api.connect_worker(), await api.connect()
    await manager.start()
    await worker.grant(10)
    await manager.grant(10)
    assert {task.task_uuid for task in await worker.tasks(3)} == set(independent)
    assert {task.task_uuid for task in await manager.tasks(3)} == set(of_suite)
    await asyncio.sleep(0.2)
    assert worker.waiting("task_batch") == manager.waiting("task_batch") == 0


async def test_tags_and_groups_decide(api: Api) -> None:
    other = await api.group("other")
    with_tags = await api.submit_independent(tags=["gpu", 'a"{b}'])
    plain = await api.submit_independent()
    elsewhere = await api.submit_independent(group_name=other)
    assert list((await api.task(with_tags[0])).tags) == ["gpu", 'a"{b}']
    bare = await api.connect_worker(groups=[GROUP])
    assert [task.task_uuid for task in await bare.fetch(1)] == plain
    await bare.grant(5)
    tagged = await api.register_worker(groups=[GROUP, other])
    # What a worker says of itself when it attaches replaces what registration said.
    tagged.tags = ["gpu", 'a"{b}', "more"]
    await tagged.attach()
    await tagged.grant(5)
    assert {task.task_uuid for task in await tagged.tasks(2)} == {*with_tags, *elsewhere}
    await asyncio.sleep(0.2)
    assert bare.waiting("task_batch") == 0


async def test_priority_goes_before_age_across_groups(api: Api) -> None:
    other = await api.group("other")
    ids = []
    for group, priority in ((GROUP, 0), (other, 5), (GROUP, 9)):
        new = task_service_pb2.NewTask(task_spec=NOOP, priority=priority)
        ids += await api.submit_all("", [new], group_name=group)
    worker = await api.connect_worker(groups=[GROUP, other])
    order = [(await worker.fetch(1))[0].task_uuid for _ in range(3)]
    assert order == [ids[2], ids[1], ids[0]]


async def test_tags_of_a_suites_task_are_refused_by_name(api: Api) -> None:
    suite = await api.create()
    tagged = task_service_pb2.NewTask(task_spec=NOOP, tags=["gpu"])
    refusal_ = await refused(api.submit_all(suite.uuid, [task_service_pb2.NewTask(task_spec=NOOP), tagged]))
    assert list(refusal_.fields) == ["tasks[1].tags"]
    single = task_service_pb2.SubmitTaskRequest(suite_uuid=suite.uuid, task_spec=NOOP, tags=["gpu"])
    assert list((await refused(api.tasks.SubmitTask(single, metadata=api.metadata))).fields) == ["tags"]
    wrong = task_service_pb2.NewTask(task_spec=NOOP, tags=["two words"])
    assert list((await refused(api.submit_all("", [wrong], group_name=GROUP))).fields) == ["tasks[0].tags[0]"]


async def test_a_worker_that_comes_back_resumes(api: Api) -> None:
    ids = await api.submit_independent(4)
    worker = await api.connect_worker()
    tasks = await worker.fetch(3)
    assignment_id = worker.assignment_id
    await worker.drop()
    await api.cancel_task(ids[2])
    attached = await worker.attach(held=[tasks[0], tasks[2]])
    assert (attached.assignment_id, attached.session_epoch) == (assignment_id, 2)
    assert [one.task_uuid for one in attached.revoked_tasks] == [ids[2]]
    # It lost the second one, which costs nothing.
    lost = await api.task(ids[1])
    assert (lost.state, len(lost.failures)) == (READY, 0)
    again = await worker.fetch(2)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[1], 2), (ids[3], 1)]
    assert await worker.report([tasks[0], *again]) == []


async def test_a_restarted_worker_lost_what_it_has_no_result_of(api: Api) -> None:
    ids = await api.submit_independent(4)
    worker = await api.connect_worker()
    tasks = await worker.fetch(3)
    await worker.started(tasks[1:2])
    await api.task_when(ids[1], lambda one: one.state == RUNNING)
    before = worker.assignment_id
    await worker.drop()
    worker.restart()
    # What it has the result of, and one that was never its own.
    foreign = pb.AssignedTask(task_uuid=ids[3], attempt=1)
    attached = await worker.attach(held=[tasks[0], foreign])
    assert attached.assignment_id == before
    assert [one.task_uuid for one in attached.revoked_tasks] == [ids[3]]
    assert await worker.report(tasks[:1]) == []
    done = await api.task(ids[0])
    assert (done.state, done.attempt, len(done.failures)) == (DONE, 1, 0)
    # The one that ran is charged with the worker, the one that waited with the node.
    kinds = {}
    for task_id in ids[1:3]:
        lost = await api.task(task_id)
        assert lost.state == READY
        [failure] = lost.failures
        assert (failure.attempt, failure.worker_name, failure.error) == (1, worker.name, "its worker was restarted")
        kinds[task_id] = failure.kind
    assert kinds == {ids[1]: task_pb2.FAILURE_KIND_WORKER, ids[2]: task_pb2.FAILURE_KIND_NODE}
    # What the dead process did besides is fenced off.
    assert await worker.report(tasks[1:]) == ids[1:3]
    again = await worker.fetch(3)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[1], 2), (ids[2], 2), (ids[3], 1)]
    assert await worker.report(again) == []


async def test_a_task_that_ends_every_process_that_runs_it_is_failed(api: Api) -> None:
    [poison, innocent] = await api.submit_independent(2)
    first, second = await api.connect_worker(), await api.connect_worker()
    for lost in range(MAX_WORKERS_LOST):
        worker = (first, second)[lost % 2]
        tasks = await worker.fetch(2)
        assert [(task.task_uuid, task.attempt) for task in tasks] == [(poison, lost + 1), (innocent, lost + 1)]
        await worker.drop()
        worker.restart()
        await worker.attach()
    ended = await api.task(poison)
    assert (ended.state, ended.worker_name) == (BROKEN, first.name)
    why = "5 workers were lost while they ran it, the last one because its worker was restarted"
    assert ended.result.error == why
    assert [failure.kind for failure in ended.failures] == [task_pb2.FAILURE_KIND_WORKER] * MAX_WORKERS_LOST
    assert {failure.worker_name for failure in ended.failures} == {first.name, second.name}
    explained = await api.tasks.ExplainTask(task_service_pb2.ExplainTaskRequest(uuid=poison), metadata=api.metadata)
    assert why in explained.explanation.summary
    # What only waited beside it is not to blame, and still runs.
    [task] = await second.fetch(1)
    assert (task.task_uuid, await second.report([task])) == (innocent, [])
    done = await api.task(innocent)
    assert {failure.kind for failure in done.failures} == {task_pb2.FAILURE_KIND_NODE}


async def test_another_stream_of_the_same_worker_takes_its_place(api: Api) -> None:
    worker = await api.connect_worker()
    twin = ScriptedWorker(api.coordinator.channel, worker.name, worker.uuid, worker.token)
    await twin.attach()
    error = await worker.ended()
    assert error is not None
    assert refusal(error).reason == "SESSION_REPLACED"
    [task_id] = await api.submit_independent()
    [task] = await twin.fetch(1)
    assert task.task_uuid == task_id
    await twin.drop()


async def test_what_is_handed_back_or_left_goes_to_another_without_charge(api: Api) -> None:
    ids = await api.submit_independent(2)
    first = await api.connect_worker()
    tasks = await first.fetch(2)
    second = await api.connect_worker()
    await second.grant(2)
    await first.hand_back(tasks[:1])
    [got] = await second.tasks(1)
    assert (got.task_uuid, got.attempt) == (ids[0], 2)
    await first.goodbye()
    [got] = await second.tasks(1)
    assert (got.task_uuid, got.attempt) == (ids[1], 2)
    assert (await api.task(ids[1])).failures == []


async def test_cancelling_reaches_the_worker(api: Api) -> None:
    [task_id] = await api.submit_independent()
    worker = await api.connect_worker()
    [task] = await worker.fetch(1)
    cancelled = await api.cancel_task(task_id, "no need")
    assert (cancelled.state, cancelled.worker_name) == (GONE, worker.name)
    order = await worker.receive("cancel_tasks")
    assert [(one.task_uuid, one.attempt) for one in order.tasks] == [(task_id, 1)]
    # Told as cancelled it is no news; told as completed it comes too late.
    assert await worker.report([task], CANCELLED) == []
    assert await worker.report([task]) == [task_id]
    assert (await api.worker(worker)).state == IDLE


async def test_a_failed_run_is_repeated_as_the_task_asks(api: Api) -> None:
    spec = task_pb2.TaskSpec(command="false", max_retries=1, retry_backoff_seconds=0.1)
    [task_id] = await api.submit_independent(spec=spec)
    worker = await api.connect_worker()
    [task] = await worker.fetch(1)
    await worker.grant(1)
    await worker.report([task], FAILED, error="exit code 1")
    [again] = await worker.tasks(1)
    assert again.attempt == 2
    await worker.report([again], FAILED, error="exit code 1")
    ended = await api.task(task_id)
    assert ended.state == BROKEN
    assert [failure.worker_name for failure in ended.failures] == [worker.name] * 2


async def test_a_task_that_killed_a_worker_goes_to_another_one_or_fails(api: Api) -> None:
    [task_id] = await api.submit_independent()
    first, second = await api.connect_worker(), await api.connect_worker()
    [task] = await first.fetch(1)
    await first.grant(1)
    assert await first.report([task], WORKER_DIED) == []
    [again] = await second.fetch(1)
    assert again.task_uuid == task_id
    assert first.waiting("task_batch") == 0
    assert await second.report([again], WORKER_DIED) == []
    ended = await api.task(task_id)
    assert ended.state == BROKEN
    assert "no other worker is there" in ended.result.error


async def test_a_shutdown_reaches_the_worker(api: Api) -> None:
    worker = await api.connect_worker()
    request = worker_service_pb2.ShutdownWorkerRequest(uuid=worker.uuid, graceful=False)
    await api.workers.ShutdownWorker(request, metadata=api.metadata)
    order: pb.Shutdown = await worker.receive("shutdown")
    assert not order.graceful
    # Nothing more is handed out to it.
    await worker.grant(5)
    [task_id] = await api.submit_independent()
    await asyncio.sleep(0.2)
    assert (await api.task(task_id)).state == READY
    await worker.goodbye()
    assert (await refused(api.workers.ShutdownWorker(request, metadata=api.metadata))).reason == "WRONG_STATE"


async def test_who_may_do_what(api: Api) -> None:
    other = await api.group("other")
    worker = await api.register_worker("box", groups=[GROUP, other])
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)
    stranger = await api.user()
    register = worker_service_pb2.RegisterWorkerRequest(name="mine", group_names=[GROUP])
    assert (await refused(member.workers.RegisterWorker(register, metadata=member.metadata))).reason == (
        "PERMISSION_DENIED"
    )
    assert (await refused(stranger.workers.RegisterWorker(register, metadata=stranger.metadata))).reason == "NOT_FOUND"
    # Groups that are none of the caller's business are left out.
    assert list((await member.worker(worker)).group_names) == [GROUP]
    assert (await refused(stranger.worker(worker))).reason == "NOT_FOUND"
    shutdown = worker_service_pb2.ShutdownWorkerRequest(uuid=worker.uuid)
    assert (await refused(member.workers.ShutdownWorker(shutdown, metadata=member.metadata))).reason == (
        "PERMISSION_DENIED"
    )
    assert (await refused(admin.workers.ShutdownWorker(shutdown, metadata=admin.metadata))).reason == "WRONG_STATE"
    listed = await stranger.workers.ListWorkers(worker_service_pb2.ListWorkersRequest(), metadata=stranger.metadata)
    assert list(listed.workers) == []


async def test_lists_filter_and_page(api: Api) -> None:
    for name, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", [])):
        await api.register_worker(name, tags=tags)
    await api.connect_worker("d", tags=["x"])

    async def names(**filters: Any) -> tuple[list[str], str]:
        request = worker_service_pb2.ListWorkersRequest(**filters)
        page = await api.workers.ListWorkers(request, metadata=api.metadata)
        return [worker.name for worker in page.workers], page.next_page_token

    assert (await names(tags=["x"]))[0] == ["a", "b", "d"]
    assert (await names(state=IDLE))[0] == ["d"]
    first, token = await names(page_size=3)
    assert first == ["a", "b", "c"]
    assert (await names(page_size=3, page_token=token))[0] == ["d"]


async def test_registering_is_idempotent_and_names_are_unique(api: Api) -> None:
    request = worker_service_pb2.RegisterWorkerRequest(name="w", group_names=[GROUP], request_id="once")
    first = await api.workers.RegisterWorker(request, metadata=api.metadata)
    again = await api.workers.RegisterWorker(request, metadata=api.metadata)
    assert first.worker.uuid == again.worker.uuid
    stale = ScriptedWorker(api.coordinator.channel, "w", first.worker.uuid, first.token)
    with pytest.raises(AssertionError, match="UNAUTHENTICATED"):
        await stale.attach()
    assert (await refused(api.register_worker("w"))).reason == "ALREADY_EXISTS"
    nothing = worker_service_pb2.RegisterWorkerRequest(name="", group_names=[], tags=["a b"])
    fields = (await refused(api.workers.RegisterWorker(nothing, metadata=api.metadata))).fields
    assert set(fields) == {"name", "group_names", "tags[0]"}


async def test_tokens_of_workers_open_what_is_theirs_alone(api: Api) -> None:
    worker = await api.connect_worker()
    request = worker_service_pb2.RefreshWorkerTokenRequest()
    assert (await refused(api.workers.RefreshWorkerToken(request, metadata=api.metadata))).reason == "WRONG_TOKEN_KIND"
    fresh = await api.workers.RefreshWorkerToken(request, metadata=bearer(worker.token))
    listing = worker_service_pb2.ListWorkersRequest()
    assert (await refused(api.workers.ListWorkers(listing, metadata=bearer(fresh.token)))).reason == "WRONG_TOKEN_KIND"
    refresh = manager_service_pb2.RefreshTokenRequest()
    assert (await refused(api.managers.RefreshToken(refresh, metadata=bearer(fresh.token)))).reason == (
        "WRONG_TOKEN_KIND"
    )
    worker.token = fresh.token
    await worker.drop()
    await worker.attach()


async def test_the_first_message_must_attach(api: Api) -> None:
    worker = await api.register_worker()
    call = api.workers.ConnectWorker(metadata=bearer(worker.token))
    await call.write(worker_service_pb2.ConnectWorkerRequest(heartbeat=worker_service_pb2.WorkerHeartbeat()))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert refusal(caught.value).reason == "INVALID_FIELD"


async def test_a_claim_reads_the_index_that_was_made_for_it(api: Api, database_url: str) -> None:
    await api.submit_independent(50)
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT id FROM active_tasks WHERE group_id = '00000000-0000-7000-8000-000000000000' "
            "AND state = 'Ready' AND retry_at IS NULL AND task_suite_id IS NULL AND tags <@ '{a}' "
            "ORDER BY priority DESC, id LIMIT 3"
        ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "active_tasks_independent" in text
    assert "Sort" not in text


async def test_many_workers_share_without_loss_or_repetition(api: Api) -> None:
    ids = await api.submit_independent(300)
    workers = [await api.connect_worker() for _ in range(4)]

    async def work(worker: ScriptedWorker) -> list[str]:
        done: list[str] = []
        await worker.grant(3)
        while len(finished) < len(ids):
            try:
                async with asyncio.timeout(0.5):
                    batch = await worker.receive("task_batch")
            except TimeoutError:
                continue
            await worker.grant(len(batch.tasks))
            assert await worker.report(batch.tasks) == []
            done += [task.task_uuid for task in batch.tasks]
            finished.extend(task.task_uuid for task in batch.tasks)
        return done

    finished: list[str] = []
    await asyncio.gather(*map(work, workers))
    assert sorted(finished) == sorted(ids)


@pytest.fixture
async def impatient(consistent: None, database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    beat = {"heartbeat_interval_seconds": 1, "heartbeat_timeout_seconds": 2}
    async with running(coordinator_config(database_url, tmp_path, stream=beat)) as coordinator:
        served = Api(coordinator)
        yield served
        await served.close()


async def test_the_tasks_of_a_silent_worker_run_elsewhere(impatient: Api) -> None:
    api = impatient
    [task_id] = await api.submit_independent()
    silent = await api.connect_worker()
    [task] = await silent.fetch(1)
    await silent.drop()
    assert (await api.task(task_id)).state == DISPATCHED
    other = await api.connect_worker()
    await other.grant(1)
    beats = asyncio.create_task(beat_for_ever(other))
    [again] = await other.tasks(1)
    assert (again.task_uuid, again.attempt) == (task_id, 2)
    assert (await api.worker(silent)).state == OFFLINE
    # The one that was given up comes back with its result: too late, and told so.
    attached = await silent.attach(held=[task])
    assert [one.task_uuid for one in attached.revoked_tasks] == [task_id]
    assert await silent.report([task]) == [task_id]
    assert await other.report([again]) == []
    beats.cancel()
    done = await api.task(task_id)
    assert (done.state, done.worker_name) == (DONE, other.name)
    assert [failure.error for failure in done.failures] == ["its worker was silent for more than 2 s"]


async def beat_for_ever(worker: ScriptedWorker) -> None:
    while True:
        await worker.beat(0, 0)
        await asyncio.sleep(0.5)


async def test_a_restart_of_the_coordinator_is_survived(consistent: None, database_url: str, tmp_path: Path) -> None:
    async with running(coordinator_config(database_url, tmp_path)) as coordinator:
        api = Api(coordinator)
        ids = await api.submit_independent(2)
        worker = await api.connect_worker()
        tasks = await worker.fetch(2)
        identity = (worker.name, worker.uuid, worker.token, worker.session_uuid)
    async with running(coordinator_config(database_url, tmp_path)) as coordinator:
        api = Api(coordinator)
        name, identifier, token, session = identity
        worker = ScriptedWorker(coordinator.channel, name, identifier, token)
        worker.session_uuid = session
        attached = await worker.attach(held=tasks)
        assert list(attached.revoked_tasks) == []
        assert await worker.report(tasks) == []
        assert [(await api.task(one)).attempt for one in ids] == [1, 1]
        await worker.drop()
