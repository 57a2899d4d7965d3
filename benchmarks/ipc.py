"""The process in which the exchange between a manager and its workers is measured; prints what it took as JSON.

It forks and runs an IPC server, for which a process that spoke gRPC before is no place. The number of samples is its
argument.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import task_pb2
from mitosis_common.ipc_domain import IpcDomain
from mitosis_common.marker import create_marker
from mitosis_nodemgr.ipc import IpcServer, worker_argv, worker_environment
from mitosis_worker.ipc_comm import IpcComm

WORKERS = 2
BATCH = 16
MANAGER_UUID = str(uuid.uuid4())
NOOP = task_pb2.TaskSpec(handler="benchmarks.tasks:noop").SerializeToString()


class Feeder:
    """Hands out no-op tasks at once, in batches of one size, until there are enough, and then lets workers leave."""

    def __init__(self, total: int, batch: int) -> None:
        self._total, self._batch = total, batch
        self._handed = 0
        self._uuid = str(uuid.uuid4())
        self.reported = 0
        self.started_at = 0.0
        self.done = threading.Event()
        self.duration = 0.0

    def exchange(self, request: worker_ipc_pb2.WorkerRequest) -> worker_ipc_pb2.WorkerResponse | None:
        """Count reports and hand out tasks."""
        self.started_at = self.started_at or time.perf_counter()
        self.reported += len(request.reports)
        if self.reported >= self._total and not self.done.is_set():
            self.duration = time.perf_counter() - self.started_at
            self.done.set()
        response = worker_ipc_pb2.WorkerResponse()
        if not request.fetch:
            return response
        count = min(self._batch, self._total - self._handed)
        response.leave = count == 0
        for _ in range(count):
            self._handed += 1
            response.tasks.add(task_uuid=self._uuid, attempt=self._handed, task_spec=NOOP)
        return response

    def unpark(self, worker_index: int, pid: int) -> worker_ipc_pb2.WorkerResponse | None:
        """Never happens: no request is parked."""
        raise AssertionError((worker_index, pid))


class Echo:
    """Answers every fetch at once with one task."""

    def __init__(self) -> None:
        self._response = worker_ipc_pb2.WorkerResponse()
        self._response.tasks.add(task_uuid=str(uuid.uuid4()), attempt=1, task_spec=NOOP)

    def exchange(self, _request: worker_ipc_pb2.WorkerRequest) -> worker_ipc_pb2.WorkerResponse | None:
        """Answer."""
        return self._response

    def unpark(self, worker_index: int, pid: int) -> worker_ipc_pb2.WorkerResponse | None:
        """Never happens: no request is parked."""
        raise AssertionError((worker_index, pid))


def round_trips(count: int) -> list[float]:
    """Return the microseconds of each fetch of one client in a process of its own."""
    domain = IpcDomain.unique("mitosis_bench", MANAGER_UUID)
    server = IpcServer(domain, Echo(), max_workers=1)
    server.start()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        comm = IpcComm(domain, 0, os.getppid())
        samples = []
        for _ in range(count):
            start = time.perf_counter_ns()
            comm.fetch(())
            samples.append(time.perf_counter_ns() - start)
        comm.close()
        with os.fdopen(writer, "w") as file:
            file.write(" ".join(map(str, samples)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        samples_ns = [int(word) for word in file.read().split()]
    os.waitpid(child, 0)
    server.stop()
    return sorted(sample / 1000 for sample in samples_ns[count // 10 :])


def throughput(workers: int, batch: int, total: int) -> float:
    """Return tasks per second of no-op handlers in real worker processes."""
    feeder = Feeder(total, batch)
    domain = IpcDomain.unique("mitosis_bench", MANAGER_UUID)
    server = IpcServer(domain, feeder, max_workers=workers)
    server.start()
    setup = worker_ipc_pb2.WorkerSetup(stop_grace_seconds=1.0).SerializeToString()
    with tempfile.TemporaryDirectory() as directory:
        processes = []
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        for index in range(workers):
            marker = Path(directory) / f"worker-{index}"
            create_marker(marker)
            process = subprocess.Popen(
                worker_argv(domain, index, marker),
                stdin=subprocess.PIPE,
                env=worker_environment(environment, MANAGER_UUID, index),
                start_new_session=True,
            )
            assert process.stdin is not None
            process.stdin.write(setup)
            process.stdin.close()
            processes.append(process)
        if not feeder.done.wait(120):
            raise RuntimeError(f"{feeder.reported} of {total} tasks were reported in time")
        for process in processes:
            process.wait(30)
    server.stop()
    return total / feeder.duration


def main() -> None:
    """Measure both."""
    count = int(sys.argv[1])
    figures = {"round_trips_us": round_trips(count), "tasks_per_second": throughput(WORKERS, BATCH, 2 * count)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
