"""Two coordinators on one database are one: what is said to one arrives where it belongs, at once.

Sweeps are switched off, so that whatever arrives was hinted at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from mitosis.v1 import (
    admin_service_pb2,
    auth_service_pb2,
    manager_service_pb2,
    manager_stream_pb2,
    suite_pb2,
    suite_service_pb2,
    worker_service_pb2,
)
from mitosis_coordinator.dispatch import assigner
from mitosis_coordinator.domain.hints import Hint, HintKind
from mitosis_coordinator.duties import clockwork
from mitosis_coordinator.peers.bus import HintBus
from mitosis_coordinator.rpc import suite_service
from mitosis_coordinator.rpc.manager_service import ManagerServicer
from mitosis_coordinator.sessions import holder
from tests.support.api import Api, refused
from tests.support.coordinator import coordinator_config, refusal, running
from tests.support.scripted_manager import EXECUTING, FAILED, ScriptedManager
from tests.support.waiting import until

NEVER = 600.0
# Below the first beat, which would make up for a lost hint.
SOON_SECONDS = 6.0
PROPORTIONAL = suite_pb2.WorkerSchedulePlan(strategy=suite_pb2.WORKER_SCHEDULE_STRATEGY_PROPORTIONAL, worker_count=4)


@pytest.fixture(autouse=True)
def no_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (assigner, "SWEEP_SECONDS"),
        (clockwork, "SWEEP_SECONDS"),
        (holder, "SWEEP_SECONDS"),
        (suite_service, "WATCH_SWEEP_SECONDS"),
    ):
        monkeypatch.setattr(module, name, NEVER)


@pytest.fixture
async def pair(consistent: None, database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Api, Api]]:
    """Two coordinators, which know of each other."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_coordinator(database_url, tmp_path / "a"))
        second = await stack.enter_async_context(_coordinator(database_url, tmp_path / "b"))
        await until(lambda: bus(first).accompanied and bus(second).accompanied, what="company")
        yield first, second


@asynccontextmanager
async def _coordinator(database_url: str, directory: Path, **sections: dict[str, Any]) -> AsyncIterator[Api]:
    directory.mkdir()
    async with running(coordinator_config(database_url, directory, **sections)) as served:
        api = Api(served)
        try:
            yield api
        finally:
            await api.close()


def bus(api: Api) -> HintBus:
    return api.coordinator.inner.components.bus


def leads(api: Api) -> bool:
    return bus(api).leadership.held


async def test_tasks_reach_a_manager_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    manager = await there.connect()
    async with asyncio.timeout(SOON_SECONDS):
        suite = await here.create()
        await here.submit(suite.uuid)
        assert (await manager.start()).suite_uuid == suite.uuid
        await manager.fetch(1)
        await manager.grant(2)
        # The manager waits with its credit.
        ids = await here.submit(suite.uuid, 2)
        assert {task.task_uuid for task in await manager.tasks(2)} == set(ids)


async def test_independent_tasks_reach_a_worker_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    worker = await there.connect_worker()
    await worker.grant(1)
    async with asyncio.timeout(SOON_SECONDS):
        ids = await here.submit_independent()
        [task] = await worker.tasks(1)
        assert [task.task_uuid] == ids
        await here.cancel_task(task.task_uuid)
        cancelled = await worker.receive("cancel_tasks")
    assert [one.task_uuid for one in cancelled.tasks] == ids


@pytest.mark.parametrize("running_too", [True, False])
async def test_a_suite_is_cancelled_at_the_other_coordinator(pair: tuple[Api, Api], running_too: bool) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid, 3)
    manager = await there.connect()
    await manager.start()
    held = {(task.task_uuid, task.attempt) for task in await manager.fetch(2)}
    async with asyncio.timeout(SOON_SECONDS):
        answer = await here.cancel(suite.uuid, cancel_running_tasks=running_too, reason="enough")
        cancel = await manager.receive("cancel_suite")
        assert (cancel.assignment_id, cancel.reason) == (manager.assignment_id, "enough")
        assert answer.cancelled_task_count == (3 if running_too else 1)
        if running_too:
            stopped = await manager.receive("cancel_tasks")
            assert {(one.task_uuid, one.attempt) for one in stopped.tasks} == held
    assert manager.waiting("cancel_tasks") == 0
    await manager.finish()


async def test_one_task_is_stopped_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid, 3)
    manager = await there.connect()
    await manager.start()
    first, second, third = await manager.fetch(3)
    await manager.report([first])
    async with asyncio.timeout(SOON_SECONDS):
        await here.cancel_task(second.task_uuid)
        cancelled = await manager.receive("cancel_tasks")
    assert [(one.task_uuid, one.attempt) for one in cancelled.tasks] == [(second.task_uuid, second.attempt)]
    assert await manager.report([third]) == []


