"""Where each task of an assignment is: waiting, with a worker, or on its way back. Without I/O and without a clock.

Every attempt that was received leaves exactly once: as a report, as a return, or dropped because the coordinator gave
it to somebody else. The property tests hold the book to that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis.v1 import task_pb2
from mitosis_common.report_ledger import Key
from mitosis_nodemgr import deaths, prefetch
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.latencies import Latencies


class Fate(Enum):
    """What becomes of a task that was asked to stop, once its worker has let go of it."""

    CANCELLED = auto()
    RETURNED = auto()
    TIMED_OUT = auto()
    DROPPED = auto()


@dataclass(slots=True, eq=False)
class Task:
    """One attempt that this manager holds."""

    uuid: str
    attempt: int
    spec: bytes
    priority: int = 0
    deaths: list[Death] = field(default_factory=list)
    worker: int | None = None
    # Its number among all tasks that its worker process was given, from 1; the worker's marker names it by that.
    ordinal: int = 0
    given_at: float = 0.0
    announced: bool = False
    fate: Fate | None = None
    # When its worker was told to stop it, on the monotonic clock.
    stop_at: float | None = None

    @property
    def key(self) -> Key:
        """What names the attempt in every message."""
        return self.uuid, self.attempt


@dataclass(slots=True)
class Counters:
    """What the heartbeat and the metrics tell, since the manager's start."""

    completed: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0
    fetches: Latencies = field(default_factory=Latencies)


