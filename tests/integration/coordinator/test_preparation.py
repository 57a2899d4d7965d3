"""Preparations that fail: the back-off, the end of the suite, the quarantine of the manager."""

from __future__ import annotations

import psycopg

from mitosis.v1 import hook_pb2, manager_pb2, suite_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import Api, refused
from tests.support.scripted_manager import ScriptedManager

QUEUED, FAILED = suite_pb2.TASK_SUITE_STATE_QUEUED, suite_pb2.TASK_SUITE_STATE_FAILED
BROKEN, IDLE = manager_pb2.NODE_MANAGER_STATE_FAILED, manager_pb2.NODE_MANAGER_STATE_IDLE


def back_off(database_url: str, suite_uuid: str, manager: ScriptedManager) -> tuple[int, float | None]:
    """Failed preparations in a row of a suite on a manager, and for how many seconds it keeps away."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT preparation_failures, extract(epoch FROM retry_after - now())::float8 FROM task_suite_managers"
            " WHERE task_suite_id = %s AND manager_id = %s",
            (suite_uuid, manager.uuid),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def let_back_off_end(database_url: str, suite_uuid: str) -> None:
    """Make the end of every back-off of a suite now."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE task_suite_managers SET retry_after = now() WHERE task_suite_id = %s", (suite_uuid,))


async def test_a_manager_keeps_away_from_a_suite_that_it_failed_to_prepare(api: Api, database_url: str) -> None:
    broken, fine = await api.create("broken", priority=10), await api.create("fine", auto_close_timeout_seconds=0)
    for suite in (broken, fine):
        await api.submit(suite.uuid)
    manager = await api.connect()
    assert (await manager.fail_preparation("exit code 3")).suite_name == "broken"
    # Meanwhile it takes what has less priority.
    assert (await manager.start()).suite_name == "fine"
    failures, seconds = back_off(database_url, broken.uuid, manager)
    assert failures == 1
    assert seconds is not None
    assert seconds <= 1
    shown = await api.suite(broken.uuid)
    assert (shown.state, shown.preparation_failures, shown.pending_tasks) == (QUEUED, 1, 1)
    [run] = shown.hook_runs
    assert (run.hook_type, run.result) == (hook_pb2.HOOK_TYPE_PREPARATION, hook_pb2.HOOK_RESULT_FAILURE)
    assert (run.exit_code, run.error, run.output_tail) == (1, "exit code 3", "no such file")
    await manager.report(await manager.fetch(1))
    await manager.receive("suite_drained")
    await manager.finish()
    # The back-off of a second ends by itself.
    assert (await manager.fail_preparation()).suite_name == "broken"
    await api.suite_when(broken.uuid, lambda s: s.preparation_failures == 2)
    failures, seconds = back_off(database_url, broken.uuid, manager)
    assert failures == 2
    assert seconds is not None
    assert seconds <= 2


async def fail_three_times(api: Api, database_url: str, suite_uuid: str, managers: list[ScriptedManager]) -> None:
    for manager in managers:
        await manager.fail_preparation("exit code 3")
        await api.manager_when(manager, lambda m: m.state == IDLE)
        let_back_off_end(database_url, suite_uuid)
        # Nobody announced that: an update has the coordinator look again.
        await api.update(suite_uuid)


async def test_three_failures_in_a_row_fail_the_suite_and_a_retry_brings_it_back(api: Api, database_url: str) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await fail_three_times(api, database_url, suite.uuid, [manager] * 3)
    failed = await api.suite(suite.uuid)
    assert (failed.state, failed.preparation_failures, failed.pending_tasks) == (FAILED, 3, 2)
    assert failed.reason == "3 preparations in a row failed; the last: exit code 3"
    assert failed.HasField("finished_at")
    told = await refused(api.submit(suite.uuid))
    assert (told.reason, told.facts["state"]) == ("WRONG_STATE", "Failed")
    assert (await refused(api.close_suite(suite.uuid))).reason == "WRONG_STATE"
    assert manager.waiting("suite_assigned") == 0

    retried = await api.retry(suite.uuid)
    assert (retried.suite.state, retried.suite.preparation_failures, retried.suite.reason) == (QUEUED, 0, "")
    assert not retried.suite.HasField("finished_at")
    # At once: the user has seen to it.
    await manager.start()
    await manager.report(await manager.fetch(2))
    assert (await api.suite(suite.uuid)).completed_tasks == 2


async def test_failures_count_on_whichever_managers(api: Api, database_url: str) -> None:
    suite = await api.create(max_preparation_failures=2)
    await api.submit(suite.uuid)
    first = await api.connect("first")
    await first.fail_preparation("exit code 1")
    second = await api.connect("second")
    await second.fail_preparation("exit code 2")
    failed = await api.suite_when(suite.uuid, lambda s: s.state == FAILED)
    assert failed.reason == "2 preparations in a row failed; the last: exit code 2"
    assert {run.manager_name for run in failed.hook_runs} == {"first", "second"}


