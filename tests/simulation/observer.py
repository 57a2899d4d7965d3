"""Watches everything that happens, and knows what must never happen."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from uuid import UUID

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from tests.simulation.invariants import broken_by
from tests.simulation.tables import Tables

Key = tuple[str, int]
_TRACE_LENGTH = 300


class Observer:
    """Keeps the trace, and raises the alarm at the first violation."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.trace: deque[tuple[float, str, object]] = deque(maxlen=_TRACE_LENGTH)
        self.steps = 0
        self.violation: str | None = None
        self.alarm = asyncio.Event()
        self.tables: Tables | None = None
        self._clock = clock
        # Which process began an attempt, and how its runs ended.
        self.runs: dict[Key, str] = {}
        self.completed: set[Key] = set()
        # Results that a worker handed over, with the process that has them.
        self.results: dict[Key, str] = {}
        # Attempts of which a failure was recorded.
        self.failed_attempts: Counter[tuple[UUID, int, str]] = Counter()

    def note(self, what: str, details: object = "") -> None:
        """Put something into the trace."""
        self.trace.append((self._clock(), what, details))

    def violated(self, what: str) -> None:
        """Something happened that must not."""
        if self.violation is None:
            self.violation = what
            self.note("VIOLATION", what)
            self.alarm.set()

    def failed(self, who: str, failure: BaseException) -> None:
        """A part ended with an error that nobody foresaw."""
        where = failure.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f" ({where.tb_frame.f_code.co_filename}:{where.tb_lineno})"
        self.violated(f"{who} failed: {type(failure).__name__}: {failure}{place}")

    def acknowledged(self, task_ids: Iterable[UUID]) -> None:
        """A user was told that tasks are stored; from here on `invariants` watches that they never go."""
        assert self.tables is not None
        for task_id in task_ids:
            if (task_id in self.tables.active_tasks) == (task_id in self.tables.archived_tasks):
                self.violated(f"task {task_id} was acknowledged and is not there, or is there twice")

    # --- workers ----------------------------------------------------------------------------------------------

    def began(self, process: str, key: Key) -> None:
        """A worker of a manager's process began a run."""
        self.note("run", (process, key))
        first = self.runs.setdefault(key, process)
        if first != process:
            self.violated(f"attempt {key} runs in {process}, and was given to {first}")

    def ended(self, process: str, key: Key, outcome: stream.TaskOutcome) -> None:
        """A run ended."""
        if outcome == stream.TASK_OUTCOME_COMPLETED:
            self.completed.add(key)

    def handed_over(self, process: str, reports: Iterable[ipc.WorkerReport]) -> None:
        """A manager's process took results."""
        for report in reports:
            if report.outcome != stream.TASK_OUTCOME_CANCELLED:
                self.results.setdefault((report.task_uuid, report.attempt), process)

    # --- the database -----------------------------------------------------------------------------------------

    def committed(self) -> None:
        """A transaction was committed."""
        assert self.tables is not None
        self.steps += 1
        for _, failure in self.tables.task_execution_failures.changes():
            if failure is not None:
                self.failed_attempts[failure["task_id"], failure["attempt"], failure["kind"]] += 1
        for what in broken_by(self.tables, self):
            self.violated(what)

    def is_recorded(self, key: Key) -> bool:
        """Whether the end of an attempt is in the database."""
        assert self.tables is not None
        task_id = UUID(key[0])
        final = self.tables.archived_tasks.get(task_id)
        return (
            (final is not None and (final["attempt"] == key[1] or final["state"] == "Cancelled"))
            or (task_id, key[1], "Task") in self.failed_attempts
            or (task_id, key[1], "Worker") in self.failed_attempts
        )

    # --- streams ----------------------------------------------------------------------------------------------

    def watch_stream(self, manager: str) -> StreamWatch:
        """What is said on a new stream."""
        return StreamWatch(self, manager)


class StreamWatch:
    """One stream, seen from the coordinator."""

    def __init__(self, observer: Observer, manager: str) -> None:
        self._observer = observer
        self._manager = manager
        self._batches: deque[tuple[int, list[Key]]] = deque()
        self._granted: Counter[int] = Counter()
        self._sent: Counter[int] = Counter()

    async def requests(self, incoming: AsyncIterator[stream.ConnectRequest]) -> AsyncIterator[Any]:
        """Pass on what the manager says."""
        async for request in incoming:
            self._observer.note(f"{self._manager} says", request)
            kind = request.WhichOneof("message")
            if kind == "task_credit":
                credit = request.task_credit
                self._granted[credit.assignment_id] = max(self._granted[credit.assignment_id], credit.granted_total)
            elif kind == "task_reports":
                batch = request.task_reports
                reported = [
                    (report.task_uuid, report.attempt)
                    for report in batch.reports
                    if report.outcome != stream.TASK_OUTCOME_CANCELLED
                ]
                self._batches.append((batch.sequence, reported))
            yield request

    def responded(self, response: stream.ConnectResponse) -> None:
        """The coordinator says something."""
        self._observer.note(f"{self._manager} hears", response)
        kind = response.WhichOneof("message")
        if kind == "task_batch":
            batch = response.task_batch
            self._sent[batch.assignment_id] += len(batch.tasks)
            if self._sent[batch.assignment_id] > self._granted[batch.assignment_id]:
                self._observer.violated(f"{self._manager} was sent more tasks than it had granted credit for")
        elif kind == "reports_acked":
            stale = {(one.task_uuid, one.attempt) for one in response.reports_acked.stale}
            while self._batches and self._batches[0][0] <= response.reports_acked.sequence:
                for key in self._batches.popleft()[1]:
                    if key not in stale and not self._observer.is_recorded(key):
                        self._observer.violated(f"the report of attempt {key} was acknowledged and is not recorded")
