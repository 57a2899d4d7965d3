import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeManagerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_MANAGER_STATE_UNSPECIFIED: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_OFFLINE: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_IDLE: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_ASSIGNED: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_PREPARING: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_EXECUTING: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_CLEANING: _ClassVar[NodeManagerState]
    NODE_MANAGER_STATE_FAILED: _ClassVar[NodeManagerState]

class ManagerRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MANAGER_ROLE_UNSPECIFIED: _ClassVar[ManagerRole]
    MANAGER_ROLE_WORKER: _ClassVar[ManagerRole]
    MANAGER_ROLE_ADMIN: _ClassVar[ManagerRole]
NODE_MANAGER_STATE_UNSPECIFIED: NodeManagerState
NODE_MANAGER_STATE_OFFLINE: NodeManagerState
NODE_MANAGER_STATE_IDLE: NodeManagerState
NODE_MANAGER_STATE_ASSIGNED: NodeManagerState
NODE_MANAGER_STATE_PREPARING: NodeManagerState
NODE_MANAGER_STATE_EXECUTING: NodeManagerState
NODE_MANAGER_STATE_CLEANING: NodeManagerState
NODE_MANAGER_STATE_FAILED: NodeManagerState
MANAGER_ROLE_UNSPECIFIED: ManagerRole
MANAGER_ROLE_WORKER: ManagerRole
MANAGER_ROLE_ADMIN: ManagerRole

class GroupMembership(_message.Message):
    __slots__ = ("group_name", "role")
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    group_name: str
    role: ManagerRole
    def __init__(self, group_name: _Optional[str] = ..., role: _Optional[_Union[ManagerRole, str]] = ...) -> None: ...

class ManagerMetrics(_message.Message):
    __slots__ = ("active_workers", "tasks_completed", "tasks_failed", "prefetch_buffer_size", "worker_restarts", "prefetch_hits", "prefetch_misses")
    ACTIVE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    TASKS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TASKS_FAILED_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_BUFFER_SIZE_FIELD_NUMBER: _ClassVar[int]
    WORKER_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_HITS_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_MISSES_FIELD_NUMBER: _ClassVar[int]
    active_workers: int
    tasks_completed: int
    tasks_failed: int
    prefetch_buffer_size: int
    worker_restarts: int
    prefetch_hits: int
    prefetch_misses: int
    def __init__(self, active_workers: _Optional[int] = ..., tasks_completed: _Optional[int] = ..., tasks_failed: _Optional[int] = ..., prefetch_buffer_size: _Optional[int] = ..., worker_restarts: _Optional[int] = ..., prefetch_hits: _Optional[int] = ..., prefetch_misses: _Optional[int] = ...) -> None: ...

class NodeManager(_message.Message):
    __slots__ = ("uuid", "name", "state", "tags", "max_workers", "group_memberships", "assigned_suite_uuid", "metrics", "created_by", "created_at", "last_heartbeat", "version", "hostname", "reason", "draining")
    UUID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    GROUP_MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_SUITE_UUID_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    name: str
    state: NodeManagerState
    tags: _containers.RepeatedScalarFieldContainer[str]
    max_workers: int
    group_memberships: _containers.RepeatedCompositeFieldContainer[GroupMembership]
    assigned_suite_uuid: str
    metrics: ManagerMetrics
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    last_heartbeat: _timestamp_pb2.Timestamp
    version: str
    hostname: str
    reason: str
    draining: bool
    def __init__(self, uuid: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[NodeManagerState, str]] = ..., tags: _Optional[_Iterable[str]] = ..., max_workers: _Optional[int] = ..., group_memberships: _Optional[_Iterable[_Union[GroupMembership, _Mapping]]] = ..., assigned_suite_uuid: _Optional[str] = ..., metrics: _Optional[_Union[ManagerMetrics, _Mapping]] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_heartbeat: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ..., hostname: _Optional[str] = ..., reason: _Optional[str] = ..., draining: _Optional[bool] = ...) -> None: ...
