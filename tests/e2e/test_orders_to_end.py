"""What is told to end ends: a suite, a manager, everything, and a manager that nobody waits for any more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from mitosis_client import Client, Suite, TaskState
from mitosis_client.local.layout import MANAGER_DRAIN_SECONDS
from mitosis_client.specs import NewTask
from tests.e2e.cluster import Cluster, ManagerPart, running_cluster
from tests.e2e.execution_log import RECORD, ExecutionLog
from tests.e2e.support import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WORKERS = 2
# Nothing else in the sandbox sleeps for so long. The second one has left its task's session.
ENDLESS: NewTask = {"command": "setsid sleep 4321 & sleep 4321"}
HEARTBEAT_TIMEOUT = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(managers=2, workers=WORKERS, heartbeat_timeout=HEARTBEAT_TIMEOUT) as running:
        yield running


def begin(cluster: Cluster, client: Client, part: ManagerPart, tasks: Sequence[NewTask]) -> tuple[Suite, list[str]]:
    """Has one manager run the first tasks, and returns once its workers are busy."""
    suite = client.create_suite(
        name="to end",
        group_name="default",
        worker_schedule={"worker_count": WORKERS},
        env_cleanup={"command": f"echo $MITOSIS_TASK_SUITE_UUID >> {cluster.box.root / 'cleaned'}"},
    )
    client.add_suite_managers(suite.uuid, [part.uuid])
    uuids = [client.submit_task(task, suite_uuid=suite.uuid).uuid for task in tasks]
    until(lambda: {client.get_task(uuid).state for uuid in uuids[:WORKERS]} == {"Running"}, 20, cluster.output)
    return suite, uuids


def gated(cluster: Cluster) -> tuple[Path, NewTask]:
    """Makes a task that runs until a file is there."""
    gate = cluster.box.root / f"gate-{uuid4().hex}"
    return gate, {"command": f"while [ ! -e {gate} ]; do sleep 0.05; done; echo through"}


def sleepers(cluster: Cluster) -> int:
    return cluster.box.processes().count("sleep 4321")


def cleaned(cluster: Cluster, suite: Suite) -> int:
    path = cluster.box.root / "cleaned"
    return path.read_text().split().count(suite.uuid) if path.exists() else 0


def test_a_cancelled_suite_ends_what_runs_when_it_is_told_to(cluster: Cluster) -> None:
    with cluster.client() as client:
        suite, uuids = begin(cluster, client, cluster.manager, [ENDLESS] * 6)
        assert sleepers(cluster) == 2 * WORKERS
        assert client.cancel_suite(suite.uuid, reason="enough", cancel_running_tasks=True) == (6, "Cancelled")
        # The grace is a second, and a worker has two more to stop by its own means.
        until(lambda: not sleepers(cluster), 4, cluster.box.processes)
        suite = client.wait_for_suite(suite.uuid, timeout=20, until_released=True)
        assert (suite.cancelled_tasks, suite.completed_tasks, suite.pending_tasks) == (6, 0, 0)
        assert {client.get_task(uuid).state for uuid in uuids} == {"Cancelled"}
        assert cleaned(cluster, suite) == 1


def test_a_cancelled_suite_lets_finish_what_runs_otherwise(cluster: Cluster) -> None:
    gate, through = gated(cluster)
    with cluster.client() as client:
        suite, uuids = begin(cluster, client, cluster.manager, [through] * 6)
        # Those that the manager holds unstarted are dropped there, after the answer.
        ready = [client.get_task(uuid).state for uuid in uuids].count(TaskState.READY)
        assert 0 < ready < 4
        assert client.cancel_suite(suite.uuid, reason="no more") == (ready, "Cancelled")
        assert {client.get_task(uuid).state for uuid in uuids[:WORKERS]} == {"Running"}
        gate.touch()
        suite = client.wait_for_suite(suite.uuid, timeout=20, until_released=True)
        assert (suite.cancelled_tasks, suite.completed_tasks, suite.pending_tasks) == (4, 2, 0)
        for uuid in uuids[:WORKERS]:
            result = client.get_task(uuid).result
            assert result is not None
            assert result.stdout_tail == "through\n"


def test_sigterm_drains_a_manager(cluster: Cluster) -> None:
    part = cluster.manager
    gate, through = gated(cluster)
    with cluster.client() as client:
        suite, uuids = begin(cluster, client, part, [through, *[{"command": "sleep 30"}] * 5])  # type: ignore[list-item]
        began = time.monotonic()
        os.kill(part.pid, signal.SIGTERM)
        # Before the grace is over: what runs goes on.
        until(lambda: [client.get_task(uuid).state for uuid in uuids[2:]] == ["Ready"] * 4, 3, part.output)
        assert [client.get_task(uuid).state for uuid in uuids[:2]] == ["Running"] * 2
        gate.touch()
        assert part.wait() == 0
        assert MANAGER_DRAIN_SECONDS <= time.monotonic() - began < 20
        assert cleaned(cluster, suite) == 1
        assert client.get_manager(part.uuid).state == "Offline"
        assert client.get_task(uuids[0]).state == "Completed"
        for uuid in uuids[1:]:
            task = client.get_task(uuid)
            assert (task.state, task.failures) == ("Ready", ())
        client.cancel_suite(suite.uuid)
        part.start()
        cluster.wait_attached(part)


def test_a_manager_that_was_given_up_ends_its_work_when_it_is_back(cluster: Cluster) -> None:
    part, other = cluster.managers
    log = ExecutionLog(cluster.box.root / "executions")
    # It ends while its manager is stopped: a result that comes too late.
    late: NewTask = {"handler": RECORD, "payload": {"log": str(log.path), "seconds": 2.5, "number": 7}}
    endless: NewTask = {"command": f"[ $MITOSIS_TASK_ATTEMPT = 2 ] || {{ {ENDLESS['command']}; }}"}
    with cluster.client() as client:
        suite, uuids = begin(cluster, client, part, [late, endless])
        os.kill(part.pid, signal.SIGSTOP)
        try:
            until(lambda: client.get_manager(part.uuid).state == "Offline", 20, cluster.output)
            client.add_suite_managers(suite.uuid, [other.uuid])
            client.close_suite(suite.uuid)
            client.wait_for_suite(suite.uuid, timeout=30, until_released=True)
        finally:
            os.kill(part.pid, signal.SIGCONT)
        until(lambda: cleaned(cluster, suite) == 2 and not sleepers(cluster), 5, part.output)
        until(lambda: client.get_manager(part.uuid).state == "Idle", 5, part.output)

        name = client.get_manager(other.uuid).name
        assert "verdict=ABORT" in part.output()
        assert "stale_reports" in cluster.coordinator.output()
        for uuid in uuids:
            task = client.get_task(uuid)
            assert (task.state, task.attempt, task.manager_name) == ("Completed", 2, name)
            (failure,) = task.failures
            assert (failure.kind, failure.attempt) == ("Node", 1)
            assert failure.error == f"its manager was silent for more than {HEARTBEAT_TIMEOUT} s"
        assert log.counts() == {uuids[0]: 2}
        suite = client.get_suite(suite.uuid)
        assert (suite.completed_tasks, suite.failed_tasks, suite.pending_tasks) == (2, 0, 0)


def test_everything_ends_in_any_order(cluster: Cluster) -> None:
    parts = [cluster.coordinator, *cluster.managers]
    for coordinator_first in (True, False):
        with cluster.client() as client:
            suite, _ = begin(cluster, client, cluster.manager, [ENDLESS] * 4)
        began = time.monotonic()
        for part in parts:
            os.kill(part.pid, signal.SIGTERM)
            if coordinator_first and part is cluster.coordinator:
                part.wait()
        assert [part.wait() for part in parts] == [0, 0, 0]
        assert time.monotonic() - began < 30
        assert not sleepers(cluster)
        assert cleaned(cluster, suite) == 1
        if coordinator_first:
            cluster.start_coordinator()
            for manager in cluster.managers:
                manager.start()
                cluster.wait_attached(manager)
            with cluster.client() as client:
                assert client.cancel_suite(suite.uuid, cancel_running_tasks=True) == (4, "Cancelled")
