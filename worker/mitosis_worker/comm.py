"""The seam between the loop and whoever hands out tasks."""

from collections.abc import Sequence
from typing import Protocol

from mitosis.ipc.v1 import worker_ipc_pb2


class HolderGoneError(Exception):
    """Raised when whoever hands out tasks is not there any more."""


class Comm(Protocol):
    """Fetches tasks, delivers reports and brings orders.

    `fetch` and `report` may be called from different threads, but never at the same time.
    """

    def fetch(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> worker_ipc_pb2.WorkerResponse | None:
        """Deliver reports and wait for tasks, however long that takes.

        Returns None when `interrupt` was called: whether the reports arrived is not known then. Raises HolderGoneError.
        """
        ...

    def report(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> None:
        """Deliver reports, and return when they have arrived. Raises HolderGoneError."""
        ...

    def orders(self, timeout: float) -> list[worker_ipc_pb2.WorkerControl]:
        """Wait at most `timeout` seconds, or until `nudge`, for orders to this worker. For one thread only."""
        ...

    def nudge(self) -> None:
        """End a wait in `orders`, now or the next one. For any thread."""
        ...

    def interrupt(self) -> None:
        """End a wait in `fetch`, now and for good. For any thread and for signal handlers."""
        ...

    def close(self) -> None:
        """Let go of everything; repeating it changes nothing."""
        ...