async def test_a_manager_is_let_go_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid)
    manager = await there.connect()
    await manager.start()
    async with asyncio.timeout(SOON_SECONDS):
        await here.remove_managers(suite.uuid, manager)
        assert (await manager.receive("suite_drained")).assignment_id == manager.assignment_id


async def test_a_suite_that_completes_lets_go_of_managers_everywhere(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid, 2)
    near, far = await here.connect("near"), await there.connect("far")
    await near.start()
    await far.start()
    tasks = [*await near.fetch(1), *await far.fetch(1)]
    await here.close_suite(suite.uuid)
    async with asyncio.timeout(SOON_SECONDS):
        await far.report(tasks[1:])
        await near.report(tasks[:1])
        await far.receive("suite_drained")
        await near.receive("suite_drained")


async def test_workers_are_shared_anew_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create(worker_schedule=PROPORTIONAL)
    await here.submit(suite.uuid, 4)
    far = await there.connect("far", max_workers=4)
    assert (await far.start()).worker_count == 4
    async with asyncio.timeout(SOON_SECONDS):
        near = await here.connect("near", max_workers=4)
        assert (await near.start()).worker_count == 2
        assert (await far.receive("config_update")).worker_count == 2
        # Not finish() alone: whoever is free and eligible gets the suite again, perhaps before it is shared anew.
        await here.remove_managers(suite.uuid, near)
        await near.finish()
        assert (await far.receive("config_update")).worker_count == 4


@pytest.mark.parametrize("graceful", [True, False])
async def test_a_manager_is_shut_down_through_the_other_coordinator(pair: tuple[Api, Api], graceful: bool) -> None:
    here, there = pair
    manager = await there.connect()
    request = manager_service_pb2.ShutdownManagerRequest(uuid=manager.uuid, graceful=graceful)
    async with asyncio.timeout(SOON_SECONDS):
        await here.managers.ShutdownManager(request, metadata=here.metadata)
        told = await manager.receive("shutdown")
    assert (told.graceful, told.reason) == (graceful, "asked by admin")
    await manager.goodbye()
    offline = await refused(here.managers.ShutdownManager(request, metadata=here.metadata))
    assert offline.facts["state"].startswith("Offline")
    # The next process is not meant.
    manager.restart()
    await manager.attach()
    suite = await here.create()
    await here.submit(suite.uuid)
    bus(here).tell(Hint(HintKind.HOLDER, UUID(manager.uuid)))
    await manager.start()
    assert manager.waiting("shutdown") == 0


async def test_a_worker_is_shut_down_through_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    worker = await there.connect_worker()
    request = worker_service_pb2.ShutdownWorkerRequest(uuid=worker.uuid)
    async with asyncio.timeout(SOON_SECONDS):
        await here.workers.ShutdownWorker(request, metadata=here.metadata)
        assert (await worker.receive("shutdown")).graceful
    await worker.goodbye()
    assert (await refused(here.workers.ShutdownWorker(request, metadata=here.metadata))).reason == "WRONG_STATE"


async def test_an_order_to_end_waits_for_a_manager_that_is_about_to_come_back(
    database_url: str, tmp_path: Path, consistent: None
) -> None:
    beats = {"heartbeat_interval_seconds": 1, "heartbeat_timeout_seconds": 60}
    async with _coordinator(database_url, tmp_path / "only", stream=beats) as api:
        manager = await api.connect()
        await manager.drop()
        request = manager_service_pb2.ShutdownManagerRequest(uuid=manager.uuid)
        await api.managers.ShutdownManager(request, metadata=api.metadata)
        await manager.attach()
        assert (await manager.receive("shutdown")).graceful


async def test_a_manager_that_moves_leaves_no_session_behind(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid, 2)
    manager = await here.connect()
    await manager.start()
    held = await manager.fetch(1)
    # The first stream lasts on, as when a connection breaks that only one end knows of.
    moved = ScriptedManager(there.coordinator.channel, manager.name, manager.uuid, manager.token, [], 2)
    moved.session_uuid, moved.assignment_id, moved.state = manager.session_uuid, manager.assignment_id, EXECUTING
    try:
        assert (await moved.attach(held)).verdict == manager_stream_pb2.ATTACH_VERDICT_RESUME
        async with asyncio.timeout(SOON_SECONDS):
            ended = await manager.ended()
        assert ended is not None
        assert refusal(ended).reason == "SESSION_REPLACED"
        assert await moved.report(held) == []
        await moved.fetch(1)
    finally:
        await moved.drop()


