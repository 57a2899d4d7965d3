"""From credit to results: what is handed out, counted, acknowledged, refused as late."""

from __future__ import annotations

import asyncio

import grpc
import psycopg
import pytest

from mitosis.v1 import manager_stream_pb2 as pb
from mitosis.v1 import suite_pb2, task_pb2, task_service_pb2
from tests.support.api import NOOP, Api, eventually
from tests.support.coordinator import refusal
from tests.support.scripted_manager import CANCELLED, FAILED, TIMED_OUT

READY, DISPATCHED, RUNNING = task_pb2.TASK_STATE_READY, task_pb2.TASK_STATE_DISPATCHED, task_pb2.TASK_STATE_RUNNING
DONE, LOST, GONE = task_pb2.TASK_STATE_COMPLETED, task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_CANCELLED


def counters(suite: suite_pb2.TaskSuite) -> tuple[int, int, int, int, int]:
    """Total, pending, completed, failed, cancelled."""
    return (
        suite.total_tasks,
        suite.pending_tasks,
        suite.completed_tasks,
        suite.failed_tasks,
        suite.cancelled_tasks,
    )


async def count_of(connection: psycopg.AsyncConnection, query: str) -> int:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_suite_runs_from_submission_to_completion(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 5)
    manager = await api.connect()
    assigned = await manager.start()
    assert (assigned.suite_uuid, assigned.suite_name, assigned.group_name) == (suite.uuid, "suite", "default")

    tasks = await manager.fetch(5)
    assert [task.task_uuid for task in tasks] == ids
    assert {task.attempt for task in tasks} == {1}
    assert task_pb2.TaskSpec.FromString(tasks[0].task_spec) == NOOP
    assert (
        await api.suite_when(suite.uuid, lambda s: s.state == suite_pb2.TASK_SUITE_STATE_EXECUTING)
    ).assigned_managers

    await manager.report(tasks, return_value='{"ok": true}')
    task = await api.task(ids[0])
    assert (task.state, task.attempt, task.manager_name) == (DONE, 1, manager.name)
    assert (task.result.exit_code, task.result.stdout_tail, task.result.return_value) == (0, "out", '{"ok": true}')
    assert task.HasField("started_at")
    assert task.HasField("finished_at")
    closed = await api.close_suite(suite.uuid)
    assert closed.state == suite_pb2.TASK_SUITE_STATE_COMPLETE
    assert counters(closed) == (5, 0, 5, 0, 0)
    assert (await manager.receive("suite_drained")).assignment_id == assigned.assignment_id
    await manager.finish()
    assert (await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)).state == closed.state


async def test_no_more_is_sent_than_credit_allows(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 10)
    manager = await api.connect()
    await manager.start()
    first = await manager.fetch(3)
    await manager.report(first[:1])
    # The same credit again allows nothing new, and taking credit back takes nothing back that was sent.
    await manager.grant(0)
    await manager.grant(-2)
    await manager.report(first[1:2])
    assert manager.waiting("task_batch") == 0
    await manager.grant(4)
    assert len(await manager.tasks(2)) == 2
    await manager.report(first[2:])
    assert manager.waiting("task_batch") == 0
    assert counters(await api.suite(suite.uuid)) == (10, 7, 3, 0, 0)


