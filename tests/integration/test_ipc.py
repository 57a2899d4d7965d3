"""The exchange over shared memory inside one machine: parking, waking, orders, threads, and nothing left behind."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis_common.ipc_domain import DomainOwnership, IpcDomain, cleanup_leftovers
from mitosis_nodemgr.ipc import IpcServer
from mitosis_worker.ipc_comm import IpcComm

SHARED_MEMORY = Path("/dev/shm")
SERVICE_PREFIX = "mitosis_tests"

Request = worker_ipc_pb2.WorkerRequest
Response = worker_ipc_pb2.WorkerResponse


class Switch:
    """An exchange that parks every fetch until there is something in `answers`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Response] = []
        self.threads: set[str] = set()
        self.broken = False

    def exchange(self, request: Request) -> Response | None:
        if self.broken:
            raise RuntimeError("broken")
        copy = Request()
        copy.CopyFrom(request)
        self.requests.append(copy)
        self.threads.add(threading.current_thread().name)
        if not request.fetch:
            return Response()
        return self.answers.pop(0) if self.answers else None

    def unpark(self, worker_index: int, pid: int) -> Response | None:
        self.threads.add(threading.current_thread().name)
        return self.answers.pop(0) if self.answers else None


@pytest.fixture
def domain() -> Iterator[IpcDomain]:
    domain = IpcDomain.unique(SERVICE_PREFIX, str(uuid.uuid4()))
    yield domain
    assert list(SHARED_MEMORY.glob(f"{domain.prefix}*")) == []


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def server(domain: IpcDomain, switch: Switch) -> Iterator[IpcServer]:
    server = IpcServer(domain, switch, max_workers=4)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def comm(server: IpcServer, domain: IpcDomain) -> Iterator[IpcComm]:
    comm = IpcComm(domain, 0, os.getppid())
    yield comm
    comm.close()


def task(name: str = "t", size: int = 0) -> Response:
    return Response(tasks=[worker_ipc_pb2.WorkerTask(task_uuid=name, attempt=1, task_spec=bytes(size))])


def _has_asked(switch: Switch, pid: int) -> bool:
    return any(request.pid == pid for request in switch.requests)


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_an_answer_that_is_there_comes_at_once(comm: IpcComm, switch: Switch) -> None:
    switch.answers.append(task("now"))
    report = worker_ipc_pb2.WorkerReport(task_uuid="before", attempt=3)
    response = comm.fetch([report])
    assert response is not None
    assert response.tasks[0].task_uuid == "now"
    (request,) = switch.requests
    assert (request.worker_index, request.pid, request.fetch) == (0, os.getpid(), True)
    assert list(request.reports) == [report]


def test_a_parked_request_is_answered_after_a_wake_from_any_thread(
    comm: IpcComm, server: IpcServer, switch: Switch
) -> None:
    def feed() -> None:
        until(lambda: switch.requests)
        server.wake()
        time.sleep(0.05)
        switch.answers.append(task("later"))
        server.wake()

    feeder = threading.Thread(target=feed)
    feeder.start()
    response = comm.fetch(())
    feeder.join()
    assert response is not None
    assert response.tasks[0].task_uuid == "later"
    assert switch.threads == {"ipc-server"}


def test_no_wake_up_is_lost(comm: IpcComm, server: IpcServer, switch: Switch) -> None:
    def feed() -> None:
        for number in range(2000):
            while switch.answers:
                time.sleep(0)
            switch.answers.append(task(str(number)))
            server.wake()

    feeder = threading.Thread(target=feed)
    feeder.start()
    started = time.monotonic()
    for number in range(2000):
        response = comm.fetch(())
        assert response is not None
        assert response.tasks[0].task_uuid == str(number)
    feeder.join()
    # The guards would make up for a lost one, a second each.
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("size", [0, 1, 5000, 3 * 1024 * 1024])
def test_messages_of_any_size_pass_both_ways(comm: IpcComm, switch: Switch, size: int) -> None:
    switch.answers.append(task("x" * size, size))
    response = comm.fetch([worker_ipc_pb2.WorkerReport(task_uuid="y" * size)])
    assert response == task("x" * size, size)
    assert switch.requests[0].reports[0].task_uuid == "y" * size


