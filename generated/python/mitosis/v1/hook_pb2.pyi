import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HookType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOOK_TYPE_UNSPECIFIED: _ClassVar[HookType]
    HOOK_TYPE_PREPARATION: _ClassVar[HookType]
    HOOK_TYPE_CLEANUP: _ClassVar[HookType]

class HookResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOOK_RESULT_UNSPECIFIED: _ClassVar[HookResult]
    HOOK_RESULT_SUCCESS: _ClassVar[HookResult]
    HOOK_RESULT_FAILURE: _ClassVar[HookResult]
    HOOK_RESULT_TIMEOUT: _ClassVar[HookResult]
    HOOK_RESULT_CANCELLED: _ClassVar[HookResult]
HOOK_TYPE_UNSPECIFIED: HookType
HOOK_TYPE_PREPARATION: HookType
HOOK_TYPE_CLEANUP: HookType
HOOK_RESULT_UNSPECIFIED: HookResult
HOOK_RESULT_SUCCESS: HookResult
HOOK_RESULT_FAILURE: HookResult
HOOK_RESULT_TIMEOUT: HookResult
HOOK_RESULT_CANCELLED: HookResult

class EnvHookSpec(_message.Message):
    __slots__ = ("command", "args", "timeout_seconds", "working_directory", "envs")
    class EnvsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    ENVS_FIELD_NUMBER: _ClassVar[int]
    command: str
    args: _containers.RepeatedScalarFieldContainer[str]
    timeout_seconds: float
    working_directory: str
    envs: _containers.ScalarMap[str, str]
    def __init__(self, command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., timeout_seconds: _Optional[float] = ..., working_directory: _Optional[str] = ..., envs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class HookRun(_message.Message):
    __slots__ = ("hook_type", "result", "manager_uuid", "manager_name", "exit_code", "error", "output_tail", "started_at", "duration_seconds")
    HOOK_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TAIL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    hook_type: HookType
    result: HookResult
    manager_uuid: str
    manager_name: str
    exit_code: int
    error: str
    output_tail: str
    started_at: _timestamp_pb2.Timestamp
    duration_seconds: float
    def __init__(self, hook_type: _Optional[_Union[HookType, str]] = ..., result: _Optional[_Union[HookResult, str]] = ..., manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., exit_code: _Optional[int] = ..., error: _Optional[str] = ..., output_tail: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_seconds: _Optional[float] = ...) -> None: ...
