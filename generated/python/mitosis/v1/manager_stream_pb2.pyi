import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import hook_pb2 as _hook_pb2
from mitosis.v1 import manager_pb2 as _manager_pb2
from mitosis.v1 import suite_pb2 as _suite_pb2
from mitosis.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttachVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTACH_VERDICT_UNSPECIFIED: _ClassVar[AttachVerdict]
    ATTACH_VERDICT_IDLE: _ClassVar[AttachVerdict]
    ATTACH_VERDICT_RESUME: _ClassVar[AttachVerdict]
    ATTACH_VERDICT_ABORT: _ClassVar[AttachVerdict]

class TaskOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_OUTCOME_UNSPECIFIED: _ClassVar[TaskOutcome]
    TASK_OUTCOME_COMPLETED: _ClassVar[TaskOutcome]
    TASK_OUTCOME_FAILED: _ClassVar[TaskOutcome]
    TASK_OUTCOME_TIMED_OUT: _ClassVar[TaskOutcome]
    TASK_OUTCOME_CANCELLED: _ClassVar[TaskOutcome]
    TASK_OUTCOME_WORKER_DIED: _ClassVar[TaskOutcome]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_RELEASED: _ClassVar[FinishReason]
    FINISH_REASON_CANCELLED: _ClassVar[FinishReason]
    FINISH_REASON_PREPARATION_FAILED: _ClassVar[FinishReason]
    FINISH_REASON_DRAINED: _ClassVar[FinishReason]
    FINISH_REASON_RESTARTED: _ClassVar[FinishReason]
ATTACH_VERDICT_UNSPECIFIED: AttachVerdict
ATTACH_VERDICT_IDLE: AttachVerdict
ATTACH_VERDICT_RESUME: AttachVerdict
ATTACH_VERDICT_ABORT: AttachVerdict
TASK_OUTCOME_UNSPECIFIED: TaskOutcome
TASK_OUTCOME_COMPLETED: TaskOutcome
TASK_OUTCOME_FAILED: TaskOutcome
TASK_OUTCOME_TIMED_OUT: TaskOutcome
TASK_OUTCOME_CANCELLED: TaskOutcome
TASK_OUTCOME_WORKER_DIED: TaskOutcome
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_RELEASED: FinishReason
FINISH_REASON_CANCELLED: FinishReason
FINISH_REASON_PREPARATION_FAILED: FinishReason
FINISH_REASON_DRAINED: FinishReason
FINISH_REASON_RESTARTED: FinishReason

