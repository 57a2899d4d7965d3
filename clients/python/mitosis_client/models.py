"""What the coordinator answers, as frozen dataclasses with the documented field names.

Every class mirrors one message of the contract, field by field; `convert.decode` fills them. Absent optional fields are
`None`, times are aware datetimes in UTC, enums compare equal to their documented names (`suite.state == "Executing"`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


class DocumentedEnum(StrEnum):
    """An enum whose values are the documented names.

    A name that this version does not know, sent by a newer coordinator, becomes a member of its own, not an error.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member


class SuiteState(DocumentedEnum):
    """Where a suite stands."""

    QUEUED = "Queued"
    OPEN = "Open"
    EXECUTING = "Executing"
    COMPLETE = "Complete"
    CANCELLED = "Cancelled"
    FAILED = "Failed"

    @property
    def is_finished(self) -> bool:
        """Whether the suite ended; only a new task (Complete) or a retry (Failed) moves it again."""
        return self in (SuiteState.COMPLETE, SuiteState.CANCELLED, SuiteState.FAILED)


class TaskState(DocumentedEnum):
    """Where a task stands."""

    READY = "Ready"
    DISPATCHED = "Dispatched"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether the task ended; only a retry of its suite moves it again."""
        return self in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)


class ManagerState(DocumentedEnum):
    """Where a node manager stands."""

    OFFLINE = "Offline"
    IDLE = "Idle"
    ASSIGNED = "Assigned"
    PREPARING = "Preparing"
    EXECUTING = "Executing"
    CLEANING = "Cleaning"
    FAILED = "Failed"


class WorkerScheduleStrategy(DocumentedEnum):
    """How many workers each manager runs for a suite."""

    FIXED = "Fixed"
    PROPORTIONAL = "Proportional"


class CpuBinding(DocumentedEnum):
    """How workers are bound to processor cores."""

    ROUND_ROBIN = "RoundRobin"
    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"


class ManagerSelection(DocumentedEnum):
    """Why a manager is eligible for a suite."""

    TAG_MATCHED = "TagMatched"
    USER_SPECIFIED = "UserSpecified"


class ManagerRole(DocumentedEnum):
    """What a manager may do for a group."""

    WORKER = "Worker"
    ADMIN = "Admin"


class GroupRole(DocumentedEnum):
    """What a user may do in a group; each role includes the ones before it."""

    VIEWER = "Viewer"
    MEMBER = "Member"
    ADMIN = "Admin"


class HookType(DocumentedEnum):
    """Which of a suite's two hooks."""

    PREPARATION = "Preparation"
    CLEANUP = "Cleanup"


class HookResult(DocumentedEnum):
    """How a hook run ended."""

    SUCCESS = "Success"
    FAILURE = "Failure"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"


class FailureKind(DocumentedEnum):
    """Which of the four budgets a failure was charged to."""

    TASK = "Task"
    WORKER = "Worker"
    NODE = "Node"
    ENVIRONMENT = "Environment"


@dataclass(frozen=True, slots=True)
class Model:
    """The base of every answer."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Returns the documented JSON form: RFC 3339 times, enum names, fields that are `None` left out."""
        return {
            item.name: _to_json(value)
            for item in dataclasses.fields(self)
            if (value := getattr(self, item.name)) is not None
        }


def _to_json(value: object) -> JsonValue:
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, DocumentedEnum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    assert value is None or isinstance(value, bool | int | float | str)
    return value


@dataclass(frozen=True, slots=True)
class WorkerSchedulePlan(Model):
    """The worker plan of a suite."""

    strategy: WorkerScheduleStrategy | None = None
    worker_count: int | None = None
    cpu_binding: CpuBinding | None = None
    cores: tuple[int, ...] = ()
    task_prefetch_count: int | None = None


@dataclass(frozen=True, slots=True)
class EnvHookSpec(Model):
    """A program that a manager runs around a suite."""

    command: str = ""
    args: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    working_directory: str = ""
    envs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HookRun(Model):
    """One run of a hook on one manager."""

    hook_type: HookType | None = None
    result: HookResult | None = None
    manager_uuid: str = ""
    manager_name: str = ""
    exit_code: int | None = None
    error: str = ""
    output_tail: str = ""
    started_at: datetime | None = None
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EligibleManager(Model):
    """One manager that may run a suite."""

    manager_uuid: str = ""
    manager_name: str = ""
    selection: ManagerSelection | None = None
    assigned: bool = False


@dataclass(frozen=True, slots=True)
class SuiteAssignment(Model):
    """One manager holding a suite; `ended_at` is `None` while it lasts."""

    manager_uuid: str = ""
    manager_name: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""
    preparation_failed: bool = False


