"""Streams that break, managers that start again, stay away, or come twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mitosis.v1 import hook_pb2, manager_pb2, suite_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import Api, refused
from tests.support.coordinator import bearer, coordinator_config, refusal, running
from tests.support.scripted_manager import CLEANING, EXECUTING, IDLE, PREPARING, ScriptedManager

QUEUED, RUNS = suite_pb2.TASK_SUITE_STATE_QUEUED, suite_pb2.TASK_SUITE_STATE_EXECUTING
READY, DISPATCHED = task_pb2.TASK_STATE_READY, task_pb2.TASK_STATE_DISPATCHED
DONE, GONE = task_pb2.TASK_STATE_COMPLETED, task_pb2.TASK_STATE_CANCELLED
OFFLINE = manager_pb2.NODE_MANAGER_STATE_OFFLINE


async def test_attaching_tells_who_one_is_and_what_beat_is_expected(api: Api) -> None:
    manager = await api.register()
    attached = await manager.attach()
    assert (attached.manager_uuid, attached.manager_name) == (manager.uuid, manager.name)
    assert (attached.verdict, attached.session_epoch) == (pb.ATTACH_VERDICT_IDLE, 1)
    assert (attached.heartbeat_interval.seconds, attached.heartbeat_timeout.seconds) == (30, 90)
    assert attached.HasField("server_time")
    await manager.drop()
    assert (await manager.attach()).session_epoch == 2


async def test_a_manager_that_comes_back_resumes(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 5)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(4)
    await manager.drop()
    # It lost the second one, and the third was cancelled while it was away.
    await api.cancel_task(ids[2])
    attached = await manager.attach(held=[tasks[0], tasks[2], tasks[3]])
    assert attached.verdict == pb.ATTACH_VERDICT_RESUME
    assert [(one.task_uuid, one.attempt) for one in attached.revoked_tasks] == [(ids[2], 1)]
    assert manager.waiting("suite_assigned") == 0
    lost = await api.task(ids[1])
    assert (lost.state, len(lost.failures)) == (READY, 0)
    # Credit is counted from `Attached` on.
    again = await manager.fetch(2)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[1], 2), (ids[4], 1)]
    await manager.report([tasks[0], tasks[3], *again])
    assert (await api.suite(suite.uuid)).completed_tasks == 4


async def test_a_manager_that_went_on_while_it_was_away_is_followed(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.take()
    await api.manager_when(manager, lambda m: m.state == manager_pb2.NODE_MANAGER_STATE_PREPARING)
    await manager.drop()
    manager.state = EXECUTING
    await manager.attach()
    assert (await api.suite_when(suite.uuid, lambda s: s.state == RUNS)).assigned_managers == 1
    # It can be asked to let go, which only managers that execute are.
    await manager.grant(5)
    await manager.report(await manager.tasks(1))
    await api.submit((await api.create("other")).uuid)
    await manager.receive("suite_drained")


async def test_what_is_sent_to_a_broken_stream_is_not_lost(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1))
    await manager.grant(100)
    await manager.drop()
    ids = await api.submit(suite.uuid, 50)
    assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_RESUME
    tasks = await manager.fetch(50)
    assert {task.task_uuid for task in tasks} == set(ids)
    await manager.report(tasks)
    assert (await api.suite(suite.uuid)).completed_tasks == 51


async def test_a_suite_that_never_arrived_is_offered_again(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    assigned = await manager.receive("suite_assigned")
    # The stream broke before the manager read it: it holds nothing.
    await manager.drop()
    assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_IDLE
    again = await manager.start()
    assert again.suite_uuid == suite.uuid
    assert again.assignment_id > assigned.assignment_id


async def test_a_restarted_manager_loses_its_tasks_and_is_charged_for_it(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    old_assignment = manager.assignment_id
    await manager.drop()
    manager.restart()
    assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_IDLE
    for task_uuid in ids:
        [failure] = (await api.task(task_uuid)).failures
        assert (failure.kind, failure.attempt, failure.manager_name) == (task_pb2.FAILURE_KIND_NODE, 1, manager.name)
        assert failure.error == "its manager was restarted"
    assert (await manager.start()).assignment_id > old_assignment
    again = await manager.fetch(2)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[0], 2), (ids[1], 2)]
    manager.assignment_id, new_assignment = old_assignment, manager.assignment_id
    assert sorted(await manager.report(tasks)) == ids
    manager.assignment_id = new_assignment
    assert await manager.report(again) == []
    assert (await api.suite(suite.uuid)).completed_tasks == 2


async def test_a_restarted_manager_delivers_what_its_predecessor_had(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 4)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(3)
    await manager.report(tasks[:1])
    other = await api.connect("other")
    await manager.drop()
    manager.restart(remembers=True)
    # The acknowledgement of the first one never came.
    attached = await manager.attach(held=tasks[:2])
    assert attached.verdict == pb.ATTACH_VERDICT_RESUME
    assert [one.task_uuid for one in attached.revoked_tasks] == ids[:1]
    # What it lost does not wait for it.
    await other.start()
    theirs = await other.fetch(2)
    assert {(task.task_uuid, task.attempt) for task in theirs} == {(ids[2], 2), (ids[3], 1)}
    [failure] = (await api.task(ids[2])).failures
    assert (failure.kind, failure.error) == (task_pb2.FAILURE_KIND_NODE, "its manager was restarted")
    kept = await api.task(ids[1])
    assert (kept.state, len(kept.failures)) == (DISPATCHED, 0)

    # Killed again before it could deliver.
    await manager.drop()
    manager.restart(remembers=True)
    assert (await manager.attach(held=tasks[1:2])).verdict == pb.ATTACH_VERDICT_RESUME
    assert (await api.suite(suite.uuid)).assigned_managers == 2
    assert await manager.report([tasks[1], tasks[2]]) == [ids[2]]
    await manager.finish(pb.FINISH_REASON_RESTARTED)
    await other.report(theirs)
    ended = await api.suite_when(suite.uuid, lambda s: s.assigned_managers == 1)
    assert (ended.completed_tasks, ended.pending_tasks) == (4, 0)
    assert (await api.task(ids[1])).attempt == 1


async def test_a_restarted_manager_that_comes_too_late_keeps_nothing(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await manager.goodbye()
    manager.restart(remembers=True)
    assert (await manager.attach(held=tasks)).verdict == pb.ATTACH_VERDICT_ABORT
    assert (await api.task(task_uuid)).state == READY


async def test_a_restarted_manager_cancels_what_it_lost_of_a_cancelled_suite(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await api.cancel(suite.uuid)
    await manager.drop()
    manager.restart(remembers=True)
    await manager.attach(held=tasks[:1])
    assert (await api.task(ids[1])).state == GONE
    assert await manager.report(tasks[:1]) == []
    await manager.finish(pb.FINISH_REASON_RESTARTED)
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert (ended.completed_tasks, ended.cancelled_tasks, ended.pending_tasks) == (1, 1, 0)


async def test_an_assignment_that_is_over_is_aborted(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    over = manager.assignment_id
    await manager.goodbye()
    attached = await manager.attach(held=tasks)
    assert attached.verdict == pb.ATTACH_VERDICT_ABORT
    # While it cleans up it is offered nothing; its reports are late.
    assert await manager.report(tasks) == [task_uuid]
    other = await api.connect("other")
    await other.start()
    assert manager.waiting("suite_assigned") == 0
    await other.goodbye()
    assert manager.waiting("suite_assigned") == 0
    assert manager.assignment_id == over
    await manager.finish()
    again = await manager.start()
    assert again.suite_uuid == suite.uuid
    await manager.report(await manager.fetch(1))
    assert (await api.task(task_uuid)).attempt == 2


async def test_a_manager_that_still_cleans_up_is_offered_nothing(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.register()
    manager.state = CLEANING
    assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_IDLE
    other = await api.connect("other")
    await other.start()
    await other.goodbye()
    assert manager.waiting("suite_assigned") == 0
    await manager.become(IDLE)
    assert (await manager.start()).suite_uuid == suite.uuid


async def test_a_suite_that_was_cancelled_meanwhile_is_told_at_once(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await manager.drop()
    await api.cancel(suite.uuid, reason="too late")
    attached = await manager.attach(held=tasks[:1])
    assert attached.verdict == pb.ATTACH_VERDICT_RESUME
    told = await manager.receive("cancel_suite")
    assert (told.cancel_running_tasks, told.reason) == (False, "too late")
    assert (await api.task(ids[1])).state == GONE
    await manager.report(tasks[:1])
    await manager.finish(pb.FINISH_REASON_CANCELLED)
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert (ended.completed_tasks, ended.cancelled_tasks) == (1, 2)


async def test_what_a_lost_manager_held_of_a_cancelled_suite_is_cancelled(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    await manager.fetch(2)
    await api.cancel(suite.uuid)
    assert (await api.task(ids[0])).state == DISPATCHED
    await manager.drop()
    manager.restart()
    await manager.attach()
    ended = await api.suite(suite.uuid)
    assert (ended.pending_tasks, ended.cancelled_tasks, ended.assigned_managers) == (0, 2, 0)
    assert (await api.task(ids[0])).state == GONE


async def test_a_suite_that_was_completed_meanwhile_is_released_at_once(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1))
    await manager.drop()
    await api.close_suite(suite.uuid)
    assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_RESUME
    assert (await manager.receive("suite_drained")).assignment_id == manager.assignment_id
    await manager.finish()


async def test_a_second_stream_replaces_the_first(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await manager.grant(1)
    twin = ScriptedManager(
        api.coordinator.channel, manager.name, manager.uuid, manager.token, manager.tags, manager.max_workers
    )
    twin.session_uuid, twin.assignment_id, twin.state = manager.session_uuid, manager.assignment_id, EXECUTING
    await manager.tasks(1)
    attached = await twin.attach(held=tasks)
    assert (attached.verdict, attached.session_epoch) == (pb.ATTACH_VERDICT_RESUME, 2)
    error = await manager.ended()
    assert error is not None
    assert (refusal(error).code, refusal(error).reason) == (grpc.StatusCode.ABORTED, "SESSION_REPLACED")
    await twin.report([*tasks, *await twin.fetch(1)])
    assert (await api.suite(suite.uuid)).completed_tasks == 2
    await twin.drop()


async def test_leaving_releases_without_charge(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.fetch(1)
    await manager.goodbye()
    assert (await api.manager(manager)).state == OFFLINE
    task = await api.task(task_uuid)
    assert (task.state, len(task.failures)) == (READY, 0)
    assert (await api.suite(suite.uuid)).state == QUEUED


async def test_a_dropped_stream_is_not_yet_offline(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await api.suite_when(suite.uuid, lambda s: s.state == RUNS)
    await manager.drop()
    assert (await api.manager(manager)).state == manager_pb2.NODE_MANAGER_STATE_EXECUTING
    assert (await api.task(task_uuid)).state == DISPATCHED
    await manager.attach(held=tasks)
    await manager.report(tasks)


@pytest.fixture
async def impatient(consistent: None, database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A coordinator that gives a silent manager up after two seconds."""
    beat = {"heartbeat_interval_seconds": 1, "heartbeat_timeout_seconds": 2}
    async with running(coordinator_config(database_url, tmp_path, stream=beat)) as coordinator:
        api = Api(coordinator)
        yield api
        await api.close()


