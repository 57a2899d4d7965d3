"""Fetches tasks, runs them one after the other, and reports how they ended."""

import os
import threading
import time
from typing import Protocol

from google.protobuf.message import DecodeError

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import task_pb2
from mitosis_common.reaping import kill_strays
from mitosis_worker.comm import Comm, HolderGoneError
from mitosis_worker.context import TASK_ATTEMPT, TASK_UUID
from mitosis_worker.executors.command import CommandExecutor
from mitosis_worker.executors.ending import CANCELLED, Ending, failed
from mitosis_worker.executors.handler import HandlerExecutor
from mitosis_worker.spec import SpecError, effective_spec, executor_of

# A report waits at most about twice this for the next fetch before it is sent on its own.
_FLUSH_SECONDS = 0.05
# The guard against a lost order.
_ORDERS_SECONDS = 2.0
# How soon a task that was told to stop is told again; see `HandlerExecutor`.
_STOP_AGAIN_SECONDS = 0.1
# Orders for tasks that this worker does not run now: still to come, or over. The oldest are forgotten.
_REMEMBERED_CANCELLATIONS = 1024

_Attempt = tuple[str, int]


class Marker(Protocol):
    """Says what runs; see `mitosis_common.marker.TaskMarker`."""

    def begin(self, ordinal: int) -> None:
        """Say that a task starts."""
        ...

    def end(self) -> None:
        """Say that none runs."""
        ...


class Stoppable(Protocol):
    """What the loop needs of an executor to cancel its run."""

    def arm(self) -> None:
        """Make `cancel` be about the next run."""
        ...

    def cancel(self) -> None:
        """Stop the run. May be repeated until it ends."""
        ...


