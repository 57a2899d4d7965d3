"""The life of a suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mitosis_coordinator.domain.hook import HookRun, HookSpec
from mitosis_coordinator.domain.lifecycle import Lifecycle
from mitosis_coordinator.domain.plan import WorkerPlan
from mitosis_coordinator.domain.task import Retries


class SuiteState(StrEnum):
    """Where a suite stands; the values are what users see."""

    QUEUED = "Queued"
    OPEN = "Open"
    EXECUTING = "Executing"
    COMPLETE = "Complete"
    CANCELLED = "Cancelled"
    FAILED = "Failed"


class SuiteEvent(StrEnum):
    """What can happen to a suite."""

    SUBMITTED = "submitted"
    ASSIGNED = "assigned"
    EXECUTION_STARTED = "execution_started"
    RELEASED = "released"
    CLOSED = "closed"
    UPDATED = "updated"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    PREPARATION_EXHAUSTED = "preparation_exhausted"
    RETRIED = "retried"


_Q, _O, _E = SuiteState.QUEUED, SuiteState.OPEN, SuiteState.EXECUTING
_COMPLETE, _CANCELLED, _FAILED = SuiteState.COMPLETE, SuiteState.CANCELLED, SuiteState.FAILED

SUITE: Lifecycle[SuiteState, SuiteEvent] = Lifecycle(
    kind="suite",
    initial=_Q,
    transitions={
        (_Q, SuiteEvent.SUBMITTED): _Q,
        (_O, SuiteEvent.SUBMITTED): _O,
        (_E, SuiteEvent.SUBMITTED): _E,
        (_COMPLETE, SuiteEvent.SUBMITTED): _Q,
        (_Q, SuiteEvent.ASSIGNED): _O,
        (_O, SuiteEvent.ASSIGNED): _O,
        (_E, SuiteEvent.ASSIGNED): _E,
        (_O, SuiteEvent.EXECUTION_STARTED): _E,
        (_E, SuiteEvent.EXECUTION_STARTED): _E,
        # The last assignment of an unfinished suite is gone.
        (_Q, SuiteEvent.RELEASED): _Q,
        (_O, SuiteEvent.RELEASED): _Q,
        (_E, SuiteEvent.RELEASED): _Q,
        (_Q, SuiteEvent.CLOSED): _Q,
        (_O, SuiteEvent.CLOSED): _O,
        (_E, SuiteEvent.CLOSED): _E,
        (_COMPLETE, SuiteEvent.CLOSED): _COMPLETE,
        (_Q, SuiteEvent.UPDATED): _Q,
        (_O, SuiteEvent.UPDATED): _O,
        (_E, SuiteEvent.UPDATED): _E,
        (_COMPLETE, SuiteEvent.UPDATED): _COMPLETE,
        (_FAILED, SuiteEvent.UPDATED): _FAILED,
        (_Q, SuiteEvent.COMPLETED): _COMPLETE,
        (_O, SuiteEvent.COMPLETED): _COMPLETE,
        (_E, SuiteEvent.COMPLETED): _COMPLETE,
        (_Q, SuiteEvent.CANCELLED): _CANCELLED,
        (_O, SuiteEvent.CANCELLED): _CANCELLED,
        (_E, SuiteEvent.CANCELLED): _CANCELLED,
        (_COMPLETE, SuiteEvent.CANCELLED): _CANCELLED,
        (_FAILED, SuiteEvent.CANCELLED): _CANCELLED,
        (_Q, SuiteEvent.PREPARATION_EXHAUSTED): _FAILED,
        (_O, SuiteEvent.PREPARATION_EXHAUSTED): _FAILED,
        (_E, SuiteEvent.PREPARATION_EXHAUSTED): _FAILED,
        (_Q, SuiteEvent.RETRIED): _Q,
        (_O, SuiteEvent.RETRIED): _O,
        (_E, SuiteEvent.RETRIED): _E,
        (_COMPLETE, SuiteEvent.RETRIED): _Q,
        (_FAILED, SuiteEvent.RETRIED): _Q,
    },
)

ACTIVE_STATES = (SuiteState.QUEUED, SuiteState.OPEN, SuiteState.EXECUTING)
FINAL_STATES = (SuiteState.COMPLETE, SuiteState.CANCELLED, SuiteState.FAILED)


class Selection(StrEnum):
    """Why a manager is eligible for a suite."""

    TAG_MATCHED = "TagMatched"
    USER_SPECIFIED = "UserSpecified"


@dataclass(frozen=True, slots=True)
class EligibleManager:
    """One manager that may run a suite, and whether it holds it now."""

    manager_id: UUID
    manager_name: str
    selection: Selection
    assigned: bool


@dataclass(frozen=True, slots=True)
class SuiteAssignment:
    """One manager holding a suite; `ended_at` is None while it lasts."""

    manager_id: UUID
    manager_name: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str
    preparation_failed: bool


@dataclass(frozen=True, slots=True)
class SuiteSpec:
    """What a user says of a suite when creating it.

    `task_defaults` is a serialized `mitosis.v1.TaskSpec`, kept as it came; `runs_by_default` says whether it names an
    executor, and `retries` what it says of retries.
    """

    name: str
    description: str
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    priority: int
    plan: WorkerPlan
    env_preparation: HookSpec | None
    env_cleanup: HookSpec | None
    task_defaults: bytes
    runs_by_default: bool
    auto_close_timeout_seconds: int
    max_preparation_failures: int
    max_attempts: int
    retries: Retries


@dataclass(frozen=True, slots=True)
class SuiteCounters:
    """How many tasks a suite has; `pending` is Ready, Dispatched and Running together."""

    total: int
    pending: int
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite as stored."""

    id: UUID
    group_id: UUID
    group_name: str
    state: SuiteState
    spec: SuiteSpec
    counters: SuiteCounters
    closed: bool
    assigned_managers: int
    preparation_failures: int
    reason: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    hook_runs: tuple[HookRun, ...] = field(default=())
    eligible_managers: tuple[EligibleManager, ...] = field(default=())
    assignments: tuple[SuiteAssignment, ...] = field(default=())

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it unless somebody asks for it."""
        return self.state in FINAL_STATES and self.assigned_managers == 0
