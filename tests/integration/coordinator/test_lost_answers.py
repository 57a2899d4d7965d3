"""The database did what it was asked to, and the connection broke before it could say so."""

from __future__ import annotations

from mitosis.v1 import suite_pb2
from mitosis_coordinator.storage import managers, tasks
from tests.integration.coordinator.conftest import Lose
from tests.support.api import Api

COMPLETE = suite_pb2.TASK_SUITE_STATE_COMPLETE
PENDING = "pending"


async def test_tasks_of_an_unheard_claim_are_handed_out_again(api: Api, lose_answer: Lose) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    (first,) = await manager.fetch(1)

    lose_answer(tasks, "claim")
    rest = await manager.fetch(2)
    assert {task.attempt for task in rest} == {2}
    await manager.report([first, *rest])
    await api.close_suite(suite.uuid)
    ended = await api.suite_when(suite.uuid, lambda s: s.state == COMPLETE)
    assert ended.completed_tasks == 3


async def test_what_was_claimed_unheard_last_comes_back_though_nothing_else_is_to_be_claimed(
    api: Api, lose_answer: Lose
) -> None:
    suite = await api.create()
    manager = await api.connect()
    await api.submit(suite.uuid, 2)
    await manager.start()
    lose_answer(tasks, "claim")
    both = await manager.fetch(2)
    await manager.report(both)
    assert (await api.suite(suite.uuid)).pending_tasks == 0


async def test_a_suite_of_an_unheard_assignment_is_delivered(api: Api, lose_answer: Lose) -> None:
    manager = await api.connect()
    suite = await api.create()
    lose_answer(managers, "insert_assignment")
    await api.submit(suite.uuid, 1)
    await manager.start()
    await manager.report(await manager.fetch(1))
    await api.close_suite(suite.uuid)
    await api.suite_when(suite.uuid, lambda s: s.state == COMPLETE)


async def test_a_suite_whose_last_report_was_committed_unheard_completes(api: Api, lose_answer: Lose) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 1)
    await api.close_suite(suite.uuid)
    manager = await api.connect()
    await manager.start()
    held = await manager.fetch(1)
    lose_answer(tasks, "finish")
    await manager.send(task_reports=manager.reports(held))
    ended = await api.suite_when(suite.uuid, lambda s: s.state == COMPLETE)
    assert ended.completed_tasks == 1
