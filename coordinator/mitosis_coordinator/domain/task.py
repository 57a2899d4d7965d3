"""The life of a task, and what its failures cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mitosis_coordinator.domain.lifecycle import Lifecycle


class TaskState(StrEnum):
    """Where a task stands; the values are what users see."""

    READY = "Ready"
    DISPATCHED = "Dispatched"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class TaskEvent(StrEnum):
    """What can happen to a task."""

    HANDED_OUT = "handed_out"
    STARTED = "started"
    RETURNED = "returned"
    RETRY_SCHEDULED = "retry_scheduled"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"


_READY, _DISPATCHED, _RUNNING = TaskState.READY, TaskState.DISPATCHED, TaskState.RUNNING

TASK: Lifecycle[TaskState, TaskEvent] = Lifecycle(
    kind="task",
    initial=_READY,
    transitions={
        (_READY, TaskEvent.HANDED_OUT): _DISPATCHED,
        (_DISPATCHED, TaskEvent.STARTED): _RUNNING,
        (_DISPATCHED, TaskEvent.RETURNED): _READY,
        (_RUNNING, TaskEvent.RETURNED): _READY,
        (_DISPATCHED, TaskEvent.RETRY_SCHEDULED): _READY,
        (_RUNNING, TaskEvent.RETRY_SCHEDULED): _READY,
        (_DISPATCHED, TaskEvent.COMPLETED): TaskState.COMPLETED,
        (_RUNNING, TaskEvent.COMPLETED): TaskState.COMPLETED,
        (_DISPATCHED, TaskEvent.FAILED): TaskState.FAILED,
        (_RUNNING, TaskEvent.FAILED): TaskState.FAILED,
        (_READY, TaskEvent.CANCELLED): TaskState.CANCELLED,
        (_DISPATCHED, TaskEvent.CANCELLED): TaskState.CANCELLED,
        (_RUNNING, TaskEvent.CANCELLED): TaskState.CANCELLED,
        (TaskState.FAILED, TaskEvent.RETRIED): _READY,
    },
)

PENDING_STATES = (TaskState.READY, TaskState.DISPATCHED, TaskState.RUNNING)


class FailureKind(StrEnum):
    """Which of the four budgets a failure is charged to."""

    TASK = "Task"
    WORKER = "Worker"
    NODE = "Node"
    ENVIRONMENT = "Environment"


class Outcome(StrEnum):
    """How a holder says that an attempt ended."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    WORKER_DIED = "WorkerDied"


DEFAULT_RETRY_BACKOFF_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a failed task is tried again, and after how many seconds first; None where nothing was said."""

    count: int | None = None
    backoff_seconds: float | None = None

    def or_else(self, default: Retries) -> tuple[int, float]:
        """What counts, where what is not said here is taken from a default, and then from the product."""
        count = self.count if self.count is not None else default.count
        backoff = self.backoff_seconds if self.backoff_seconds is not None else default.backoff_seconds
        return count or 0, DEFAULT_RETRY_BACKOFF_SECONDS if backoff is None else backoff


NO_RETRIES = Retries()


# The three classes of which thousands are made each second are not frozen: that would make them three times as dear.
@dataclass(slots=True)
class NewTask:
    """A task to store. `spec` is a serialized `mitosis.v1.TaskSpec`, kept as it came.

    `says_nothing` means that it names neither an executor nor a payload that a default could run. `tags` are for tasks
    of no suite: a worker must have all of them.
    """

    spec: bytes
    priority: int
    retries: Retries
    says_nothing: bool
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewArray:
    """Tasks to store that differ in their payload only, which is a number.

    `template` is a serialized `mitosis.v1.TaskSpec` without a payload.
    """

    template: bytes
    payloads: range
    priority: int
    retries: Retries


@dataclass(slots=True)
class TaskResult:
    """What one run left behind. `return_value` is a JSON document."""

    exit_code: int | None = None
    error: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    return_value: str | None = None


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """One failure in the life of a task."""

    kind: FailureKind
    attempt: int
    manager_id: UUID | None
    manager_name: str
    worker_id: UUID | None
    worker_name: str
    error: str
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A task as stored; `result` is there once the state is final."""

    id: UUID
    suite_id: UUID | None
    group_id: UUID
    group_name: str
    state: TaskState
    attempt: int
    priority: int
    spec: bytes
    created_by: str
    tags: tuple[str, ...]
    manager_id: UUID | None
    manager_name: str
    worker_id: UUID | None
    worker_name: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_at: datetime | None
    result: TaskResult | None
    failures: tuple[TaskFailure, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """One hand-out of one task."""

    task_id: str
    attempt: int


@dataclass(slots=True)
class Report:
    """The end of one attempt, as its holder tells it; `assignment_id` and `attempt` are its fence."""

    task_id: str
    attempt: int
    assignment_id: int
    outcome: Outcome
    result: TaskResult
    started_at: datetime | None
    finished_at: datetime | None
    worker_deaths: tuple[str, ...] = ()
