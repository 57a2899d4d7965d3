"""Independent workers as processes, beside managers: each kind of task runs only where it belongs, and none is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mitosis_client.connection import write_private
from mitosis_client.local.layout import GROUP
from mitosis_client.models import Task
from mitosis_client.specs import NewTask
from tests.e2e.cluster import HEARTBEAT_TIMEOUT_SECONDS, Cluster, Part, kill, running_cluster
from tests.e2e.execution_log import RECORD, RECORD_COMMAND, ExecutionLog, Recorded
from tests.e2e.support import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TASKS = 1_000
DEAF = "tests.e2e.hard_handlers:deaf"


class WorkerPart(Part):
    """An independent worker, and who it is to the coordinator."""

    uuid = ""


@contextmanager
def workers(cluster: Cluster, count: int) -> Iterator[list[WorkerPart]]:
    """Registers and starts workers; at the end those that still run are asked to end, which each does well."""
    assert cluster.connection is not None
    parts = []
    for number in range(1, count + 1):
        folder = cluster.box.root / f"worker-{number}"
        folder.mkdir()
        with cluster.client() as client:
            granted = client.register_worker(f"worker-{number}", group_names=[GROUP])
        write_private(folder / "token", granted.token + "\n")
        config = {
            "coordinator": {"url": cluster.connection.http, "stream_url": f"grpc://{cluster.connection.grpc}"},
            "worker": {"drain_grace_seconds": 10.0, "stop_grace_seconds": 1.0},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        arguments = ["--config", str(folder / "config.yaml"), "--token-file", str(folder / "token")]
        part = WorkerPart(f"worker-{number}", "mitosis_worker", arguments, cluster.box)
        part.uuid = granted.worker.uuid
        parts.append(part)
    try:
        for part in parts:
            part.start()
        for part in parts:
            until(lambda part=part: state(cluster, part) != "Offline", 60, part.output)  # type: ignore[misc]
        yield parts
        codes = {part.name: part.stop() for part in parts if part.runs}
        assert set(codes.values()) <= {0}, codes
    finally:
        for part in parts:
            print(f"--- {part.name}\n{part.output()[-20_000:]}")


def state(cluster: Cluster, part: WorkerPart) -> str:
    with cluster.client() as client:
        return client.get_worker(part.uuid).state


@pytest.fixture
def log(tmp_path: Path) -> ExecutionLog:
    return ExecutionLog(tmp_path / "executions")


def recorded(log: ExecutionLog, count: int, seconds: float = 0.0) -> list[NewTask]:
    payloads = [Recorded(log=str(log.path), seconds=seconds, number=number) for number in range(count)]
    return [{"handler": RECORD, "payload": payload} for payload in payloads]


def submit(cluster: Cluster, tasks: Sequence[NewTask]) -> list[str]:
    uuids: list[str] = []
    with cluster.client() as client:
        assert client.submit_many(tasks, group_name=GROUP, on_batch=uuids.extend) == len(tasks)
    return uuids


def when(cluster: Cluster, uuids: Sequence[str], holds: Callable[[Task], object], seconds: float = 90) -> list[Task]:
    """The tasks as soon as a condition holds for all of them."""
    waiting = list(uuids)

    def all_hold() -> bool:
        with cluster.client() as client:
            while waiting and holds(client.get_task(waiting[-1])):
                waiting.pop()
        return not waiting

    until(all_hold, seconds, lambda: f"{len(waiting)} tasks still wait")
    with cluster.client() as client:
        return [client.get_task(uuid) for uuid in uuids]


def completed(task: Task) -> bool:
    assert task.state not in ("Failed", "Cancelled"), task
    return task.state == "Completed"


def test_each_kind_of_task_runs_only_where_it_belongs(log: ExecutionLog) -> None:
    with running_cluster(managers=2) as cluster, workers(cluster, 3) as parts:
        of_suite: list[str] = []
        with cluster.client() as client:
            suite = client.create_suite({"name": "both", "group_name": GROUP, "auto_close_timeout_seconds": 0})
            client.submit_many(recorded(log, TASKS), suite_uuid=suite.uuid, on_batch=of_suite.extend)
        independent = submit(cluster, recorded(log, TASKS))
        with cluster.client() as client:
            finished = client.wait_for_suite(suite.uuid, timeout=120)
        assert (finished.completed_tasks, finished.failed_tasks) == (TASKS, 0)
        when(cluster, independent, completed)

        with cluster.client() as client:
            everything = list(client.list_tasks(group_name=GROUP, page_size=1000))
        managers = {part.uuid for part in cluster.managers}
        for task in everything:
            if task.suite_uuid:
                assert task.manager_uuid in managers
                assert task.worker_uuid == ""
            else:
                assert task.manager_uuid == ""
        used = {task.worker_uuid for task in everything if not task.suite_uuid}
        # None of the three had to stand by while the others worked.
        assert used == {part.uuid for part in parts}
        assert {task.uuid for task in everything} == {*of_suite, *independent}
        assert {task.state for task in everything} == {"Completed"}
        assert {task.attempt for task in everything} == {1}
        assert set(log.counts().values()) == {1}
        assert len(log.counts()) == 2 * TASKS


def test_sigterm_finishes_what_runs_and_hands_back_the_rest(log: ExecutionLog) -> None:
    with running_cluster() as cluster, workers(cluster, 2) as [leaving, staying]:
        uuids = submit(cluster, recorded(log, 8, seconds=1.5))
        when(cluster, uuids[:2], lambda task: task.state in ("Running", "Completed"))
        assert leaving.stop() == 0
        assert state(cluster, leaving) == "Offline"
        tasks = when(cluster, uuids, completed)
        assert set(log.counts().values()) == {1}
        # Nothing was charged: what had not started went to the other one without a word.
        assert all(not task.failures for task in tasks)
        assert {task.worker_uuid for task in tasks} == {leaving.uuid, staying.uuid}


def test_a_restart_of_the_coordinator_is_survived(log: ExecutionLog) -> None:
    with running_cluster() as cluster, workers(cluster, 2):
        uuids = submit(cluster, recorded(log, 60, seconds=0.1))
        until(lambda: len(log.executions()) > 5, 30)
        cluster.coordinator.kill()
        until(lambda: cluster.postmaster_pid() is None or len(log.executions()) >= 8, 30)
        cluster.start_coordinator()
        cluster.wait_attached(cluster.manager)
        tasks = when(cluster, uuids, completed)
        # The processes went on with what they held, and nothing ran twice.
        assert set(log.counts().values()) == {1}
        assert all(not task.failures for task in tasks)


def test_the_task_of_a_killed_worker_runs_once_more_elsewhere(log: ExecutionLog) -> None:
    with running_cluster() as cluster, workers(cluster, 1) as [victim]:
        [uuid] = submit(cluster, recorded(log, 1, seconds=4))
        when(cluster, [uuid], lambda task: task.state == "Running")
        kill(victim.pid)
        victim.kill()
        [other] = register_one_more(cluster)
        try:
            [task] = when(cluster, [uuid], completed, HEARTBEAT_TIMEOUT_SECONDS + 60)
            assert (task.attempt, task.worker_uuid) == (2, other.uuid)
            [failure] = task.failures
            assert (failure.kind, failure.worker_uuid) == ("Worker", victim.uuid)
            assert log.counts() == {uuid: 1}
        finally:
            assert other.stop() == 0


def test_a_killed_worker_delivers_its_results_later_and_leaves_nothing_running(log: ExecutionLog) -> None:
    with running_cluster(managers=0) as cluster, workers(cluster, 1) as [worker]:
        command = f'{RECORD_COMMAND}; [ "$MITOSIS_TASK_ATTEMPT" -gt 1 ] || exec sleep 1000'
        endless: NewTask = {"command": command, "envs": {"EXECUTION_LOG": str(log.path)}}
        [ended, cut_short] = submit(cluster, [*recorded(log, 1, seconds=3), endless])
        when(cluster, [ended], lambda task: task.state == "Running")
        when(cluster, [cut_short], lambda task: task.state == "Dispatched")
        cluster.coordinator.kill()
        until(lambda: len(log.executions()) == 2, 30, worker.output)
        worker.kill()
        orphan = Path(f"/proc/{log.executions()[1].pid}/cmdline")
        assert orphan.read_bytes()
        cluster.start_coordinator()
        worker.start()
        result, again = when(cluster, [ended, cut_short], completed)
        assert (result.attempt, result.failures, again.attempt) == (1, (), 2)
        assert [failure.kind for failure in again.failures] == ["Worker"]
        assert log.counts() == {ended: 1, cut_short: 2}
        assert not orphan.exists() or not orphan.read_bytes()


def test_a_worker_whose_task_cannot_be_stopped_ends_with_it(log: ExecutionLog) -> None:
    with running_cluster(managers=0) as cluster, workers(cluster, 2) as [asked, refused], cluster.client() as client:
        # Each takes one ahead.
        uuids = submit(cluster, [{"handler": DEAF} for _ in range(4)])

        def running() -> dict[str, str]:
            return {task.worker_uuid: task.uuid for task in map(client.get_task, uuids) if task.state == "Running"}

        until(lambda: len(running()) == 2, 60)
        [uuid] = [uuid for worker, uuid in running().items() if worker == asked.uuid]
        client.shutdown_worker(asked.uuid, graceful=False)
        client.revoke_worker_token(refused.uuid)
        assert asked.wait() == 3
        assert state(cluster, asked) == "Offline"
        handed_back = client.get_task(uuid)
        assert (handed_back.state, handed_back.failures) == ("Ready", ())
        assert refused.wait() == 3


def register_one_more(cluster: Cluster) -> list[WorkerPart]:
    """A worker that is stopped by the test itself."""
    assert cluster.connection is not None
    folder = cluster.box.root / "other"
    folder.mkdir()
    with cluster.client() as client:
        granted = client.register_worker("other", group_names=[GROUP])
    write_private(folder / "token", granted.token + "\n")
    (folder / "config.yaml").write_text(yaml.safe_dump({"coordinator": {"url": cluster.connection.http}}))
    part = WorkerPart(
        "other",
        "mitosis_worker",
        ["--config", str(folder / "config.yaml"), "--token-file", str(folder / "token")],
        cluster.box,
    )
    part.uuid = granted.worker.uuid
    part.start()
    return [part]
