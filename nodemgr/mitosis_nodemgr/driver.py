"""Performs what the lifecycle decides: the one place where events, stream, hooks and workers meet."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata

import structlog

from mitosis.v1 import manager_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_journal import ReportJournal
from mitosis_common.report_pump import ReportPump
from mitosis_common.token_file import Token
from mitosis_nodemgr import events as ev
from mitosis_nodemgr import instructions as do
from mitosis_nodemgr.binding import BindingRefusedError
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.defaults import merge
from mitosis_nodemgr.environment import Environment, reap_after_worker, reap_everything
from mitosis_nodemgr.hooks import failed_preparation
from mitosis_nodemgr.intents import IntentStore
from mitosis_nodemgr.machine import handle
from mitosis_nodemgr.obligations import Obligations
from mitosis_nodemgr.owned import Owned
from mitosis_nodemgr.recovery import Inheritance
from mitosis_nodemgr.session import Session
from mitosis_nodemgr.states import ManagerState, Stage
from mitosis_nodemgr.suite_run import SuiteRun
from mitosis_nodemgr.task_book import Counters, timestamp

# How long a manager that leaves waits for the coordinator to acknowledge its last reports.
PATIENCE_SECONDS = 5.0

# So that people see how many workers run without waiting for the next heartbeat.
BEAT_AFTER_CHANGE_SECONDS = 1.0

_VERDICTS = {
    stream.ATTACH_VERDICT_IDLE: ev.Verdict.IDLE,
    stream.ATTACH_VERDICT_RESUME: ev.Verdict.RESUME,
    stream.ATTACH_VERDICT_ABORT: ev.Verdict.ABORT,
}
_log = structlog.get_logger(__name__)


class Driver:
    """One manager from its first connection to its goodbye. Everything here runs on the event loop.

    It begins with what its predecessor left: the owed cleanup runs and the results are delivered while it connects.
    """

    def __init__(
        self,
        environment: Environment,
        token: Token,
        intents: IntentStore,
        journal: ReportJournal,
        inheritance: Inheritance,
    ) -> None:
        self._env = environment
        self._config = environment.config.manager
        self._owed = Obligations(environment, intents, inheritance.intent)
        self._loop = asyncio.get_running_loop()
        self._state = inheritance.state()
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._session = Session(environment.config.coordinator, token, self)
        self._pump = ReportPump(
            lambda batch: self._session.send(stream.ConnectRequest(task_reports=batch)), journal, inheritance.reports
        )
        self._counters = Counters()
        self._restarts_before = 0
        self._owned = Owned(self.fail)
        self._over: asyncio.Future[int] = self._loop.create_future()
        self._manager_uuid = ""
        self._run: SuiteRun | None = None
        self._awaits_reports = False
        self._heartbeat_seconds = 30.0
        self._beat_soon = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []

    async def run(self) -> int:
        """Lives until it is told to leave, and returns the exit code. Raises what ended a background task."""
        if self._state.stage is Stage.CLEANING:
            self._perform(do.RunCleanup())
        session = self._owned.start(self._session.run(), "session")
        heartbeat = self._owned.start(self._beat(), "heartbeat")
        try:
            exit_code = await self._over
            await asyncio.wait({session})
            return exit_code
        finally:
            heartbeat.cancel()
            for timer in self._timers:
                timer.cancel()
            await self._owned.close()
            self._end_run()
            reap_everything()

    def post(self, event: ev.Event) -> None:
        """Handles an event, after those that came before it."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                event = self._events.popleft()
                before = self._state
                self._state, todo = handle(before, event)
                if self._state.stage is not before.stage:
                    self._beat_soon.set()
                    _log.info(
                        "state_changed",
                        entered=self._state.stage,
                        left=before.stage,
                        assignment_id=self._state.assignment_id or before.assignment_id or None,
                    )
                for instruction in todo:
                    self._perform(instruction)
        finally:
            self._handling = False

    def fail(self, failure: BaseException) -> None:
        """Ends the process loudly: something that must not fail did."""
        if not self._over.done():
            self._over.set_exception(failure)

    # --- the stream (Handler) ---------------------------------------------------------------------------------

    def attach(self) -> stream.Attach:
        """Says what is held."""
        state = self._state
        keys = self._pump.keys() + (self._run.keys() if self._run is not None else [])
        return stream.Attach(
            session_uuid=self._env.session_uuid,
            assignment_id=0 if state.abandoned else state.assignment_id,
            # A manager without a suite that says so on a stream is Idle, whatever it was a moment ago.
            state=state.told_as if state.assignment_id else manager_pb2.NODE_MANAGER_STATE_IDLE,
            held_tasks=[stream.TaskAttempt(task_uuid=uuid, attempt=attempt) for uuid, attempt in keys],
            tags=self._config.tags,
            max_workers=self._config.max_workers,
            version=metadata.version("mitosis"),
            hostname=socket.gethostname(),
        )

    def attached(self, message: stream.Attached) -> None:
        """Resumes, aborts or idles."""
        self._manager_uuid = message.manager_uuid
        if message.heartbeat_interval.ToTimedelta():
            self._heartbeat_seconds = message.heartbeat_interval.ToTimedelta().total_seconds()
        verdict = _VERDICTS.get(message.verdict, ev.Verdict.IDLE)
        _log.info(
            "attached",
            manager_uuid=message.manager_uuid,
            manager_name=message.manager_name,
            epoch=message.session_epoch,
            verdict=verdict.name,
            assignment_id=self._state.assignment_id or None,
        )
        revoked = [(task.task_uuid, task.attempt) for task in message.revoked_tasks]
        if self._run is not None:
            self._run.attached()
            if revoked:
                self._run.drop(revoked)
        if verdict is not ev.Verdict.RESUME and len(self._pump):
            _log.warning("results_too_late", assignment_id=self._state.assignment_id, count=len(self._pump))
            # The coordinator ignores each, and counts them.
            self._pump.attached(())
            self._pump.clear()
        self._pump.attached(revoked)
        self.post(ev.Attached(verdict))

    def disconnected(self) -> None:
        """Goes on working."""
        self._pump.disconnected()
        self.post(ev.Disconnected())

    def rejected(self, why: str) -> None:
        """Cleans up and ends with an error."""
        _log.error("rejected", why=why)
        self.post(ev.Rejected(why))

    def received(self, message: stream.ConnectResponse) -> None:
        """Passes a message to the lifecycle or, when it is about tasks, to the run it belongs to."""
        match message.WhichOneof("message"):
            case "task_batch":
                if run := self._run_of(message.task_batch.assignment_id):
                    run.receive(message.task_batch)
                else:
                    self._hand_back(message.task_batch)
            case "reports_acked":
                self._pump.acknowledged(message.reports_acked.sequence)
                if self._run is not None:
                    self._run.grant()
                self._check_reports()
            case "cancel_tasks":
                if run := self._run_of(message.cancel_tasks.assignment_id):
                    run.cancel(message.cancel_tasks.tasks)
            case "recall_tasks":
                if run := self._run_of(message.recall_tasks.assignment_id):
                    run.recall(message.recall_tasks)
            case "config_update":
                self._configure(message.config_update)
            case "suite_assigned":
                suite = message.suite_assigned
                suite.worker_count = max(1, min(suite.worker_count, self._config.max_workers))
                self.post(ev.SuiteAssigned(suite))
            case "suite_drained":
                self.post(ev.SuiteDrained(message.suite_drained.assignment_id))
            case "cancel_suite":
                cancel = message.cancel_suite
                self.post(ev.SuiteCancelled(cancel.assignment_id, cancel.cancel_running_tasks))
            case "drain":
                self.post(ev.DrainRequested())
            case "shutdown":
                self.post(ev.LeaveRequested(message.shutdown.graceful))
            case other:
                # A newer coordinator may say what this version does not know.
                _log.warning("message_not_understood", message=other)

    def _hand_back(self, batch: stream.TaskBatch) -> None:
        """Returns tasks that came when their assignment had no workers any more, or none yet."""
        tasks = [stream.TaskAttempt(task_uuid=task.task_uuid, attempt=task.attempt) for task in batch.tasks]
        returned = stream.TaskReturn(assignment_id=batch.assignment_id, tasks=tasks)
        self._session.send(stream.ConnectRequest(task_return=returned))

    def _configure(self, update: stream.ConfigUpdate) -> None:
        run = self._run_of(update.assignment_id)
        if run is None:
            return
        if update.HasField("worker_count"):
            update.worker_count = min(update.worker_count, self._config.max_workers)
        try:
            run.configure(update)
        except BindingRefusedError as error:
            _log.warning("worker_count_not_changed", assignment_id=update.assignment_id, problem=str(error))

    # --- instructions -----------------------------------------------------------------------------------------

    def _perform(self, instruction: do.Instruction) -> None:
        match instruction:
            case do.Tell(message):
                self._session.send(message)
            case do.RecordIntent(suite):
                self._owned.start(self._record(suite), "record intent")
            case do.RunPreparation():
                self._owned.start(self._prepare(), "preparation hook")
            case do.StopPreparation():
                self._owed.stop_hook()
            case do.StartWorkers():
                self._start_workers()
            case do.GrantCredit():
                if self._run is not None:
                    self._run.grant()
            case do.Wind(cancelled):
                self._with_run(lambda run: run.wind(cancelled=cancelled))
            case do.StopRunning(cancelled):
                self._with_run(lambda run: run.stop_running(cancelled=cancelled))
            case do.DropTasks():
                self._pump.clear()
                if self._run is not None:
                    self._run.drop_all()
            case do.StartGrace():
                self._later(self._config.drain_grace_seconds, ev.GraceEnded())
            case do.RunCleanup():
                self._owned.start(self._clean_up(), "cleanup hook")
            case do.EraseIntent():
                self._owed.erase()
            case do.AwaitReports():
                self._awaits_reports = True
                self._check_reports()
            case do.StartPatience():
                self._later(PATIENCE_SECONDS, ev.PatienceEnded())
            case do.KillAll():
                self._end_run()
                reap_everything()
            case do.Leave(exit_code, reason):
                self._leave(exit_code, reason)

    async def _record(self, suite: stream.SuiteAssigned) -> None:
        refusal = await self._owed.record(suite, self._manager_uuid)
        self.post(ev.IntentRecorded() if refusal is None else ev.SuiteRefused(refusal))

    async def _prepare(self) -> None:
        self.post(ev.PreparationEnded(await self._owed.prepare()))

    async def _clean_up(self) -> None:
        self._end_run()
        self.post(ev.CleanupEnded(await self._owed.clean_up()))

    def _start_workers(self) -> None:
        suite = self._state.suite
        assert suite is not None
        try:
            self._run = SuiteRun(
                assignment=suite,
                domain=self._env.domain(self._manager_uuid),
                launch=self._env.launch(suite, self._manager_uuid),
                policy=self._env.policy,
                bind=lambda count: self._env.bind(suite, count),
                defaults=merge(suite.task_defaults, self._env.config.worker_defaults),
                max_workers=self._config.max_workers,
                stop_grace_seconds=self._config.stop_grace_seconds,
                reap=reap_after_worker,
                counters=self._counters,
                pump=self._pump,
                send=self._session.send,
                owner=self,
            )
            self._run.start()
        # iceoryx2 has an error class for each step and none above them all. Whatever it is, the suite cannot run here.
        except Exception as error:
            _log.exception("workers_not_started", assignment_id=suite.assignment_id)
            self.workers_failed(f"workers could not be started: {str(error) or type(error).__name__}", "")

    def _with_run(self, act: Callable[[SuiteRun], None]) -> None:
        if self._run is None:
            self.post(ev.WorkersGone())
        else:
            act(self._run)

    def _leave(self, exit_code: int, reason: str) -> None:
        self._session.leave(reason)
        if len(self._pump):
            # The next process delivers them, if the coordinator has not taken their tasks back by then.
            _log.warning("results_not_acknowledged", assignment_id=self._state.assignment_id, count=len(self._pump))
        if not self._over.done():
            self._over.set_result(exit_code)

    # --- the run (Owner) --------------------------------------------------------------------------------------

    def process_started(self, process: ProcessId) -> None:
        """Puts a worker or hook on record, so that the next manager finds it if this one is killed."""
        self._owed.process_started(process)

    def workers_gone(self) -> None:
        """Goes on to the cleanup."""
        self.post(ev.WorkersGone())

    def workers_failed(self, error: str, output_tail: str) -> None:
        """Gives the suite up."""
        report = failed_preparation(self._state.assignment_id, error, output_tail)
        self.post(ev.WorkersFailed(report))

    def ipc_failed(self, failure: BaseException) -> None:
        """Ends the process: its workers have nobody to talk to."""
        self._loop.call_soon_threadsafe(self.fail, failure)

    # --- small things -----------------------------------------------------------------------------------------

    def _run_of(self, assignment_id: int) -> SuiteRun | None:
        return self._run if self._state.assignment_id == assignment_id and not self._state.abandoned else None

    def _end_run(self) -> None:
        if self._run is not None:
            self._restarts_before += self._run.restarts
            self._run.close()
            self._run = None

    def _check_reports(self) -> None:
        if self._awaits_reports and not len(self._pump):
            self._awaits_reports = False
            self.post(ev.ReportsSettled())

    def _later(self, seconds: float, event: ev.Event) -> None:
        self._timers.append(self._loop.call_later(seconds, self.post, event))

    async def _beat(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.heartbeat_interval_seconds or self._heartbeat_seconds):
                    await self._beat_soon.wait()
                    # Workers start and end shortly after the stage has changed.
                    await asyncio.sleep(BEAT_AFTER_CHANGE_SECONDS)
            self._beat_soon.clear()
            self._pump.mend()
            beat = stream.Heartbeat(state=self._state.told_as, metrics=self.metrics(), sent_at=timestamp(time.time()))
            self._session.send(stream.ConnectRequest(heartbeat=beat))

    @property
    def state(self) -> ManagerState:
        """Where the manager stands."""
        return self._state

    @property
    def counters(self) -> Counters:
        """What was counted since the start of the process."""
        return self._counters

    @property
    def unacknowledged(self) -> int:
        """Counts the results that the coordinator has not acknowledged."""
        return len(self._pump)

    def metrics(self) -> manager_pb2.ManagerMetrics:
        """Counts since the start of the process."""
        run = self._run
        return manager_pb2.ManagerMetrics(
            active_workers=run.active_workers if run is not None else 0,
            tasks_completed=self._counters.completed,
            tasks_failed=self._counters.failed,
            prefetch_buffer_size=run.buffered if run is not None else 0,
            worker_restarts=self._restarts_before + (run.restarts if run is not None else 0),
            prefetch_hits=self._counters.hits,
            prefetch_misses=self._counters.misses,
        )