class ConnectRequest(_message.Message):
    __slots__ = ("attach", "heartbeat", "task_credit", "task_reports", "tasks_started", "task_return", "hook_report", "worker_failure", "state_changed", "suite_finished", "goodbye")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    TASK_CREDIT_FIELD_NUMBER: _ClassVar[int]
    TASK_REPORTS_FIELD_NUMBER: _ClassVar[int]
    TASKS_STARTED_FIELD_NUMBER: _ClassVar[int]
    TASK_RETURN_FIELD_NUMBER: _ClassVar[int]
    HOOK_REPORT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FAILURE_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    SUITE_FINISHED_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    attach: Attach
    heartbeat: Heartbeat
    task_credit: TaskCredit
    task_reports: TaskReports
    tasks_started: TasksStarted
    task_return: TaskReturn
    hook_report: HookReport
    worker_failure: WorkerFailure
    state_changed: StateChanged
    suite_finished: SuiteFinished
    goodbye: Goodbye
    def __init__(self, attach: _Optional[_Union[Attach, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., task_credit: _Optional[_Union[TaskCredit, _Mapping]] = ..., task_reports: _Optional[_Union[TaskReports, _Mapping]] = ..., tasks_started: _Optional[_Union[TasksStarted, _Mapping]] = ..., task_return: _Optional[_Union[TaskReturn, _Mapping]] = ..., hook_report: _Optional[_Union[HookReport, _Mapping]] = ..., worker_failure: _Optional[_Union[WorkerFailure, _Mapping]] = ..., state_changed: _Optional[_Union[StateChanged, _Mapping]] = ..., suite_finished: _Optional[_Union[SuiteFinished, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("attached", "suite_assigned", "task_batch", "reports_acked", "cancel_tasks", "cancel_suite", "suite_drained", "config_update", "drain", "shutdown", "recall_tasks")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    SUITE_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    TASK_BATCH_FIELD_NUMBER: _ClassVar[int]
    REPORTS_ACKED_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TASKS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_SUITE_FIELD_NUMBER: _ClassVar[int]
    SUITE_DRAINED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_UPDATE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    RECALL_TASKS_FIELD_NUMBER: _ClassVar[int]
    attached: Attached
    suite_assigned: SuiteAssigned
    task_batch: TaskBatch
    reports_acked: ReportsAcked
    cancel_tasks: CancelTasks
    cancel_suite: CancelSuite
    suite_drained: SuiteDrained
    config_update: ConfigUpdate
    drain: Drain
    shutdown: Shutdown
    recall_tasks: RecallTasks
    def __init__(self, attached: _Optional[_Union[Attached, _Mapping]] = ..., suite_assigned: _Optional[_Union[SuiteAssigned, _Mapping]] = ..., task_batch: _Optional[_Union[TaskBatch, _Mapping]] = ..., reports_acked: _Optional[_Union[ReportsAcked, _Mapping]] = ..., cancel_tasks: _Optional[_Union[CancelTasks, _Mapping]] = ..., cancel_suite: _Optional[_Union[CancelSuite, _Mapping]] = ..., suite_drained: _Optional[_Union[SuiteDrained, _Mapping]] = ..., config_update: _Optional[_Union[ConfigUpdate, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., shutdown: _Optional[_Union[Shutdown, _Mapping]] = ..., recall_tasks: _Optional[_Union[RecallTasks, _Mapping]] = ...) -> None: ...

class TaskAttempt(_message.Message):
    __slots__ = ("task_uuid", "attempt")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("session_uuid", "assignment_id", "state", "held_tasks", "tags", "max_workers", "version", "hostname")
    SESSION_UUID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HELD_TASKS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    session_uuid: str
    assignment_id: int
    state: _manager_pb2.NodeManagerState
    held_tasks: _containers.RepeatedCompositeFieldContainer[TaskAttempt]
    tags: _containers.RepeatedScalarFieldContainer[str]
    max_workers: int
    version: str
    hostname: str
    def __init__(self, session_uuid: _Optional[str] = ..., assignment_id: _Optional[int] = ..., state: _Optional[_Union[_manager_pb2.NodeManagerState, str]] = ..., held_tasks: _Optional[_Iterable[_Union[TaskAttempt, _Mapping]]] = ..., tags: _Optional[_Iterable[str]] = ..., max_workers: _Optional[int] = ..., version: _Optional[str] = ..., hostname: _Optional[str] = ...) -> None: ...

class Attached(_message.Message):
    __slots__ = ("session_epoch", "verdict", "manager_uuid", "manager_name", "heartbeat_interval", "heartbeat_timeout", "server_time", "revoked_tasks", "token_expires_at")
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKED_TASKS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    session_epoch: int
    verdict: AttachVerdict
    manager_uuid: str
    manager_name: str
    heartbeat_interval: _duration_pb2.Duration
    heartbeat_timeout: _duration_pb2.Duration
    server_time: _timestamp_pb2.Timestamp
    revoked_tasks: _containers.RepeatedCompositeFieldContainer[TaskAttempt]
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, session_epoch: _Optional[int] = ..., verdict: _Optional[_Union[AttachVerdict, str]] = ..., manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., heartbeat_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_tasks: _Optional[_Iterable[_Union[TaskAttempt, _Mapping]]] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("state", "metrics", "sent_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    state: _manager_pb2.NodeManagerState
    metrics: _manager_pb2.ManagerMetrics
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[_manager_pb2.NodeManagerState, str]] = ..., metrics: _Optional[_Union[_manager_pb2.ManagerMetrics, _Mapping]] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskCredit(_message.Message):
    __slots__ = ("assignment_id", "granted_total")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    GRANTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    granted_total: int
    def __init__(self, assignment_id: _Optional[int] = ..., granted_total: _Optional[int] = ...) -> None: ...

class TaskReport(_message.Message):
    __slots__ = ("task_uuid", "attempt", "assignment_id", "outcome", "result", "started_at", "finished_at", "worker_deaths")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKER_DEATHS_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    assignment_id: int
    outcome: TaskOutcome
    result: _task_pb2.TaskResult
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    worker_deaths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ..., assignment_id: _Optional[int] = ..., outcome: _Optional[_Union[TaskOutcome, str]] = ..., result: _Optional[_Union[_task_pb2.TaskResult, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker_deaths: _Optional[_Iterable[str]] = ...) -> None: ...

class TaskReports(_message.Message):
    __slots__ = ("sequence", "reports")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reports: _containers.RepeatedCompositeFieldContainer[TaskReport]
    def __init__(self, sequence: _Optional[int] = ..., reports: _Optional[_Iterable[_Union[TaskReport, _Mapping]]] = ...) -> None: ...

class ReportsAcked(_message.Message):
    __slots__ = ("sequence", "stale")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    stale: _containers.RepeatedCompositeFieldContainer[TaskAttempt]
    def __init__(self, sequence: _Optional[int] = ..., stale: _Optional[_Iterable[_Union[TaskAttempt, _Mapping]]] = ...) -> None: ...

class TasksStarted(_message.Message):
    __slots__ = ("assignment_id", "starts")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    starts: _containers.RepeatedCompositeFieldContainer[TaskStart]
    def __init__(self, assignment_id: _Optional[int] = ..., starts: _Optional[_Iterable[_Union[TaskStart, _Mapping]]] = ...) -> None: ...

class TaskStart(_message.Message):
    __slots__ = ("task_uuid", "attempt", "started_at")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskReturn(_message.Message):
    __slots__ = ("assignment_id", "tasks")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskAttempt]
    def __init__(self, assignment_id: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskAttempt, _Mapping]]] = ...) -> None: ...

class HookReport(_message.Message):
    __slots__ = ("assignment_id", "hook_type", "result", "exit_code", "error", "output_tail", "started_at", "duration_seconds")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOOK_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TAIL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    hook_type: _hook_pb2.HookType
    result: _hook_pb2.HookResult
    exit_code: int
    error: str
    output_tail: str
    started_at: _timestamp_pb2.Timestamp
    duration_seconds: float
    def __init__(self, assignment_id: _Optional[int] = ..., hook_type: _Optional[_Union[_hook_pb2.HookType, str]] = ..., result: _Optional[_Union[_hook_pb2.HookResult, str]] = ..., exit_code: _Optional[int] = ..., error: _Optional[str] = ..., output_tail: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_seconds: _Optional[float] = ...) -> None: ...

class WorkerFailure(_message.Message):
    __slots__ = ("assignment_id", "worker_index", "reason", "task", "respawn_delay_seconds")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    RESPAWN_DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    worker_index: int
    reason: str
    task: TaskAttempt
    respawn_delay_seconds: float
    def __init__(self, assignment_id: _Optional[int] = ..., worker_index: _Optional[int] = ..., reason: _Optional[str] = ..., task: _Optional[_Union[TaskAttempt, _Mapping]] = ..., respawn_delay_seconds: _Optional[float] = ...) -> None: ...

class StateChanged(_message.Message):
    __slots__ = ("assignment_id", "state")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    state: _manager_pb2.NodeManagerState
    def __init__(self, assignment_id: _Optional[int] = ..., state: _Optional[_Union[_manager_pb2.NodeManagerState, str]] = ...) -> None: ...

class SuiteFinished(_message.Message):
    __slots__ = ("assignment_id", "reason")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    reason: FinishReason
    def __init__(self, assignment_id: _Optional[int] = ..., reason: _Optional[_Union[FinishReason, str]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class SuiteAssigned(_message.Message):
    __slots__ = ("assignment_id", "suite_uuid", "suite_name", "group_name", "worker_schedule", "worker_count", "env_preparation", "env_cleanup", "task_defaults")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    SUITE_NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKER_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENV_PREPARATION_FIELD_NUMBER: _ClassVar[int]
    ENV_CLEANUP_FIELD_NUMBER: _ClassVar[int]
    TASK_DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    suite_uuid: str
    suite_name: str
    group_name: str
    worker_schedule: _suite_pb2.WorkerSchedulePlan
    worker_count: int
    env_preparation: _hook_pb2.EnvHookSpec
    env_cleanup: _hook_pb2.EnvHookSpec
    task_defaults: _task_pb2.TaskSpec
    def __init__(self, assignment_id: _Optional[int] = ..., suite_uuid: _Optional[str] = ..., suite_name: _Optional[str] = ..., group_name: _Optional[str] = ..., worker_schedule: _Optional[_Union[_suite_pb2.WorkerSchedulePlan, _Mapping]] = ..., worker_count: _Optional[int] = ..., env_preparation: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., env_cleanup: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., task_defaults: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ...) -> None: ...

class AssignedTask(_message.Message):
    __slots__ = ("task_uuid", "attempt", "task_spec", "priority")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    task_spec: bytes
    priority: int
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ..., task_spec: _Optional[bytes] = ..., priority: _Optional[int] = ...) -> None: ...

class TaskBatch(_message.Message):
    __slots__ = ("assignment_id", "tasks")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    tasks: _containers.RepeatedCompositeFieldContainer[AssignedTask]
    def __init__(self, assignment_id: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[AssignedTask, _Mapping]]] = ...) -> None: ...

class CancelTasks(_message.Message):
    __slots__ = ("assignment_id", "tasks")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskAttempt]
    def __init__(self, assignment_id: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskAttempt, _Mapping]]] = ...) -> None: ...

