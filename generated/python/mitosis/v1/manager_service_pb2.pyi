import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mitosis.v1 import manager_pb2 as _manager_pb2
from mitosis.v1 import manager_stream_pb2 as _manager_stream_pb2
from mitosis.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterManagerRequest(_message.Message):
    __slots__ = ("name", "tags", "group_memberships", "max_workers", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    group_memberships: _containers.RepeatedCompositeFieldContainer[_manager_pb2.GroupMembership]
    max_workers: int
    request_id: str
    def __init__(self, name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., group_memberships: _Optional[_Iterable[_Union[_manager_pb2.GroupMembership, _Mapping]]] = ..., max_workers: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class RegisterManagerResponse(_message.Message):
    __slots__ = ("manager", "token", "token_expires_at")
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ..., token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("metrics",)
    METRICS_FIELD_NUMBER: _ClassVar[int]
    metrics: _manager_pb2.ManagerMetrics
    def __init__(self, metrics: _Optional[_Union[_manager_pb2.ManagerMetrics, _Mapping]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("server_time", "heartbeat_interval_seconds")
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    server_time: _timestamp_pb2.Timestamp
    heartbeat_interval_seconds: int
    def __init__(self, server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., heartbeat_interval_seconds: _Optional[int] = ...) -> None: ...

class RefreshTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RefreshTokenResponse(_message.Message):
    __slots__ = ("token", "token_expires_at")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListManagersRequest(_message.Message):
    __slots__ = ("group_name", "state", "tags", "page_size", "page_token")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    state: _manager_pb2.NodeManagerState
    tags: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, group_name: _Optional[str] = ..., state: _Optional[_Union[_manager_pb2.NodeManagerState, str]] = ..., tags: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListManagersResponse(_message.Message):
    __slots__ = ("managers", "next_page_token")
    MANAGERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    managers: _containers.RepeatedCompositeFieldContainer[_manager_pb2.NodeManager]
    next_page_token: str
    def __init__(self, managers: _Optional[_Iterable[_Union[_manager_pb2.NodeManager, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetManagerRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetManagerResponse(_message.Message):
    __slots__ = ("manager",)
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ...) -> None: ...

class ShutdownManagerRequest(_message.Message):
    __slots__ = ("uuid", "graceful")
    UUID_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    graceful: bool
    def __init__(self, uuid: _Optional[str] = ..., graceful: _Optional[bool] = ...) -> None: ...

class ShutdownManagerResponse(_message.Message):
    __slots__ = ("manager",)
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ...) -> None: ...

class DrainManagerRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class DrainManagerResponse(_message.Message):
    __slots__ = ("manager",)
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ...) -> None: ...

class ResumeManagerRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class ResumeManagerResponse(_message.Message):
    __slots__ = ("manager",)
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ...) -> None: ...

class RevokeManagerTokenRequest(_message.Message):
    __slots__ = ("uuid", "renew")
    UUID_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    renew: bool
    def __init__(self, uuid: _Optional[str] = ..., renew: _Optional[bool] = ...) -> None: ...

class RevokeManagerTokenResponse(_message.Message):
    __slots__ = ("manager", "token", "token_expires_at")
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    manager: _manager_pb2.NodeManager
    token: str
    token_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, manager: _Optional[_Union[_manager_pb2.NodeManager, _Mapping]] = ..., token: _Optional[str] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
