from google.api import annotations_pb2 as _annotations_pb2
from mitosis.v1 import explain_pb2 as _explain_pb2
from mitosis.v1 import hook_pb2 as _hook_pb2
from mitosis.v1 import suite_pb2 as _suite_pb2
from mitosis.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateSuiteRequest(_message.Message):
    __slots__ = ("name", "group_name", "description", "labels", "tags", "priority", "worker_schedule", "env_preparation", "env_cleanup", "task_defaults", "auto_close_timeout_seconds", "max_preparation_failures", "max_attempts", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
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
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    group_name: str
    description: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    priority: int
    worker_schedule: _suite_pb2.WorkerSchedulePlan
    env_preparation: _hook_pb2.EnvHookSpec
    env_cleanup: _hook_pb2.EnvHookSpec
    task_defaults: _task_pb2.TaskSpec
    auto_close_timeout_seconds: int
    max_preparation_failures: int
    max_attempts: int
    request_id: str
    def __init__(self, name: _Optional[str] = ..., group_name: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., priority: _Optional[int] = ..., worker_schedule: _Optional[_Union[_suite_pb2.WorkerSchedulePlan, _Mapping]] = ..., env_preparation: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., env_cleanup: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., task_defaults: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., auto_close_timeout_seconds: _Optional[int] = ..., max_preparation_failures: _Optional[int] = ..., max_attempts: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSuiteResponse(_message.Message):
    __slots__ = ("suite",)
    SUITE_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ...) -> None: ...

class GetSuiteRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetSuiteResponse(_message.Message):
    __slots__ = ("suite",)
    SUITE_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ...) -> None: ...

class ExplainSuiteRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class ExplainSuiteResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: _explain_pb2.Explanation
    def __init__(self, explanation: _Optional[_Union[_explain_pb2.Explanation, _Mapping]] = ...) -> None: ...

class ListSuitesRequest(_message.Message):
    __slots__ = ("group_name", "state", "labels", "tags", "name", "page_size", "page_token")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    state: _suite_pb2.TaskSuiteState
    labels: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    name: str
    page_size: int
    page_token: str
    def __init__(self, group_name: _Optional[str] = ..., state: _Optional[_Union[_suite_pb2.TaskSuiteState, str]] = ..., labels: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSuitesResponse(_message.Message):
    __slots__ = ("suites", "next_page_token")
    SUITES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    suites: _containers.RepeatedCompositeFieldContainer[_suite_pb2.TaskSuite]
    next_page_token: str
    def __init__(self, suites: _Optional[_Iterable[_Union[_suite_pb2.TaskSuite, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LabelList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateSuiteRequest(_message.Message):
    __slots__ = ("uuid", "name", "description", "labels", "tags", "priority", "worker_schedule", "env_preparation", "env_cleanup", "task_defaults", "auto_close_timeout_seconds", "max_preparation_failures", "max_attempts")
    UUID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
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
    uuid: str
    name: str
    description: str
    labels: LabelList
    tags: LabelList
    priority: int
    worker_schedule: _suite_pb2.WorkerSchedulePlan
    env_preparation: _hook_pb2.EnvHookSpec
    env_cleanup: _hook_pb2.EnvHookSpec
    task_defaults: _task_pb2.TaskSpec
    auto_close_timeout_seconds: int
    max_preparation_failures: int
    max_attempts: int
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Union[LabelList, _Mapping]] = ..., tags: _Optional[_Union[LabelList, _Mapping]] = ..., priority: _Optional[int] = ..., worker_schedule: _Optional[_Union[_suite_pb2.WorkerSchedulePlan, _Mapping]] = ..., env_preparation: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., env_cleanup: _Optional[_Union[_hook_pb2.EnvHookSpec, _Mapping]] = ..., task_defaults: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., auto_close_timeout_seconds: _Optional[int] = ..., max_preparation_failures: _Optional[int] = ..., max_attempts: _Optional[int] = ...) -> None: ...

class UpdateSuiteResponse(_message.Message):
    __slots__ = ("suite",)
    SUITE_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ...) -> None: ...

class CancelSuiteRequest(_message.Message):
    __slots__ = ("uuid", "reason", "cancel_running_tasks")
    UUID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    reason: str
    cancel_running_tasks: bool
    def __init__(self, uuid: _Optional[str] = ..., reason: _Optional[str] = ..., cancel_running_tasks: _Optional[bool] = ...) -> None: ...

class CancelSuiteResponse(_message.Message):
    __slots__ = ("cancelled_task_count", "suite_state")
    CANCELLED_TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUITE_STATE_FIELD_NUMBER: _ClassVar[int]
    cancelled_task_count: int
    suite_state: _suite_pb2.TaskSuiteState
    def __init__(self, cancelled_task_count: _Optional[int] = ..., suite_state: _Optional[_Union[_suite_pb2.TaskSuiteState, str]] = ...) -> None: ...

class CloseSuiteRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class CloseSuiteResponse(_message.Message):
    __slots__ = ("suite",)
    SUITE_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ...) -> None: ...

class RetrySuiteRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class RetrySuiteResponse(_message.Message):
    __slots__ = ("suite", "retried_task_count")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    RETRIED_TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    retried_task_count: int
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ..., retried_task_count: _Optional[int] = ...) -> None: ...

class RefreshSuiteManagersRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class RefreshSuiteManagersResponse(_message.Message):
    __slots__ = ("managers",)
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    managers: _containers.RepeatedCompositeFieldContainer[_suite_pb2.EligibleManager]
    def __init__(self, managers: _Optional[_Iterable[_Union[_suite_pb2.EligibleManager, _Mapping]]] = ...) -> None: ...

class AddSuiteManagersRequest(_message.Message):
    __slots__ = ("uuid", "manager_uuids")
    UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUIDS_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    manager_uuids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uuid: _Optional[str] = ..., manager_uuids: _Optional[_Iterable[str]] = ...) -> None: ...

class AddSuiteManagersResponse(_message.Message):
    __slots__ = ("managers",)
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    managers: _containers.RepeatedCompositeFieldContainer[_suite_pb2.EligibleManager]
    def __init__(self, managers: _Optional[_Iterable[_Union[_suite_pb2.EligibleManager, _Mapping]]] = ...) -> None: ...

class RemoveSuiteManagersRequest(_message.Message):
    __slots__ = ("uuid", "manager_uuids")
    UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUIDS_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    manager_uuids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, uuid: _Optional[str] = ..., manager_uuids: _Optional[_Iterable[str]] = ...) -> None: ...

class RemoveSuiteManagersResponse(_message.Message):
    __slots__ = ("managers",)
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    managers: _containers.RepeatedCompositeFieldContainer[_suite_pb2.EligibleManager]
    def __init__(self, managers: _Optional[_Iterable[_Union[_suite_pb2.EligibleManager, _Mapping]]] = ...) -> None: ...

class WatchSuiteRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class WatchSuiteResponse(_message.Message):
    __slots__ = ("suite",)
    SUITE_FIELD_NUMBER: _ClassVar[int]
    suite: _suite_pb2.TaskSuite
    def __init__(self, suite: _Optional[_Union[_suite_pb2.TaskSuite, _Mapping]] = ...) -> None: ...