@dataclass(frozen=True, slots=True)
class TaskSpec(Model):
    """What a task runs; `payload` is the JSON document itself."""

    command: str = ""
    args: tuple[str, ...] = ()
    handler: str = ""
    envs: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    timeout_seconds: float | None = None
    payload: JsonValue = None
    max_retries: int | None = None
    retry_backoff_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Suite(Model):
    """A set of tasks that share an environment.

    `hook_runs`, `eligible_managers` and `assignments` are filled by `get_suite` and by the end of a watch.
    """

    uuid: str = ""
    name: str = ""
    description: str = ""
    group_name: str = ""
    state: SuiteState = SuiteState.QUEUED
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    priority: int = 0
    worker_schedule: WorkerSchedulePlan | None = None
    env_preparation: EnvHookSpec | None = None
    env_cleanup: EnvHookSpec | None = None
    task_defaults: TaskSpec | None = None
    auto_close_timeout_seconds: int = 0
    max_preparation_failures: int = 0
    max_attempts: int = 0
    closed: bool = False
    total_tasks: int = 0
    pending_tasks: int = 0
    completed_tasks: int = 0
    failed_tasks: int = 0
    cancelled_tasks: int = 0
    assigned_managers: int = 0
    created_by: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    preparation_failures: int = 0
    hook_runs: tuple[HookRun, ...] = ()
    eligible_managers: tuple[EligibleManager, ...] = ()
    assignments: tuple[SuiteAssignment, ...] = ()

    @property
    def finished_tasks(self) -> int:
        """Tasks that reached a final state, however they ended."""
        return self.completed_tasks + self.failed_tasks + self.cancelled_tasks


@dataclass(frozen=True, slots=True)
class TaskResult(Model):
    """What one run of a task left behind; `return_value` is what the handler returned."""

    exit_code: int | None = None
    error: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    return_value: JsonValue = None


@dataclass(frozen=True, slots=True)
class TaskFailure(Model):
    """One failure in the life of a task."""

    kind: FailureKind | None = None
    attempt: int = 0
    manager_uuid: str = ""
    manager_name: str = ""
    error: str = ""
    failed_at: datetime | None = None
    worker_uuid: str = ""
    worker_name: str = ""


@dataclass(frozen=True, slots=True)
class Task(Model):
    """One unit of work; `failures` is filled by `get_task` alone."""

    uuid: str = ""
    suite_uuid: str = ""
    group_name: str = ""
    state: TaskState = TaskState.READY
    attempt: int = 0
    priority: int = 0
    task_spec: TaskSpec | None = None
    created_by: str = ""
    manager_uuid: str = ""
    manager_name: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: TaskResult | None = None
    failures: tuple[TaskFailure, ...] = ()
    retry_at: datetime | None = None
    tags: tuple[str, ...] = ()
    worker_uuid: str = ""
    worker_name: str = ""


@dataclass(frozen=True, slots=True)
class GroupMembership(Model):
    """One group that a manager belongs to."""

    group_name: str = ""
    role: ManagerRole | None = None


@dataclass(frozen=True, slots=True)
class ManagerMetrics(Model):
    """Counters since the manager's start."""

    active_workers: int = 0
    tasks_completed: int = 0
    tasks_failed: int = 0
    prefetch_buffer_size: int = 0
    worker_restarts: int = 0
    prefetch_hits: int = 0
    prefetch_misses: int = 0


@dataclass(frozen=True, slots=True)
class Manager(Model):
    """The daemon of one machine."""

    uuid: str = ""
    name: str = ""
    state: ManagerState = ManagerState.OFFLINE
    tags: tuple[str, ...] = ()
    max_workers: int = 0
    group_memberships: tuple[GroupMembership, ...] = ()
    assigned_suite_uuid: str = ""
    metrics: ManagerMetrics | None = None
    created_by: str = ""
    created_at: datetime | None = None
    last_heartbeat: datetime | None = None
    version: str = ""
    hostname: str = ""
    reason: str = ""
    draining: bool = False


@dataclass(frozen=True, slots=True)
class UserMembership(Model):
    """One user's role in one group."""

    group_name: str = ""
    role: GroupRole | None = None


@dataclass(frozen=True, slots=True)
class User(Model):
    """A person or a program that logs in."""

    uuid: str = ""
    username: str = ""
    is_admin: bool = False
    disabled: bool = False
    memberships: tuple[UserMembership, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GroupMember(Model):
    """One member of a group."""

    username: str = ""
    role: GroupRole | None = None


@dataclass(frozen=True, slots=True)
class Group(Model):
    """Who owns suites and tasks; `members` is filled by `get_group` alone."""

    uuid: str = ""
    group_name: str = ""
    members: tuple[GroupMember, ...] = ()
    created_at: datetime | None = None