async def test_a_manager_that_stays_away_loses_its_tasks_once(impatient: Api) -> None:
    api = impatient
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    away = await api.connect("away")
    await away.start()
    tasks = await away.fetch(1)
    await away.drop()
    await api.manager_when(away, lambda m: m.state == OFFLINE)
    task = await api.task(task_uuid)
    assert task.state == READY
    [failure] = task.failures
    assert (failure.kind, failure.attempt) == (task_pb2.FAILURE_KIND_NODE, 1)
    assert failure.error == "its manager was silent for more than 2 s"

    other = await api.connect("other")
    await other.start()
    [again] = await other.fetch(1)
    assert again.attempt == 2
    assert (await away.attach(held=tasks)).verdict == pb.ATTACH_VERDICT_ABORT
    assert await away.report(tasks) == [task_uuid]
    await other.report([again])
    finished = await api.task(task_uuid)
    assert (finished.state, finished.manager_name, len(finished.failures)) == (DONE, "other", 1)
    assert (await api.suite(suite.uuid)).completed_tasks == 1


async def test_a_silent_stream_is_ended_and_a_beating_one_is_not(impatient: Api) -> None:
    api = impatient
    silent, beating = await api.connect("silent"), await api.connect("beating")
    while (await api.manager(silent)).state != OFFLINE:
        metrics = manager_pb2.ManagerMetrics(active_workers=3, tasks_completed=7)
        await beating.send(heartbeat=pb.Heartbeat(metrics=metrics))
    # It attaches anew and is told what it lost.
    assert await silent.ended() is None
    assert (await silent.attach()).verdict == pb.ATTACH_VERDICT_IDLE
    shown = await api.manager(beating)
    assert (shown.state, shown.metrics.active_workers) == (manager_pb2.NODE_MANAGER_STATE_IDLE, 3)


