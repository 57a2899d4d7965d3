"""What `ExplainSuite` and `ExplainTask` say, and that the statements that hand things out agree with it."""

from __future__ import annotations

from mitosis.v1 import (
    explain_pb2,
    hook_pb2,
    manager_pb2,
    suite_pb2,
    suite_service_pb2,
    task_pb2,
    task_service_pb2,
    user_pb2,
)
from mitosis.v1 import manager_stream_pb2 as pb
from tests.support.api import GROUP, NOOP, Api
from tests.support.scripted_manager import EXECUTING, FAILED, WORKER_DIED

Kind = explain_pb2.ObstacleKind
IDLE, BROKEN = manager_pb2.NODE_MANAGER_STATE_IDLE, manager_pb2.NODE_MANAGER_STATE_FAILED
OUTPUT = "no such file"


async def explain_suite(api: Api, uuid: str) -> explain_pb2.Explanation:
    request = suite_service_pb2.ExplainSuiteRequest(uuid=uuid)
    return (await api.suites.ExplainSuite(request, metadata=api.metadata)).explanation


async def explain_task(api: Api, uuid: str) -> explain_pb2.Explanation:
    request = task_service_pb2.ExplainTaskRequest(uuid=uuid)
    return (await api.tasks.ExplainTask(request, metadata=api.metadata)).explanation


def kinds(explanation: explain_pb2.Explanation) -> dict[str, str]:
    """What is in the way of each holder, by name."""
    return {
        one.manager_name or one.worker_name: Kind.Name(one.kind).removeprefix("OBSTACLE_KIND_")
        for one in explanation.obstacles
    }


def only(explanation: explain_pb2.Explanation, name: str) -> explain_pb2.Obstacle:
    """The obstacle of one holder."""
    [found] = [one for one in explanation.obstacles if (one.manager_name or one.worker_name) == name]
    return found


async def test_nobody_is_there(api: Api) -> None:
    suite = await api.create()
    said = await explain_suite(api, suite.uuid)
    assert said.summary == "No task was submitted to the suite yet."
    [task] = await api.submit(suite.uuid)
    for said in (await explain_suite(api, suite.uuid), await explain_task(api, task)):
        assert kinds(said) == {"": "NO_HOLDER"}
        assert said.summary.endswith("waits. No manager is registered.")
    [independent] = await api.submit_independent()
    assert (await explain_task(api, independent)).summary == "The task waits. No worker is registered."


async def test_nobody_matches(api: Api) -> None:
    await api.connect("without-cuda", tags=["gpu"])
    await api.connect("bare")
    other = await api.group("other")
    elsewhere = manager_pb2.GroupMembership(group_name=other, role=manager_pb2.MANAGER_ROLE_WORKER)
    await api.connect("elsewhere", tags=["gpu", "cuda"], memberships=[elsewhere])
    suite = await api.create(tags=["gpu", "cuda"])
    [task] = await api.submit(suite.uuid)
    for said in (await explain_suite(api, suite.uuid), await explain_task(api, task)):
        assert list(kinds(said)) == ["without-cuda", "bare", "elsewhere"]
        assert list(only(said, "without-cuda").missing_tags) == ["cuda"]
        assert list(only(said, "bare").missing_tags) == ["cuda", "gpu"]
        assert only(said, "elsewhere").kind == Kind.OBSTACLE_KIND_NO_PERMISSION
        assert only(said, "elsewhere").group_name == GROUP
        assert said.summary == "No manager may run it. The closest: Manager without-cuda lacks the tag cuda."


async def test_only_managers_added_by_hand_run_it(api: Api) -> None:
    await api.connect("matched")
    chosen = await api.register("chosen")
    suite = await api.create()
    await api.add_managers(suite.uuid, chosen)
    await api.submit(suite.uuid)
    said = await explain_suite(api, suite.uuid)
    assert kinds(said) == {"chosen": "OFFLINE", "matched": "NOT_CHOSEN"}
    assert said.summary == "The suite waits. Manager chosen is offline and has never connected."
    await api.remove_managers(suite.uuid, chosen)
    # It is not matched again by itself; the other one never was out.
    assert kinds(await explain_suite(api, suite.uuid))["chosen"] == "NOT_MATCHED"