class WorkerLoop:
    """Runs tasks on the thread that calls `run`; a second thread takes orders and sends reports that would wait.

    A report is kept until the holder has answered the message that carried it. `leave` may be called from any thread
    and from a signal handler: the current task is finished; what was fetched and not started is left out of the
    reports.
    """

    def __init__(
        self,
        comm: Comm,
        commands: CommandExecutor,
        handlers: HandlerExecutor,
        marker: Marker,
        task_defaults: task_pb2.TaskSpec,
    ) -> None:
        self._comm = comm
        self._commands = commands
        self._handlers = handlers
        self._marker = marker
        self._defaults = task_defaults
        self._leaving = False
        self._failure: Exception | None = None
        self._handed = 0
        # Appended to by the main thread; its head is removed under the lock, by whoever has sent it.
        self._reports: list[worker_ipc_pb2.WorkerReport] = []
        self._sending = threading.Lock()
        self._flush_requested = False
        # Held while the current task changes and while it is cancelled: a cancellation must not hit its successor.
        self._changing = threading.Lock()
        self._current: tuple[_Attempt, Stoppable] | None = None
        self._cancelled: dict[_Attempt, None] = {}
        # The task that was told to stop, as long as it runs. Belongs to the thread that takes orders.
        self._stopping: _Attempt | None = None

    def leave(self) -> None:
        """End the loop after the current task."""
        self._leaving = True
        self._comm.interrupt()

    def run(self) -> None:
        """Work until told to leave. Raises HolderGoneError."""
        control = threading.Thread(target=self._take_orders, name="orders", daemon=True)
        control.start()
        try:
            while not self._leaving:
                response = self._fetch()
                if response is None or response.leave:
                    break
                self._run_batch(response)
            with self._sending:
                self._send()
        finally:
            self._leaving = True
            self._comm.nudge()
            control.join()
        if self._failure is not None:
            raise self._failure

    def _fetch(self) -> worker_ipc_pb2.WorkerResponse | None:
        with self._sending:
            count = len(self._reports)
            response = self._comm.fetch(self._reports[:count])
            if response is not None:
                del self._reports[:count]
            return response

    def _run_batch(self, batch: worker_ipc_pb2.WorkerResponse) -> None:
        for ordinal, task in enumerate(batch.tasks, start=self._handed + 1):
            if self._leaving:
                break
            if self._reports and not self._flush_requested:
                # This task may run for long; the other thread sends the reports if it does.
                self._flush_requested = True
                self._comm.nudge()
            self._reports.append(self._run_task(task, ordinal))
        self._handed += len(batch.tasks)

    def _run_task(self, task: worker_ipc_pb2.WorkerTask, ordinal: int) -> worker_ipc_pb2.WorkerReport:
        attempt = (task.task_uuid, task.attempt)
        report = worker_ipc_pb2.WorkerReport(task_uuid=task.task_uuid, attempt=task.attempt)
        started = time.time_ns()
        try:
            ending = self._execute(attempt, task.task_spec, ordinal)
        except SpecError as error:
            ending = failed(str(error))
        except DecodeError:
            ending = failed("task_spec: is not a serialized mitosis.v1.TaskSpec")
        finished = time.time_ns()
        report.outcome = ending.outcome
        report.result.CopyFrom(ending.result)
        report.started_at.seconds, report.started_at.nanos = divmod(started, 1_000_000_000)
        report.finished_at.seconds, report.finished_at.nanos = divmod(finished, 1_000_000_000)
        return report

    def _execute(self, attempt: _Attempt, serialized: bytes, ordinal: int) -> Ending:
        spec = effective_spec(task_pb2.TaskSpec.FromString(serialized), self._defaults)
        by_handler = executor_of(spec) == "handler"
        executor: Stoppable = self._handlers if by_handler else self._commands
        with self._changing:
            if attempt in self._cancelled:
                del self._cancelled[attempt]
                return Ending(CANCELLED, task_pb2.TaskResult(error="cancelled before it started"))
            executor.arm()
            self._current = attempt, executor
        self._marker.begin(ordinal)
        try:
            if not by_handler:
                return self._commands.run(spec, _environment(spec, attempt))
            os.environ[TASK_UUID] = attempt[0]
            os.environ[TASK_ATTEMPT] = str(attempt[1])
            return self._handlers.run(spec)
        finally:
            with self._changing:
                self._current = None
            if by_handler:
                kill_strays()
            self._marker.end()

    def _take_orders(self) -> None:
        try:
            while not self._leaving or self._current is not None:
                self._obey(_STOP_AGAIN_SECONDS if self._stopping else _ORDERS_SECONDS)
                while self._flush_requested and not (self._leaving and self._current is None):
                    self._obey(_FLUSH_SECONDS)
                    # Before the look at the reports: one that comes after it asks again.
                    self._flush_requested = False
                    self._flush()
        except HolderGoneError:
            # The main thread finds out at its next fetch; until then nobody is there to give orders.
            return
        except Exception as failure:
            # Without this thread nothing could be cancelled: the worker ends after its task, and says why.
            self._failure = failure
            self.leave()

    def _obey(self, timeout: float) -> None:
        if self._stopping is not None and not self._stop(self._stopping):
            self._stopping = None
        for order in self._comm.orders(timeout):
            if order.HasField("leave"):
                self.leave()
            elif order.HasField("cancel_task"):
                self._cancel((order.cancel_task.task_uuid, order.cancel_task.attempt))

    def _stop(self, attempt: _Attempt) -> bool:
        with self._changing:
            if self._current is None or self._current[0] != attempt:
                return False
            self._current[1].cancel()
            return True

    def _cancel(self, attempt: _Attempt) -> None:
        if self._stop(attempt):
            self._stopping = attempt
            return
        with self._changing:
            # The order may be here before the task it is about.
            self._cancelled[attempt] = None
            if len(self._cancelled) > _REMEMBERED_CANCELLATIONS:
                del self._cancelled[next(iter(self._cancelled))]

    def _flush(self) -> None:
        # Somebody who sends right now takes the reports along.
        if self._sending.acquire(blocking=False):
            try:
                self._send()
            finally:
                self._sending.release()

    def _send(self) -> None:
        count = len(self._reports)
        if count:
            self._comm.report(self._reports[:count])
            del self._reports[:count]


def _environment(spec: task_pb2.TaskSpec, attempt: _Attempt) -> dict[str, str]:
    return {**os.environ, **spec.envs, TASK_UUID: attempt[0], TASK_ATTEMPT: str(attempt[1])}
