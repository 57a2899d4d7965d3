"""Who gets which suite, with how many workers, and who lets go for whom."""

from __future__ import annotations

from mitosis.v1 import manager_pb2, suite_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import Api
from tests.support.scripted_manager import EXECUTING

QUEUED, OPEN = suite_pb2.TASK_SUITE_STATE_QUEUED, suite_pb2.TASK_SUITE_STATE_OPEN
RUNS, COMPLETE = suite_pb2.TASK_SUITE_STATE_EXECUTING, suite_pb2.TASK_SUITE_STATE_COMPLETE
OFFLINE, IDLE = manager_pb2.NODE_MANAGER_STATE_OFFLINE, manager_pb2.NODE_MANAGER_STATE_IDLE


def plan(count: int, strategy: str = "FIXED") -> suite_pb2.WorkerSchedulePlan:
    return suite_pb2.WorkerSchedulePlan(worker_count=count, strategy=f"WORKER_SCHEDULE_STRATEGY_{strategy}")


async def test_a_manager_gets_only_suites_whose_tags_it_has(api: Api) -> None:
    foreign = await api.create("foreign", tags=["gpu", "linux"], priority=10)
    fitting = await api.create("fitting", tags=["gpu"])
    for suite in (foreign, fitting):
        await api.submit(suite.uuid)
    manager = await api.connect(tags=["gpu", "arm"])
    assert (await manager.start()).suite_uuid == fitting.uuid
    assert not (await api.suite(foreign.uuid)).eligible_managers
    [eligible] = (await api.suite(fitting.uuid)).eligible_managers
    assert (eligible.manager_uuid, eligible.manager_name, eligible.assigned) == (manager.uuid, manager.name, True)
    assert eligible.selection == suite_pb2.MANAGER_SELECTION_TAG_MATCHED


async def test_tags_told_at_attach_replace_those_of_the_registration(api: Api) -> None:
    suite = await api.create(tags=["gpu"])
    await api.submit(suite.uuid)
    manager = await api.register(tags=["old"])
    assert not (await api.suite(suite.uuid)).eligible_managers
    manager.tags = ["gpu"]
    manager.max_workers = 7
    await manager.attach()
    assert (await manager.start()).worker_count == 7
    stored = await api.manager(manager)
    assert (list(stored.tags), stored.max_workers) == (["gpu"], 7)


async def test_a_manager_works_for_groups_in_which_it_has_the_role(api: Api) -> None:
    group = await api.group("physics")
    foreign = await api.create("foreign", group_name=group, priority=10)
    own = await api.create("own")
    for suite in (foreign, own):
        await api.submit(suite.uuid)
    # Being controlled by a group's admins is not working for it.
    memberships = [
        manager_pb2.GroupMembership(group_name="default"),
        manager_pb2.GroupMembership(group_name=group, role=manager_pb2.MANAGER_ROLE_ADMIN),
    ]
    manager = await api.connect(memberships=memberships)
    assert (await manager.start()).suite_uuid == own.uuid
    assert not (await api.suite(foreign.uuid)).eligible_managers


async def test_the_highest_priority_goes_first_and_then_the_oldest(api: Api) -> None:
    low, old, young = [
        await api.create(name, priority=priority, auto_close_timeout_seconds=0)
        for name, priority in (("low", 0), ("old", 5), ("young", 5))
    ]
    for suite in (low, young, old):
        await api.submit(suite.uuid)
    manager = await api.connect()
    order = []
    for _ in range(3):
        order.append((await manager.start()).suite_name)
        await manager.report(await manager.fetch(1))
        await manager.receive("suite_drained")
        await manager.finish()
    assert order == ["old", "young", "low"]


async def test_a_suite_without_tasks_waits_for_them(api: Api) -> None:
    suite = await api.create()
    manager = await api.connect()
    assert (await api.suite(suite.uuid)).state == QUEUED
    assert (await api.manager(manager)).state == IDLE
    await api.submit(suite.uuid)
    await manager.take()
    assert (await api.suite_when(suite.uuid, lambda s: s.assigned_managers)).state == OPEN
    await manager.become(EXECUTING)
    await api.suite_when(suite.uuid, lambda s: s.state == RUNS)
    shown = await api.manager_when(manager, lambda m: m.state == manager_pb2.NODE_MANAGER_STATE_EXECUTING)
    assert shown.assigned_suite_uuid == suite.uuid


async def test_several_managers_share_a_suite_but_no_task(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 10)
    managers = [await api.connect() for _ in range(3)]
    for manager in managers:
        await manager.start()
    held = [await manager.fetch(3) for manager in managers]
    assert len({task.task_uuid for tasks in held for task in tasks}) == 9
    held[0] += await managers[0].fetch(1)
    for manager, tasks in zip(managers, held, strict=True):
        await manager.report(tasks)
    assert {task.task_uuid for tasks in held for task in tasks} == set(ids)
    assert (await api.suite(suite.uuid)).completed_tasks == 10


