"""One assignment while it has workers: tasks come in, go to workers, and leave as reports or returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis.v1 import task_pb2
from mitosis_common.report_ledger import Key
from mitosis_common.report_pump import ReportPump
from mitosis_nodemgr import prefetch
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.credit import Credit
from mitosis_nodemgr.crew import Crew
from mitosis_nodemgr.feed import Feed
from mitosis_nodemgr.ipc import IpcDomain, IpcServer
from mitosis_nodemgr.pool import Launch
from mitosis_nodemgr.respawn import RespawnPolicy
from mitosis_nodemgr.task_book import Counters, Fate, Task, TaskBook, timestamp

_log = structlog.get_logger(__name__)


class Owner(Protocol):
    """Who holds the assignment, told on the event loop."""

    def process_started(self, process: ProcessId) -> None:
        """A worker process exists."""

    def workers_gone(self) -> None:
        """No worker is left, and every task was reported or handed back."""

    def workers_failed(self, error: str, output_tail: str) -> None:
        """No worker is left that is worth starting again."""

    def ipc_failed(self, failure: BaseException) -> None:
        """The thread that answers the workers ended. Called on that thread."""


class SuiteRun:
    """Tasks, credit and workers of one assignment. Everything here runs on the event loop."""

    def __init__(
        self,
        *,
        assignment: stream.SuiteAssigned,
        domain: IpcDomain,
        launch: Launch,
        policy: RespawnPolicy,
        bind: Callable[[int], Sequence[Collection[int]]],
        defaults: task_pb2.TaskSpec,
        max_workers: int,
        stop_grace_seconds: float,
        reap: Callable[[Collection[int]], object],
        counters: Counters,
        pump: ReportPump,
        send: Callable[[stream.ConnectRequest], bool],
        owner: Owner,
    ) -> None:
        self._id = assignment.assignment_id
        plan = assignment.worker_schedule
        self._workers = assignment.worker_count
        self._per_worker = (
            plan.task_prefetch_count if plan.HasField("task_prefetch_count") else prefetch.DEFAULT_PREFETCH_COUNT
        )
        self._pump = pump
        self._send = send
        self._owner = owner
        self._credit = Credit()
        self._silent = False
        self._returns: list[Key] = []
        self._feed = Feed(TaskBook(self._id, counters), pump.keep, self._settle_accounts)
        self._server = IpcServer(domain, self._feed, max_workers, owner.ipc_failed)
        self._crew = Crew(
            feed=self._feed,
            server=self._server,
            launch=launch,
            policy=policy,
            bind=bind,
            defaults=defaults,
            stop_grace_seconds=stop_grace_seconds,
            reap=reap,
            listener=self,
        )

    @property
    def active_workers(self) -> int:
        """Counts the worker processes that are alive."""
        return self._crew.active

    @property
    def restarts(self) -> int:
        """Counts the workers that were started again."""
        return self._crew.restarts

    @property
    def buffered(self) -> int:
        """Counts the tasks that no worker has."""
        with self._feed.book() as book:
            return book.waiting

    def keys(self) -> list[Key]:
        """Returns task and attempt of everything held that has not been given to the pump.

        A task may end on the workers' thread at any moment: between the book and the pump it must not be missed, or
        the coordinator would take it back and have it run again.
        """
        return self._feed.unsettled()

    def start(self) -> None:
        """Opens shared memory and starts the workers. Raises `OSError`, `RuntimeError` or `BindingRefusedError`."""
        self._server.start()
        self._crew.start(self._workers)

    def close(self) -> None:
        """Kills what is left of the workers, and removes shared memory. They need not have been reaped."""
        self._crew.close()
        self._server.stop()

    # --- what the coordinator says ----------------------------------------------------------------------------

    def attached(self) -> None:
        """Counts credit anew, because the stream is a new one, and hands back what could not be on the old one."""
        self._credit.restart()
        self._hand_back()

    def receive(self, batch: stream.TaskBatch) -> None:
        """Takes tasks in."""
        self._credit.arrived(len(batch.tasks))
        with self._feed.book() as book:
            book.receive(batch.tasks)
        self._server.wake()
        self._settle_accounts()

    def cancel(self, tasks: Collection[stream.TaskAttempt]) -> None:
        """Stops these attempts, and reports them as cancelled."""
        self._stop([(task.task_uuid, task.attempt) for task in tasks], Fate.CANCELLED)

    def drop(self, keys: Collection[Key]) -> None:
        """Stops these attempts, and says nothing about them: they are somebody else's now."""
        self._stop(keys, Fate.DROPPED)

    def recall(self, order: stream.RecallTasks) -> None:
        """Hands unstarted tasks back."""
        with self._feed.book() as book:
            book.recall(None if order.all_unstarted else order.max_tasks)
        self._settle_accounts()

    def configure(self, update: stream.ConfigUpdate) -> None:
        """Changes the number of workers or of tasks held ahead. Raises `BindingRefusedError`."""
        if update.HasField("task_prefetch_count"):
            self._per_worker = update.task_prefetch_count
        if update.HasField("worker_count"):
            self._crew.resize(update.worker_count)
            self._workers = update.worker_count
        self.grant()

    # --- what the manager's life asks for ---------------------------------------------------------------------

    def grant(self) -> None:
        """Announces credit, if it is time."""
        with self._feed.book() as book:
            if book.is_winding:
                return
            window = prefetch.window(prefetch.Prefetch(self._crew.size, self._per_worker), book.time)
            held = len(book)
        full = self._pump.is_full
        if self._feed.pause(full) and not full:
            self._server.wake()
        self._announce(self._credit.withdraw() if full else self._credit.refill(window, held))

    def wind(self, *, cancelled: bool) -> None:
        """Takes and gives out nothing more, and lets every worker end after its current task."""
        with self._feed.book() as book:
            book.wind(Fate.CANCELLED if cancelled else Fate.RETURNED, time.time())
        self._announce(self._credit.withdraw())
        self._settle_accounts()
        self._crew.wind()

    def stop_running(self, *, cancelled: bool) -> None:
        """Stops the running tasks too."""
        fate = Fate.CANCELLED if cancelled else Fate.RETURNED
        with self._feed.book() as book:
            book.stop(book.keys(), fate, time.monotonic(), time.time())
        self._settle_accounts()
        self._crew.stop_all()

    def drop_all(self) -> None:
        """Forgets every task and stops the workers; nothing more is said about the assignment."""
        self._silent = True
        with self._feed.book() as book:
            book.wind(Fate.DROPPED, time.time())
            book.stop(book.keys(), Fate.DROPPED, time.monotonic(), time.time())
        self._settle_accounts()
        self._crew.stop_all()
        self._crew.wind()

    # --- what the workers do (Listener) -----------------------------------------------------------------------

    def worker_failed(self, failure: stream.WorkerFailure) -> None:
        """Tells the coordinator, for its statistics."""
        failure.assignment_id = self._id
        self._say(stream.ConnectRequest(worker_failure=failure))

    def tasks_started(self, starts: Sequence[tuple[Task, float]]) -> None:
        """Tells the coordinator which tasks run."""
        offset = time.time() - time.monotonic()
        message = stream.TasksStarted(assignment_id=self._id)
        for task, started in starts:
            message.starts.add(task_uuid=task.uuid, attempt=task.attempt, started_at=timestamp(started + offset))
        self._say(stream.ConnectRequest(tasks_started=message))

    def process_started(self, process: ProcessId) -> None:
        """Passes it on."""
        self._owner.process_started(process)

    def workers_gone(self) -> None:
        """Sends what the last worker left, and passes it on."""
        self._settle_accounts()
        self._owner.workers_gone()

    def workers_failed(self, error: str, output_tail: str) -> None:
        """Passes it on."""
        self._settle_accounts()
        self._owner.workers_failed(error, output_tail)

    # --- accounts ---------------------------------------------------------------------------------------------

    def _stop(self, keys: Collection[Key], fate: Fate) -> None:
        with self._feed.book() as book:
            running = book.stop(keys, fate, time.monotonic(), time.time())
        self._crew.stop_tasks(running)
        self._settle_accounts()

    def _settle_accounts(self) -> None:
        """Sends what has ended, and asks for more."""
        with self._feed.book() as book:
            returns = book.take_returns()
            some_run = len(book) > book.waiting
        reports = self._feed.take_reports()
        if self._silent:
            self._pump.skip(len(reports))
        else:
            self._pump.add(reports)
            self._returns += returns
            self._hand_back()
        if some_run:
            self._crew.tasks_given()
        self.grant()

    def _hand_back(self) -> None:
        """Returns tasks, or keeps them until there is a stream.

        `Attach` may have told of them already when they were given up, so they cannot just be forgotten.
        """
        if not self._returns:
            return
        tasks = [stream.TaskAttempt(task_uuid=uuid, attempt=attempt) for uuid, attempt in self._returns]
        returned = stream.TaskReturn(assignment_id=self._id, tasks=tasks)
        if self._send(stream.ConnectRequest(task_return=returned)):
            self._returns.clear()

    def _announce(self, granted_total: int | None) -> None:
        if granted_total is not None:
            credit = stream.TaskCredit(assignment_id=self._id, granted_total=granted_total)
            self._say(stream.ConnectRequest(task_credit=credit))

    def _say(self, message: stream.ConnectRequest) -> None:
        if not self._silent:
            self._send(message)
