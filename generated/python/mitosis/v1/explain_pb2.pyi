import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ObstacleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBSTACLE_KIND_UNSPECIFIED: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_SUITE_FAILED: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_RETRY_BACK_OFF: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_NOTHING_READY: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_BUFFER_FULL: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_PREPARING: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_CLEANING: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_SILENT: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_ENOUGH_MANAGERS: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_BUSY: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_ENVIRONMENT_BACK_OFF: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_EXCLUDED: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_QUARANTINED: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_OFFLINE: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_NOT_MATCHED: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_NOT_CHOSEN: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_MISSING_TAGS: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_NO_PERMISSION: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_NO_HOLDER: _ClassVar[ObstacleKind]
    OBSTACLE_KIND_DRAINING: _ClassVar[ObstacleKind]
OBSTACLE_KIND_UNSPECIFIED: ObstacleKind
OBSTACLE_KIND_SUITE_FAILED: ObstacleKind
OBSTACLE_KIND_RETRY_BACK_OFF: ObstacleKind
OBSTACLE_KIND_NOTHING_READY: ObstacleKind
OBSTACLE_KIND_BUFFER_FULL: ObstacleKind
OBSTACLE_KIND_PREPARING: ObstacleKind
OBSTACLE_KIND_CLEANING: ObstacleKind
OBSTACLE_KIND_SILENT: ObstacleKind
OBSTACLE_KIND_ENOUGH_MANAGERS: ObstacleKind
OBSTACLE_KIND_BUSY: ObstacleKind
OBSTACLE_KIND_ENVIRONMENT_BACK_OFF: ObstacleKind
OBSTACLE_KIND_EXCLUDED: ObstacleKind
OBSTACLE_KIND_QUARANTINED: ObstacleKind
OBSTACLE_KIND_OFFLINE: ObstacleKind
OBSTACLE_KIND_NOT_MATCHED: ObstacleKind
OBSTACLE_KIND_NOT_CHOSEN: ObstacleKind
OBSTACLE_KIND_MISSING_TAGS: ObstacleKind
OBSTACLE_KIND_NO_PERMISSION: ObstacleKind
OBSTACLE_KIND_NO_HOLDER: ObstacleKind
OBSTACLE_KIND_DRAINING: ObstacleKind

class Obstacle(_message.Message):
    __slots__ = ("kind", "message", "manager_uuid", "manager_name", "worker_uuid", "worker_name", "missing_tags", "group_name", "suite_uuids", "since", "until", "detail", "unseen_holders")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MANAGER_UUID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKER_UUID_FIELD_NUMBER: _ClassVar[int]
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    MISSING_TAGS_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    SUITE_UUIDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_HOLDERS_FIELD_NUMBER: _ClassVar[int]
    kind: ObstacleKind
    message: str
    manager_uuid: str
    manager_name: str
    worker_uuid: str
    worker_name: str
    missing_tags: _containers.RepeatedScalarFieldContainer[str]
    group_name: str
    suite_uuids: _containers.RepeatedScalarFieldContainer[str]
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    detail: str
    unseen_holders: int
    def __init__(self, kind: _Optional[_Union[ObstacleKind, str]] = ..., message: _Optional[str] = ..., manager_uuid: _Optional[str] = ..., manager_name: _Optional[str] = ..., worker_uuid: _Optional[str] = ..., worker_name: _Optional[str] = ..., missing_tags: _Optional[_Iterable[str]] = ..., group_name: _Optional[str] = ..., suite_uuids: _Optional[_Iterable[str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detail: _Optional[str] = ..., unseen_holders: _Optional[int] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("summary", "obstacles", "explained_at", "position", "holders_left_out")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    OBSTACLES_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_AT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    summary: str
    obstacles: _containers.RepeatedCompositeFieldContainer[Obstacle]
    explained_at: _timestamp_pb2.Timestamp
    position: int
    holders_left_out: int
    def __init__(self, summary: _Optional[str] = ..., obstacles: _Optional[_Iterable[_Union[Obstacle, _Mapping]]] = ..., explained_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[int] = ..., holders_left_out: _Optional[int] = ...) -> None: ...
