"""Real worker processes against a real IPC server: what they run, how they end, and that nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import manager_stream_pb2, task_pb2
from mitosis_common.ipc_domain import IpcDomain, cleanup_leftovers
from mitosis_common.marker import TaskMarkerReader, create_marker
from mitosis_nodemgr.ipc import IpcServer, worker_argv, worker_environment

ROOT = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")
SERVICE_PREFIX = "mitosis_tests"
HANDLERS = "tests.unit.worker.sample_handlers"

Report = worker_ipc_pb2.WorkerReport
COMPLETED = manager_stream_pb2.TASK_OUTCOME_COMPLETED
CANCELLED = manager_stream_pb2.TASK_OUTCOME_CANCELLED
TIMED_OUT = manager_stream_pb2.TASK_OUTCOME_TIMED_OUT
FAILED = manager_stream_pb2.TASK_OUTCOME_FAILED


class Queue:
    """An exchange that hands tasks out in order, takes back those of the dead, and refuses to take a report twice."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._lock = threading.Lock()
        self._ready: deque[worker_ipc_pb2.WorkerTask] = deque()
        self.held: dict[int, dict[str, worker_ipc_pb2.WorkerTask]] = {}
        self.handed: dict[int, list[str]] = {}
        self.reports: dict[str, Report] = {}
        self.pids: dict[int, int] = {}
        self.leaving = False

    def add(self, *specs: task_pb2.TaskSpec) -> list[str]:
        tasks = [
            worker_ipc_pb2.WorkerTask(task_uuid=str(uuid.uuid4()), attempt=1, task_spec=spec.SerializeToString())
            for spec in specs
        ]
        with self._lock:
            self._ready += tasks
        return [task.task_uuid for task in tasks]

    def take_back(self, pid: int) -> None:
        with self._lock:
            self._ready.extendleft(reversed(self.held.pop(pid, {}).values()))

    def exchange(self, request: worker_ipc_pb2.WorkerRequest) -> worker_ipc_pb2.WorkerResponse | None:
        self.pids[request.worker_index] = request.pid
        with self._lock:
            for report in request.reports:
                if self.held.get(request.pid, {}).pop(report.task_uuid, None) is not None:
                    assert report.task_uuid not in self.reports
                    copy = Report()
                    copy.CopyFrom(report)
                    self.reports[report.task_uuid] = copy
        return self.unpark(request.worker_index, request.pid) if request.fetch else worker_ipc_pb2.WorkerResponse()

    def unpark(self, worker_index: int, pid: int) -> worker_ipc_pb2.WorkerResponse | None:
        with self._lock:
            tasks = [self._ready.popleft() for _ in range(min(self._batch, len(self._ready)))]
            self.held.setdefault(pid, {}).update((task.task_uuid, task) for task in tasks)
            self.handed.setdefault(pid, []).extend(task.task_uuid for task in tasks)
        if not tasks and not self.leaving:
            return None
        return worker_ipc_pb2.WorkerResponse(tasks=tasks, leave=self.leaving and not tasks)


