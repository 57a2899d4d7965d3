"""A manager that was taken out of service finishes what it runs, and gets nothing until it is put back."""

from __future__ import annotations

from mitosis.v1 import manager_pb2, manager_service_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import Api
from tests.support.scripted_manager import WORKER_DIED, ScriptedManager

IDLE, OFFLINE = manager_pb2.NODE_MANAGER_STATE_IDLE, manager_pb2.NODE_MANAGER_STATE_OFFLINE


async def drain(api: Api, manager: ScriptedManager) -> manager_pb2.NodeManager:
    request = manager_service_pb2.DrainManagerRequest(uuid=manager.uuid)
    return (await api.managers.DrainManager(request, metadata=api.metadata)).manager


async def resume(api: Api, manager: ScriptedManager) -> manager_pb2.NodeManager:
    request = manager_service_pb2.ResumeManagerRequest(uuid=manager.uuid)
    return (await api.managers.ResumeManager(request, metadata=api.metadata)).manager


async def test_what_runs_finishes_and_what_waits_goes_to_others_without_charge(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 3)
    manager = await api.connect()
    await manager.start()
    held = await manager.fetch(3)
    for _ in range(2):
        assert (await drain(api, manager)).draining
    assert (await manager.receive("suite_drained")).assignment_id == manager.assignment_id
    await manager.hand_back(held[1:])
    other = await api.connect()
    await other.start()
    assert [task.task_uuid for task in await other.fetch(2)] == ids[1:]
    assert not await manager.report(held[:1])
    await manager.finish(pb.FINISH_REASON_RELEASED)
    shown = await api.manager_when(manager, lambda m: m.state == IDLE)
    assert shown.draining
    assert not (await api.task(ids[1])).failures
    assert manager.waiting("suite_drained") == 0


async def test_it_gets_no_suite_until_it_is_put_back(api: Api) -> None:
    drained, other = await api.connect(), await api.connect()
    await drain(api, drained)
    first = await api.create(auto_close_timeout_seconds=0)
    await api.submit(first.uuid)
    await other.start()
    second = await api.create()
    await api.submit(second.uuid)
    await other.report(await other.fetch(1))
    assert drained.waiting("suite_assigned") == 0
    assert not (await resume(api, drained)).draining
    assert (await drained.start()).suite_uuid == second.uuid


async def test_it_survives_a_restart_and_is_told_at_the_next_attach(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    held = await manager.fetch(1)
    await manager.drop()
    await drain(api, manager)
    # The same process comes back with its suite, and is told to let go.
    assert (await manager.attach(held)).verdict == pb.ATTACH_VERDICT_RESUME
    await manager.receive("suite_drained")
    await manager.report(held)
    await manager.finish(pb.FINISH_REASON_RELEASED)
    await manager.drop()
    manager.restart()
    await manager.attach()
    other = await api.connect()
    await other.start()
    assert (await api.manager(manager)).draining
    assert manager.waiting("suite_assigned") == 0


async def test_a_manager_that_is_not_connected_is_drained_too(api: Api) -> None:
    manager = await api.register()
    assert (await drain(api, manager)).state == OFFLINE
    suite = await api.create()
    await api.submit(suite.uuid)
    await manager.attach()
    other = await api.connect()
    await other.start()
    assert manager.waiting("suite_assigned") == 0


async def test_a_task_that_killed_its_workers_does_not_wait_for_it(api: Api) -> None:
    drained, manager = await api.connect(), await api.connect()
    await drain(api, drained)
    suite = await api.create()
    [task] = await api.submit(suite.uuid)
    await manager.start()
    await manager.report(await manager.fetch(1), WORKER_DIED, worker_deaths=["killed by SIGSEGV"] * 2)
    assert (await api.task(task)).state == task_pb2.TASK_STATE_FAILED
