"""An independent worker's stream: the book on one side, the coordinator on the other. Lives on one event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from typing import Protocol
from uuid import uuid4

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis.v1 import worker_pb2, worker_service_pb2, worker_service_pb2_grpc
from mitosis_common.report_journal import ReportJournal
from mitosis_common.report_pump import ReportPump
from mitosis_common.stream import REFRESH_TIMEOUT_SECONDS, StreamClient
from mitosis_common.token_file import Token
from mitosis_worker.config import WorkerConfig
from mitosis_worker.task_book import TaskBook

STARTED_AFTER_SECONDS = 1.0
# How long the last results may take to be acknowledged.
SETTLE_SECONDS = 10.0
# What a task that is stopped may take beyond its grace before the process ends with it.
HANG_SECONDS = 5.0

_Request = worker_service_pb2.ConnectWorkerRequest
_Response = worker_service_pb2.ConnectWorkerResponse
_log = structlog.get_logger(__name__)


class Runner(Protocol):
    """Who runs the tasks, on other threads; nothing here waits."""

    def hand(self, task: stream.AssignedTask) -> None:
        """Run this task, which was asked for."""

    def stop_task(self, task: stream.AssignedTask) -> None:
        """Stop this task if it runs."""

    def leave(self) -> None:
        """Ask for no more."""

    def gone(self, why: str) -> None:
        """The coordinator will not have this process."""

    def hangs(self) -> None:
        """The running task does not end: the process must."""


class WorkerLink(StreamClient[_Request, _Response, worker_service_pb2.WorkerAttached]):
    """Tells the coordinator of the book, and the book of the coordinator."""

    def __init__(self, config: WorkerConfig, token: Token, journal: ReportJournal, runner: Runner) -> None:
        super().__init__(config.coordinator, token)
        self._config = config.worker
        self._runner = runner
        self._book = TaskBook(window=config.worker.prefetch_count + 1)
        inherited = journal.recover()
        if inherited:
            _log.info("results_recovered", count=len(inherited))
        self._pump = ReportPump(lambda batch: self.send(_Request(task_reports=batch)), journal, inherited)
        self._session_uuid = str(uuid4())
        self._wanted = False
        self._connected = False
        self._started_at = Timestamp()
        self._timers: set[asyncio.TimerHandle] = set()
        self._heartbeats: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._hangs = False
        self._turned_away = False

    async def run(self) -> None:
        """Connect again and again until the worker ends; where its task does not, the process is ended with it."""
        await super().run()
        if self._turned_away and self._book.running is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), self._config.stop_grace_seconds + HANG_SECONDS)
            self._hangs = not self._leaving.is_set()
        # Not with a timer: the loop ends with this.
        if self._hangs:
            self._runner.hangs()

    def want(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> None:
        """Take reports, and hand a task over as soon as there is one."""
        self.ended(reports)
        self._wanted = True
        self._hand_over()

    def ended(self, reports: Sequence[worker_ipc_pb2.WorkerReport]) -> None:
        """Take reports."""
        news = [self._book.ended(report) for report in reports]
        self._give_back([one for one in news if isinstance(one, stream.TaskAttempt)])
        self._report([one for one in news if isinstance(one, stream.TaskReport)])

    def drain(self, grace_seconds: float) -> None:
        """Take nothing more, hand back what did not start, and stop the running task after the grace."""
        if not self._book.draining:
            _log.info("worker_drains", grace_seconds=grace_seconds)
            self._give_back(self._book.drain())
        self._later(grace_seconds, self._stop_running)

    async def finish(self) -> None:
        """Hand back and report what is left, say goodbye, and end the stream."""
        self._give_back(self._book.drain())
        self._give_back(self._book.abandon_running())
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                while len(self._pump) and not self._turned_away:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            _log.error("results_not_acknowledged", count=len(self._pump))
        for timer in self._timers:
            timer.cancel()
        self._beat()
        self.leave("the worker ends")

    def _open(self, channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall[_Request, _Response]:
        stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        return stub.ConnectWorker(metadata=self._token.metadata)

    def _attach(self) -> _Request:
        keys = self._book.keys() + self._pump.keys()
        return _Request(
            attach=worker_service_pb2.WorkerAttach(
                session_uuid=self._session_uuid,
                held_tasks=[stream.TaskAttempt(task_uuid=uuid, attempt=attempt) for uuid, attempt in keys],
                tags=self._config.tags,
                version=metadata.version("mitosis"),
                hostname=socket.gethostname(),
            )
        )

    def _answer(self, first: _Response) -> worker_service_pb2.WorkerAttached | None:
        return first.attached if first.WhichOneof("message") == "attached" else None

    def _goodbye(self, reason: str) -> _Request:
        return _Request(goodbye=stream.Goodbye(reason=reason))

    async def _new_token(self, channel: grpc.aio.Channel) -> tuple[str, int]:
        stub: worker_service_pb2_grpc.WorkerServiceAsyncStub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        response = await stub.RefreshWorkerToken(
            worker_service_pb2.RefreshWorkerTokenRequest(),
            metadata=self._token.metadata,
            timeout=REFRESH_TIMEOUT_SECONDS,
        )
        return response.token, response.token_expires_at.seconds

    def _token_end(self, attached: worker_service_pb2.WorkerAttached) -> int:
        return attached.token_expires_at.seconds

    def _attached(self, message: worker_service_pb2.WorkerAttached) -> None:
        self._connected = True
        _log.info("attached", worker_uuid=message.worker_uuid, name=message.worker_name, epoch=message.session_epoch)
        revoked = {(one.task_uuid, one.attempt) for one in message.revoked_tasks}
        if self._book.attached(message.assignment_id, revoked):
            _log.warning("running_task_revoked")
            self._stop_running()
        elif self._book.running is not None:
            self._started(self._book.running)
        self._pump.attached(revoked)
        self._grant()
        self._settled.set()
        interval = message.heartbeat_interval.seconds + message.heartbeat_interval.nanos / 1e9
        self._heartbeats = asyncio.create_task(self._beat_for_ever(interval or 1.0), name="heartbeats")

    def _received(self, message: _Response) -> None:
        match message.WhichOneof("message"):
            case "task_batch":
                self._give_back(self._book.arrived(message.task_batch))
                self._hand_over()
                self._grant()
            case "reports_acked":
                self._pump.acknowledged(message.reports_acked.sequence)
                self._grant()
                self._settled.set()
            case "cancel_tasks":
                dropped, runs = self._book.cancel(message.cancel_tasks.tasks)
                if runs:
                    self._stop_running(give_back=False)
                self._report(dropped)
            case "shutdown":
                _log.info("asked_to_end", reason=message.shutdown.reason)
                self.drain(self._config.drain_grace_seconds if message.shutdown.graceful else 0.0)
                self._runner.leave()

    def _disconnected(self) -> None:
        self._connected = False
        self._pump.disconnected()
        if self._heartbeats is not None:
            self._heartbeats.cancel()

    def _rejected(self, why: str) -> None:
        _log.error("rejected", why=why)
        self._turned_away = True
        if self._book.running is not None:
            self._runner.stop_task(self._book.running)
        self._runner.gone(why)

    def _hand_over(self) -> None:
        if not self._wanted:
            return
        task = self._book.start_next()
        if task is None:
            return
        self._wanted = False
        self._started_at.GetCurrentTime()
        self._runner.hand(task)
        self._later(STARTED_AFTER_SECONDS, lambda: self._started(task))

    def _started(self, task: stream.AssignedTask) -> None:
        if self._book.running is task:
            start = stream.TaskStart(task_uuid=task.task_uuid, attempt=task.attempt, started_at=self._started_at)
            started = stream.TasksStarted(assignment_id=self._book.assignment_id, starts=[start])
            self.send(_Request(tasks_started=started))

    def _stop_running(self, *, give_back: bool = True) -> None:
        task = self._book.running
        if task is None:
            return
        if give_back:
            self._book.give_back_running()
        self._runner.stop_task(task)
        self._later(self._config.stop_grace_seconds + HANG_SECONDS, lambda: self._end_with(task))

    def _end_with(self, task: stream.AssignedTask) -> None:
        """The task ignores that it was stopped, as C code does that never returns to the interpreter."""
        if self._book.running is not task:
            return
        _log.error("task_does_not_end", task_uuid=task.task_uuid)
        self._hangs = True
        self._finishing = asyncio.create_task(self.finish(), name="finish")

    def _give_back(self, refs: Iterable[stream.TaskAttempt]) -> None:
        # One that is lost with its stream is not among what the next `attach` says is held.
        tasks = list(refs)
        if tasks:
            returned = stream.TaskReturn(assignment_id=self._book.assignment_id, tasks=tasks)
            self.send(_Request(task_return=returned))

    def _report(self, reports: Sequence[stream.TaskReport]) -> None:
        self._pump.keep(reports)
        self._pump.add(reports)
        self._grant()

    def _grant(self) -> None:
        total = self._book.credit() if self._connected and not self._pump.is_full else None
        if total is not None:
            credit = stream.TaskCredit(assignment_id=self._book.assignment_id, granted_total=total)
            self.send(_Request(task_credit=credit))

    def _beat(self) -> None:
        self._pump.mend()
        busy = self._book.running is not None
        self.send(
            _Request(
                heartbeat=worker_service_pb2.WorkerHeartbeat(
                    state=worker_pb2.WORKER_STATE_BUSY if busy else worker_pb2.WORKER_STATE_IDLE,
                    tasks_completed=self._book.completed,
                    tasks_failed=self._book.failed,
                )
            )
        )

    async def _beat_for_ever(self, interval_seconds: float) -> None:
        while True:
            self._beat()
            await asyncio.sleep(interval_seconds)

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