async def test_a_session_left_behind_takes_nothing_from_its_successor(
    pair: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    suite = await here.create()
    await here.submit(suite.uuid, 2)
    manager = await here.connect()
    await manager.start()
    held = await manager.fetch(1)
    servicers = [service.servicer for service in here.coordinator.inner.components.services]
    [sessions] = [servicer._registry for servicer in servicers if isinstance(servicer, ManagerServicer)]
    left_behind = sessions.of(UUID(manager.uuid))
    assert left_behind is not None
    # The hint is late.
    monkeypatch.setattr(left_behind, "look_again", lambda: None)
    moved = ScriptedManager(there.coordinator.channel, manager.name, manager.uuid, manager.token, [], 2)
    moved.session_uuid, moved.assignment_id, moved.state = manager.session_uuid, manager.assignment_id, EXECUTING
    try:
        await moved.attach(held)
        held += await moved.fetch(1)
        await left_behind._sweep()
        await manager.hand_back(held[:1])
        await manager.report([])
        assert await moved.report(held) == []
    finally:
        await moved.drop()


async def test_two_thousand_running_tasks_move_with_their_managers(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    ids = await here.submit(suite.uuid, 2000)
    managers = [await here.connect(f"m{number}", max_workers=256) for number in range(4)]
    held = []
    for manager in managers:
        await manager.start()
        tasks = await manager.fetch(500)
        await manager.started(tasks)
        held.append(tasks)
    await here.list_suites()
    for manager, tasks in zip(managers, held, strict=True):
        await manager.drop()
        manager.turn_to(there.coordinator.channel)
        attached = await manager.attach(tasks)
        assert attached.verdict == manager_stream_pb2.ATTACH_VERDICT_RESUME
        assert list(attached.revoked_tasks) == []
    for manager, tasks in zip(managers, held, strict=True):
        assert await manager.report(tasks) == []
    assert {task.task_uuid for tasks in held for task in tasks} == set(ids)
    counted = await there.suite(suite.uuid)
    assert (counted.completed_tasks, counted.pending_tasks) == (2000, 0)


async def test_what_waits_behind_long_tasks_goes_to_a_manager_of_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    hoarder, starving = await here.connect("hoarder"), await there.connect("starving")
    await here.submit(suite.uuid, 4)
    await hoarder.start()
    await starving.start()
    held = await hoarder.fetch(4)
    await starving.grant(2)
    async with asyncio.timeout(SOON_SECONDS):
        await hoarder.started(held[:2])
        assert (await hoarder.receive("recall_tasks")).max_tasks == 2
        await hoarder.hand_back(held[2:])
        assert {task.task_uuid for task in await starving.tasks(2)} == {task.task_uuid for task in held[2:]}


async def test_what_is_handed_back_goes_to_whom_it_was_recalled_for(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    hoarder, *busy = [await there.connect(name) for name in ("hoarder", "busy-1", "busy-2")]
    starving = await here.connect("starving")
    await here.submit(suite.uuid, 10)
    held = {}
    for manager, count in ((hoarder, 4), (busy[0], 2), (busy[1], 2), (starving, 2)):
        await manager.start()
        held[manager.name] = await manager.fetch(count)
        await manager.started(held[manager.name][:2])
    # They are nearer to what comes back, and could only put it behind what they run.
    for manager in busy:
        await manager.grant(2)
    async with asyncio.timeout(SOON_SECONDS):
        await starving.report(held["starving"])
        await starving.grant(2)
        assert (await hoarder.receive("recall_tasks")).max_tasks == 2
        waiting = held["hoarder"][2:]
        await hoarder.hand_back(waiting)
        assert {task.task_uuid for task in await starving.tasks(2)} == {task.task_uuid for task in waiting}
    assert [manager.waiting("task_batch") for manager in busy] == [0, 0]


async def test_a_token_that_is_revoked_ends_the_stream_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    manager = await there.connect()
    request = manager_service_pb2.RevokeManagerTokenRequest(uuid=manager.uuid)
    async with asyncio.timeout(SOON_SECONDS):
        await here.managers.RevokeManagerToken(request, metadata=here.metadata)
        ended = await manager.ended()
    assert ended is not None
    assert refusal(ended).reason == "INVALID_TOKEN"
    # What the other coordinator remembered of it is forgotten too.
    with pytest.raises(AssertionError, match="revoked"):
        await manager.attach()


async def test_a_user_who_is_disabled_is_refused_everywhere(pair: tuple[Api, Api]) -> None:
    here, there = pair
    username, token = await here.coordinator.new_user()
    remembered = Api(there.coordinator, token)
    await remembered.list_suites()
    change = admin_service_pb2.UpdateUserRequest(username=username, disabled=True)
    await here.coordinator.admin.UpdateUser(change, metadata=here.metadata)
    forgotten = there.coordinator.inner.components.authenticator
    await until(lambda: token not in forgotten._known, seconds=4.0, what="the hint")
    assert (await refused(remembered.list_suites())).reason == "INVALID_TOKEN"


async def test_whoever_watches_a_suite_sees_what_happens_at_the_other_coordinator(pair: tuple[Api, Api]) -> None:
    here, there = pair
    suite = await here.create()
    request = suite_service_pb2.WatchSuiteRequest(uuid=suite.uuid)
    watch = there.suites.WatchSuite(request, metadata=there.metadata)
    async with asyncio.timeout(SOON_SECONDS):
        submitted = False
        async for seen in watch:
            if seen.suite.total_tasks == 2:
                break
            if not submitted:
                submitted = bool(await here.submit(suite.uuid, 2))
    watch.cancel()


async def test_deadlines_that_the_leader_does_not_know_of_are_told_to_it(pair: tuple[Api, Api]) -> None:
    here, there = pair
    assert leads(here)
    suite = await there.create(auto_close_timeout_seconds=1)
    await there.suite_when(suite.uuid, lambda it: it.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)


async def test_one_coordinator_leads_and_another_takes_over(
    consistent: None, database_url: str, tmp_path: Path
) -> None:
    async with _coordinator(database_url, tmp_path / "b") as second:
        async with _coordinator(database_url, tmp_path / "a") as first:
            await until(lambda: bus(first).accompanied, what="company")
            assert (leads(first), leads(second)) == (False, True)
            async with _coordinator(database_url, tmp_path / "c") as third:
                assert not leads(third)
            with psycopg.connect(database_url, autocommit=True) as connection:
                _end_listener(connection, second)
                await until(lambda: leads(first) or leads(second), what="a leader")
                await until(lambda: leads(first) + leads(second) == 1, what="one leader")
                row = connection.execute("SELECT count(*) FROM coordinators").fetchone()
                assert row == (2,)
        await until(lambda: leads(second) and not bus(second).accompanied, what="the only one that is left")


async def test_hints_are_heard_again_after_the_listening_connection_was_lost(
    pair: tuple[Api, Api], database_url: str
) -> None:
    here, there = pair
    manager = await there.connect()
    suite = await here.create()
    heard: list[Hint] = []
    bus(there).on_hint(heard.append)
    with psycopg.connect(database_url, autocommit=True) as connection:
        _end_listener(connection, there)
    await here.submit(suite.uuid)
    # Whether it heard of the tasks or not, it reads everything again.
    assert (await manager.start()).suite_uuid == suite.uuid
    await until(lambda: Hint(HintKind.EVERYTHING) in heard, what="everything")
    await manager.grant(1)
    heard.clear()
    await here.cancel(suite.uuid)
    await until(lambda: Hint(HintKind.SUITE_HOLDERS, _uuid(suite)) in heard, what="a hint")


async def test_a_leader_that_hangs_is_deposed(consistent: None, database_url: str, tmp_path: Path) -> None:
    # It has the lock, and says nothing.
    with psycopg.connect(database_url, autocommit=True) as hanging:
        hanging.execute("SELECT pg_advisory_lock(%s, 1)", [0x6D69_746F])
        async with _coordinator(database_url, tmp_path / "a") as api:
            await until(lambda: leads(api), what="the duties")
        with pytest.raises(psycopg.OperationalError):
            hanging.execute("SELECT 1")


async def test_one_that_is_alone_tells_nobody(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await manager.report(tasks[:1])
    await manager.report(tasks[1:], FAILED)
    await api.cancel(suite.uuid)
    assert leads(api)
    assert bus(api).sent == 0


async def test_many_hints_are_few_notifications(pair: tuple[Api, Api]) -> None:
    here, there = pair
    heard: list[Hint] = []
    bus(there).on_hint(heard.append)
    suite = await here.create()
    before = bus(here).sent
    await asyncio.gather(*(here.submit(suite.uuid) for _ in range(100)))
    await until(lambda: Hint(HintKind.TASKS_READY, _uuid(suite)) in heard, what="a hint")
    assert 1 <= bus(here).sent - before < 100


async def test_a_login_at_one_is_good_at_the_other(pair: tuple[Api, Api]) -> None:
    here, there = pair
    username, _ = await here.coordinator.new_user()
    token = await there.coordinator.log_in(username, "the user's password")
    who = await here.coordinator.auth.GetCurrentUser(
        auth_service_pb2.GetCurrentUserRequest(), metadata=Api(here.coordinator, token).metadata
    )
    assert who.user.username == username


def _end_listener(connection: psycopg.Connection[Any], api: Api) -> None:
    identity = bus(api)._identity.id
    cursor = connection.execute("SELECT pg_terminate_backend(backend_pid) FROM coordinators WHERE id = %s", [identity])
    assert cursor.fetchall() == [(True,)]


def _uuid(suite: suite_pb2.TaskSuite) -> UUID:
    return UUID(suite.uuid)