class TaskBook:
    """The tasks of one assignment. `reports` and `returns` are outboxes that the caller empties."""

    def __init__(self, assignment_id: int, counters: Counters) -> None:
        self.assignment_id = assignment_id
        self.counters = counters
        self.time = prefetch.TaskTime()
        self.reports: list[stream.TaskReport] = []
        self.returns: list[Key] = []
        # By priority, and as they came among equals.
        self._waiting: deque[Task] = deque()
        self._with_worker: dict[int, dict[Key, Task]] = {}
        self._given: dict[int, int] = {}
        # Workers that ended a task since they were last taken out of here.
        self.successful: set[int] = set()
        self._all: dict[Key, Task] = {}
        # What becomes of tasks that have not started; None while they are wanted.
        self._winding: Fate | None = None

    def __len__(self) -> int:
        """Counts the attempts held: waiting or with a worker."""
        return len(self._all)

    @property
    def waiting(self) -> int:
        """Counts the tasks that no worker has."""
        return len(self._waiting)

    @property
    def is_winding(self) -> bool:
        """Tells whether no task is given out any more."""
        return self._winding is not None

    def keys(self) -> list[Key]:
        """Returns every attempt held."""
        return list(self._all)

    def take_reports(self) -> list[stream.TaskReport]:
        """Empties the outbox of reports."""
        taken, self.reports = self.reports, []
        return taken

    def take_returns(self) -> list[Key]:
        """Empties the outbox of attempts that are handed back."""
        taken, self.returns = self.returns, []
        return taken

    def held_by(self, worker: int) -> list[Task]:
        """Returns what a worker has, in the order in which it runs them."""
        return list(self._with_worker.get(worker, {}).values())

    def receive(self, tasks: Iterable[stream.AssignedTask]) -> None:
        """Takes tasks from the coordinator; one that is here already is ignored."""
        in_order = True
        for assigned in tasks:
            task = Task(assigned.task_uuid, assigned.attempt, assigned.task_spec, assigned.priority)
            if task.key in self._all:
                continue
            self._all[task.key] = task
            if self._winding is not None:
                self._meet(task, self._winding)
                continue
            in_order = in_order and (not self._waiting or self._waiting[-1].priority >= task.priority)
            self._waiting.append(task)
        if not in_order:
            # Once for all of them, and stable: what came first among equals stays first.
            self._waiting = deque(sorted(self._waiting, key=lambda task: -task.priority))

    def give(self, worker: int, workers: int, now: float) -> list[Task]:
        """Hands tasks to a worker, one of `workers`: a fair share of what waits, or nothing."""
        if self._winding is not None:
            return []
        count = prefetch.share(len(self._waiting), workers, self.time)
        given: list[Task] = []
        while len(given) < count:
            suspect = bool(self._waiting[0].deaths)
            if suspect and given:
                break
            task = self._waiting.popleft()
            ordinal = self._given.get(worker, 0) + 1
            self._given[worker] = ordinal
            task.worker, task.ordinal, task.given_at, task.announced = worker, ordinal, now, False
            given.append(task)
            if suspect:
                # It has killed a worker: whatever ran beside it would be run again with it.
                break
        self._with_worker.setdefault(worker, {}).update((task.key, task) for task in given)
        return given

    def end(self, worker: int, report: ipc.WorkerReport) -> None:
        """Takes a worker's report. One about a task that it does not have any more is ignored."""
        task = self._with_worker.get(worker, {}).pop((report.task_uuid, report.attempt), None)
        if task is None:
            return
        stopped = report.outcome == stream.TASK_OUTCOME_CANCELLED
        if stopped and task.fate is not Fate.CANCELLED and task.fate is not None:
            self._meet(task, task.fate)
            return
        del self._all[task.key]
        if task.fate is Fate.DROPPED:
            return
        self.successful.add(worker)
        if not stopped:
            self.time.add(_seconds(report.finished_at) - _seconds(report.started_at))
        self._report(
            stream.TaskReport(
                task_uuid=task.uuid,
                attempt=task.attempt,
                assignment_id=self.assignment_id,
                outcome=report.outcome,
                result=report.result,
                started_at=report.started_at,
                finished_at=report.finished_at,
                worker_deaths=_reasons(task),
            )
        )

    def worker_ended(self, worker: int, death: Death, running: int | None, wall_time: float) -> Task | None:
        """Takes back what a worker had, and returns the task that is charged with its death, if one is.

        `running` is the ordinal of the task that the worker was in the middle of, `wall_time` a Unix time in seconds.
        """
        held = self._with_worker.pop(worker, {})
        self._given.pop(worker, None)
        blamed: Task | None = None
        # From the back, because each is put back in front of those that wait.
        for task in reversed(held.values()):
            task.worker = None
            if task.fate is not None:
                self._meet(task, task.fate, wall_time)
            elif task.ordinal == running and not death.clean and not death.wanted:
                blamed = task
            else:
                self._put_back(task)
        if blamed is not None:
            blamed.deaths.append(death)
            if deaths.is_worn_out(blamed.deaths):
                self._wear_out(blamed, wall_time)
            else:
                self._put_back(blamed)
        return blamed

    def stop(self, keys: Iterable[Key], fate: Fate, now: float, wall_time: float) -> list[Task]:
        """Decides the end of attempts: those that wait meet it now; those with a worker are returned, to be stopped.

        `now` is on the monotonic clock.
        """
        running: list[Task] = []
        unstarted: set[Key] = set()
        for key in keys:
            task = self._all.get(key)
            if task is None:
                continue
            # A task that was dropped belongs to somebody else: nothing may be said about it any more.
            if task.fate is not Fate.DROPPED:
                task.fate = fate
            if task.worker is None:
                unstarted.add(key)
            else:
                task.stop_at = now if task.stop_at is None else task.stop_at
                running.append(task)
        if unstarted:
            kept: deque[Task] = deque()
            for task in self._waiting:
                if task.key in unstarted:
                    self._meet(task, fate, wall_time)
                else:
                    kept.append(task)
            self._waiting = kept
        return running

    def recall(self, limit: int | None) -> None:
        """Hands back tasks that wait, those first that would start last: at most `limit`, or all with None."""
        count = len(self._waiting) if limit is None else min(limit, len(self._waiting))
        for _ in range(count):
            self._meet(self._waiting.pop(), Fate.RETURNED)

    def wind(self, fate: Fate, wall_time: float) -> None:
        """Gives nothing out from now on, and lets all that waits, or is yet to come, meet `fate`."""
        self._winding = fate
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            self._meet(task, fate, wall_time)

    def _put_back(self, task: Task) -> None:
        """Lets a task wait again, before those of its priority."""
        if self._winding is not None:
            self._meet(task, self._winding)
            return
        waiting = enumerate(self._waiting)
        place = next((place for place, other in waiting if other.priority <= task.priority), len(self._waiting))
        self._waiting.insert(place, task)

    def _meet(self, task: Task, fate: Fate, wall_time: float | None = None) -> None:
        del self._all[task.key]
        if fate is Fate.RETURNED:
            self.returns.append(task.key)
        elif fate is Fate.CANCELLED:
            self._report(self._own_report(task, stream.TASK_OUTCOME_CANCELLED, "cancelled", wall_time))
        elif fate is Fate.TIMED_OUT:
            error = "ran longer than its limit and did not stop when asked; its worker was killed"
            self._report(self._own_report(task, stream.TASK_OUTCOME_TIMED_OUT, error, wall_time))

    def _wear_out(self, task: Task, wall_time: float) -> None:
        del self._all[task.key]
        error = f"killed {len(task.deaths)} workers, the last one {_lower(task.deaths)}"
        report = self._own_report(task, stream.TASK_OUTCOME_WORKER_DIED, error, wall_time)
        report.result.stderr_tail = task.deaths[-1].output_tail
        self._report(report)

    def _own_report(
        self, task: Task, outcome: stream.TaskOutcome, error: str, wall_time: float | None
    ) -> stream.TaskReport:
        finished = None if wall_time is None else timestamp(wall_time)
        return stream.TaskReport(
            task_uuid=task.uuid,
            attempt=task.attempt,
            assignment_id=self.assignment_id,
            outcome=outcome,
            result=task_pb2.TaskResult(error=error),
            finished_at=finished,
            worker_deaths=_reasons(task),
        )

    def _report(self, report: stream.TaskReport) -> None:
        if report.outcome == stream.TASK_OUTCOME_COMPLETED:
            self.counters.completed += 1
        elif report.outcome != stream.TASK_OUTCOME_CANCELLED:
            self.counters.failed += 1
        self.reports.append(report)


def timestamp(unix_seconds: float) -> Timestamp:
    """Converts a Unix time in seconds."""
    seconds, rest = divmod(unix_seconds, 1.0)
    return Timestamp(seconds=int(seconds), nanos=int(rest * 1e9))


def _seconds(value: Timestamp) -> float:
    return value.seconds + value.nanos / 1e9


def _reasons(task: Task) -> list[str]:
    return [death.reason for death in task.deaths]


def _lower(history: Sequence[Death]) -> str:
    last = history[-1].reason
    return last if last.startswith("killed") else f"with {last}"
