"""The worker's side of the exchange with its node manager over shared memory."""

import os
from collections.abc import Sequence
from typing import Any

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis_common import ipc_domain
from mitosis_common.ipc_domain import IpcDomain, Services
from mitosis_worker.comm import HolderGoneError

# The guard against a lost wake-up. Longer than the manager's, because there are many workers.
_GUARD_SECONDS = 2.0


class IpcComm:
    """Is the client of a manager's IPC domain; see `Comm`.

    Raises FileNotFoundError when the domain is not there.
    """

    def __init__(self, domain: IpcDomain, worker_index: int, manager_pid: int) -> None:
        pid = os.getpid()
        self._worker_index = worker_index
        self._manager_pid = manager_pid
        # The manager made the services with its own limits; those asked for here are lower bounds.
        services = Services(domain, f"worker/{worker_index}/{pid}", max_workers=1, cleans_up=False)
        self._services: Services | None = services
        answers, orders = services.answers_event(worker_index, pid), services.orders_event(worker_index, pid)
        self._answer_listener = answers.listener_builder().create()
        self._order_listener = orders.listener_builder().create()
        self._self_answer = answers.notifier_builder().create()
        self._self_order = orders.notifier_builder().create()
        self._subscriber = services.orders().subscriber_builder().create()
        self._requests = services.requests_event().notifier_builder().create()
        self._client = (
            services.exchange()
            .client_builder()
            .initial_max_slice_len(ipc_domain.INITIAL_MESSAGE_BYTES)
            .allocation_strategy(ipc_domain.GROWTH)
            .create()
        )
        self._interrupted = False
        self._request = worker_ipc_pb2.WorkerRequest(worker_index=worker_index, pid=pid)

    def fetch(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> worker_ipc_pb2.WorkerResponse | None:
        """See `Comm.fetch`."""
        return self._exchange(reports, fetch=True)

    def report(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> None:
        """See `Comm.report`."""
        self._exchange(reports, fetch=False)

    def orders(self, timeout: float) -> list[worker_ipc_pb2.WorkerControl]:
        """See `Comm.orders`."""
        found = self._received_orders()
        if not found:
            ipc_domain.wait(self._order_listener, timeout)
            found = self._received_orders()
        return found

    def nudge(self) -> None:
        """See `Comm.nudge`."""
        self._self_order.notify()

    def interrupt(self) -> None:
        """See `Comm.interrupt`."""
        self._interrupted = True
        # Between its look at the flag and its wait, fetch would miss the flag; it does not miss this.
        self._self_answer.notify()

    def close(self) -> None:
        """See `Comm.close`. No other thread may be inside a call."""
        if self._services is None:
            return
        for port in (
            self._client,
            self._requests,
            self._subscriber,
            self._self_answer,
            self._self_order,
            self._answer_listener,
            self._order_listener,
        ):
            port.delete()
        self._services = None

    def _exchange(
        self, reports: Sequence[worker_ipc_pb2.WorkerReport], *, fetch: bool
    ) -> worker_ipc_pb2.WorkerResponse | None:
        request = self._request
        request.fetch = fetch
        request.reports.extend(reports)
        message = request.SerializeToString()
        del request.reports[:]
        try:
            pending = ipc_domain.send(self._client, message)
            try:
                self._requests.notify()
                return self._answer(pending, interruptible=fetch)
            finally:
                pending.delete()
        except ipc_domain.TRANSPORT_ERRORS as error:
            raise HolderGoneError(f"the node manager cannot be reached: {error}") from error

    def _answer(self, pending: Any, *, interruptible: bool) -> worker_ipc_pb2.WorkerResponse | None:
        while True:
            received = pending.receive()
            if received is not None:
                response = worker_ipc_pb2.WorkerResponse.FromString(ipc_domain.message_of(received))
                received.delete()
                return response
            if interruptible and self._interrupted:
                return None
            # The kernel ends this process with its manager, except while a command runs; see loop.py.
            if os.getppid() != self._manager_pid:
                raise HolderGoneError("the node manager is gone")
            ipc_domain.wait(self._answer_listener, _GUARD_SECONDS)

    def _received_orders(self) -> list[worker_ipc_pb2.WorkerControl]:
        found = []
        while (sample := self._subscriber.receive()) is not None:
            order = worker_ipc_pb2.WorkerControl.FromString(ipc_domain.message_of(sample))
            sample.delete()
            if order.worker_index in (-1, self._worker_index):
                found.append(order)
        return found