class RecallTasks(_message.Message):
    __slots__ = ("assignment_id", "max_tasks", "all_unstarted")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_TASKS_FIELD_NUMBER: _ClassVar[int]
    ALL_UNSTARTED_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    max_tasks: int
    all_unstarted: bool
    def __init__(self, assignment_id: _Optional[int] = ..., max_tasks: _Optional[int] = ..., all_unstarted: _Optional[bool] = ...) -> None: ...

class CancelSuite(_message.Message):
    __slots__ = ("assignment_id", "cancel_running_tasks", "reason")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    cancel_running_tasks: bool
    reason: str
    def __init__(self, assignment_id: _Optional[int] = ..., cancel_running_tasks: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class SuiteDrained(_message.Message):
    __slots__ = ("assignment_id",)
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    def __init__(self, assignment_id: _Optional[int] = ...) -> None: ...

class ConfigUpdate(_message.Message):
    __slots__ = ("assignment_id", "worker_count", "task_prefetch_count")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASK_PREFETCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    assignment_id: int
    worker_count: int
    task_prefetch_count: int
    def __init__(self, assignment_id: _Optional[int] = ..., worker_count: _Optional[int] = ..., task_prefetch_count: _Optional[int] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Shutdown(_message.Message):
    __slots__ = ("graceful", "reason")
    GRACEFUL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    graceful: bool
    reason: str
    def __init__(self, graceful: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...
