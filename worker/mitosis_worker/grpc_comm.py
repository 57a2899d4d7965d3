"""The independent worker's side of the exchange with a coordinator, over a stream on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence

import structlog

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.reaping import kill_orphans
from mitosis_common.report_journal import ReportJournal
from mitosis_common.token_file import Token
from mitosis_worker.comm import HolderGoneError
from mitosis_worker.config import WorkerConfig
from mitosis_worker.link import SETTLE_SECONDS, WorkerLink

_EXIT_HANGS = 3
_log = structlog.get_logger(__name__)


class GrpcComm:
    """Implements `Comm` for a worker that belongs to no manager.

    Handlers own the main thread, so the stream has another one. Everything that is known of tasks lives there; the two
    queues between the threads may be used by signal handlers too. Reports are in the journal before the next task is
    handed over, and stay there until the coordinator has committed them.
    """

    def __init__(self, config: WorkerConfig, token: Token, journal: ReportJournal) -> None:
        self._grace = config.worker.drain_grace_seconds
        self._handed: queue.SimpleQueue[stream.AssignedTask | None] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[worker_ipc_pb2.WorkerControl | None] = queue.SimpleQueue()
        self._interrupted = False
        self._why_gone: str | None = None
        self._loop = asyncio.new_event_loop()
        self._link = WorkerLink(config, token, journal, self)
        self._thread = threading.Thread(target=self._serve, name="stream", daemon=True)
        self._thread.start()

    def fetch(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> worker_ipc_pb2.WorkerResponse | None:
        """See `Comm.fetch`."""
        if self._interrupted:
            return None
        self._post(self._link.want, list(reports))
        task = self._handed.get()
        if task is None:
            self._raise_if_gone()
            return None
        one = worker_ipc_pb2.WorkerTask(task_uuid=task.task_uuid, attempt=task.attempt, task_spec=task.task_spec)
        return worker_ipc_pb2.WorkerResponse(tasks=[one])

    def report(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> None:
        """See `Comm.report`."""
        self._post(self._link.ended, list(reports))

    def orders(self, timeout: float) -> list[worker_ipc_pb2.WorkerControl]:
        """See `Comm.orders`."""
        found: list[worker_ipc_pb2.WorkerControl] = []
        with contextlib.suppress(queue.Empty):
            order = self._orders.get(timeout=timeout)
            while order is not None:
                found.append(order)
                order = self._orders.get_nowait()
        return found

    def nudge(self) -> None:
        """See `Comm.nudge`."""
        self._orders.put(None)

    def interrupt(self) -> None:
        """See `Comm.interrupt`. What did not start is handed back, and what runs is stopped after the grace."""
        if not self._interrupted:
            self._interrupted = True
            self._loop.call_soon_threadsafe(self._link.drain, self._grace)
        self._handed.put(None)

    def hurry(self) -> None:
        """Stop what runs at once. For any thread and for signal handlers."""
        self._loop.call_soon_threadsafe(self._link.drain, 0.0)

    def close(self) -> None:
        """See `Comm.close`. Returns when the coordinator has the last results, or could not be reached for a while."""
        if not self._thread.is_alive():
            return
        finishing = asyncio.run_coroutine_threadsafe(self._link.finish(), self._loop)
        with contextlib.suppress(TimeoutError):
            finishing.result(SETTLE_SECONDS * 2)
        self._thread.join(SETTLE_SECONDS)

    def hand(self, task: stream.AssignedTask) -> None:
        """See `Runner.hand`."""
        self._handed.put(task)

    def stop_task(self, task: stream.AssignedTask) -> None:
        """See `Runner.stop_task`."""
        cancel = worker_ipc_pb2.WorkerControl.CancelTask(task_uuid=task.task_uuid, attempt=task.attempt)
        self._orders.put(worker_ipc_pb2.WorkerControl(worker_index=-1, cancel_task=cancel))

    def leave(self) -> None:
        """See `Runner.leave`."""
        leave = worker_ipc_pb2.WorkerControl.Leave()
        self._orders.put(worker_ipc_pb2.WorkerControl(worker_index=-1, leave=leave))

    def gone(self, why: str) -> None:
        """See `Runner.gone`."""
        self._why_gone = why
        self._handed.put(None)

    def hangs(self) -> None:
        """See `Runner.hangs`."""
        kill_orphans()
        os._exit(_EXIT_HANGS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._link.run())
        except Exception as error:
            _log.exception("stream_failed")
            self.gone(f"{type(error).__name__}: {error}")

    def _post(
        self,
        take: Callable[[Sequence[worker_ipc_pb2.WorkerReport]], None],
        reports: Sequence[worker_ipc_pb2.WorkerReport],
    ) -> None:
        self._raise_if_gone()
        self._loop.call_soon_threadsafe(take, reports)

    def _raise_if_gone(self) -> None:
        if self._why_gone is not None:
            raise HolderGoneError(self._why_gone)
