import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import manager_stream_pb2 as _manager_stream_pb2
from mitosis.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerRequest(_message.Message):
    __slots__ = ("worker_index", "pid", "reports", "fetch")
    WORKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    worker_index: int
    pid: int
    reports: _containers.RepeatedCompositeFieldContainer[WorkerReport]
    fetch: bool
    def __init__(self, worker_index: _Optional[int] = ..., pid: _Optional[int] = ..., reports: _Optional[_Iterable[_Union[WorkerReport, _Mapping]]] = ..., fetch: _Optional[bool] = ...) -> None: ...

class WorkerResponse(_message.Message):
    __slots__ = ("tasks", "leave")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[WorkerTask]
    leave: bool
    def __init__(self, tasks: _Optional[_Iterable[_Union[WorkerTask, _Mapping]]] = ..., leave: _Optional[bool] = ...) -> None: ...

class WorkerTask(_message.Message):
    __slots__ = ("task_uuid", "attempt", "task_spec")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    task_spec: bytes
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ..., task_spec: _Optional[bytes] = ...) -> None: ...

class WorkerReport(_message.Message):
    __slots__ = ("task_uuid", "attempt", "outcome", "result", "started_at", "finished_at")
    TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    task_uuid: str
    attempt: int
    outcome: _manager_stream_pb2.TaskOutcome
    result: _task_pb2.TaskResult
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ..., outcome: _Optional[_Union[_manager_stream_pb2.TaskOutcome, str]] = ..., result: _Optional[_Union[_task_pb2.TaskResult, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkerControl(_message.Message):
    __slots__ = ("worker_index", "cancel_task", "leave")
    class CancelTask(_message.Message):
        __slots__ = ("task_uuid", "attempt")
        TASK_UUID_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_FIELD_NUMBER: _ClassVar[int]
        task_uuid: str
        attempt: int
        def __init__(self, task_uuid: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...
    class Leave(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    WORKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TASK_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    worker_index: int
    cancel_task: WorkerControl.CancelTask
    leave: WorkerControl.Leave
    def __init__(self, worker_index: _Optional[int] = ..., cancel_task: _Optional[_Union[WorkerControl.CancelTask, _Mapping]] = ..., leave: _Optional[_Union[WorkerControl.Leave, _Mapping]] = ...) -> None: ...

class WorkerSetup(_message.Message):
    __slots__ = ("task_defaults", "suite_uuid", "suite_name", "group_name", "manager_uuid", "stop_grace_seconds")
    TASK_DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    SUITE_NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    task_defaults: _task_pb2.TaskSpec
    suite_uuid: str
    suite_name: str
    group_name: str
    manager_uuid: str
    stop_grace_seconds: float
    def __init__(self, task_defaults: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., suite_uuid: _Optional[str] = ..., suite_name: _Optional[str] = ..., group_name: _Optional[str] = ..., manager_uuid: _Optional[str] = ..., stop_grace_seconds: _Optional[float] = ...) -> None: ...
