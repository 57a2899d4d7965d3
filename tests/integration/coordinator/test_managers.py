"""What users do with managers: register, find, shut down."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from mitosis.v1 import manager_pb2, manager_service_pb2, user_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import ADMIN, WORKER, Api, refused
from tests.support.coordinator import bearer, coordinator_config, running

IDLE, OFFLINE = manager_pb2.NODE_MANAGER_STATE_IDLE, manager_pb2.NODE_MANAGER_STATE_OFFLINE


async def shut_down(api: Api, uuid: str, **fields: bool) -> manager_pb2.NodeManager:
    request = manager_service_pb2.ShutdownManagerRequest(uuid=uuid, **fields)
    return (await api.managers.ShutdownManager(request, metadata=api.metadata)).manager


async def listed(api: Api, **filters: object) -> list[str]:
    """The names on all pages of two."""
    names: list[str] = []
    token = ""
    while True:
        request = manager_service_pb2.ListManagersRequest(page_size=2, page_token=token, **filters)  # type: ignore[arg-type]
        page = await api.managers.ListManagers(request, metadata=api.metadata)
        names += [manager.name for manager in page.managers]
        token = page.next_page_token
        if not token:
            return names
        assert len(page.managers) == 2


async def test_a_manager_is_registered_offline(api: Api) -> None:
    manager = await api.register("machine", tags=["gpu"], max_workers=12)
    stored = await api.manager(manager)
    assert (stored.name, stored.state, list(stored.tags), stored.max_workers) == ("machine", OFFLINE, ["gpu"], 12)
    assert [(one.group_name, one.role) for one in stored.group_memberships] == [
        ("default", manager_pb2.MANAGER_ROLE_ADMIN),
        ("default", manager_pb2.MANAGER_ROLE_WORKER),
    ]
    assert (stored.created_by, stored.assigned_suite_uuid) == ("admin", "")


async def test_managers_are_found_by_every_filter_page_by_page(api: Api) -> None:
    group = await api.group("physics")
    foreign = [manager_pb2.GroupMembership(group_name=group)]
    for name in ("c", "a", "e"):
        await api.register(name)
    await api.connect("b", tags=["gpu", "linux"])
    await api.connect("d", tags=["gpu"], memberships=foreign)

    assert await listed(api) == ["a", "b", "c", "d", "e"]
    assert await listed(api, state=IDLE) == ["b", "d"]
    assert await listed(api, tags=["gpu"]) == ["b", "d"]
    assert await listed(api, tags=["linux", "gpu"]) == ["b"]
    assert await listed(api, group_name=group) == ["d"]
    viewer, stranger = await api.user(user_pb2.GROUP_ROLE_VIEWER), await api.user()
    assert await listed(viewer) == ["a", "b", "c", "e"]
    assert await listed(stranger) == []
    assert (await refused(listed(viewer, group_name=group))).reason == "NOT_FOUND"


async def test_a_manager_shows_only_groups_that_the_caller_is_in(api: Api) -> None:
    group = await api.group("physics")
    both = [WORKER, manager_pb2.GroupMembership(group_name=group)]
    manager = await api.register(memberships=both)
    viewer = await api.user(user_pb2.GROUP_ROLE_VIEWER)
    assert [one.group_name for one in (await api.manager(manager)).group_memberships] == ["default", group]
    assert [one.group_name for one in (await viewer.manager(manager)).group_memberships] == ["default"]


async def test_the_same_request_registers_one_manager_and_replaces_its_token(api: Api) -> None:
    request = manager_service_pb2.RegisterManagerRequest(name="once", group_memberships=[WORKER], request_id="r-1")
    first = await api.managers.RegisterManager(request, metadata=api.metadata)
    second = await api.managers.RegisterManager(request, metadata=api.metadata)
    assert first.manager.uuid == second.manager.uuid
    heartbeat = manager_service_pb2.HeartbeatRequest()
    assert (await refused(api.managers.Heartbeat(heartbeat, metadata=bearer(first.token)))).reason == "INVALID_TOKEN"
    await api.managers.Heartbeat(heartbeat, metadata=bearer(second.token))
    request.max_workers = 2
    told = await refused(api.managers.RegisterManager(request, metadata=api.metadata))
    assert told.reason == "REQUEST_ID_REUSED"
    request.request_id = ""
    assert (await refused(api.managers.RegisterManager(request, metadata=api.metadata))).reason == "ALREADY_EXISTS"


async def test_a_replaced_token_is_good_for_a_minute_more(api: Api) -> None:
    manager = await api.register()
    refresh = manager_service_pb2.RefreshTokenRequest()
    old = manager.token
    new = (await api.managers.RefreshToken(refresh, metadata=bearer(old))).token
    for token in (old, new):
        manager.token = token
        await manager.attach()
        await manager.drop()


async def test_a_manager_lives_by_heartbeats_without_a_stream(api: Api) -> None:
    manager = await api.register()
    beat = manager_service_pb2.HeartbeatRequest(metrics=manager_pb2.ManagerMetrics(active_workers=2))
    answer = await api.managers.Heartbeat(beat, metadata=bearer(manager.token))
    assert answer.heartbeat_interval_seconds == 30
    shown = await api.manager(manager)
    assert shown.metrics.active_workers == 2
    assert shown.HasField("last_heartbeat")


@pytest.mark.parametrize("graceful", [True, False])
async def test_a_manager_is_shut_down_and_gets_no_more_suites(api: Api, graceful: bool) -> None:
    manager = await api.connect()
    assert (await shut_down(api, manager.uuid, graceful=graceful)).uuid == manager.uuid
    told = await manager.receive("shutdown")
    assert (told.graceful, told.reason) == (graceful, "asked by admin")
    suite = await api.create()
    await api.submit(suite.uuid)
    other = await api.connect()
    assert (await other.start()).suite_uuid == suite.uuid
    assert manager.waiting("suite_assigned") == 0
    await manager.goodbye()
    assert (await api.manager(manager)).state == OFFLINE
    assert (await refused(shut_down(api, manager.uuid))).facts["state"].startswith("Offline")


async def test_a_manager_that_is_shut_down_while_it_works_hands_back_what_it_held(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 4)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(2)
    await shut_down(api, manager.uuid)
    assert (await manager.receive("shutdown")).graceful
    # Credit that comes now is void.
    await manager.grant(2)
    await manager.report(tasks[:1])
    assert manager.waiting("task_batch") == 0
    await manager.hand_back(tasks[1:])
    await manager.finish(pb.FINISH_REASON_DRAINED)
    await manager.goodbye()
    other = await api.connect()
    await other.start()
    again = await other.fetch(3)
    assert {task.task_uuid for task in again} == set(ids[1:])
    assert not (await api.task(ids[1])).failures
    await other.report(again)


async def test_the_admins_of_a_group_control_its_managers(api: Api) -> None:
    controlled = await api.connect("controlled", memberships=[WORKER, ADMIN])
    working = await api.connect("working", memberships=[WORKER])
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    member = await api.user(user_pb2.GROUP_ROLE_MEMBER)
    stranger = await api.user()
    assert (await refused(shut_down(stranger, controlled.uuid))).reason == "NOT_FOUND"
    assert (await refused(shut_down(member, controlled.uuid))).reason == "PERMISSION_DENIED"
    assert (await refused(shut_down(admin, working.uuid))).reason == "PERMISSION_DENIED"
    assert (await shut_down(admin, controlled.uuid)).name == "controlled"


async def test_a_group_admin_registers_managers_for_that_group_alone(api: Api) -> None:
    await api.group("physics")
    admin = await api.user(user_pb2.GROUP_ROLE_ADMIN)
    assert (await admin.register("mine")).name == "mine"
    foreign = [WORKER, manager_pb2.GroupMembership(group_name="physics")]
    assert (await refused(admin.register("theirs", memberships=foreign))).reason == "NOT_FOUND"
    assert await listed(api) == ["mine"]


async def test_so_many_managers_and_no_more_connect(consistent: None, database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, stream={"max_connections": 1})
    async with running(config) as coordinator:
        api = Api(coordinator)
        first, second = await api.connect(), await api.register()
        call = api.managers.Connect(metadata=bearer(second.token))
        told = await refused(call.read())
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        await first.goodbye()
        await second.attach()
        await api.close()