class Pool:
    """Worker processes, and the server they talk to."""

    def __init__(self, directory: Path) -> None:
        self.queue = Queue(batch=1)
        self.manager_uuid = str(uuid.uuid4())
        self.domain = IpcDomain.unique(SERVICE_PREFIX, self.manager_uuid)
        self.server = IpcServer(self.domain, self.queue, max_workers=8)
        self.setup = worker_ipc_pb2.WorkerSetup(
            suite_uuid="the-suite", suite_name="census", group_name="a group", stop_grace_seconds=0.3
        )
        self.setup.manager_uuid = self.manager_uuid
        self.processes: list[subprocess.Popen[bytes]] = []
        self.markers: list[Path] = []
        self._directory = directory

    def spawn(self, index: int) -> subprocess.Popen[bytes]:
        marker = self._directory / f"marker-{len(self.processes)}"
        create_marker(marker)
        process = subprocess.Popen(
            worker_argv(self.domain, index, marker),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment({**os.environ, "PYTHONPATH": str(ROOT)}, self.manager_uuid, index),
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(self.setup.SerializeToString())
        process.stdin.close()
        process.stdin = None
        self.processes.append(process)
        self.markers.append(marker)
        return process

    def run(self, **fields: object) -> Report:
        """Run one task to its end."""
        (name,) = self.queue.add(task_pb2.TaskSpec(**fields))  # type: ignore[arg-type]
        self.server.wake()
        until(lambda: name in self.queue.reports)
        return self.queue.reports[name]

    def started(self, **fields: object) -> str:
        """Start one task and return its name once it has begun."""
        (name,) = self.queue.add(task_pb2.TaskSpec(**fields))  # type: ignore[arg-type]
        self.server.wake()
        until(lambda: self.running(len(self.processes) - 1) is not None)
        time.sleep(0.1)
        return name

    def running(self, number: int) -> int | None:
        with TaskMarkerReader(self.markers[number]) as reader:
            running = reader.read()
        return None if running is None else running.ordinal

    def forget(self, process: subprocess.Popen[bytes], index: int) -> None:
        done = threading.Event()
        self.server.forget(index, process.pid, done.set)
        assert done.wait(5)
        self.queue.take_back(process.pid)

    def close(self) -> None:
        self.queue.leaving = True
        self.server.wake()
        for process in self.processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.server.stop()
        for process in self.processes:
            if process.stderr is not None:
                process.stderr.close()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def handler(name: str, payload: object = None, **fields: object) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(handler=f"{HANDLERS}:{name}", payload=json.dumps(payload), **fields)  # type: ignore[arg-type]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    pool = Pool(tmp_path)
    pool.server.start()
    yield pool
    pool.close()
    assert list(SHARED_MEMORY.glob(f"{pool.domain.prefix}*")) == []
    assert not any(alive(process.pid) for process in pool.processes)


@pytest.fixture
def worker(pool: Pool) -> subprocess.Popen[bytes]:
    return pool.spawn(0)


@pytest.mark.parametrize("batch", [1, 16])
def test_a_thousand_tasks_on_four_workers_one_of_which_is_killed_in_the_middle(pool: Pool, batch: int) -> None:
    pool.queue = queue = Queue(batch)
    pool.server.stop()
    pool.server = IpcServer(pool.domain, queue, max_workers=8)
    pool.server.start()
    names = queue.add(*[handler("echo", number) for number in range(1000)])
    processes = [pool.spawn(index) for index in range(4)]
    until(lambda: len(queue.reports) > 300 and queue.held.get(processes[0].pid))
    processes[0].kill()
    processes[0].wait()
    pool.forget(processes[0], 0)
    pool.spawn(0)
    pool.server.wake()
    until(lambda: len(queue.reports) == 1000, 20)
    assert [queue.reports[name].result.return_value for name in names] == [str(number) for number in range(1000)]
    queue.leaving = True
    pool.server.wake()
    assert [process.wait(5) for process in pool.processes] == [-signal.SIGKILL, 0, 0, 0, 0]


@pytest.mark.usefixtures("worker")
def test_both_kinds_of_task_read_their_context_from_the_environment(pool: Pool) -> None:
    names = ["SUITE_UUID", "SUITE_NAME", "UUID", "ATTEMPT"]
    variables = [f"MITOSIS_TASK_{name}" for name in names]
    variables += ["MITOSIS_GROUP_NAME", "MITOSIS_NODE_MANAGER_ID", "MITOSIS_WORKER_INDEX", "OWN"]
    line = "; ".join(f'echo "${name}"' for name in variables)
    by_command = pool.run(command=line, envs={"OWN": "value"})
    expected = ["the-suite", "census", by_command.task_uuid, "1", "a group", pool.manager_uuid, "0", "value"]
    assert by_command.result.stdout_tail.splitlines() == expected
    by_handler = pool.run(handler=f"{HANDLERS}:environment", payload=json.dumps(variables), envs={"OWN": "value"})
    found = json.loads(by_handler.result.return_value)
    expected[2] = by_handler.task_uuid
    assert [found[name] for name in variables] == expected


@pytest.mark.parametrize("spec", [{"command": "sleep 60"}, {"handler": f"{HANDLERS}:sleep", "payload": "60"}])
def test_cancel_stops_a_running_task(pool: Pool, worker: subprocess.Popen[bytes], spec: dict[str, object]) -> None:
    name = pool.started(**spec)
    cancel = worker_ipc_pb2.WorkerControl.CancelTask(task_uuid=name, attempt=1)
    pool.server.control(worker_ipc_pb2.WorkerControl(worker_index=0, cancel_task=cancel))
    until(lambda: name in pool.queue.reports, 3)
    assert pool.queue.reports[name].outcome == CANCELLED
    assert pool.run(command="true").outcome == COMPLETED
    assert worker.poll() is None


@pytest.mark.parametrize("how", ["order", "signal"])
def test_leaving_finishes_the_current_task(pool: Pool, worker: subprocess.Popen[bytes], how: str) -> None:
    name = pool.started(command="sleep 0.5; echo done")
    if how == "order":
        leave = worker_ipc_pb2.WorkerControl.Leave()
        pool.server.control(worker_ipc_pb2.WorkerControl(worker_index=-1, leave=leave))
    else:
        worker.terminate()
    assert worker.wait(5) == 0
    assert pool.queue.reports[name].result.stdout_tail == "done\n"


@pytest.mark.parametrize("how", ["order", "signal"])
def test_an_idle_worker_leaves_at_once(pool: Pool, worker: subprocess.Popen[bytes], how: str) -> None:
    pool.run(command="true")
    time.sleep(0.05)
    started = time.monotonic()
    if how == "order":
        leave = worker_ipc_pb2.WorkerControl.Leave()
        pool.server.control(worker_ipc_pb2.WorkerControl(worker_index=0, leave=leave))
    else:
        worker.terminate()
    assert worker.wait(5) == 0
    assert time.monotonic() - started < 1


def test_ctrl_c_in_the_terminal_is_not_for_the_worker(pool: Pool, worker: subprocess.Popen[bytes]) -> None:
    pool.run(command="true")
    worker.send_signal(signal.SIGINT)
    assert pool.run(command="kill -INT $$").result.error == "killed by SIGINT"
    assert worker.poll() is None


def test_a_segmentation_fault_leaves_the_marker_and_a_traceback(pool: Pool, worker: subprocess.Popen[bytes]) -> None:
    pool.run(command="true")
    pool.queue.add(handler("segfault"))
    pool.server.wake()
    assert worker.wait(10) == -signal.SIGSEGV
    assert pool.running(0) == 2
    assert worker.stderr is not None
    assert b"in segfault" in worker.stderr.read()
    pool.forget(worker, 0)


@pytest.mark.usefixtures("worker")
def test_a_gigabyte_of_output_does_not_grow_the_worker(pool: Pool) -> None:
    pool.run(command="true")
    before = _peak_memory_kb(pool.queue.pids[0])
    report = pool.run(command="head -c 1000000000 /dev/zero >&2; echo end >&2")
    assert report.outcome == COMPLETED
    assert len(report.result.stderr_tail.encode()) <= 64 * 1024
    assert _peak_memory_kb(pool.queue.pids[0]) - before < 10_000


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["command", "handler"])
def test_a_task_that_forks_a_daemon_leaves_no_process(pool: Pool, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pid"
    if kind == "handler":
        report = pool.run(handler=f"{HANDLERS}:daemon", payload=json.dumps(str(path)))
    else:
        daemon = f"(setsid sh -c 'echo $$ > {path}; exec sleep 600' &) ; while ! [ -s {path} ]; do sleep 0.01; done"
        report = pool.run(command=daemon)
    assert report.outcome == COMPLETED
    assert not alive(int(path.read_text()))


@pytest.mark.usefixtures("worker")
def test_a_command_that_ignores_sigterm_is_killed(pool: Pool) -> None:
    report = pool.run(command="trap '' TERM; while :; do sleep 1; done", timeout_seconds=0.2)
    assert (report.outcome, report.result.error) == (TIMED_OUT, "ran longer than 0.2 s")


# A manager that is killed: it starts one worker with one task, says the worker's process id, and waits.
MANAGER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.integration.test_worker_process import Pool, task_pb2
pool = Pool(Path(sys.argv[2]))
pool.server.start()
worker = pool.spawn(0)
pool.queue.add(task_pb2.TaskSpec.FromString(bytes.fromhex(sys.argv[3])))
print(worker.pid, pool.domain.prefix, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["command", "handler", "idle"])
def test_no_worker_and_no_command_outlives_a_killed_manager(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pid"
    spec = task_pb2.TaskSpec(command="true")
    if kind == "command":
        spec = task_pb2.TaskSpec(command=f"(setsid sleep 600 & echo $! > {path}.new; mv {path}.new {path}); sleep 600")
    elif kind == "handler":
        spec = handler("sleep", 600)
    arguments = [sys.executable, "-c", MANAGER, str(ROOT), str(tmp_path), spec.SerializeToString().hex()]
    manager = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert manager.stdout is not None
    pid, prefix = manager.stdout.readline().split()
    if kind == "command":
        until(path.exists)
    else:
        time.sleep(0.5)
    manager.kill()
    manager.wait()
    manager.stdout.close()
    until(lambda: not alive(int(pid)), 3)
    if kind == "command":
        until(lambda: not alive(int(path.read_text())), 3)
    assert prefix in cleanup_leftovers(SERVICE_PREFIX)
    assert list(SHARED_MEMORY.glob(f"{prefix}*")) == []


@pytest.mark.usefixtures("worker")
def test_an_idle_worker_hardly_uses_the_processor(pool: Pool) -> None:
    pool.run(command="true")
    pid = pool.queue.pids[0]
    before = _processor_seconds(pid)
    time.sleep(2)
    assert _processor_seconds(pid) - before <= 0.02


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--domain", "mitosis_tests_00000000_"], "the IPC domain mitosis_tests_00000000_ is not there"),
        (["--domain", "nonsense"], "domain: given 'nonsense'"),
    ],
)
def test_what_it_cannot_start_with_is_said_on_standard_error(
    pool: Pool, tmp_path: Path, arguments: list[str], error: str
) -> None:
    argv = worker_argv(pool.domain, 0, tmp_path / "marker") + arguments
    done = subprocess.run(argv, input=b"", capture_output=True, timeout=10, check=False)
    assert done.returncode == 2
    assert error in done.stderr.decode()
    assert list(SHARED_MEMORY.glob("mitosis_tests_00000000_*")) == []


def _peak_memory_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