async def test_a_success_anywhere_starts_the_count_again(api: Api) -> None:
    suite = await api.create(max_preparation_failures=2)
    await api.submit(suite.uuid, 5)
    first = await api.connect("first")
    await first.fail_preparation()
    second = await api.connect("second")
    await second.start()
    await second.report(await second.fetch(1))
    await api.suite_when(suite.uuid, lambda s: s.preparation_failures == 0)
    third = await api.connect("third")
    await third.fail_preparation()
    shown = await api.suite_when(suite.uuid, lambda s: s.preparation_failures == 1)
    assert shown.state == suite_pb2.TASK_SUITE_STATE_EXECUTING
    await second.report(await second.fetch(4))


async def test_the_holders_of_a_failed_suite_let_go(api: Api) -> None:
    suite = await api.create(max_preparation_failures=1)
    await api.submit(suite.uuid, 3)
    slow = await api.connect("slow")
    await slow.take()
    broken = await api.connect("broken")
    await broken.fail_preparation()
    await slow.receive("suite_drained")
    await slow.finish()
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert (ended.state, ended.pending_tasks) == (FAILED, 3)


async def test_a_broken_manager_does_not_fail_a_suite_that_another_executes(api: Api) -> None:
    suite = await api.create(max_preparation_failures=1)
    await api.submit(suite.uuid, 3)
    working = await api.connect("working")
    await working.start()
    broken = await api.connect("broken")
    await broken.fail_preparation()
    shown = await api.suite_when(suite.uuid, lambda s: s.preparation_failures == 1)
    assert shown.state == suite_pb2.TASK_SUITE_STATE_EXECUTING
    await working.report(await working.fetch(3))
    await api.suite_when(suite.uuid, lambda s: s.completed_tasks == 3)


async def test_workers_that_cannot_be_started_count_though_the_hook_succeeded(api: Api) -> None:
    suite = await api.create(max_preparation_failures=2)
    await api.submit(suite.uuid, 3)
    manager = await api.connect()
    for _ in range(2):
        await manager.start()
        await manager.finish(pb.FINISH_REASON_PREPARATION_FAILED)
    failed = await api.suite_when(suite.uuid, lambda s: s.state == FAILED)
    assert failed.preparation_failures == 2


async def test_a_failure_without_a_hook_report_counts_too(api: Api) -> None:
    suite = await api.create(max_preparation_failures=1)
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.take()
    await manager.finish(pb.FINISH_REASON_PREPARATION_FAILED)
    failed = await api.suite_when(suite.uuid, lambda s: s.state == FAILED)
    assert failed.reason == "preparation failed: the manager could not start the suite"


async def test_the_same_failure_told_twice_counts_once(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.take()
    for _ in range(2):
        await manager.hook_ended(hook_pb2.HOOK_RESULT_TIMEOUT, error="ran longer than 1 s")
    await manager.finish(pb.FINISH_REASON_PREPARATION_FAILED)
    await api.manager_when(manager, lambda m: m.state == IDLE)
    assert (await api.suite(suite.uuid)).preparation_failures == 1


async def test_a_manager_that_fails_three_different_suites_is_quarantined(api: Api) -> None:
    manager = await api.connect()
    for name in ("one", "two", "three"):
        suite = await api.create(name)
        await api.submit(suite.uuid)
        assert (await manager.fail_preparation()).suite_name == name
        if name != "three":
            # Out of the way of the next one.
            await api.manager_when(manager, lambda m: m.state == IDLE)
            await api.cancel(suite.uuid)
    shown = await api.manager_when(manager, lambda m: m.state == BROKEN)
    assert shown.reason == "failed to prepare 3 different suites in a row"

    # Nothing is given to it, also when its stream comes back.
    await manager.drop()
    await manager.attach()
    fine = await api.create("fine")
    await api.submit(fine.uuid)
    other = await api.connect("other")
    assert (await other.start()).suite_name in ("fine", "three")
    assert manager.waiting("suite_assigned") == 0
    assert (await api.manager(manager)).state == BROKEN
    # A new process is a new chance.
    await manager.drop()
    manager.restart()
    await manager.attach()
    await manager.take()
    assert (await api.manager(manager)).reason == ""


async def test_a_success_takes_a_manager_out_of_suspicion(api: Api) -> None:
    manager = await api.connect()
    for name in ("one", "two"):
        suite = await api.create(name)
        await api.submit(suite.uuid)
        await manager.fail_preparation()
        await api.manager_when(manager, lambda m: m.state == IDLE)
        await api.cancel(suite.uuid)
    fine = await api.create("fine", auto_close_timeout_seconds=0)
    await api.submit(fine.uuid)
    await manager.start()
    await manager.report(await manager.fetch(1))
    await manager.receive("suite_drained")
    await manager.finish()
    third = await api.create("three")
    await api.submit(third.uuid)
    await manager.fail_preparation()
    await api.suite_when(third.uuid, lambda s: s.preparation_failures == 1)
    assert (await api.manager_when(manager, lambda m: m.state in (IDLE, BROKEN))).state == IDLE