async def test_a_suite_takes_no_more_managers_than_it_has_tasks(api: Api) -> None:
    small, other = await api.create("small", priority=1), await api.create("other")
    await api.submit(small.uuid)
    await api.submit(other.uuid, 5)
    first, second = await api.connect(), await api.connect()
    names = {(await first.start()).suite_name, (await second.start()).suite_name}
    assert names == {"small", "other"}
    assert (await api.suite(small.uuid)).assigned_managers == 1


async def test_the_suite_is_queued_again_when_its_last_manager_leaves(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    first = await api.connect()
    await first.start()
    await first.fetch(2)
    await first.goodbye()
    left = await api.suite_when(suite.uuid, lambda s: s.state == QUEUED)
    assert (left.assigned_managers, left.pending_tasks) == (0, 2)
    assert (await api.manager(first)).state == OFFLINE
    second = await api.connect()
    await second.start()
    again = await second.fetch(2)
    assert [(task.task_uuid, task.attempt) for task in again] == [(ids[0], 2), (ids[1], 2)]
    # Leaving on purpose charges nobody.
    assert not (await api.task(ids[0])).failures
    await second.report(again)


async def test_fixed_gives_each_manager_the_count_up_to_its_limit(api: Api) -> None:
    suite = await api.create(worker_schedule=plan(4))
    await api.submit(suite.uuid, 10)
    large, small = await api.connect(max_workers=8), await api.connect(max_workers=2)
    assert (await large.start()).worker_count == 4
    assert (await small.start()).worker_count == 2
    assert large.waiting("config_update") == 0


async def test_proportional_shares_the_total_anew_whenever_a_manager_comes_or_goes(api: Api) -> None:
    suite = await api.create(worker_schedule=plan(6, "PROPORTIONAL"))
    await api.submit(suite.uuid, 10)
    large = await api.connect(max_workers=8)
    assert (await large.start()).worker_count == 6
    small = await api.connect(max_workers=4)
    assert (await small.start()).worker_count == 2
    update = await large.receive("config_update")
    assert (update.assignment_id, update.worker_count) == (large.assignment_id, 4)
    await small.finish(pb.FINISH_REASON_DRAINED)
    assert (await large.receive("config_update")).worker_count == 6


async def test_managers_added_by_hand_run_the_suite_alone(api: Api) -> None:
    suite = await api.create(tags=["gpu"])
    chosen, matched = await api.register("chosen"), await api.register("matched", tags=["gpu"])
    [eligible] = await api.add_managers(suite.uuid, chosen)
    assert (eligible.manager_name, eligible.selection) == ("chosen", suite_pb2.MANAGER_SELECTION_USER_SPECIFIED)
    await api.submit(suite.uuid, 5)
    await matched.attach()
    await chosen.attach()
    assert (await chosen.start()).suite_uuid == suite.uuid
    tasks = await chosen.fetch(5)
    await chosen.report(tasks)
    assert matched.waiting("suite_assigned") == 0
    assert (await api.manager(matched)).state == IDLE
    # Matching by tags again leaves those that were added by hand alone.
    assert [one.manager_name for one in await api.refresh(suite.uuid)] == ["chosen"]
    assert [one.manager_name for one in await api.remove_managers(suite.uuid, chosen)] == ["matched"]


async def test_a_holder_that_is_not_among_those_added_by_hand_lets_go(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 5)
    holder = await api.connect("holder")
    await holder.start()
    await holder.fetch(1)
    chosen = await api.connect("chosen")
    await chosen.start()
    await api.add_managers(suite.uuid, chosen)
    assert (await holder.receive("suite_drained")).assignment_id == holder.assignment_id
    await holder.finish()
    tasks = await chosen.fetch(5)
    await chosen.report(tasks)
    assert chosen.waiting("suite_drained") == 0


async def test_a_removed_manager_lets_go_and_gets_the_suite_no_more(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 3)
    removed = await api.connect("removed")
    await removed.start()
    tasks = await removed.fetch(2)
    assert not await api.remove_managers(suite.uuid, removed)
    await removed.receive("suite_drained")
    await removed.report(tasks[:1])
    await removed.hand_back(tasks[1:])
    await removed.finish()
    await api.manager_when(removed, lambda m: m.state == IDLE)
    assert (await api.suite(suite.uuid)).state == QUEUED
    other = await api.connect("other")
    await other.start()
    await other.report(await other.fetch(2))
    assert removed.waiting("suite_assigned") == 0
    # Matching by tags brings it back.
    assert [one.manager_name for one in await api.refresh(suite.uuid)] == ["other", "removed"]


async def test_changed_tags_match_managers_anew(api: Api) -> None:
    suite = await api.create(tags=["gpu"])
    manager = await api.connect(tags=["arm"])
    await api.submit(suite.uuid)
    updated = await api.update(suite.uuid, tags={"values": ["arm"]})
    assert list(updated.tags) == ["arm"]
    assert (await manager.start()).suite_uuid == suite.uuid


async def test_a_manager_with_nothing_left_lets_go_when_another_suite_waits(api: Api) -> None:
    first = await api.create("first")
    await api.submit(first.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1))
    # Nobody else waits: it stays warm.
    assert (await api.suite(first.uuid)).assigned_managers == 1
    assert manager.waiting("suite_drained") == 0
    second = await api.create("second", priority=-5)
    await api.submit(second.uuid)
    assert (await manager.receive("suite_drained")).assignment_id == manager.assignment_id
    await manager.finish()
    assert (await manager.start()).suite_name == "second"
    assert (await api.suite(first.uuid)).state == QUEUED


