"""The manager's side of the exchange with its workers over shared memory."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis_common import ipc_domain
from mitosis_common.ipc_domain import DomainOwnership, IpcDomain, Services, cleanup_leftovers

__all__ = ["Exchange", "IpcDomain", "IpcServer", "cleanup_leftovers", "worker_argv", "worker_environment"]

# The guard against a lost wake-up; also the pace of the only periodic wake-up of an idle server.
_GUARD_SECONDS = 1.0

_Worker = tuple[int, int]


class Exchange(Protocol):
    """What the manager does with its workers' requests. Called on the IPC thread; both methods return at once."""

    def exchange(self, request: worker_ipc_pb2.WorkerRequest) -> worker_ipc_pb2.WorkerResponse | None:
        """Take the reports and answer, or return None to park a request that fetches until there is work.

        A report may come twice: a worker that was told to leave while its request was parked sends its reports again.
        """
        ...

    def unpark(self, worker_index: int, pid: int) -> worker_ipc_pb2.WorkerResponse | None:
        """Answer a parked request now, or return None to leave it parked. Asked after each `IpcServer.wake`."""
        ...


class IpcServer:
    """Answers workers on a thread of its own, and keeps requests parked that have to wait for work.

    `start` makes the domain's services, `stop` removes all there is of the domain. Both may be repeated, but a stopped
    server does not start again. Every other method may be called from any thread, and does nothing after `stop`.

    When the exchange raises, the thread ends, and `on_failure` is called on it with what was raised.
    """

    def __init__(
        self,
        domain: IpcDomain,
        exchange: Exchange,
        max_workers: int,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        if not 1 <= max_workers <= ipc_domain.MAX_WORKERS:
            raise ValueError(f"max_workers: given {max_workers}; accepts 1 to {ipc_domain.MAX_WORKERS}")
        self._domain = domain
        self._exchange = exchange
        self._max_workers = max_workers
        self._on_failure = on_failure
        self._thread: threading.Thread | None = None
        self._ownership: DomainOwnership | None = None
        self._stopping = False
        self._commands: deque[Callable[[_Serving], None]] = deque()
        self._wake_requested = False
        # Set by whoever has something for the IPC thread, cleared by that thread before it looks.
        self._notified = False
        self._notifier: Any = None

    def start(self) -> None:
        """Make the services and begin to answer.

        Raises RuntimeError when another living process owns the domain.
        """
        if self._thread is not None or self._stopping:
            return
        self._ownership = DomainOwnership(self._domain)
        try:
            serving = _Serving(self._domain, self._exchange, self._max_workers)
            self._notifier = serving.own_notifier()
        except BaseException:
            self._ownership.release()
            raise
        # The list hands the only reference over: iceoryx2 frees its files when the thread lets go of it.
        self._thread = threading.Thread(target=self._run, args=([serving],), name="ipc-server", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread and remove every file and segment of the domain; call it after the workers have ended.

        Raises TimeoutError, with the files removed, when the exchange does not return within `timeout` seconds.
        """
        self._stopping = True
        if self._thread is None:
            return
        self._notify()
        self._thread.join(timeout)
        hangs = self._thread.is_alive()
        self._notifier = None
        if self._ownership is not None:
            self._ownership.release()
        if hangs:
            raise TimeoutError(f"the IPC thread did not end within {timeout} s")

    def wake(self) -> None:
        """Have the parked requests looked at again soon. Cheap: calls before that happens are one."""
        self._wake_requested = True
        self._notify()

    def control(self, order: worker_ipc_pb2.WorkerControl) -> None:
        """Send an order to the worker it names, or with index -1 to all."""
        message, index = order.SerializeToString(), order.worker_index
        self._command(lambda serving: serving.publish(index, message))

    def forget(self, worker_index: int, pid: int, done: Callable[[], None] | None = None) -> None:
        """Drop the parked request of a process that has ended, and what it left in shared memory.

        The requests it had sent are given to the exchange before that, so whoever decides on the fate of its tasks in
        `done`, which is called on the IPC thread, does not miss a report.
        """

        def command(serving: _Serving) -> None:
            serving.receive()
            serving.forget((worker_index, pid))
            if done is not None:
                done()

        self._command(command)

    def _command(self, command: "Callable[[_Serving], None]") -> None:
        self._commands.append(command)
        self._notify()

    def _notify(self) -> None:
        notifier = self._notifier
        if notifier is not None and not self._notified:
            self._notified = True
            notifier.notify()

    def _run(self, handover: "list[_Serving]") -> None:
        serving = handover.pop()
        try:
            while not self._stopping:
                serving.wait()
                self._notified = False
                # Not until there are none: whoever gives orders without end must not keep the workers waiting.
                for _ in range(len(self._commands)):
                    self._commands.popleft()(serving)
                serving.receive()
                # Cleared before looking: a wake that comes while we look asks for another look.
                if self._wake_requested:
                    self._wake_requested = False
                    serving.unpark()
        except BaseException as failure:
            if self._on_failure is None:
                raise
            self._on_failure(failure)


class _Peer:
    """The ways to wake one worker process."""

    def __init__(self, services: Services, worker: _Worker) -> None:
        self._answers = services.answers_event(*worker).notifier_builder().create()
        self._orders = services.orders_event(*worker).notifier_builder().create()

    def answered(self) -> None:
        self._answers.notify()

    def ordered(self) -> None:
        self._orders.notify()


class _Serving:
    """All that belongs to the IPC thread."""

    def __init__(self, domain: IpcDomain, exchange: Exchange, max_workers: int) -> None:
        self._exchange = exchange
        self._services = Services(domain, "manager", max_workers=max_workers, cleans_up=True)
        self._server = (
            self._services.exchange()
            .server_builder()
            .initial_max_slice_len(ipc_domain.INITIAL_MESSAGE_BYTES)
            .max_loaned_responses_per_request(1)
            .allocation_strategy(ipc_domain.GROWTH)
            .create()
        )
        self._publisher = (
            self._services.orders().publisher_builder().initial_max_slice_len(ipc_domain.MAX_ORDER_BYTES).create()
        )
        self._requests = self._services.requests_event()
        self._listener = self._requests.listener_builder().create()
        self._peers: dict[_Worker, _Peer] = {}
        self._parked: dict[_Worker, Any] = {}
        self._request = worker_ipc_pb2.WorkerRequest()

    def own_notifier(self) -> Any:
        return self._requests.notifier_builder().create()

    def wait(self) -> None:
        ipc_domain.wait(self._listener, _GUARD_SECONDS)

    def receive(self) -> None:
        while (active := self._server.receive()) is not None:
            request = self._request
            try:
                request.ParseFromString(ipc_domain.message_of(active))
            except DecodeError:
                # Only a process that tampers with shared memory sends such; it gets no answer.
                active.delete()
                continue
            worker = (request.worker_index, request.pid)
            self._drop_parked(worker)
            response = self._exchange.exchange(request)
            if response is None and request.fetch:
                self._parked[worker] = active
            else:
                self._answer(worker, active, response or worker_ipc_pb2.WorkerResponse())

    def unpark(self) -> None:
        for worker, active in list(self._parked.items()):
            if not active.is_connected:
                # It gave the request up, and is about to leave.
                self._drop_parked(worker)
            elif (response := self._exchange.unpark(*worker)) is not None:
                del self._parked[worker]
                self._answer(worker, active, response)

    def publish(self, worker_index: int, message: bytes) -> None:
        ipc_domain.send(self._publisher, message)
        for worker, peer in self._peers.items():
            if worker_index in (-1, worker[0]):
                peer.ordered()

    def forget(self, worker: _Worker) -> None:
        self._drop_parked(worker)
        self._peers.pop(worker, None)
        self._services.cleanup_dead_nodes()

    def _answer(self, worker: _Worker, active: Any, response: worker_ipc_pb2.WorkerResponse) -> None:
        peer = self._peers.get(worker)
        if peer is None:
            peer = self._peers[worker] = _Peer(self._services, worker)
        ipc_domain.send(active, response.SerializeToString())
        active.delete()
        peer.answered()

    def _drop_parked(self, worker: _Worker) -> None:
        active = self._parked.pop(worker, None)
        if active is not None:
            active.delete()


def worker_argv(domain: IpcDomain, worker_index: int, marker: Path) -> list[str]:
    """Build the command line of one managed worker.

    Start it from a thread that lasts as long as the manager (the worker asks the kernel to be killed when that thread
    ends), in a session of its own, with `worker_environment`, and with a serialized `WorkerSetup` on standard input,
    which is then closed. Its standard error says why when it cannot start.
    """
    return [
        sys.executable,
        # Without it a `logging.py` in the manager's working directory would be the worker's.
        "-P",
        "-m",
        "mitosis_worker",
        "--managed",
        "--domain",
        domain.prefix,
        "--worker-index",
        str(worker_index),
        "--marker",
        str(marker),
        "--manager-pid",
        str(os.getpid()),
    ]


def worker_environment(base: Mapping[str, str], manager_uuid: str, worker_index: int) -> dict[str, str]:
    """Build the environment of one managed worker: `base`, and the marks by which what it leaves behind is found.

    `mitosis_common.reaping.kill_marked` and `kill_orphans` look for them.
    """
    return {**base, "MITOSIS_NODE_MANAGER_ID": manager_uuid, "MITOSIS_WORKER_INDEX": str(worker_index)}
