"""Whatever is killed in the middle of a suite, the suite completes, and every task is recorded exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from mitosis_client import Client, Suite
from mitosis_client.specs import HookSpec, NewTask
from tests.e2e.cluster import Cluster, alive, kill, running_cluster
from tests.e2e.execution_log import RECORD, RECORD_COMMAND, ExecutionLog
from tests.e2e.support import until
from tests.support.postgres import SessionPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TASKS = 5000
WORKERS = 2
PREFETCH = 32
# With two workers about five seconds of work: enough for "in the middle" to be no matter of luck.
TASK_SECONDS = 0.0015
# What a manager holds at most: for each worker the task that runs and those behind it.
HELD = WORKERS * (1 + PREFETCH)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster(workers=WORKERS) as running:
        yield running


@dataclass(slots=True)
class Work:
    """A suite of 5,000 tasks, some of which have been executed."""

    cluster: Cluster
    client: Client
    uuid: str
    log: ExecutionLog
    tasks: set[str] = field(default_factory=set)

    def wait(self) -> Suite:
        """Waits until the suite has ended and its manager has cleaned up."""
        return self.client.wait_for_suite(self.uuid, timeout=90, until_released=True)

    def check(self) -> None:
        """Checks that nothing is lost, and that nothing is there twice."""
        suite = self.client.get_suite(self.uuid)
        assert suite.state == "Complete"
        counters = (suite.total_tasks, suite.completed_tasks, suite.pending_tasks, suite.failed_tasks)
        assert counters == (len(self.tasks), len(self.tasks), 0, 0)
        with self.cluster.database() as database:
            rows = database.execute(
                "SELECT id::text, state, return_value FROM archived_tasks WHERE task_suite_id = %s", [self.uuid]
            ).fetchall()
            left = database.execute("SELECT count(*) FROM active_tasks").fetchone()
        assert left == (0,)
        assert len(rows) == len(self.tasks)
        assert {task for task, _, _ in rows} == self.tasks
        assert {state for _, state, _ in rows} == {"Completed"}
        # Each result is that of its own task: the numbers add up.
        assert sum(int(value) for _, _, value in rows if value is not None) == sum(range(TASKS))
        assert set(self.log.counts()) == self.tasks

    def repeated(self) -> list[str]:
        """Returns the tasks that were executed more than once."""
        return [task for task, count in self.log.counts().items() if count > 1]


def begin(cluster: Cluster, client: Client, *more: NewTask, **hooks: HookSpec) -> Work:
    """Starts the suite, and returns in the middle of its run."""
    log = ExecutionLog(cluster.box.root / "executions")
    suite = client.create_suite(
        name="five thousand",
        group_name="default",
        worker_schedule={"worker_count": WORKERS, "task_prefetch_count": PREFETCH},
        **hooks,  # type: ignore[arg-type]
    )
    work = Work(cluster, client, suite.uuid, log)
    tasks: list[NewTask] = [
        {"handler": RECORD, "payload": {"log": str(log.path), "seconds": TASK_SECONDS, "number": number}}
        for number in range(TASKS)
    ]
    client.submit_many([*more, *tasks], suite_uuid=suite.uuid, on_batch=work.tasks.update)
    client.close_suite(suite.uuid)
    assert len(work.tasks) == len(more) + TASKS
    until(lambda: client.get_suite(suite.uuid).completed_tasks > TASKS // 10, 60, cluster.output)
    assert client.get_suite(suite.uuid).pending_tasks > TASKS // 2
    return work


def test_a_worker_is_killed(cluster: Cluster) -> None:
    with cluster.client() as client:
        work = begin(cluster, client)
        victim, survivor = cluster.worker_pids(cluster.manager)
        kill(victim)
        work.wait()
        work.check()

        # What it had been given and not reported; a worker gets no more than some 10 ms of work at a time.
        assert len(work.repeated()) <= PREFETCH
        assert client.get_manager(cluster.manager.uuid).state == "Idle"
    pids = {execution.pid for execution in work.log.executions()}
    assert {victim, survivor} < pids
    assert len(pids) == WORKERS + 1
    assert "killed by SIGKILL" in cluster.manager.output()
    assert "worker_failed" in cluster.coordinator.output()


def test_the_manager_is_killed(cluster: Cluster) -> None:
    hooks, services = cluster.box.root / "hooks", cluster.box.root / "services"
    # Its first attempt does not end by itself, and starts a daemon in a session of its own besides.
    endless: NewTask = {
        "command": f"{RECORD_COMMAND}; [ $MITOSIS_TASK_ATTEMPT = 1 ] || exit 0; setsid sleep 4321 & sleep 4321",
        "envs": {"EXECUTION_LOG": str(cluster.box.root / "executions")},
        "priority": 1,
    }
    with cluster.client() as client:
        work = begin(
            cluster,
            client,
            endless,
            # It leaves a service running, as a preparation may.
            env_preparation={"command": f"setsid sleep 4321 & echo $! >> {services}; echo prepared >> {hooks}"},
            env_cleanup={"command": f"echo cleaned up for $MITOSIS_TASK_SUITE_UUID >> {hooks}"},
        )
        workers = cluster.worker_pids(cluster.manager)
        (service,) = map(int, services.read_text().split())
        assert cluster.box.processes().count("sleep 4321") == 3
        cluster.manager.kill()

        # Its end is the end of its workers and of all that their tasks started; the rest waits for its next start.
        until(lambda: not any(map(alive, workers)), 10, cluster.box.processes)
        until(lambda: cluster.box.processes().count("sleep 4321") <= 1, 10, cluster.box.processes)
        assert hooks.read_text().splitlines() == ["prepared"]
        left = cluster.shared_memory()
        assert left

        cluster.manager.start()
        cluster.wait_attached(cluster.manager)
        assert not left & cluster.shared_memory()
        assert not alive(service)
        suite = work.wait()
        work.check()

        assert hooks.read_text().splitlines() == ["prepared", f"cleaned up for {work.uuid}"] * 2
        # The cleanup that was owed is among them.
        results = [(run.hook_type, run.result) for run in reversed(suite.hook_runs)]
        assert results == [("Preparation", "Success"), ("Cleanup", "Success")] * 2
        repeated = work.repeated()
        assert len(repeated) <= HELD
        for uuid in repeated:
            (failure,) = client.get_task(uuid).failures
            assert (failure.kind, failure.attempt, failure.error) == ("Node", 1, "its manager was restarted")


def test_the_manager_is_killed_with_results_that_nobody_could_take(cluster: Cluster) -> None:
    with cluster.client() as client:
        work = begin(cluster, client)
        cluster.coordinator.kill()
        # It runs on until it has nothing left.
        counts: list[int] = []

        def has_run_dry() -> bool:
            counts.append(len(work.log.executions()))
            return counts[-12:] == counts[-1:] * 12

        until(has_run_dry, 30, cluster.manager.output)
        (journal,) = (cluster.layout.manager(1).root / "state").glob("outbox.*")
        assert journal.stat().st_size
        cluster.manager.kill()

        cluster.start_coordinator()
        cluster.manager.start()
        work.wait()
        work.check()
    assert work.repeated() == []
    assert "results_recovered" in cluster.manager.output()


def test_the_coordinator_and_its_database_are_killed(cluster: Cluster) -> None:
    with cluster.client() as client:
        work = begin(cluster, client)
        workers = cluster.worker_pids(cluster.manager)
        postmaster = cluster.postmaster_pid()
        assert postmaster is not None
        cluster.coordinator.kill()
        until(lambda: not alive(postmaster), 10)
        assert cluster.worker_pids(cluster.manager) == workers

        cluster.start_coordinator()
        work.wait()
        work.check()
    assert work.repeated() == []
    assert {execution.pid for execution in work.log.executions()} == set(workers)


def test_the_coordinator_is_killed_and_its_database_is_not(postgres: SessionPostgres) -> None:
    with (
        postgres.fresh(migrated=False) as url,
        running_cluster(workers=WORKERS, database_url=url) as cluster,
        cluster.client() as client,
    ):
        work = begin(cluster, client)
        workers = cluster.worker_pids(cluster.manager)
        cluster.coordinator.kill()
        cluster.start_coordinator()
        work.wait()
        work.check()
        assert work.repeated() == []
        assert {execution.pid for execution in work.log.executions()} == set(workers)


def test_postgresql_is_killed_and_comes_back_by_itself(cluster: Cluster) -> None:
    with cluster.client() as client:
        work = begin(cluster, client)
        workers = cluster.worker_pids(cluster.manager)
        postmaster = cluster.postmaster_pid()
        assert postmaster is not None
        kill(postmaster)
        until(lambda: cluster.postmaster_pid() not in (None, postmaster), 30, cluster.coordinator.output)
        work.wait()
        work.check()
    assert work.repeated() == []
    assert {execution.pid for execution in work.log.executions()} == set(workers)
    assert "embedded_postgres_restart_failed" not in cluster.coordinator.output()
    # The stream stayed up: the manager has attached once.
    assert cluster.attachments(cluster.manager) == 1