async def test_busy_with_what_goes_first(api: Api) -> None:
    first = await api.create("first", priority=5)
    await api.submit(first.uuid, 3)
    manager = await api.connect("busy")
    await manager.start()
    await api.manager_when(manager, lambda one: one.state == manager_pb2.NODE_MANAGER_STATE_EXECUTING)
    second = await api.create("second")
    [task] = await api.submit(second.uuid)
    said = await explain_task(api, task)
    assert kinds(said) == {"busy": "BUSY"}
    assert list(only(said, "busy").suite_uuids) == [first.uuid]
    assert said.summary == f"The task waits. Manager busy is busy with suite first ({first.uuid}) of higher priority."
    runs = await explain_suite(api, first.uuid)
    assert kinds(runs) == {"busy": "BUFFER_FULL"}


async def test_the_life_of_a_task(api: Api) -> None:
    suite = await api.create()
    spec = task_pb2.TaskSpec(command="true", max_retries=1, retry_backoff_seconds=3600)
    urgent = task_service_pb2.NewTask(task_spec=NOOP, priority=1)
    plain = task_service_pb2.NewTask(task_spec=spec)
    ids = await api.submit_all(suite.uuid, [plain, plain, urgent])
    manager = await api.connect("one")
    await manager.take()
    await api.suite_when(suite.uuid, lambda one: one.state == suite_pb2.TASK_SUITE_STATE_OPEN)
    said = await explain_task(api, ids[1])
    assert (kinds(said), said.position) == ({"one": "PREPARING"}, 3)
    assert said.summary.endswith("2 tasks are before it.")
    await manager.become(EXECUTING)
    [first] = await manager.fetch(1)
    assert first.task_uuid == ids[2]
    said = await explain_task(api, ids[2])
    assert said.summary == "The task was sent to be run on one and is not known to have started."
    assert not said.HasField("position")
    said = await explain_task(api, ids[0])
    assert (kinds(said), said.position) == ({"one": "BUFFER_FULL"}, 1)
    await manager.started([first])
    await api.task_when(ids[2], lambda one: one.state == task_pb2.TASK_STATE_RUNNING)
    assert (await explain_task(api, ids[2])).summary.startswith("The task has been running on one since 20")
    await manager.report([first])
    assert (await explain_task(api, ids[2])).summary.startswith("The task ended with success on one at 20")
    await manager.report(await manager.fetch(1), FAILED, error="exit code 3")
    said = await explain_task(api, ids[0])
    assert kinds(said) == {"": "RETRY_BACK_OFF"}
    assert said.obstacles[0].HasField("until")
    assert said.obstacles[0].detail == "exit code 3"
    await api.cancel_task(ids[0], "enough")
    assert (await explain_task(api, ids[0])).summary.endswith("cancelled: enough.")
    last = await manager.fetch(1)
    said = await explain_suite(api, suite.uuid)
    assert kinds(said) == {"": "NOTHING_READY"}
    assert said.summary.startswith("Nothing waits for a manager: 1 pending task with 1 manager")
    await manager.report(last)
    assert "All tasks have ended" in (await explain_suite(api, suite.uuid)).summary
    await api.close_suite(suite.uuid)
    assert (await explain_suite(api, suite.uuid)).summary.startswith("The suite is Complete since 20")


async def test_a_manager_whose_workers_the_task_killed(api: Api) -> None:
    suite = await api.create()
    ids = await api.submit(suite.uuid, 2)
    first = await api.connect("first")
    second = await api.connect("second")
    await first.start()
    await second.take()
    killer, _ = await first.fetch(2)
    await first.report([killer], WORKER_DIED, worker_deaths=["killed by SIGSEGV"] * 2)
    said = await explain_task(api, ids[0])
    assert kinds(said) == {"second": "PREPARING", "first": "EXCLUDED"}
    worn = only(said, "first")
    assert worn.detail == "killed by SIGSEGV"
    assert worn.HasField("since")