def test_a_report_without_a_fetch_is_answered_at_once(comm: IpcComm, switch: Switch) -> None:
    comm.report([worker_ipc_pb2.WorkerReport(task_uuid="a")])
    assert [report.task_uuid for report in switch.requests[0].reports] == ["a"]


def test_an_interrupted_fetch_returns_and_its_request_is_not_answered_later(
    comm: IpcComm, server: IpcServer, switch: Switch
) -> None:
    timer = threading.Timer(0.1, comm.interrupt)
    timer.start()
    assert comm.fetch(()) is None
    timer.join()
    switch.answers.append(task())
    server.wake()
    time.sleep(0.1)
    assert len(switch.answers) == 1
    comm.report(())


def test_orders_reach_the_worker_they_name(comm: IpcComm, server: IpcServer, domain: IpcDomain) -> None:
    comm.report(())
    server.control(worker_ipc_pb2.WorkerControl(worker_index=1, leave=worker_ipc_pb2.WorkerControl.Leave()))
    cancel = worker_ipc_pb2.WorkerControl.CancelTask(task_uuid="t", attempt=2)
    order = worker_ipc_pb2.WorkerControl(worker_index=0, cancel_task=cancel)
    everyone = worker_ipc_pb2.WorkerControl(worker_index=-1, leave=worker_ipc_pb2.WorkerControl.Leave())
    started = time.monotonic()
    server.control(order)
    found: list[worker_ipc_pb2.WorkerControl] = []
    while not found:
        found = comm.orders(5)
    assert found == [order]
    server.control(everyone)
    while found == [order]:
        found += comm.orders(5)
    assert found == [order, everyone]
    assert time.monotonic() - started < 1


def test_a_nudge_ends_a_wait_for_orders(comm: IpcComm) -> None:
    comm.nudge()
    started = time.monotonic()
    assert comm.orders(5) == []
    assert time.monotonic() - started < 1


def test_ports_may_be_used_from_many_threads(server: IpcServer, comm: IpcComm, switch: Switch) -> None:
    stop = threading.Event()

    def pester() -> None:
        while not stop.is_set():
            server.wake()
            comm.nudge()
            server.control(worker_ipc_pb2.WorkerControl(worker_index=3))
            time.sleep(0.0002)

    threads = [threading.Thread(target=pester) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            comm.report(())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(switch.requests) == 300


def test_a_broken_exchange_is_told_to_the_owner(domain: IpcDomain, switch: Switch) -> None:
    failures: list[BaseException] = []
    server = IpcServer(domain, switch, max_workers=1, on_failure=failures.append)
    server.start()
    comm = IpcComm(domain, 0, os.getppid())
    switch.broken = True
    timer = threading.Timer(0.3, comm.interrupt)
    timer.start()
    assert comm.fetch(()) is None
    timer.join()
    comm.close()
    server.stop()
    assert [str(failure) for failure in failures] == ["broken"]


def test_a_domain_has_one_owner(server: IpcServer, domain: IpcDomain, switch: Switch) -> None:
    with pytest.raises(RuntimeError, match="belongs to a running manager"):
        IpcServer(domain, switch, max_workers=1).start()
    assert domain.prefix not in cleanup_leftovers(SERVICE_PREFIX)
    assert domain.root.is_dir()


def test_stop_may_be_repeated_and_a_domain_used_again(domain: IpcDomain, switch: Switch) -> None:
    for _ in range(3):
        server = IpcServer(domain, switch, max_workers=1)
        server.start()
        server.start()
        comm = IpcComm(domain, 0, os.getppid())
        comm.report(())
        comm.close()
        server.stop()
        server.stop()
        server.wake()
        assert list(SHARED_MEMORY.glob(f"{domain.prefix}*")) == []


@pytest.mark.parametrize("prefix", ["", "a/b", "a b", "_x", "x" * 33, "..", "ä"])
def test_a_service_prefix_that_cannot_name_files_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"ipc\.service_prefix: given .*; accepts"):
        IpcDomain.unique(prefix, str(uuid.uuid4()))


@pytest.mark.parametrize("prefix", ["", "x", "mitosis_mgr", "*", "../../etc_12345678_"])
def test_a_domain_that_was_not_named_here_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        IpcDomain(prefix)


