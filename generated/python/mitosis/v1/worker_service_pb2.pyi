import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import manager_stream_pb2 as _manager_stream_pb2
from mitosis.v1 import options_pb2 as _options_pb2
from mitosis.v1 import worker_pb2 as _worker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterWorkerRequest(_message.Message):
    __slots__ = ("name", "tags", "group_names", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAMES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    group_names: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., group_names: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RegisterWorkerResponse(_message.Message):
    __slots__ = ("worker", "token", "token_expires_at")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    worker: _worker_pb2.Worker
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, worker: _Optional[_Union[_worker_pb2.Worker, _Mapping]] = ..., token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RefreshWorkerTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RefreshWorkerTokenResponse(_message.Message):
    __slots__ = ("token", "token_expires_at")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("group_name", "state", "tags", "page_size", "page_token")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    state: _worker_pb2.WorkerState
    tags: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, group_name: _Optional[str] = ..., state: _Optional[_Union[_worker_pb2.WorkerState, str]] = ..., tags: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "next_page_token")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[_worker_pb2.Worker]
    next_page_token: str
    def __init__(self, workers: _Optional[_Iterable[_Union[_worker_pb2.Worker, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetWorkerRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: _worker_pb2.Worker
    def __init__(self, worker: _Optional[_Union[_worker_pb2.Worker, _Mapping]] = ...) -> None: ...

class ShutdownWorkerRequest(_message.Message):
    __slots__ = ("uuid", "graceful")
    UUID_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    graceful: bool
    def __init__(self, uuid: _Optional[str] = ..., graceful: _Optional[bool] = ...) -> None: ...

class ShutdownWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: _worker_pb2.Worker
    def __init__(self, worker: _Optional[_Union[_worker_pb2.Worker, _Mapping]] = ...) -> None: ...

class RevokeWorkerTokenRequest(_message.Message):
    __slots__ = ("uuid", "renew")
    UUID_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    renew: bool
    def __init__(self, uuid: _Optional[str] = ..., renew: _Optional[bool] = ...) -> None: ...

class RevokeWorkerTokenResponse(_message.Message):
    __slots__ = ("worker", "token", "token_expires_at")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    worker: _worker_pb2.Worker
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, worker: _Optional[_Union[_worker_pb2.Worker, _Mapping]] = ..., token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ConnectWorkerRequest(_message.Message):
    __slots__ = ("attach", "heartbeat", "task_credit", "task_reports", "tasks_started", "task_return", "goodbye")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    TASK_CREDIT_FIELD_NUMBER: _ClassVar[int]
    TASK_REPORTS_FIELD_NUMBER: _ClassVar[int]
    TASKS_STARTED_FIELD_NUMBER: _ClassVar[int]
    TASK_RETURN_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    attach: WorkerAttach
    heartbeat: WorkerHeartbeat
    task_credit: _manager_stream_pb2.TaskCredit
    task_reports: _manager_stream_pb2.TaskReports
    tasks_started: _manager_stream_pb2.TasksStarted
    task_return: _manager_stream_pb2.TaskReturn
    goodbye: _manager_stream_pb2.Goodbye
    def __init__(self, attach: _Optional[_Union[WorkerAttach, _Mapping]] = ..., heartbeat: _Optional[_Union[WorkerHeartbeat, _Mapping]] = ..., task_credit: _Optional[_Union[_manager_stream_pb2.TaskCredit, _Mapping]] = ..., task_reports: _Optional[_Union[_manager_stream_pb2.TaskReports, _Mapping]] = ..., tasks_started: _Optional[_Union[_manager_stream_pb2.TasksStarted, _Mapping]] = ..., task_return: _Optional[_Union[_manager_stream_pb2.TaskReturn, _Mapping]] = ..., goodbye: _Optional[_Union[_manager_stream_pb2.Goodbye, _Mapping]] = ...) -> None: ...

class ConnectWorkerResponse(_message.Message):
    __slots__ = ("attached", "task_batch", "reports_acked", "cancel_tasks", "shutdown")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    TASK_BATCH_FIELD_NUMBER: _ClassVar[int]
    REPORTS_ACKED_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TASKS_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    attached: WorkerAttached
    task_batch: _manager_stream_pb2.TaskBatch
    reports_acked: _manager_stream_pb2.ReportsAcked
    cancel_tasks: _manager_stream_pb2.CancelTasks
    shutdown: _manager_stream_pb2.Shutdown
    def __init__(self, attached: _Optional[_Union[WorkerAttached, _Mapping]] = ..., task_batch: _Optional[_Union[_manager_stream_pb2.TaskBatch, _Mapping]] = ..., reports_acked: _Optional[_Union[_manager_stream_pb2.ReportsAcked, _Mapping]] = ..., cancel_tasks: _Optional[_Union[_manager_stream_pb2.CancelTasks, _Mapping]] = ..., shutdown: _Optional[_Union[_manager_stream_pb2.Shutdown, _Mapping]] = ...) -> None: ...

class WorkerAttach(_message.Message):
    __slots__ = ("session_uuid", "held_tasks", "tags", "version", "hostname")
    SESSION_UUID_FIELD_NUMBER: _ClassVar[int]
    HELD_TASKS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    session_uuid: str
    held_tasks: _containers.RepeatedCompositeFieldContainer[_manager_stream_pb2.TaskAttempt]
    tags: _containers.RepeatedScalarFieldContainer[str]
    version: str
    hostname: str
    def __init__(self, session_uuid: _Optional[str] = ..., held_tasks: _Optional[_Iterable[_Union[_manager_stream_pb2.TaskAttempt, _Mapping]]] = ..., tags: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., hostname: _Optional[str] = ...) -> None: ...

class WorkerAttached(_message.Message):
    __slots__ = ("session_epoch", "assignment_id", "worker_uuid", "worker_name", "heartbeat_interval", "heartbeat_timeout", "revoked_tasks", "token_expires_at")
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_UUID_FIELD_NUMBER: _ClassVar[int]
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_TASKS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    session_epoch: int
    assignment_id: int
    worker_uuid: str
    worker_name: str
    heartbeat_interval: _duration_pb2.Duration
    heartbeat_timeout: _duration_pb2.Duration
    revoked_tasks: _containers.RepeatedCompositeFieldContainer[_manager_stream_pb2.TaskAttempt]
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, session_epoch: _Optional[int] = ..., assignment_id: _Optional[int] = ..., worker_uuid: _Optional[str] = ..., worker_name: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., heartbeat_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., revoked_tasks: _Optional[_Iterable[_Union[_manager_stream_pb2.TaskAttempt, _Mapping]]] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkerHeartbeat(_message.Message):
    __slots__ = ("state", "tasks_completed", "tasks_failed", "sent_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TASKS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TASKS_FAILED_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    state: _worker_pb2.WorkerState
    tasks_completed: int
    tasks_failed: int
    sent_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[_worker_pb2.WorkerState, str]] = ..., tasks_completed: _Optional[int] = ..., tasks_failed: _Optional[int] = ..., sent_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
