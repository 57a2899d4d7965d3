"""Explanations as dataclasses; see `mitosis_client.models`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mitosis_client.models import DocumentedEnum, Model


class ObstacleKind(DocumentedEnum):
    """What keeps something from running."""

    SUITE_FAILED = "SuiteFailed"
    RETRY_BACK_OFF = "RetryBackOff"
    NOTHING_READY = "NothingReady"
    BUFFER_FULL = "BufferFull"
    PREPARING = "Preparing"
    CLEANING = "Cleaning"
    SILENT = "Silent"
    ENOUGH_MANAGERS = "EnoughManagers"
    BUSY = "Busy"
    ENVIRONMENT_BACK_OFF = "EnvironmentBackOff"
    EXCLUDED = "Excluded"
    QUARANTINED = "Quarantined"
    OFFLINE = "Offline"
    NOT_MATCHED = "NotMatched"
    NOT_CHOSEN = "NotChosen"
    MISSING_TAGS = "MissingTags"
    NO_PERMISSION = "NoPermission"
    NO_HOLDER = "NoHolder"
    DRAINING = "Draining"


@dataclass(frozen=True, slots=True)
class Obstacle(Model):
    """One thing that is in the way, of one manager or independent worker, or of all.

    `unseen_holders` counts those that the caller may not see.
    """

    kind: ObstacleKind | None = None
    message: str = ""
    manager_uuid: str = ""
    manager_name: str = ""
    worker_uuid: str = ""
    worker_name: str = ""
    missing_tags: tuple[str, ...] = ()
    group_name: str = ""
    suite_uuids: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    detail: str = ""
    unseen_holders: int = 0


@dataclass(frozen=True, slots=True)
class Explanation(Model):
    """Why a suite or a task does not run, or where it runs; `obstacles` has the most decisive first.

    `position` is a task's place in line, 10001 for any behind the 10000th; `None` when it is not in line.
    """

    summary: str = ""
    obstacles: tuple[Obstacle, ...] = ()
    explained_at: datetime | None = None
    position: int | None = None
    holders_left_out: int = 0
