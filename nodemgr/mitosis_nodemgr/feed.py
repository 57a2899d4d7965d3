"""Between the workers' thread and the event loop: the task book behind one lock, and one wake-up for many changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_ledger import Key
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.task_book import Task, TaskBook


class Feed:
    """Answers the workers from the task book.

    `exchange` and `unpark` are called on the IPC thread, everything else on the event loop. `on_activity` is called on
    the loop, once for all that happened since its last call: at thousands of tasks a second a hop for each would cost
    more than the tasks. `keep` is called on any thread, with reports that a worker forgets once it is answered.
    """

    def __init__(
        self,
        book: TaskBook,
        keep: Callable[[Sequence[stream.TaskReport]], None],
        on_activity: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._keep = keep
        self._kept: list[stream.TaskReport] = []
        self._on_activity = on_activity
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pids: dict[int, int] = {}
        # When each worker asked that waits for an answer, and since when there are tasks to give.
        self._asked: dict[int, float] = {}
        self._work_since = 0.0
        self._leaving: set[int] = set()
        self._paused = False
        self._hop_is_due = False

    @contextmanager
    def book(self) -> Iterator[TaskBook]:
        """Gives access to the book. Nothing may block or await inside."""
        with self._lock:
            had_work = self._book.waiting
            try:
                yield self._book
            finally:
                self._keep_reports()
                self._note_work(had_work)

    def take_reports(self) -> list[stream.TaskReport]:
        """Empties the outbox of reports, in the order in which they were kept."""
        with self._lock:
            taken, self._kept = self._kept, []
            return taken

    def unsettled(self) -> list[Key]:
        """Returns every attempt held, and those whose reports are still in the outbox."""
        with self._lock:
            return [*self._book.keys(), *((report.task_uuid, report.attempt) for report in self._kept)]

    def exchange(self, request: ipc.WorkerRequest) -> ipc.WorkerResponse | None:
        """Takes a worker's reports and answers with tasks; None when there is nothing to answer yet."""
        with self._lock:
            if self._pids.get(request.worker_index) != request.pid:
                return ipc.WorkerResponse(leave=True)
            for report in request.reports:
                self._book.end(request.worker_index, report)
            # Before the answer: it is what makes the worker forget them.
            self._keep_reports()
            if not request.fetch:
                response: ipc.WorkerResponse | None = ipc.WorkerResponse()
            else:
                self._asked[request.worker_index] = self._clock()
                response = self._answer(request.worker_index)
                if response is None:
                    self._book.counters.misses += 1
                elif response.tasks:
                    self._book.counters.hits += 1
            self._hop()
        return response

    def unpark(self, worker_index: int, pid: int) -> ipc.WorkerResponse | None:
        """Answers a worker that was left waiting; None when it has to wait on."""
        with self._lock:
            if self._pids.get(worker_index) != pid:
                return ipc.WorkerResponse(leave=True)
            response = self._answer(worker_index)
            if response is not None:
                self._hop()
            return response

    def worker_started(self, worker: int, pid: int) -> None:
        """Lets a process in under its index."""
        with self._lock:
            self._pids[worker] = pid
            self._leaving.discard(worker)

    def worker_ended(self, worker: int, death: Death, running: int | None) -> Task | None:
        """Takes back what a dead worker had; see `TaskBook.worker_ended`."""
        with self._lock:
            self._pids.pop(worker, None)
            self._asked.pop(worker, None)
            self._leaving.discard(worker)
            had_work = self._book.waiting
            blamed = self._book.worker_ended(worker, death, running, time.time())
            self._keep_reports()
            self._note_work(had_work)
            self._hop()
            return blamed

    def dismiss(self, worker: int) -> None:
        """Answers the worker's next fetch with the order to leave."""
        with self._lock:
            self._leaving.add(worker)

    def pause(self, paused: bool) -> bool:
        """Stops or resumes giving out tasks, and tells whether that changed anything."""
        with self._lock:
            changed = self._paused != paused
            self._paused = paused
            return changed

    def _keep_reports(self) -> None:
        reports = self._book.take_reports()
        if reports:
            self._keep(reports)
            self._kept += reports

    def _answer(self, worker: int) -> ipc.WorkerResponse | None:
        if worker in self._leaving or self._book.is_winding:
            return ipc.WorkerResponse(leave=True)
        if self._paused:
            return None
        now = self._clock()
        given = self._book.give(worker, len(self._pids), now)
        if not given:
            return None
        # A worker that waits because there is nothing to do is not kept waiting.
        self._book.counters.fetches.add(now - max(self._asked.pop(worker, now), self._work_since))
        return ipc.WorkerResponse(
            tasks=[ipc.WorkerTask(task_uuid=task.uuid, attempt=task.attempt, task_spec=task.spec) for task in given]
        )

    def _note_work(self, had_work: int) -> None:
        if not had_work and self._book.waiting:
            self._work_since = self._clock()

    def _hop(self) -> None:
        if not self._hop_is_due:
            self._hop_is_due = True
            self._loop.call_soon_threadsafe(self._land)

    def _land(self) -> None:
        with self._lock:
            self._hop_is_due = False
        self._on_activity()
