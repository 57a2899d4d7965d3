"""The whole manager as a process, with real workers, against a coordinator of a few lines."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import grpc
import pytest

from mitosis.v1 import hook_pb2, manager_pb2, suite_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr.ipc import cleanup_leftovers
from tests.unit.nodemgr.fake_coordinator import FakeCoordinator, fake_coordinator

CLEANING = manager_pb2.NODE_MANAGER_STATE_CLEANING
HANDLERS = """
import ctypes, signal, time

def nothing(payload):
    return None

def nap(payload):
    time.sleep(payload)

def crash(payload):
    ctypes.string_at(0)

def stuck(payload):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 30))
    ctypes.PyDLL(None).sleep(1000)
"""


class ManagerProcess:
    """`mitosis-manager` with its files below a directory of its own."""

    def __init__(
        self, place: Path, coordinator: FakeCoordinator, launcher: Sequence[str] = (), **manager: object
    ) -> None:
        self.place = place
        self.launcher = launcher
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        (place / "handlers_of_test.py").write_text(HANDLERS)
        token = place / "token"
        token.write_text("the-token\n")
        token.chmod(0o600)
        settings = {"max_workers": 4, "drain_grace_seconds": 5, "stop_grace_seconds": 0.5, **manager}
        lines = [f"  {key}: {value}" for key, value in settings.items()]
        (place / "manager.yaml").write_text(
            f"coordinator:\n  stream_url: {coordinator.url}\n  token_file: {token}\n"
            f"manager:\n  runtime_dir: {place}/run\n  data_dir: {place}/data\n" + "\n".join(lines) + "\n"
            f"ipc:\n  service_prefix: {self.prefix}\nlogging:\n  level: debug\n"
        )
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.place / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.launcher, sys.executable, "-m", "mitosis_nodemgr", "--config", str(self.place / "manager.yaml"),
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, timeout: float = 15.0) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    def log(self) -> str:
        return (self.place / "log").read_text()

    def workers(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"mitosis_worker" in line and self.prefix.encode() in line:
                    found.append(int(entry.name))
        return found

    def assert_nothing_is_left(self) -> None:
        assert self.workers() == []
        assert list(Path("/dev/shm").glob(f"{self.prefix}*")) == []
        assert not (self.place / "run").exists()
        assert list((self.place / "data").iterdir()) == []


Start = Callable[..., Awaitable[ManagerProcess]]


@pytest.fixture
async def coordinator() -> AsyncIterator[FakeCoordinator]:
    async with fake_coordinator() as fake:
        yield fake


@pytest.fixture
async def start(coordinator: FakeCoordinator, tmp_path: Path) -> AsyncIterator[Start]:
    started: list[ManagerProcess] = []

    async def begin(launcher: Sequence[str] = (), **settings: object) -> ManagerProcess:
        manager = ManagerProcess(tmp_path, coordinator, launcher, **settings)
        started.append(manager)
        await manager.start()
        await coordinator.until(lambda: coordinator.attaches)
        return manager

    yield begin
    for manager in started:
        if manager.process is not None and manager.process.returncode is None:
            manager.process.kill()
            await manager.process.wait()
            # What a killed manager leaves is removed by its next start, and this one has none.
            await asyncio.to_thread(cleanup_leftovers, manager.prefix)
        print(manager.log())


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def suite(place: Path, assignment_id: int = 1, **fields: object) -> stream.SuiteAssigned:
    return stream.SuiteAssigned(
        assignment_id=assignment_id,
        suite_uuid=str(uuid.uuid4()),
        suite_name="end to end",
        group_name="testers",
        worker_count=2,
        worker_schedule=suite_pb2.WorkerSchedulePlan(),
        task_defaults=task_pb2.TaskSpec(working_directory=str(place)),
        **fields,  # type: ignore[arg-type]
    )


def handler(name: str, payload: str = "null", **fields: object) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(handler=f"handlers_of_test:{name}", payload=payload, **fields)  # type: ignore[arg-type]


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


async def test_two_thousand_tasks_survive_the_death_of_a_worker(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    coordinator.assign(
        suite(
            tmp_path,
            env_preparation=hook_pb2.EnvHookSpec(command=f"echo ready > {tmp_path}/prepared; sleep 1000 & echo bye"),
            env_cleanup=hook_pb2.EnvHookSpec(command=f"mv {tmp_path}/prepared {tmp_path}/cleaned"),
        )
    )
    await coordinator.until(lambda: coordinator.messages("task_credit"))
    names = ids(2000)
    began = time.monotonic()
    coordinator.submit([(name, handler("nothing")) for name in names])
    await coordinator.until(lambda: len(coordinator.reports) > 500)
    os.kill(manager.workers()[0], signal.SIGKILL)
    await coordinator.until(lambda: len(coordinator.reports) == 2000, 30)
    print("tasks/s", 2000 / (time.monotonic() - began))
    assert {reports[0].outcome for reports in coordinator.reports.values()} == {stream.TASK_OUTCOME_COMPLETED}
    assert all(len(reports) == 1 for reports in coordinator.reports.values())
    assert len(coordinator.messages("worker_failure")) == 1

    coordinator.send(suite_drained=stream.SuiteDrained(assignment_id=1))
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert coordinator.messages("suite_finished")[0].reason == stream.FINISH_REASON_RELEASED
    assert [report.result for report in coordinator.messages("hook_report")] == [hook_pb2.HOOK_RESULT_SUCCESS] * 2
    assert (tmp_path / "cleaned").exists()

    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    assert coordinator.messages("goodbye")
    manager.assert_nothing_is_left()


async def executing(coordinator: FakeCoordinator, place: Path, **fields: object) -> None:
    coordinator.assign(suite(place, **fields))  # type: ignore[arg-type]
    await coordinator.until(lambda: coordinator.messages("task_credit"))


async def test_a_signal_in_the_middle_of_a_suite_returns_what_has_not_started(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start(drain_grace_seconds=0.5)
    cleanup = hook_pb2.EnvHookSpec(command=f"touch {tmp_path}/cleaned")
    await executing(coordinator, tmp_path, env_cleanup=cleanup)
    names = ids(6)
    specs = [handler("nap", "0.4")] + [handler("nap", "1000")] * 5
    coordinator.submit(list(zip(names, specs, strict=True)))
    await coordinator.until(lambda: len(coordinator.messages("tasks_started")) and coordinator.reports)

    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    finished = coordinator.messages("suite_finished")
    assert [message.reason for message in finished] == [stream.FINISH_REASON_DRAINED]
    sent = {(name, 1) for name in names} - {(task.task_uuid, 1) for task in coordinator.tasks}
    assert {*coordinator.reports, *coordinator.returned} == sent
    assert set(coordinator.reports) == {(names[0], 1)}
    assert (tmp_path / "cleaned").exists()
    manager.assert_nothing_is_left()


async def test_a_second_signal_ends_at_once_and_the_next_start_pays_what_is_owed(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start(drain_grace_seconds=100)
    cleanup = hook_pb2.EnvHookSpec(command=f"touch {tmp_path}/cleaned")
    await executing(coordinator, tmp_path, env_cleanup=cleanup)
    coordinator.submit([(name, handler("nap", "1000")) for name in ids(2)])
    await coordinator.until(lambda: coordinator.messages("tasks_started"))
    manager.signal(signal.SIGTERM)
    await asyncio.sleep(0.3)
    manager.signal(signal.SIGINT)
    assert await manager.ended(5) == 0
    assert manager.workers() == []
    assert not (tmp_path / "cleaned").exists()

    again = await start()
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert coordinator.attaches[1].assignment_id == 1
    assert (tmp_path / "cleaned").exists()
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    again.assert_nothing_is_left()


async def test_a_low_limit_of_open_files_holds_for_the_tasks_and_not_for_the_manager(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    # Of eight workers the manager alone needs more than that.
    manager = await start(launcher=("sh", "-c", 'ulimit -Sn 80; exec "$0" "$@"'), max_workers=8)
    assignment = suite(tmp_path, env_preparation=hook_pb2.EnvHookSpec(command="ulimit -Sn"))
    assignment.worker_count = 8
    coordinator.assign(assignment)
    await coordinator.until(lambda: coordinator.messages("hook_report"))
    assert coordinator.messages("hook_report")[0].output_tail == "80\n"
    names = ids(8)
    # All eight are there before the first one ends.
    wait = f"ulimit -Sn; touch {tmp_path}/here_$$; until [ $(ls {tmp_path} | grep -c here_) = 8 ]; do sleep 0.05; done"
    coordinator.submit([(name, task_pb2.TaskSpec(command=wait)) for name in names])
    await coordinator.until(lambda: len(coordinator.reports) == 8, 30)
    assert {reports[0].result.stdout_tail for reports in coordinator.reports.values()} == {"80\n"}
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0


async def test_a_killed_manager_is_cleaned_up_after_by_the_next_one(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    coordinator.assign(
        suite(
            tmp_path,
            # A daemon in a session of its own: nothing but the mark in its environment tells whose it is.
            env_preparation=hook_pb2.EnvHookSpec(command=f"setsid sleep 1000 & echo $! > {tmp_path}/daemon"),
            env_cleanup=hook_pb2.EnvHookSpec(command=f"touch {tmp_path}/cleaned"),
        )
    )
    await coordinator.until(lambda: coordinator.messages("task_credit"))
    shell = task_pb2.TaskSpec(command=f"echo $$ > {tmp_path}/task; sleep 1000")
    coordinator.submit([(ids(1)[0], shell)])
    await coordinator.until(lambda: (tmp_path / "task").exists() and (tmp_path / "task").read_text())
    daemon = int((tmp_path / "daemon").read_text())
    manager.signal(signal.SIGKILL)
    await manager.ended()

    again = await start()
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert (tmp_path / "cleaned").exists()
    attach = coordinator.attaches[1]
    assert (attach.assignment_id, attach.state, len(attach.held_tasks)) == (1, CLEANING, 0)
    (report,) = [told for told in coordinator.messages("hook_report") if told.hook_type == hook_pb2.HOOK_TYPE_CLEANUP]
    assert (report.assignment_id, report.result) == (1, hook_pb2.HOOK_RESULT_SUCCESS)
    assert coordinator.messages("suite_finished")[0].reason == stream.FINISH_REASON_RESTARTED
    for pid in (daemon, int((tmp_path / "task").read_text())):
        assert not runs(pid)
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    again.assert_nothing_is_left()


async def test_a_manager_that_is_killed_again_and_again_leaves_nothing(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    # Each hook starts a daemon in a session of its own, and does not end by itself until there is `enough`.
    hook = (
        f"setsid sleep 1000 & echo $! >> {tmp_path}/daemons; echo $MITOSIS_HOOK_TYPE >> {tmp_path}/hooks; "
        f"[ -e {tmp_path}/enough ] || sleep 1000"
    )
    spec = hook_pb2.EnvHookSpec(command=hook)

    def hooks() -> list[str]:
        return (tmp_path / "hooks").read_text().split() if (tmp_path / "hooks").exists() else []

    manager = await start()
    coordinator.assign(suite(tmp_path, env_preparation=spec, env_cleanup=spec))
    for count in (1, 2, 3):
        await coordinator.until(lambda count=count: len(hooks()) == count)  # type: ignore[misc]
        manager.signal(signal.SIGKILL)
        await manager.ended()
        if count == 3:
            (tmp_path / "enough").touch()
        manager = await start()
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert hooks() == ["env_preparation", *["env_cleanup"] * 3]
    assert [runs(int(pid)) for pid in (tmp_path / "daemons").read_text().split()] == [False] * 4

    # Killed in the moment in which its workers come to life.
    coordinator.assign(suite(tmp_path, 2))
    await coordinator.until(manager.workers)
    manager.signal(signal.SIGKILL)
    await manager.ended()
    manager = await start()
    await coordinator.until(lambda: len(coordinator.messages("suite_finished")) == 2)
    assert manager.workers() == []
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_results_that_were_not_acknowledged_survive_the_manager(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    names = ids(20)
    coordinator.acknowledge = False
    coordinator.submit([(name, handler("nothing")) for name in names])
    await coordinator.until(lambda: len(coordinator.reports) == 20)
    # Work goes on while the coordinator is away, and nobody but the journal hears of it.
    coordinator.submit([(unheard, handler("nap", "0.3")) for unheard in ids(2)])
    await coordinator.until(lambda: not coordinator.tasks)
    coordinator.refusal = (grpc.StatusCode.UNAVAILABLE, "", "away")
    coordinator.drop()
    (journal,) = (tmp_path / "data").glob("outbox.*")
    before = journal.stat().st_size
    await coordinator.until(lambda: journal.stat().st_size > before)
    manager.signal(signal.SIGKILL)
    await manager.ended()
    said = {key: list(reports) for key, reports in coordinator.reports.items()}
    # Killed while it wrote the next one.
    with journal.open("ab") as file:
        file.write(b"\x80\x00")

    coordinator.refusal = None
    again = await start()
    await coordinator.until(lambda: len(coordinator.attaches) == 2)
    held = {(task.task_uuid, task.attempt) for task in coordinator.attaches[1].held_tasks}
    assert held > set(said)
    coordinator.acknowledge = True
    coordinator.drop()
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert set(coordinator.reports) == held
    for key, reports in said.items():
        assert coordinator.reports[key] == reports[:1] * len(coordinator.reports[key])
    assert coordinator.messages("suite_finished")[0].reason == stream.FINISH_REASON_RESTARTED
    again.signal(signal.SIGTERM)
    assert await again.ended() == 0
    assert "outbox_damaged" in again.log()
    again.assert_nothing_is_left()


async def test_tasks_that_end_badly_say_why(coordinator: FakeCoordinator, start: Start, tmp_path: Path) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    crash, stuck, cancelled, fine = ids(4)
    coordinator.submit(
        [
            (crash, handler("crash")),
            # The worker cannot interrupt this: the manager has to.
            (stuck, handler("stuck", timeout_seconds=0.2)),
            (fine, handler("nothing")),
        ]
    )
    await coordinator.until(lambda: len(coordinator.reports) == 3, 20)
    died = coordinator.reports[crash, 1][0]
    assert died.outcome == stream.TASK_OUTCOME_WORKER_DIED
    assert list(died.worker_deaths) == ["killed by SIGSEGV"] * 2
    assert coordinator.reports[stuck, 1][0].outcome == stream.TASK_OUTCOME_TIMED_OUT
    assert coordinator.reports[fine, 1][0].outcome == stream.TASK_OUTCOME_COMPLETED

    coordinator.submit([(cancelled, handler("nap", "1000"))])
    await coordinator.until(
        lambda: any(s.starts[0].task_uuid == cancelled for s in coordinator.messages("tasks_started"))
    )
    attempt = stream.TaskAttempt(task_uuid=cancelled, attempt=1)
    coordinator.send(cancel_tasks=stream.CancelTasks(assignment_id=1, tasks=[attempt]))
    await coordinator.until(lambda: (cancelled, 1) in coordinator.reports)
    assert coordinator.reports[cancelled, 1][0].outcome == stream.TASK_OUTCOME_CANCELLED
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_a_cancelled_suite_stops_its_tasks(coordinator: FakeCoordinator, start: Start, tmp_path: Path) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    names = ids(4)
    coordinator.submit([(name, handler("nap", "1000")) for name in names])
    await coordinator.until(lambda: coordinator.messages("tasks_started"))
    coordinator.send(cancel_suite=stream.CancelSuite(assignment_id=1, cancel_running_tasks=True))
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert coordinator.messages("suite_finished")[0].reason == stream.FINISH_REASON_CANCELLED
    assert {reports[0].outcome for reports in coordinator.reports.values()} == {stream.TASK_OUTCOME_CANCELLED}
    assert len(coordinator.reports) == 4
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_work_goes_on_without_a_stream(coordinator: FakeCoordinator, start: Start, tmp_path: Path) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    coordinator.acknowledge = False
    first, second = ids(2)
    coordinator.submit([(first, handler("nothing")), (second, handler("nap", "1.0"))])
    await coordinator.until(lambda: coordinator.reports)
    coordinator.drop()
    coordinator.acknowledge = True
    await coordinator.until(lambda: len(coordinator.attaches) == 2)
    held = {(task.task_uuid, task.attempt) for task in coordinator.attaches[1].held_tasks}
    assert held == {(first, 1), (second, 1)}
    assert coordinator.attaches[1].session_uuid == coordinator.attaches[0].session_uuid
    await coordinator.until(lambda: len(coordinator.reports) == 2)
    sequences = [message.sequence for message in coordinator.messages("task_reports")]
    assert sequences[:2] == [1, 1]
    third = ids(1)[0]
    coordinator.submit([(third, handler("nothing"))])
    await coordinator.until(lambda: (third, 1) in coordinator.reports)
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_what_the_coordinator_gave_away_is_dropped(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    await executing(coordinator, tmp_path, env_cleanup=hook_pb2.EnvHookSpec(command=f"touch {tmp_path}/cleaned"))
    coordinator.submit([(name, handler("nap", "1000")) for name in ids(2)])
    await coordinator.until(lambda: len(started_tasks(coordinator)) == 2)
    coordinator.live.clear()
    coordinator.said.clear()
    coordinator.drop()
    await coordinator.until(lambda: coordinator.messages("state_changed"))
    said = [message.WhichOneof("message") for message in coordinator.said]
    assert [kind for kind in said if kind != "heartbeat"] == ["state_changed"]
    assert (tmp_path / "cleaned").exists()
    assert manager.workers() == []
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_an_idle_manager_costs_next_to_nothing(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    coordinator.submit([(name, handler("nothing")) for name in ids(10)])
    await coordinator.until(lambda: len(coordinator.reports) == 10)
    await asyncio.sleep(1.0)
    assert manager.process is not None
    pids = [manager.process.pid, *manager.workers()]
    before = sum(map(cpu_seconds, pids))
    await asyncio.sleep(2.0)
    assert (sum(map(cpu_seconds, pids)) - before) / 2.0 < 0.03


async def test_a_suite_that_cannot_be_prepared_says_why(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    cleanup = hook_pb2.EnvHookSpec(command=f"echo x >> {tmp_path}/cleaned")
    failing = suite(tmp_path, 1, env_preparation=hook_pb2.EnvHookSpec(command="exit 3"), env_cleanup=cleanup)
    nowhere = suite(tmp_path, 2, env_cleanup=cleanup)
    nowhere.task_defaults.working_directory = "/no/such/place"
    crowded = suite(tmp_path, 3, env_cleanup=cleanup)
    crowded.worker_schedule.cpu_binding = suite_pb2.CPU_BINDING_EXCLUSIVE
    crowded.worker_schedule.cores.append(min(os.sched_getaffinity(0)))
    for number, refused in enumerate((failing, nowhere, crowded), start=1):
        coordinator.assign(refused)
        await coordinator.until(partial(has_finished, coordinator, number))
    assert {message.reason for message in coordinator.messages("suite_finished")} == {
        stream.FINISH_REASON_PREPARATION_FAILED
    }
    errors = [report.error for report in coordinator.messages("hook_report") if report.error]
    assert errors[0] == "exit code 3"
    assert "/no/such/place" in errors[1]
    assert "cpu_binding Exclusive needs a core for each of 2 workers" in errors[2]
    assert (tmp_path / "cleaned").read_text() == "x\nx\n", "the third one was refused before anything ran"
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


async def test_the_number_of_workers_follows_the_coordinator(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    await executing(coordinator, tmp_path)
    names = ids(8)
    coordinator.submit([(name, handler("nap", "1000")) for name in names])
    await coordinator.until(lambda: len(started_tasks(coordinator)) == 2)
    coordinator.send(config_update=stream.ConfigUpdate(assignment_id=1, worker_count=3))
    await coordinator.until(lambda: len(started_tasks(coordinator)) == 3)
    coordinator.send(recall_tasks=stream.RecallTasks(assignment_id=1, all_unstarted=True))
    await coordinator.until(lambda: coordinator.returned)
    assert not set(coordinator.returned) & started_tasks(coordinator)
    coordinator.send(config_update=stream.ConfigUpdate(assignment_id=1, worker_count=1))
    running = [stream.TaskAttempt(task_uuid=uuid, attempt=1) for uuid, _ in started_tasks(coordinator)]
    coordinator.send(cancel_tasks=stream.CancelTasks(assignment_id=1, tasks=running))
    await coordinator.until(lambda: len(manager.workers()) == 1)
    coordinator.send(shutdown=stream.Shutdown(graceful=False, reason="test"))
    assert await manager.ended() == 0
    manager.assert_nothing_is_left()


def has_finished(coordinator: FakeCoordinator, suites: int) -> bool:
    return len(coordinator.messages("suite_finished")) == suites


def started_tasks(coordinator: FakeCoordinator) -> set[tuple[str, int]]:
    return {(s.task_uuid, s.attempt) for message in coordinator.messages("tasks_started") for s in message.starts}


async def test_one_manager_per_machine_and_none_without_its_parent(
    coordinator: FakeCoordinator, start: Start, tmp_path: Path
) -> None:
    manager = await start()
    command = [sys.executable, "-m", "mitosis_nodemgr", "--config", str(tmp_path / "manager.yaml")]
    second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await asyncio.wait_for(second.communicate(), 10)
    assert second.returncode == 1
    assert manager.process is not None
    assert f"is held by process {manager.process.pid}" in errors.decode()
    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0

    shell = f"{' '.join(command)} --die-with-parent 2>> {tmp_path}/log & echo $! > {tmp_path}/pid; wait"
    parent = await asyncio.create_subprocess_exec("/bin/sh", "-c", shell)
    await coordinator.until(lambda: manager.log().count("verdict=") == 2)
    parent.kill()
    await parent.wait()
    await coordinator.until(lambda: not runs(int((tmp_path / "pid").read_text())))
    assert len(coordinator.messages("goodbye")) == 2
    manager.assert_nothing_is_left()