async def test_credit_for_another_assignment_is_void(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    await manager.send(task_credit=pb.TaskCredit(assignment_id=manager.assignment_id + 1000, granted_total=10))
    # Messages are handled in order: when the one task granted here is reported, the void credit was looked at.
    [task] = await manager.fetch(1)
    await manager.report([task])
    assert manager.waiting("task_batch") == 0


async def test_a_task_submitted_to_a_waiting_manager_is_sent_at_once(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.grant(100)
    await manager.report(await manager.tasks(1))
    for _ in range(3):
        # Far below the sweep that makes up for lost hints.
        async with asyncio.timeout(2):
            [submitted] = await api.submit(suite.uuid)
            [task] = await manager.tasks(1)
        assert task.task_uuid == submitted
        await manager.report([task])


async def test_tasks_go_out_by_priority_then_age(api: Api) -> None:
    suite = await api.create()
    priorities = [0, 5, -3, 5, 0]
    ids = await api.submit_all(
        suite.uuid, [task_service_pb2.NewTask(task_spec=NOOP, priority=priority) for priority in priorities]
    )
    manager = await api.connect()
    await manager.start()
    received = [(await manager.fetch(1))[0].task_uuid for _ in ids]
    assert received == [ids[1], ids[3], ids[0], ids[4], ids[2]]


async def test_an_acknowledged_result_is_in_the_database(api: Api, database_url: str) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(3)
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        # Another transaction holds the suite: the commit has to wait, and with it the acknowledgement.
        await other.execute("SELECT 1 FROM task_suites FOR UPDATE")
        batch = manager.reports(tasks)
        await manager.send(task_reports=batch)
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watcher:
            await eventually(lambda: count_of(watcher, blocked), lambda count: count > 0)
        assert manager.waiting("reports_acked") == 0
        await other.rollback()
    assert (await manager.receive("reports_acked")).sequence == batch.sequence
    with psycopg.connect(database_url) as connection:
        stored = connection.execute("SELECT count(*) FROM archived_tasks WHERE state = 'Completed'").fetchone()
    assert stored == (len(ids),)


async def test_a_batch_sent_twice_counts_once(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 4)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(4)
    batch = manager.reports(tasks[:3])
    assert not (await manager.deliver(batch)).stale
    again = await manager.deliver(batch)
    assert {one.task_uuid for one in again.stale} == {task.task_uuid for task in tasks[:3]}
    await manager.drop()
    # Not acknowledged as far as the manager knows: it holds all four still, and sends the batch again.
    attached = await manager.attach(held=tasks)
    assert attached.verdict == pb.ATTACH_VERDICT_RESUME
    assert {one.task_uuid for one in attached.revoked_tasks} == {task.task_uuid for task in tasks[:3]}
    await manager.deliver(batch)
    await manager.report(tasks[3:])
    assert counters(await api.suite(suite.uuid)) == (4, 0, 4, 0, 0)


@pytest.mark.parametrize("outcome", [FAILED, pb.TASK_OUTCOME_WORKER_DIED, pb.TASK_OUTCOME_COMPLETED])
async def test_the_same_attempt_twice_in_one_batch_counts_once(api: Api, outcome: pb.TaskOutcome) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    [task] = await manager.fetch(1)
    await manager.report([task, task], outcome, error="it failed")
    assert counters(await api.suite(suite.uuid))[:2] == (1, 0)
    assert (await api.task(task_uuid)).state == (DONE if outcome == pb.TASK_OUTCOME_COMPLETED else LOST)


@pytest.mark.parametrize("outcome", [pb.TASK_OUTCOME_COMPLETED, FAILED, TIMED_OUT, pb.TASK_OUTCOME_WORKER_DIED])
async def test_a_report_of_an_old_attempt_is_stale(api: Api, outcome: pb.TaskOutcome) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    [old] = await manager.fetch(1)
    await manager.hand_back([old])
    [new] = await manager.fetch(1)
    assert (new.task_uuid, new.attempt) == (task_uuid, 2)
    assert await manager.report([old], outcome) == [task_uuid]
    task = await api.task(task_uuid)
    assert (task.state, task.attempt) == (DISPATCHED, 2)
    assert not task.failures
    assert await manager.report([new]) == []
    assert (await api.task(task_uuid)).state == DONE


async def test_a_report_in_the_name_of_another_manager_is_stale(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    holder = await api.connect()
    await holder.start()
    [task] = await holder.fetch(1)
    intruder = await api.connect()
    intruder.assignment_id = holder.assignment_id
    assert await intruder.report([task]) == [task_uuid]
    assert (await api.task(task_uuid)).state == DISPATCHED
    await intruder.hand_back([task])
    assert await holder.report([task]) == []
    assert (await api.task(task_uuid)).state == DONE


async def test_a_running_task_shows_since_when(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    assert (await api.task(task_uuid)).state == DISPATCHED
    await manager.started(tasks)
    task = await api.task_when(task_uuid, lambda t: t.state == RUNNING)
    assert task.HasField("started_at")
    assert task.manager_uuid == manager.uuid


async def test_a_run_that_was_ended_from_outside_has_the_start_that_was_told(api: Api) -> None:
    suite = await api.create()
    [task_id] = await api.submit(suite.uuid, 1)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await manager.started(tasks)
    running = await api.task_when(task_id, lambda one: one.state == RUNNING)
    killed = manager.reports(tasks, TIMED_OUT, error="its worker was killed")
    killed.reports[0].ClearField("started_at")
    assert list((await manager.deliver(killed)).stale) == []
    ended = await api.task(task_id)
    assert (ended.state, ended.started_at) == (LOST, running.started_at)


async def test_what_is_handed_back_costs_nothing(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(3)
    await manager.hand_back(tasks[1:])
    again = await manager.fetch(2)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[1], 2), (ids[2], 2)]
    await manager.report([tasks[0], *again])
    for task_uuid in ids:
        assert not (await api.task(task_uuid)).failures
    assert counters(await api.suite(suite.uuid)) == (3, 0, 3, 0, 0)


async def test_a_failed_task_is_retried_after_its_back_off(api: Api) -> None:
    suite = await api.create()
    spec = task_pb2.TaskSpec(command="false", max_retries=2, retry_backoff_seconds=0.1)
    [task_uuid] = await api.submit(suite.uuid, spec=spec)
    manager = await api.connect()
    await manager.start()
    await manager.grant(10)
    for attempt, outcome in ((1, FAILED), (2, TIMED_OUT)):
        [task] = await manager.tasks(1)
        assert task.attempt == attempt
        assert await manager.report([task], outcome, error=f"failure {attempt}") == []
    [task] = await manager.tasks(1)
    await manager.report([task], FAILED, error="failure 3")

    failed = await api.task(task_uuid)
    assert (failed.state, failed.result.error) == (LOST, "failure 3")
    assert [(failure.attempt, failure.error, failure.kind) for failure in failed.failures] == [
        (attempt, f"failure {attempt}", task_pb2.FAILURE_KIND_TASK) for attempt in (1, 2, 3)
    ]
    assert {failure.manager_name for failure in failed.failures} == {manager.name}
    assert counters(await api.suite(suite.uuid)) == (1, 0, 0, 1, 0)


async def test_retries_come_from_the_suite_where_the_task_says_nothing(api: Api) -> None:
    defaults = task_pb2.TaskSpec(max_retries=1, retry_backoff_seconds=0)
    suite = await api.create(task_defaults=defaults)
    await api.submit(suite.uuid, spec=task_pb2.TaskSpec(command="false"))
    await api.submit(suite.uuid, spec=task_pb2.TaskSpec(command="false", max_retries=0))
    manager = await api.connect()
    await manager.start()
    await manager.grant(10)
    await manager.report(await manager.tasks(2), FAILED)
    await manager.report(await manager.tasks(1), FAILED)
    assert counters(await api.suite(suite.uuid)) == (2, 0, 0, 2, 0)


async def test_a_task_that_waits_for_its_retry_says_until_when(api: Api) -> None:
    suite = await api.create()
    spec = task_pb2.TaskSpec(command="false", max_retries=1, retry_backoff_seconds=3600)
    [task_uuid] = await api.submit(suite.uuid, spec=spec)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1), FAILED, error="exit code 1")
    task = await api.task(task_uuid)
    assert task.state == READY
    wait = task.retry_at.ToDatetime() - task.failures[0].failed_at.ToDatetime()
    assert 3500 < wait.total_seconds() < 3700
    # It can be cancelled meanwhile, and the suite knows that nothing is pending then.
    assert (await api.cancel_task(task_uuid)).state == GONE
    assert counters(await api.suite(suite.uuid)) == (1, 0, 0, 0, 1)


async def test_retrying_a_suite_gives_failed_tasks_everything_anew(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    ids = await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await manager.report(tasks[:1])
    await manager.report(tasks[1:], FAILED, error="exit code 1")
    await api.suite_when(suite.uuid, lambda s: s.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)
    await manager.receive("suite_drained")
    await manager.finish()

    retried = await api.retry(suite.uuid)
    assert (retried.retried_task_count, retried.suite.state) == (1, suite_pb2.TASK_SUITE_STATE_QUEUED)
    assert counters(retried.suite) == (2, 1, 1, 0, 0)
    assert (await api.retry(suite.uuid)).retried_task_count == 0
    await manager.start()
    [task] = await manager.fetch(1)
    assert (task.task_uuid, task.attempt) == (ids[1], 2)
    await manager.report([task])
    finished = await api.task(ids[1])
    assert (finished.state, len(finished.failures)) == (DONE, 1)
    await api.suite_when(suite.uuid, lambda s: s.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)


async def test_a_running_task_is_cancelled_at_once_and_its_report_ignored(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await manager.started(tasks)
    await api.task_when(ids[0], lambda t: t.state == RUNNING)
    cancelled = await api.cancel_task(ids[0], reason="not needed")
    assert (cancelled.state, cancelled.result.error) == (GONE, "cancelled: not needed")
    told = await manager.receive("cancel_tasks")
    assert told.assignment_id == manager.assignment_id
    assert [(one.task_uuid, one.attempt) for one in told.tasks] == [(ids[0], 1)]
    # What it was told to cancel is no news; that it had ended already comes too late.
    assert await manager.report(tasks[:1], CANCELLED) == []
    assert await manager.report(tasks[:1]) == [ids[0]]
    assert (await api.task(ids[0])).state == GONE
    assert counters(await api.suite(suite.uuid)) == (2, 1, 0, 0, 1)


async def test_a_cancelled_suite_lets_running_tasks_finish(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 5)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(3)
    await manager.started(tasks[:1])
    await api.task_when(ids[0], lambda t: t.state == RUNNING)
    answer = await api.cancel(suite.uuid, reason="changed my mind")
    assert (answer.cancelled_task_count, answer.suite_state) == (2, suite_pb2.TASK_SUITE_STATE_CANCELLED)
    told = await manager.receive("cancel_suite")
    assert (told.assignment_id, told.cancel_running_tasks, told.reason) == (
        manager.assignment_id,
        False,
        "changed my mind",
    )
    await manager.hand_back(tasks[1:2])
    await manager.report(tasks[2:], CANCELLED)
    await manager.report(tasks[:1])
    await manager.finish(pb.FINISH_REASON_CANCELLED)
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert counters(ended) == (5, 0, 1, 0, 4)
    assert (ended.state, ended.reason) == (suite_pb2.TASK_SUITE_STATE_CANCELLED, "changed my mind")


async def test_a_failed_task_of_a_cancelled_suite_is_not_retried(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid, spec=task_pb2.TaskSpec(command="false", max_retries=5))
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await api.cancel(suite.uuid)
    await manager.report(tasks, FAILED, error="exit code 1")
    assert (await api.task(task_uuid)).state == LOST


async def test_a_cancelled_suite_stops_running_tasks_when_asked(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 4)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    answer = await api.cancel(suite.uuid, cancel_running_tasks=True)
    assert answer.cancelled_task_count == 4
    assert (await manager.receive("cancel_suite")).cancel_running_tasks
    assert await manager.report(tasks[:1], CANCELLED) == []
    assert await manager.report(tasks[1:]) == [ids[1]]
    assert counters(await api.suite(suite.uuid)) == (4, 0, 0, 0, 4)
    await manager.finish(pb.FINISH_REASON_CANCELLED)


async def test_what_a_manager_reports_is_stored_without_nul(api: Api) -> None:
    suite = await api.create()
    [task_uuid] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1), FAILED, error="a\0b")
    assert (await api.task(task_uuid)).result.error == "a�b"


async def test_a_malformed_report_ends_the_stream_by_name(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    [task] = await manager.fetch(1)
    batch = manager.reports([task])
    batch.reports[0].task_uuid = "nonsense"
    await manager.send(task_reports=batch)
    error = await manager.ended()
    assert error is not None
    told = refusal(error)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(told.fields) == ["task_reports.reports[0].task_uuid"]
