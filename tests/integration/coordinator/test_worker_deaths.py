"""A task that kills its workers wants another manager, but not for ever."""

from __future__ import annotations

from collections.abc import Collection

from mitosis.v1 import suite_pb2, task_pb2
from tests.support.api import Api
from tests.support.scripted_manager import FAILED, WORKER_DIED

READY, DISPATCHED = task_pb2.TASK_STATE_READY, task_pb2.TASK_STATE_DISPATCHED
DONE, LOST = task_pb2.TASK_STATE_COMPLETED, task_pb2.TASK_STATE_FAILED
DEATHS = ("killed by SIGSEGV", "killed by SIGSEGV")


async def test_another_manager_gets_the_task_and_the_first_does_not(api: Api) -> None:
    suite = await api.create()
    killer, *others = await api.submit(suite.uuid, 3)
    first, second = await api.connect("first"), await api.connect("second")
    await first.start()
    await second.start()
    tasks = await first.fetch(3)
    await first.report(tasks[:1], WORKER_DIED, worker_deaths=DEATHS)
    task = await api.task(killer)
    assert task.state == READY
    assert [(failure.kind, failure.error, failure.manager_name) for failure in task.failures] == [
        (task_pb2.FAILURE_KIND_WORKER, "killed by SIGSEGV", "first")
    ] * 2

    await first.hand_back(tasks[1:])
    again = await first.fetch(2)
    assert [one.task_uuid for one in again] == others
    await first.grant(10)
    await first.report(again)
    assert first.waiting("task_batch") == 0
    [moved] = await second.fetch(1)
    assert (moved.task_uuid, moved.attempt) == (killer, 2)
    await second.report([moved])
    finished = await api.task(killer)
    assert (finished.state, finished.manager_name, len(finished.failures)) == (DONE, "second", 2)
    assert (await api.suite(suite.uuid)).completed_tasks == 3


async def test_the_last_task_of_a_suite_finds_an_idle_manager(api: Api) -> None:
    """The first manager holds the suite still, though nothing in it is left that it could do."""
    suite = await api.create()
    [killer] = await api.submit(suite.uuid)
    first = await api.connect("first")
    await first.start()
    second = await api.connect("second")
    await first.report(await first.fetch(1), WORKER_DIED, worker_deaths=DEATHS)
    await second.start()
    await second.report(await second.fetch(1))
    assert (await api.task(killer)).state == DONE


async def test_the_last_task_of_a_suite_finds_a_manager_with_nothing_left_elsewhere(api: Api) -> None:
    first = await api.connect("first")
    suite = await api.create("killer")
    [killer] = await api.submit(suite.uuid)
    await first.start()
    tasks = await first.fetch(1)
    other = await api.create("other")
    await api.submit(other.uuid)
    second = await api.connect("second")
    await second.start()
    await second.grant(5)
    await second.report(await second.tasks(1))
    await first.report(tasks, WORKER_DIED, worker_deaths=DEATHS)
    await second.receive("suite_drained")
    await second.finish()
    assert (await second.start()).suite_name == "killer"
    await second.report(await second.fetch(1))
    assert (await api.task(killer)).state == DONE


async def test_a_task_fails_when_it_wore_out_its_holders(api: Api) -> None:
    suite = await api.create(max_attempts=2)
    [killer] = await api.submit(suite.uuid)
    managers = {name: await api.connect(name) for name in ("one", "two", "three")}
    for attempt, deaths in ((1, ("killed by SIGSEGV",)), (2, ("killed by SIGKILL (out of memory)",))):
        holder = managers.pop(await newest_holder(api, suite.uuid, managers))
        await holder.start()
        [task] = await holder.fetch(1)
        assert task.attempt == attempt
        await holder.report([task], WORKER_DIED, worker_deaths=deaths)
    failed = await api.task(killer)
    assert failed.state == LOST
    assert failed.result.error == "its worker died once (killed by SIGKILL (out of memory)); wore out 2 of 2 holders"
    assert [failure.attempt for failure in failed.failures] == [1, 2]
    assert (await api.suite(suite.uuid)).failed_tasks == 1


async def test_a_task_fails_at_once_where_no_other_manager_is_there(api: Api) -> None:
    suite = await api.create(auto_close_timeout_seconds=0)
    [killer] = await api.submit(suite.uuid)
    manager = await api.connect()
    # Another one is eligible, but not there.
    await api.register()
    await manager.start()
    await manager.report(await manager.fetch(1), WORKER_DIED, worker_deaths=("exit code 139",))
    failed = await api.task(killer)
    assert failed.state == LOST
    assert failed.result.error == "its worker died once (exit code 139); no other manager is there to try it"
    await api.suite_when(suite.uuid, lambda s: s.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)


async def test_a_death_without_a_story_is_recorded_too(api: Api) -> None:
    suite = await api.create()
    [killer] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1), WORKER_DIED)
    failed = await api.task(killer)
    assert (failed.state, [failure.error for failure in failed.failures]) == (LOST, ["the worker died"])


async def test_retrying_the_suite_offers_the_task_to_everybody_again(api: Api) -> None:
    suite = await api.create()
    [killer] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    await manager.report(await manager.fetch(1), WORKER_DIED)
    assert (await api.retry(suite.uuid)).retried_task_count == 1
    [task] = await manager.fetch(1)
    assert (task.task_uuid, task.attempt) == (killer, 2)
    await manager.report([task])
    assert (await api.task(killer)).state == DONE


async def test_deaths_do_not_count_as_retries_of_the_task(api: Api) -> None:
    suite = await api.create()
    spec = task_pb2.TaskSpec(command="true", max_retries=1, retry_backoff_seconds=0)
    [killer] = await api.submit(suite.uuid, spec=spec)
    managers = {name: await api.connect(name) for name in ("one", "two")}
    first = managers.pop(await newest_holder(api, suite.uuid, managers))
    await first.start()
    await first.report(await first.fetch(1), WORKER_DIED)
    [second] = managers.values()
    await second.start()
    await second.grant(5)
    await second.report(await second.tasks(1), FAILED, error="exit code 1")
    await second.report(await second.tasks(1))
    task = await api.task(killer)
    assert (task.state, task.attempt) == (DONE, 3)


async def newest_holder(api: Api, suite_uuid: str, among: Collection[str]) -> str:
    """The name of the one manager of these that holds a suite, as soon as one does."""

    def holders(suite: suite_pb2.TaskSuite) -> list[str]:
        return [one.manager_name for one in suite.eligible_managers if one.assigned and one.manager_name in among]

    [name] = holders(await api.suite_when(suite_uuid, holders))
    return name


async def test_a_death_that_the_task_survived_is_in_its_history_too(api: Api) -> None:
    suite = await api.create()
    [survivor] = await api.submit(suite.uuid)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(1)
    await manager.report(tasks, worker_deaths=DEATHS[:1])
    await manager.report(tasks, worker_deaths=DEATHS[:1])
    task = await api.task(survivor)
    assert task.state == DONE
    assert [(failure.kind, failure.error) for failure in task.failures] == [
        (task_pb2.FAILURE_KIND_WORKER, "killed by SIGSEGV")
    ]