# A client that is killed while its request is parked, or a server that is killed with all it owns.
CLIENT = """
import os, sys
from mitosis_common.ipc_domain import IpcDomain
from mitosis_worker.ipc_comm import IpcComm
comm = IpcComm(IpcDomain(sys.argv[1]), int(sys.argv[2]), os.getppid())
comm.fetch(())
"""
SERVER = """
import sys, time
from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis_common.ipc_domain import IpcDomain
from mitosis_nodemgr.ipc import IpcServer
class Parking:
    def exchange(self, request): return None
    def unpark(self, index, pid): return None
domain = IpcDomain.unique(sys.argv[1], "a manager that is killed")
IpcServer(domain, Parking(), 4).start()
print(domain.prefix, flush=True)
time.sleep(600)
"""


def test_clients_that_are_killed_again_and_again_leave_no_place_taken(
    server: IpcServer, domain: IpcDomain, switch: Switch
) -> None:
    sizes = []
    # More than the services have places for: each death has to give its place back.
    for round_ in range(14):
        process = subprocess.Popen([sys.executable, "-c", CLIENT, domain.prefix, "1"])
        until(functools.partial(_has_asked, switch, process.pid))
        process.send_signal(signal.SIGKILL)
        process.wait()
        forgotten = threading.Event()
        server.forget(1, process.pid, forgotten.set)
        assert forgotten.wait(5), round_
        sizes.append(len(list(SHARED_MEMORY.glob(f"{domain.prefix}*"))) + len(list(domain.root.rglob("*"))))
    assert sizes[-1] == sizes[2]


def test_what_a_killed_manager_left_is_removed_by_the_next() -> None:
    manager = subprocess.Popen([sys.executable, "-c", SERVER, SERVICE_PREFIX], stdout=subprocess.PIPE, text=True)
    assert manager.stdout is not None
    prefix = manager.stdout.readline().strip()
    worker = subprocess.Popen([sys.executable, "-c", CLIENT, prefix, "0"])
    until(lambda: list((SHARED_MEMORY / f"{prefix}root").rglob("*.event")))
    time.sleep(0.3)
    assert prefix not in cleanup_leftovers(SERVICE_PREFIX)
    for process in (manager, worker):
        process.kill()
        process.wait()
    manager.stdout.close()
    assert list(SHARED_MEMORY.glob(f"{prefix}*"))
    assert prefix in cleanup_leftovers(SERVICE_PREFIX)
    assert list(SHARED_MEMORY.glob(f"{prefix}*")) == []
    assert cleanup_leftovers(SERVICE_PREFIX) == []


def test_owners_that_race_for_one_domain_agree_on_one(domain: IpcDomain) -> None:
    owned: list[DomainOwnership] = []
    refused: list[RuntimeError] = []

    def claim() -> None:
        try:
            owned.append(DomainOwnership(domain))
        except RuntimeError as error:
            refused.append(error)

    for _ in range(20):
        owned.clear()
        refused.clear()
        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(owned), len(refused)) == (1, 3)
        owned[0].release()


_MANY = """
import os, sys, threading
from mitosis_common.ipc_domain import IpcDomain
from mitosis_worker.ipc_comm import IpcComm
for index in range(int(sys.argv[2])):
    comm = IpcComm(IpcDomain(sys.argv[1]), index, os.getppid())
    threading.Thread(target=comm.fetch, args=[[]], daemon=True).start()
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.disk_usage(SHARED_MEMORY).free < 2 * 1024**3, reason="/dev/shm is too small for it")
def test_more_workers_than_iceoryx2_expects_may_die_with_their_requests_parked(
    domain: IpcDomain, switch: Switch
) -> None:
    # By default it ends a process that keeps more than 128 requests of the dead.
    count = 130
    server = IpcServer(domain, switch, max_workers=count // 2)
    server.start()
    workers = subprocess.Popen([sys.executable, "-c", _MANY, domain.prefix, str(count)], stdin=subprocess.PIPE)
    try:
        until(lambda: len(switch.requests) == count, 60)
    finally:
        workers.kill()
        workers.communicate()
    forgotten = threading.Event()
    for index in range(count):
        server.forget(index, workers.pid, forgotten.set if index == count - 1 else None)
    assert forgotten.wait(30)
    server.stop()
