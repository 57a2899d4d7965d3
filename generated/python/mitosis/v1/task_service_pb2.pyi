from google.api import annotations_pb2 as _annotations_pb2
from mitosis.v1 import explain_pb2 as _explain_pb2
from mitosis.v1 import options_pb2 as _options_pb2
from mitosis.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitTaskRequest(_message.Message):
    __slots__ = ("group_name", "suite_uuid", "task_spec", "priority", "request_id", "tags")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    suite_uuid: str
    task_spec: _task_pb2.TaskSpec
    priority: int
    request_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, group_name: _Optional[str] = ..., suite_uuid: _Optional[str] = ..., task_spec: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., priority: _Optional[int] = ..., request_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...

class NewTask(_message.Message):
    __slots__ = ("task_spec", "priority", "tags")
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    task_spec: _task_pb2.TaskSpec
    priority: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_spec: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., priority: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitTasksRequest(_message.Message):
    __slots__ = ("group_name", "suite_uuid", "tasks", "request_id")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    suite_uuid: str
    tasks: _containers.RepeatedCompositeFieldContainer[NewTask]
    request_id: str
    def __init__(self, group_name: _Optional[str] = ..., suite_uuid: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[NewTask, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SubmitTasksResponse(_message.Message):
    __slots__ = ("task_uuids",)
    TASK_UUIDS_FIELD_NUMBER: _ClassVar[int]
    task_uuids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_uuids: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitTaskStreamRequest(_message.Message):
    __slots__ = ("group_name", "suite_uuid", "tasks", "request_id")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    suite_uuid: str
    tasks: _containers.RepeatedCompositeFieldContainer[NewTask]
    request_id: str
    def __init__(self, group_name: _Optional[str] = ..., suite_uuid: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[NewTask, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class TaskRange(_message.Message):
    __slots__ = ("first_task_uuid", "count")
    FIRST_TASK_UUID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    first_task_uuid: str
    count: int
    def __init__(self, first_task_uuid: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class SubmitTaskStreamResponse(_message.Message):
    __slots__ = ("task_count", "ranges")
    TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    task_count: int
    ranges: _containers.RepeatedCompositeFieldContainer[TaskRange]
    def __init__(self, task_count: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[TaskRange, _Mapping]]] = ...) -> None: ...

class PayloadRange(_message.Message):
    __slots__ = ("start", "stop", "step")
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    start: int
    stop: int
    step: int
    def __init__(self, start: _Optional[int] = ..., stop: _Optional[int] = ..., step: _Optional[int] = ...) -> None: ...

class PayloadList(_message.Message):
    __slots__ = ("payloads",)
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    payloads: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, payloads: _Optional[_Iterable[str]] = ...) -> None: ...

class SubmitArrayRequest(_message.Message):
    __slots__ = ("suite_uuid", "task_spec", "range", "list", "priority", "request_id")
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    suite_uuid: str
    task_spec: _task_pb2.TaskSpec
    range: PayloadRange
    list: PayloadList
    priority: int
    request_id: str
    def __init__(self, suite_uuid: _Optional[str] = ..., task_spec: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., range: _Optional[_Union[PayloadRange, _Mapping]] = ..., list: _Optional[_Union[PayloadList, _Mapping]] = ..., priority: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class SubmitArrayResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: TaskRange
    def __init__(self, tasks: _Optional[_Union[TaskRange, _Mapping]] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...

class ExplainTaskRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class ExplainTaskResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: _explain_pb2.Explanation
    def __init__(self, explanation: _Optional[_Union[_explain_pb2.Explanation, _Mapping]] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("group_name", "suite_uuid", "state", "page_size", "page_token")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    suite_uuid: str
    state: _task_pb2.TaskState
    page_size: int
    page_token: str
    def __init__(self, group_name: _Optional[str] = ..., suite_uuid: _Optional[str] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_task_pb2.Task]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[_task_pb2.Task, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("uuid", "reason")
    UUID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    reason: str
    def __init__(self, uuid: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _task_pb2.Task
    def __init__(self, task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ...) -> None: ...
