"""A manager with nothing to run gets a task from the transaction that stores it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from mitosis_coordinator.services.assignments import AssignmentService
from mitosis_coordinator.services.submission import MAX_GIVEN_AT_ONCE
from mitosis_coordinator.storage import tasks
from tests.integration.coordinator.conftest import Lose
from tests.support.api import Api
from tests.support.scripted_manager import ScriptedManager
from tests.support.waiting import until


async def waiting_managers(api: Api, suite_uuid: str, count: int, credit: int) -> list[ScriptedManager]:
    """Managers that execute the suite, have credit, and were told in vain that there is something."""
    managers = [await api.connect() for _ in range(count)]
    await api.submit(suite_uuid, count)
    for manager in managers:
        await manager.start()
    for manager in managers:
        await manager.fetch(1)
    for manager in managers:
        await manager.grant(credit)
    return managers


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The limits of claims that sessions make on their own."""
    limits: list[int] = []
    claim = AssignmentService.claim

    async def noted(self: AssignmentService, *arguments: Any) -> Any:
        claimed = await claim(self, *arguments)
        limits.append(arguments[4])
        return claimed

    monkeypatch.setattr(AssignmentService, "claim", noted)
    return limits


async def test_a_few_tasks_need_no_claim_of_their_own(api: Api, claims: list[int]) -> None:
    suite = await api.create()
    [manager] = await waiting_managers(api, suite.uuid, 1, 8)
    await until(lambda: claims[-1:] == [8])
    del claims[:]
    for count in (1, 3):
        names = await api.submit(suite.uuid, count)
        assert [task.task_uuid for task in await manager.tasks(count)] == names
    assert claims == []


async def test_what_exceeds_the_credit_or_the_limit_goes_the_ordinary_way(api: Api, claims: list[int]) -> None:
    suite = await api.create()
    [manager] = await waiting_managers(api, suite.uuid, 1, 2)
    await until(lambda: claims[-1:] == [2])
    first = await api.submit(suite.uuid, 3)
    assert [task.task_uuid for task in await manager.tasks(2)] == first[:2]
    del claims[:]
    await manager.grant(MAX_GIVEN_AT_ONCE + 10)
    assert [task.task_uuid for task in await manager.tasks(1)] == first[2:]
    many = await api.submit(suite.uuid, MAX_GIVEN_AT_ONCE + 1)
    assert [task.task_uuid for task in await manager.tasks(len(many))] == many
    assert claims


async def test_requests_at_the_same_time_give_each_task_once(api: Api) -> None:
    suite = await api.create()
    managers = await waiting_managers(api, suite.uuid, 2, 100)
    names = [name for names in await asyncio.gather(*(api.submit(suite.uuid, 2) for _ in range(40))) for name in names]

    def given() -> list[str]:
        return [task.task_uuid for manager in managers for task in manager.arrived()]

    await until(lambda: len(given()) >= len(names))
    assert sorted(given()) == sorted(names)
    stored = [await api.task(name) for name in names]
    assert {task.attempt for task in stored} == {1}


async def test_what_an_unheard_submission_claimed_is_handed_out_again(
    api: Api, claims: list[int], lose_answer: Lose
) -> None:
    suite = await api.create()
    [manager] = await waiting_managers(api, suite.uuid, 1, 2)
    await until(lambda: claims[-1:] == [2])
    lose_answer(tasks, "insert")
    with pytest.raises(grpc.aio.AioRpcError):
        await api.submit(suite.uuid, 2)
    both = await manager.tasks(2)
    assert {task.attempt for task in both} == {2}
    await manager.report(both)
    counters = await api.suite(suite.uuid)
    assert (counters.completed_tasks, counters.pending_tasks, counters.total_tasks) == (2, 1, 3)