@pytest.mark.parametrize(
    ("first", "field"),
    [
        (pb.ConnectRequest(heartbeat=pb.Heartbeat()), "message"),
        (pb.ConnectRequest(attach=pb.Attach(session_uuid="nonsense", max_workers=1)), "attach.session_uuid"),
        (
            pb.ConnectRequest(attach=pb.Attach(session_uuid="550e8400-e29b-41d4-a716-446655440000", max_workers=0)),
            "attach.max_workers",
        ),
        (
            pb.ConnectRequest(
                attach=pb.Attach(
                    session_uuid="550e8400-e29b-41d4-a716-446655440000",
                    max_workers=1,
                    held_tasks=[pb.TaskAttempt(task_uuid="x")],
                )
            ),
            "attach.held_tasks[0].task_uuid",
        ),
    ],
)
async def test_a_stream_begins_with_a_good_attach_or_not_at_all(api: Api, first: pb.ConnectRequest, field: str) -> None:
    manager = await api.register()
    call = api.managers.Connect(metadata=bearer(manager.token))
    await call.write(first)
    told = await refused(call.read())
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(told.fields) == [field]


async def test_attaching_twice_ends_the_stream(api: Api) -> None:
    manager = await api.connect()
    await manager.send(attach=pb.Attach(session_uuid=manager.session_uuid, max_workers=1))
    error = await manager.ended()
    assert error is not None
    assert list(refusal(error).fields) == ["message"]


