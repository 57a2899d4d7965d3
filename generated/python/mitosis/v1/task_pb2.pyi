import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_READY: _ClassVar[TaskState]
    TASK_STATE_DISPATCHED: _ClassVar[TaskState]
    TASK_STATE_RUNNING: _ClassVar[TaskState]
    TASK_STATE_COMPLETED: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]

class FailureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_KIND_UNSPECIFIED: _ClassVar[FailureKind]
    FAILURE_KIND_TASK: _ClassVar[FailureKind]
    FAILURE_KIND_WORKER: _ClassVar[FailureKind]
    FAILURE_KIND_NODE: _ClassVar[FailureKind]
    FAILURE_KIND_ENVIRONMENT: _ClassVar[FailureKind]
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_READY: TaskState
TASK_STATE_DISPATCHED: TaskState
TASK_STATE_RUNNING: TaskState
TASK_STATE_COMPLETED: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_CANCELLED: TaskState
FAILURE_KIND_UNSPECIFIED: FailureKind
FAILURE_KIND_TASK: FailureKind
FAILURE_KIND_WORKER: FailureKind
FAILURE_KIND_NODE: FailureKind
FAILURE_KIND_ENVIRONMENT: FailureKind

class TaskSpec(_message.Message):
    __slots__ = ("command", "args", "handler", "envs", "working_directory", "timeout_seconds", "payload", "max_retries", "retry_backoff_seconds")
    class EnvsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    ENVS_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_BACKOFF_SECONDS_FIELD_NUMBER: _ClassVar[int]
    command: str
    args: _containers.RepeatedScalarFieldContainer[str]
    handler: str
    envs: _containers.ScalarMap[str, str]
    working_directory: str
    timeout_seconds: float
    payload: str
    max_retries: int
    retry_backoff_seconds: float
    def __init__(self, command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., handler: _Optional[str] = ..., envs: _Optional[_Mapping[str, str]] = ..., working_directory: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., payload: _Optional[str] = ..., max_retries: _Optional[int] = ..., retry_backoff_seconds: _Optional[float] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("exit_code", "error", "stdout_tail", "stderr_tail", "return_value")
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STDOUT_TAIL_FIELD_NUMBER: _ClassVar[int]
    STDERR_TAIL_FIELD_NUMBER: _ClassVar[int]
    RETURN_VALUE_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    error: str
    stdout_tail: str
    stderr_tail: str
    return_value: str
    def __init__(self, exit_code: _Optional[int] = ..., error: _Optional[str] = ..., stdout_tail: _Optional[str] = ..., stderr_tail: _Optional[str] = ..., return_value: _Optional[str] = ...) -> None: ...

class TaskFailure(_message.Message):
    __slots__ = ("kind", "attempt", "manager_uuid", "manager_name", "error", "failed_at", "worker_uuid", "worker_name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKER_UUID_FIELD_NUMBER: _ClassVar[int]
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    kind: FailureKind
    attempt: int
    manager_uuid: str
    manager_name: str
    error: str
    failed_at: _timestamp_pb2.Timestamp
    worker_uuid: str
    worker_name: str
    def __init__(self, kind: _Optional[_Union[FailureKind, str]] = ..., attempt: _Optional[int] = ..., manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., error: _Optional[str] = ..., failed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker_uuid: _Optional[str] = ..., worker_name: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("uuid", "suite_uuid", "group_name", "state", "attempt", "priority", "task_spec", "created_by", "manager_uuid", "manager_name", "created_at", "started_at", "finished_at", "result", "failures", "retry_at", "tags", "worker_uuid", "worker_name")
    UUID_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    RETRY_AT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    WORKER_UUID_FIELD_NUMBER: _ClassVar[int]
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    suite_uuid: str
    group_name: str
    state: TaskState
    attempt: int
    priority: int
    task_spec: TaskSpec
    created_by: str
    manager_uuid: str
    manager_name: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    result: TaskResult
    failures: _containers.RepeatedCompositeFieldContainer[TaskFailure]
    retry_at: _timestamp_pb2.Timestamp
    tags: _containers.RepeatedScalarFieldContainer[str]
    worker_uuid: str
    worker_name: str
    def __init__(self, uuid: _Optional[str] = ..., suite_uuid: _Optional[str] = ..., group_name: _Optional[str] = ..., state: _Optional[_Union[TaskState, str]] = ..., attempt: _Optional[int] = ..., priority: _Optional[int] = ..., task_spec: _Optional[_Union[TaskSpec, _Mapping]] = ..., created_by: _Optional[str] = ..., manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., result: _Optional[_Union[TaskResult, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[TaskFailure, _Mapping]]] = ..., retry_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., worker_uuid: _Optional[str] = ..., worker_name: _Optional[str] = ...) -> None: ...