async def test_a_manager_with_work_left_keeps_its_suite_among_equals(api: Api) -> None:
    first, second = await api.create("first"), await api.create("second")
    await api.submit(first.uuid, 3)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await api.submit(second.uuid)
    await manager.report(tasks)
    await manager.report(await manager.fetch(1))
    assert manager.waiting("suite_drained") == 0
    # It could take more than there is, which is how the coordinator learns that nothing is left.
    await manager.grant(5)
    await manager.report(await manager.tasks(1))
    await manager.receive("suite_drained")
    await manager.finish()
    assert (await manager.start()).suite_name == "second"


async def test_a_suite_of_higher_priority_gets_the_manager_of_a_lower_one(api: Api) -> None:
    low = await api.create("low")
    ids = await api.submit(low.uuid, 4)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(3)
    urgent = await api.create("urgent", priority=1, auto_close_timeout_seconds=0)
    await api.submit(urgent.uuid)
    await manager.receive("suite_drained")
    # What runs finishes, what has not started goes back.
    await manager.hand_back(tasks[1:])
    await manager.report(tasks[:1])
    await manager.finish()
    assert (await manager.start()).suite_name == "urgent"
    await manager.report(await manager.fetch(1))
    await manager.receive("suite_drained")
    await manager.finish()
    assert (await manager.start()).suite_name == "low"
    await manager.report(await manager.fetch(3))
    assert not (await api.task(ids[1])).failures
    assert (await api.suite(low.uuid)).completed_tasks == 4


async def test_an_idle_manager_is_preferred_to_taking_one_away(api: Api) -> None:
    low = await api.create("low")
    await api.submit(low.uuid)
    busy = await api.connect("busy")
    await busy.start()
    await busy.fetch(1)
    idle = await api.connect("idle")
    urgent = await api.create("urgent", priority=1)
    await api.submit(urgent.uuid)
    assert (await idle.start()).suite_name == "urgent"
    await idle.report(await idle.fetch(1))
    assert busy.waiting("suite_drained") == 0


async def test_a_completed_suite_lets_its_managers_go(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    await api.submit(suite.uuid, 2)
    managers = [await api.connect(), await api.connect()]
    for manager in managers:
        await manager.start()
    for manager in managers:
        await manager.report(await manager.fetch(1))
    for manager in managers:
        await manager.receive("suite_drained")
        await manager.finish()
    ended = await api.suite_when(suite.uuid, lambda s: not s.assigned_managers)
    assert ended.state == COMPLETE
    assert ended.HasField("finished_at")


async def test_a_reopened_suite_finds_managers_that_came_meanwhile(api: Api) -> None:
    suite = await api.create()
    await api.close_suite(suite.uuid)
    assert (await api.suite(suite.uuid)).state == COMPLETE
    manager = await api.connect()
    await api.submit(suite.uuid)
    assert (await manager.start()).suite_uuid == suite.uuid


async def test_a_manager_that_drains_is_offered_nothing_until_it_is_idle(api: Api) -> None:
    suite = await api.create()
    await api.submit(suite.uuid, 2)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await manager.hand_back(tasks)
    await manager.send(
        suite_finished=pb.SuiteFinished(assignment_id=manager.assignment_id, reason=pb.FINISH_REASON_DRAINED)
    )
    await api.suite_when(suite.uuid, lambda s: s.state == QUEUED)
    other = await api.connect()
    await other.start()
    assert manager.waiting("suite_assigned") == 0
    manager.assignment_id = 0
    await manager.become(manager_pb2.NODE_MANAGER_STATE_IDLE)
    assert (await manager.start()).suite_uuid == suite.uuid
