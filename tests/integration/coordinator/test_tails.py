"""Unstarted tasks go back when others have nothing to run, and nobody is charged for it."""

from __future__ import annotations

from collections.abc import Iterable

from mitosis.v1 import suite_pb2, task_pb2, task_service_pb2
from tests.support.api import NOOP, Api
from tests.support.scripted_manager import FAILED, Attempt, ScriptedManager

COMPLETE = suite_pb2.TASK_SUITE_STATE_COMPLETE


async def holders(api: Api, suite: suite_pb2.TaskSuite, tasks: int, managers: int) -> list[ScriptedManager]:
    """Managers of two workers each that execute a suite of so many tasks, and have been sent none."""
    connected = [await api.connect(max_workers=2) for _ in range(managers)]
    await api.submit(suite.uuid, tasks)
    for manager in connected:
        await manager.start()
    return connected


def names(attempts: Iterable[Attempt]) -> list[str]:
    return [one.task_uuid for one in attempts]


async def test_a_tail_of_long_tasks_is_shared_with_the_manager_that_has_none(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    hoarder, starving = await holders(api, suite, tasks=4, managers=2)
    held = await hoarder.fetch(4)
    await starving.grant(4)
    await hoarder.started(held[:2])
    recall = await hoarder.receive("recall_tasks")
    assert (recall.assignment_id, recall.max_tasks, recall.all_unstarted) == (hoarder.assignment_id, 2, False)
    # A real manager has room for others at once, and asks for them.
    await hoarder.grant(2)
    await hoarder.hand_back(held[2:])
    moved = await starving.tasks(2)
    assert names(moved) == names(held[2:])
    # The number of the attempt is the fence of the hand-out; what counts against budgets is in the history.
    assert {task.attempt for task in moved} == {2}
    assert not any([(await api.task(task.task_uuid)).failures for task in moved])
    assert hoarder.waiting("task_batch") == 0
    assert await hoarder.report(held) == names(held[2:])
    assert not await starving.report(moved)
    assert (await api.suite(suite.uuid)).completed_tasks == 4
    assert (await api.suite(suite.uuid)).state == COMPLETE


async def test_what_comes_back_is_not_for_those_that_would_only_hold_it(api: Api) -> None:
    suite = await api.create()
    hoarder, busy, starving = await holders(api, suite, tasks=6, managers=3)
    held = await hoarder.fetch(4)
    running = await busy.fetch(2)
    await busy.grant(4)
    await starving.grant(2)
    await hoarder.started(held[:2])
    assert (await hoarder.receive("recall_tasks")).max_tasks == 2
    await hoarder.hand_back(held[2:])
    assert names(await starving.tasks(2)) == names(held[2:])
    assert busy.waiting("task_batch") == 0
    # What it runs is not taken from it, and what it can start at once it gets.
    await busy.report(running[:1])
    [late] = await api.submit(suite.uuid)
    assert names(await busy.tasks(1)) == [late]


async def test_an_idle_manager_gets_what_waits_behind_long_tasks(api: Api) -> None:
    suite = await api.create()
    hoarder = await api.connect(max_workers=2)
    await api.submit(suite.uuid, 4)
    await hoarder.start()
    held = await hoarder.fetch(4)
    idle = await api.connect(max_workers=1)
    await hoarder.started(held[:2])
    assert (await hoarder.receive("recall_tasks")).max_tasks == 1
    await hoarder.hand_back(held[3:])
    assert (await idle.start()).suite_uuid == suite.uuid
    assert names(await idle.fetch(1)) == names(held[3:])


async def test_an_idle_manager_that_may_not_run_the_suite_changes_nothing(api: Api) -> None:
    suite = await api.create(tags=["gpu"])
    hoarder, starving = await api.connect(tags=["gpu"]), await api.connect(tags=["gpu"])
    await api.connect(tags=["cpu"], max_workers=64)
    await api.submit(suite.uuid, 5)
    for manager in (hoarder, starving):
        await manager.start()
    held = await hoarder.fetch(4)
    [own] = await starving.fetch(1)
    await starving.grant(4)
    await hoarder.started(held[:2])
    # One goes to the worker that is free; the other would only wait elsewhere.
    assert (await hoarder.receive("recall_tasks")).max_tasks == 1
    await hoarder.hand_back(held[3:])
    assert names(await starving.tasks(1)) == names(held[3:])
    await starving.report([own])


async def test_a_task_that_was_moved_has_its_whole_budget(api: Api) -> None:
    suite = await api.create(max_attempts=1, task_defaults=task_pb2.TaskSpec(max_retries=1, retry_backoff_seconds=0))
    hoarder, starving = await holders(api, suite, tasks=3, managers=2)
    held = await hoarder.fetch(3)
    await starving.grant(1)
    await hoarder.started(held[:2])
    assert (await hoarder.receive("recall_tasks")).max_tasks == 1
    await hoarder.hand_back(held[2:])
    moved = await starving.tasks(1)
    await starving.report(moved, FAILED)
    await starving.grant(1)
    again = await starving.tasks(1)
    assert (names(again), again[0].attempt) == (names(moved), 3)
    await starving.report(again)
    assert [failure.attempt for failure in (await api.task(moved[0].task_uuid)).failures] == [2]


async def test_a_task_of_higher_priority_is_sent_first_and_says_so(api: Api) -> None:
    suite = await api.create()
    low = await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    await manager.fetch(1)
    [urgent] = await api.submit_all(suite.uuid, [task_service_pb2.NewTask(task_spec=NOOP, priority=7)])
    sent = await manager.fetch(2)
    assert [(task.task_uuid, task.priority) for task in sent] == [(urgent, 7), (low[1], 0)]