async def test_must_show_5_one_bad_node_of_three(api: Api) -> None:
    """The suites complete on the good ones, the bad one is Failed after its third suite, and explain says so."""
    good = [await api.connect(f"good-{number}") for number in (1, 2)]
    bad = await api.connect("bad")
    suite_id = ""
    for name in ("one", "two", "three"):
        suite = await api.create(name, auto_close_timeout_seconds=0)
        suite_id = suite.uuid
        ids = await api.submit(suite_id, 6)
        for manager in good:
            await manager.start()
        await bad.take()
        await bad.hook_ended(hook_pb2.HOOK_RESULT_FAILURE, error="exit code 1", output_tail=OUTPUT)
        await bad.finish(pb.FINISH_REASON_PREPARATION_FAILED)
        await api.manager_when(bad, lambda one: one.state in (IDLE, BROKEN))
        said = await explain_task(api, ids[5])
        trouble = only(said, "bad")
        if name != "three":
            assert trouble.kind == Kind.OBSTACLE_KIND_ENVIRONMENT_BACK_OFF
            assert trouble.HasField("until")
            assert trouble.detail == f"exit code 1\n{OUTPUT}"
        else:
            assert trouble.kind == Kind.OBSTACLE_KIND_QUARANTINED
            assert "failed to prepare 3 different suites in a row" in trouble.message
        for manager in good:
            await manager.report(await manager.fetch(3))
        for manager in good:
            await manager.receive("suite_drained")
            await manager.finish()
        done = await api.suite_when(suite_id, lambda one: one.assigned_managers == 0)
        assert (done.state, done.completed_tasks) == (suite_pb2.TASK_SUITE_STATE_COMPLETE, 6)
        history = {one.manager_name: (one.end_reason, one.preparation_failed) for one in done.assignments}
        assert history == {
            "good-1": ("Released", False),
            "good-2": ("Released", False),
            "bad": ("PreparationFailed", True),
        }
        assert all(one.HasField("ended_at") for one in done.assignments)
    assert (await api.manager(bad)).state == BROKEN
    # Alone with the next suite, it is what that waits for.
    for manager in good:
        await manager.goodbye()
    last = await api.create("four")
    await api.submit(last.uuid)
    said = await explain_suite(api, last.uuid)
    assert said.summary.startswith("The suite waits. Manager bad is Failed until it restarts")


async def test_a_failed_suite(api: Api) -> None:
    suite = await api.create(max_preparation_failures=1)
    [task] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.fail_preparation("exit code 3")
    await api.suite_when(suite.uuid, lambda one: one.state == suite_pb2.TASK_SUITE_STATE_FAILED)
    for said in (await explain_suite(api, suite.uuid), await explain_task(api, task)):
        assert kinds(said) == {"": "SUITE_FAILED"}
        assert "exit code 3" in said.summary


async def test_independent_tasks(api: Api) -> None:
    other = await api.group("other")
    [task, second] = await api.submit_independent(2, tags=["gpu"])
    await api.register_worker("away", tags=["gpu"])
    await api.connect_worker("bare")
    await api.register_worker("elsewhere", tags=["gpu"], groups=[other])
    said = await explain_task(api, task)
    assert kinds(said) == {"away": "OFFLINE", "bare": "MISSING_TAGS", "elsewhere": "NO_PERMISSION"}
    assert said.position == 1
    worker = await api.connect_worker("there", tags=["gpu"])
    assert (await explain_task(api, task)).summary == "The task is about to go to worker there."
    await worker.fetch(1)
    said = await explain_task(api, second)
    assert (kinds(said)["there"], said.position) == ("BUFFER_FULL", 1)


async def test_what_a_viewer_may_not_see_is_counted(api: Api) -> None:
    other = await api.group("other")
    membership = manager_pb2.GroupMembership(group_name=other, role=manager_pb2.MANAGER_ROLE_WORKER)
    both = [membership, manager_pb2.GroupMembership(group_name=GROUP, role=manager_pb2.MANAGER_ROLE_WORKER)]
    secret = await api.create("secret", group_name=other, priority=9)
    await api.submit(secret.uuid, 3)
    shared = await api.connect("shared", memberships=both)
    await shared.start()
    hidden = await api.connect("hidden", memberships=[membership])
    await hidden.start()
    unseen = await api.register_worker("unseen", groups=[other])
    suite = await api.create()
    [task] = await api.submit(suite.uuid)
    [independent] = await api.submit_independent()
    viewer = await api.user(user_pb2.GROUP_ROLE_VIEWER)
    for said in (await explain_suite(viewer, suite.uuid), await explain_task(viewer, task)):
        assert kinds(said) == {"shared": "BUSY", "": "NO_PERMISSION"}
        assert said.obstacles[-1].unseen_holders == 1
        for name in ("secret", secret.uuid, "hidden", hidden.uuid, other):
            assert name not in str(said)
    said = await explain_task(viewer, independent)
    assert said.obstacles[0].unseen_holders == 1
    assert unseen.uuid not in str(said)
    assert "unseen " not in str(said)
