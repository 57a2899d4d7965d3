import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import hook_pb2 as _hook_pb2
from mitosis.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskSuiteState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_SUITE_STATE_UNSPECIFIED: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_QUEUED: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_OPEN: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_EXECUTING: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_COMPLETE: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_CANCELLED: _ClassVar[TaskSuiteState]
    TASK_SUITE_STATE_FAILED: _ClassVar[TaskSuiteState]

class WorkerScheduleStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_SCHEDULE_STRATEGY_UNSPECIFIED: _ClassVar[WorkerScheduleStrategy]
    WORKER_SCHEDULE_STRATEGY_FIXED: _ClassVar[WorkerScheduleStrategy]
    WORKER_SCHEDULE_STRATEGY_PROPORTIONAL: _ClassVar[WorkerScheduleStrategy]

class CpuBinding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CPU_BINDING_UNSPECIFIED: _ClassVar[CpuBinding]
    CPU_BINDING_ROUND_ROBIN: _ClassVar[CpuBinding]
    CPU_BINDING_EXCLUSIVE: _ClassVar[CpuBinding]
    CPU_BINDING_SHARED: _ClassVar[CpuBinding]

class ManagerSelection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MANAGER_SELECTION_UNSPECIFIED: _ClassVar[ManagerSelection]
    MANAGER_SELECTION_TAG_MATCHED: _ClassVar[ManagerSelection]
    MANAGER_SELECTION_USER_SPECIFIED: _ClassVar[ManagerSelection]
TASK_SUITE_STATE_UNSPECIFIED: TaskSuiteState
TASK_SUITE_STATE_QUEUED: TaskSuiteState
TASK_SUITE_STATE_OPEN: TaskSuiteState
TASK_SUITE_STATE_EXECUTING: TaskSuiteState
TASK_SUITE_STATE_COMPLETE: TaskSuiteState
TASK_SUITE_STATE_CANCELLED: TaskSuiteState
TASK_SUITE_STATE_FAILED: TaskSuiteState
WORKER_SCHEDULE_STRATEGY_UNSPECIFIED: WorkerScheduleStrategy
WORKER_SCHEDULE_STRATEGY_FIXED: WorkerScheduleStrategy
WORKER_SCHEDULE_STRATEGY_PROPORTIONAL: WorkerScheduleStrategy
CPU_BINDING_UNSPECIFIED: CpuBinding
CPU_BINDING_ROUND_ROBIN: CpuBinding
CPU_BINDING_EXCLUSIVE: CpuBinding
CPU_BINDING_SHARED: CpuBinding
MANAGER_SELECTION_UNSPECIFIED: ManagerSelection
MANAGER_SELECTION_TAG_MATCHED: ManagerSelection
MANAGER_SELECTION_USER_SPECIFIED: ManagerSelection

class WorkerSchedulePlan(_message.Message):
    __slots__ = ("strategy", "worker_count", "cpu_binding", "cores", "task_prefetch_count")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CPU_BINDING_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    TASK_PREFETCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    strategy: WorkerScheduleStrategy
    worker_count: int
    cpu_binding: CpuBinding
    cores: _containers.RepeatedScalarFieldContainer[int]
    task_prefetch_count: int
    def __init__(self, strategy: _Optional[_Union[WorkerScheduleStrategy, str]] = ..., worker_count: _Optional[int] = ..., cpu_binding: _Optional[_Union[CpuBinding, str]] = ..., cores: _Optional[_Iterable[int]] = ..., task_prefetch_count: _Optional[int] = ...) -> None: ...

class EligibleManager(_message.Message):
    __slots__ = ("manager_uuid", "manager_name", "selection", "assigned")
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    manager_uuid: str
    manager_name: str
    selection: ManagerSelection
    assigned: bool
    def __init__(self, manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., selection: _Optional[_Union[ManagerSelection, str]] = ..., assigned: _Optional[bool] = ...) -> None: ...

class SuiteAssignment(_message.Message):
    __slots__ = ("manager_uuid", "manager_name", "started_at", "ended_at", "end_reason", "preparation_failed")
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    PREPARATION_FAILED_FIELD_NUMBER: _ClassVar[int]
    manager_uuid: str
    manager_name: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    end_reason: str
    preparation_failed: bool
    def __init__(self, manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_reason: _Optional[str] = ..., preparation_failed: _Optional[bool] = ...) -> None: ...

class TaskSuite(_message.Message):
    __slots__ = ("uuid", "name", "description", "group_name", "state", "labels", "tags", "priority", "worker_schedule", "env_preparation", "env_cleanup", "task_defaults", "auto_close_timeout_seconds", "max_preparation_failures", "max_attempts", "closed", "total_tasks", "pending_tasks", "completed_tasks", "failed_tasks", "cancelled_tasks", "assigned_managers", "created_by", "created_at", "updated_at", "finished_at", "reason", "preparation_failures", "hook_runs", "eligible_managers", "assignments")
    UUID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    WORKER_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    ENV_PREPARATION_FIELD_NUMBER: _ClassVar[int]
    ENV_CLEANUP_FIELD_NUMBER: _ClassVar[int]
    TASK_DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    AUTO_CLOSE_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_PREPARATION_FAILURES_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TASKS_FIELD_NUMBER: _ClassVar[int]
    PENDING_TASKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TASKS_FIELD_NUMBER: _ClassVar[int]
    FAILED_TASKS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_TASKS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_MANAGERS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREPARATION_FAILURES_FIELD_NUMBER: _ClassVar[int]
    HOOK_RUNS_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_MANAGERS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    name: str
    description: str
    group_name: str
    state: TaskSuiteState
    labels: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    priority: int
    worker_schedule: WorkerSchedulePlan
    env_preparation: _hook_pb2.EnvHookSpec
    env_cleanup: _hook_pb2.EnvHookSpec
    task_defaults: _task_pb2.TaskSpec
    auto_close_timeout_seconds: int
    max_preparation_failures: int
    max_attempts: int
    closed: bool
    total_tasks: int
    pending_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    assigned_managers: int
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    reason: str
    preparation_failures: int
    hook_runs: _containers.RepeatedCompositeFieldContainer[_hook_pb2.HookRun]
    eligible_managers: _containers.RepeatedCompositeFieldContainer[EligibleManager]
    assignments: _containers.RepeatedCompositeFieldContainer[SuiteAssignment]
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., group_name: _Optional[str] = ..., state: _Optional[_Union[TaskSuiteState, str]] = ..., labels: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., priority: _Optional[int] = ..., worker_schedule: _Optional[_Union[WorkerSchedulePlan, _Mapping]] = ..., env_preparation: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., env_cleanup: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., task_defaults: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., auto_close_timeout_seconds: _Optional[int] = ..., max_preparation_failures: _Optional[int] = ..., max_attempts: _Optional[int] = ..., closed: _Optional[bool] = ..., total_tasks: _Optional[int] = ..., pending_tasks: _Optional[int] = ..., completed_tasks: _Optional[int] = ..., failed_tasks: _Optional[int] = ..., cancelled_tasks: _Optional[int] = ..., assigned_managers: _Optional[int] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., preparation_failures: _Optional[int] = ..., hook_runs: _Optional[_Iterable[_Union[_hook_pb2.HookRun, _Mapping]]] = ..., eligible_managers: _Optional[_Iterable[_Union[EligibleManager, _Mapping]]] = ..., assignments: _Optional[_Iterable[_Union[SuiteAssignment, _Mapping]]] = ...) -> None: ...