async def test_hooks_of_a_suite_are_shown_once_each(api: Api) -> None:
    suite = await api.create(env_preparation=hook_pb2.EnvHookSpec(command="prepare"))
    await api.submit(suite.uuid)
    manager = await api.connect()
    assigned = await manager.take()
    assert assigned.env_preparation.command == "prepare"
    await manager.hook_ended(output_tail="prepared\n")
    await manager.drop()
    manager.state = PREPARING
    await manager.attach()
    # Not acknowledged: the manager tells it again.
    await manager.hook_ended(output_tail="prepared\n")
    await manager.become(EXECUTING)
    await manager.report(await manager.fetch(1))
    await api.close_suite(suite.uuid)
    await manager.receive("suite_drained")
    await manager.hook_ended(hook_pb2.HOOK_RESULT_FAILURE, hook_pb2.HOOK_TYPE_CLEANUP, error="exit code 1")
    await manager.finish()
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert [(run.hook_type, run.result, run.output_tail, run.error, run.manager_name) for run in ended.hook_runs] == [
        (hook_pb2.HOOK_TYPE_CLEANUP, hook_pb2.HOOK_RESULT_FAILURE, "", "exit code 1", manager.name),
        (hook_pb2.HOOK_TYPE_PREPARATION, hook_pb2.HOOK_RESULT_SUCCESS, "prepared\n", "", manager.name),
    ]
    # A failed cleanup is told and costs nobody anything.
    assert ended.state == suite_pb2.TASK_SUITE_STATE_COMPLETE
    assert (await api.manager_when(manager, lambda m: m.state == manager_pb2.NODE_MANAGER_STATE_IDLE)).reason == ""
