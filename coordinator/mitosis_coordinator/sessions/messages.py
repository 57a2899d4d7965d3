"""What flows on the streams of managers and workers, without its wire format."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from mitosis_coordinator.domain.manager import ManagerMetrics, ManagerState
from mitosis_coordinator.domain.suite import Suite
from mitosis_coordinator.domain.task import AttemptRef, Report
from mitosis_coordinator.services.assignments import FinishReason
from mitosis_coordinator.services.attachment import Verdict
from mitosis_coordinator.storage.managers import HookReport, Introduction
from mitosis_coordinator.storage.tasks import ClaimedTask
from mitosis_coordinator.storage.workers import WorkerIntroduction


@dataclass(frozen=True, slots=True)
class Attach:
    """First message of a manager."""

    introduction: Introduction
    state: ManagerState
    assignment_id: int
    held: frozenset[AttemptRef]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The manager lives."""

    metrics: ManagerMetrics
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskCredit:
    """How many tasks may have been sent for an assignment on this stream."""

    assignment_id: int
    granted_total: int


@dataclass(frozen=True, slots=True)
class TaskReports:
    """Ends of attempts, to be kept by the holder until they are acknowledged."""

    sequence: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class TasksStarted:
    """Attempts that have been running for a while."""

    assignment_id: int
    starts: tuple[tuple[AttemptRef, datetime], ...]


@dataclass(frozen=True, slots=True)
class TaskReturn:
    """Attempts handed back."""

    assignment_id: int
    refs: tuple[AttemptRef, ...]


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """A worker died."""

    assignment_id: int
    worker_index: int
    reason: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The manager entered a state."""

    assignment_id: int
    state: ManagerState


@dataclass(frozen=True, slots=True)
class SuiteFinished:
    """The manager let go of a suite."""

    assignment_id: int
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The holder leaves on purpose."""

    reason: str


@dataclass(frozen=True, slots=True)
class WorkerAttach:
    """First message of an independent worker."""

    introduction: WorkerIntroduction
    held: frozenset[AttemptRef]


@dataclass(frozen=True, slots=True)
class WorkerHeartbeat:
    """The worker lives."""

    tasks_completed: int
    tasks_failed: int


TaskNews = TaskReports | TaskCredit | TasksStarted | TaskReturn
"""What every holder says of its tasks."""

Incoming = Attach | Heartbeat | TaskNews | HookReport | WorkerFailure | StateChanged | SuiteFinished | Goodbye

WorkerIncoming = WorkerAttach | WorkerHeartbeat | TaskNews | Goodbye


@dataclass(frozen=True, slots=True)
class Attached:
    """Answer to `Attach`."""

    epoch: int
    verdict: Verdict
    manager_id: UUID
    manager_name: str
    heartbeat_interval: timedelta
    heartbeat_timeout: timedelta
    revoked: tuple[AttemptRef, ...]
    token_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class SuiteAssigned:
    """Take this suite."""

    assignment_id: int
    suite: Suite
    worker_count: int


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """Tasks against credit."""

    assignment_id: int
    tasks: tuple[ClaimedTask, ...]


@dataclass(frozen=True, slots=True)
class ReportsAcked:
    """Every report up to a batch is committed or refused for good."""

    sequence: int
    stale: tuple[AttemptRef, ...]


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Stop these attempts."""

    assignment_id: int
    refs: tuple[AttemptRef, ...]


@dataclass(frozen=True, slots=True)
class RecallTasks:
    """Hand back so many unstarted tasks, at most."""

    assignment_id: int
    count: int


@dataclass(frozen=True, slots=True)
class CancelSuite:
    """The suite was cancelled."""

    assignment_id: int
    running_too: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SuiteDrained:
    """Finish what runs, hand back the rest, clean up and let go."""

    assignment_id: int


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """A value that changed while the assignment lasts."""

    assignment_id: int
    worker_count: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Drain, and end the process."""

    graceful: bool
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerAttached:
    """Answer to `WorkerAttach`."""

    epoch: int
    assignment_id: int
    worker_id: UUID
    worker_name: str
    heartbeat_interval: timedelta
    heartbeat_timeout: timedelta
    revoked: tuple[AttemptRef, ...]
    token_expires_at: datetime | None


TaskFlow = TaskBatch | ReportsAcked | CancelTasks
"""What every holder is told of its tasks."""

Outgoing = Attached | SuiteAssigned | TaskFlow | RecallTasks | CancelSuite | SuiteDrained | ConfigUpdate | Shutdown

WorkerOutgoing = WorkerAttached | TaskFlow | Shutdown
