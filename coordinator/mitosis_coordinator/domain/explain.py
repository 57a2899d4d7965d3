"""Why something does not run: facts in, obstacles out.

The rules say for one holder what keeps it from taking a suite or a task now. They mirror the statements that hand
things out: `pick_suite` and `claim_tasks` for managers, `claim_independent_tasks` for workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from mitosis_coordinator.domain.manager import ManagerState
from mitosis_coordinator.domain.suite import Selection, SuiteState
from mitosis_coordinator.domain.worker import WorkerState

MAX_POSITION: Final = 10_001
"""Stands for every place in line behind the 10,000th."""


class ObstacleKind(StrEnum):
    """What keeps something from running; the nearest to running comes first."""

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
    DRAINING = "Draining"
    QUARANTINED = "Quarantined"
    OFFLINE = "Offline"
    NOT_MATCHED = "NotMatched"
    NOT_CHOSEN = "NotChosen"
    MISSING_TAGS = "MissingTags"
    NO_PERMISSION = "NoPermission"
    NO_HOLDER = "NoHolder"


NEARNESS: Final = {kind: place for place, kind in enumerate(ObstacleKind)}

RUNNABLE_BY: Final = frozenset(kind for kind in ObstacleKind if NEARNESS[kind] < NEARNESS[ObstacleKind.NOT_MATCHED])
"""What is said of a holder that may run it, only not now."""


@dataclass(frozen=True, slots=True)
class HeldSuite:
    """The suite that a manager holds; `visible` is whether the caller may know which."""

    id: UUID
    name: str
    priority: int
    visible: bool
    state: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ManagerFacts:
    """What the standing of one manager towards a suite, or a task of it, depends on.

    Attributes:
        visible: Whether the caller may know of it.
        missing_tags: Tags of the suite that it lacks.
        works_for_group: Whether it has the role Worker in the suite's group.
        selection: Why it is eligible; None when it is not.
        has_work: Whether a task that could be handed out does not exclude it; of a task, whether that one does not.
        may_join: Whether the suite has more tasks for managers than managers.
        heard_recently: Whether it has been heard of lately.
        retry_after: Until when it keeps away after a failed preparation of this suite.
        worn_out_at: When the task killed its workers for the last time that it allows.
        trouble: What it wrote or said when that failed.
    """

    id: UUID
    name: str
    visible: bool
    state: ManagerState
    draining: bool
    reason: str
    missing_tags: tuple[str, ...]
    works_for_group: bool
    selection: Selection | None
    held: HeldSuite | None
    has_work: bool
    may_join: bool
    heard_recently: bool
    last_heartbeat_at: datetime | None
    retry_after: datetime | None
    preparation_failures: int
    worn_out_at: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What the standing of one independent worker towards a task depends on; see `ManagerFacts`."""

    id: UUID
    name: str
    visible: bool
    state: WorkerState
    missing_tags: tuple[str, ...]
    works_for_group: bool
    excluded: bool
    holds_tasks: bool
    heard_recently: bool
    last_heartbeat_at: datetime | None
    worn_out_at: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """What the standing of a suite depends on.

    Attributes:
        ready: Whether a task could be handed out.
        next_retry_at: When the next task that waits for a retry may be; None when that is not known.
        completes_at: When it completes if nothing happens; None when tasks are pending or nothing was ever submitted.
        executing_managers: How many managers run tasks of it.
    """

    id: UUID
    group_name: str
    state: SuiteState
    reason: str
    priority: int
    managers_by_hand: bool
    closed: bool
    pending: int
    total: int
    ready: bool
    next_retry_at: datetime | None
    completes_at: datetime | None
    finished_at: datetime | None
    assigned_managers: int
    executing_managers: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that is in the way, of one holder or of all; `unseen_holders` counts holders that have no name here."""

    kind: ObstacleKind
    message: str
    manager_id: UUID | None = None
    manager_name: str = ""
    worker_id: UUID | None = None
    worker_name: str = ""
    missing_tags: tuple[str, ...] = ()
    group_name: str = ""
    suite_ids: tuple[UUID, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    detail: str = ""
    unseen_holders: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer: one sentence, and what is in the way, the most decisive first."""

    summary: str
    obstacles: tuple[Obstacle, ...]
    explained_at: datetime
    position: int | None = None
    holders_left_out: int = 0


ManagerRule = tuple[ObstacleKind, Callable[[SuiteFacts, ManagerFacts, datetime], bool]]
WorkerRule = tuple[ObstacleKind, Callable[[WorkerFacts], bool]]


def _holds(suite: SuiteFacts, manager: ManagerFacts, *states: ManagerState) -> bool:
    return manager.held is not None and manager.held.id == suite.id and manager.held.state in states


# The first that is true. A manager that holds the suite gets its tasks whatever was changed since it was given to it.
MANAGER_RULES: Final[tuple[ManagerRule, ...]] = (
    (
        ObstacleKind.PREPARING,
        lambda suite, manager, now: _holds(suite, manager, ManagerState.ASSIGNED, ManagerState.PREPARING),
    ),
    (ObstacleKind.CLEANING, lambda suite, manager, now: _holds(suite, manager, ManagerState.CLEANING)),
    (
        ObstacleKind.BUFFER_FULL,
        lambda suite, manager, now: manager.has_work and _holds(suite, manager, ManagerState.EXECUTING),
    ),
    (ObstacleKind.EXCLUDED, lambda suite, manager, now: _holds(suite, manager, ManagerState.EXECUTING)),
    (ObstacleKind.NO_PERMISSION, lambda suite, manager, now: not manager.works_for_group),
    (
        ObstacleKind.NOT_CHOSEN,
        lambda suite, manager, now: suite.managers_by_hand and manager.selection is not Selection.USER_SPECIFIED,
    ),
    (
        ObstacleKind.MISSING_TAGS,
        lambda suite, manager, now: manager.selection is None and bool(manager.missing_tags),
    ),
    (ObstacleKind.NOT_MATCHED, lambda suite, manager, now: manager.selection is None),
    (ObstacleKind.OFFLINE, lambda suite, manager, now: manager.state is ManagerState.OFFLINE),
    (ObstacleKind.QUARANTINED, lambda suite, manager, now: manager.state is ManagerState.FAILED),
    (ObstacleKind.DRAINING, lambda suite, manager, now: manager.draining),
    (ObstacleKind.EXCLUDED, lambda suite, manager, now: not manager.has_work),
    (
        ObstacleKind.ENVIRONMENT_BACK_OFF,
        lambda suite, manager, now: manager.retry_after is not None and manager.retry_after > now,
    ),
    (ObstacleKind.BUSY, lambda suite, manager, now: manager.held is not None),
    (ObstacleKind.ENOUGH_MANAGERS, lambda suite, manager, now: not manager.may_join),
    (ObstacleKind.SILENT, lambda suite, manager, now: not manager.heard_recently),
)

WORKER_RULES: Final[tuple[WorkerRule, ...]] = (
    (ObstacleKind.NO_PERMISSION, lambda worker: not worker.works_for_group),
    (ObstacleKind.MISSING_TAGS, lambda worker: bool(worker.missing_tags)),
    (ObstacleKind.OFFLINE, lambda worker: worker.state is WorkerState.OFFLINE),
    (ObstacleKind.EXCLUDED, lambda worker: worker.excluded),
    (ObstacleKind.BUFFER_FULL, lambda worker: worker.holds_tasks),
    (ObstacleKind.SILENT, lambda worker: not worker.heard_recently),
)


def manager_obstacle(suite: SuiteFacts, manager: ManagerFacts, now: datetime) -> ObstacleKind | None:
    """What keeps a manager from a suite that has something to hand out; None when it is about to be given to it."""
    return next((kind for kind, holds in MANAGER_RULES if holds(suite, manager, now)), None)


def worker_obstacle(worker: WorkerFacts) -> ObstacleKind | None:
    """What keeps an independent worker from a task that can be handed out; None when it is about to get it."""
    return next((kind for kind, holds in WORKER_RULES if holds(worker)), None)


Facts = TypeVar("Facts", ManagerFacts, WorkerFacts)


def nearest_first(judged: Iterable[tuple[ObstacleKind, Facts]]) -> Sequence[tuple[ObstacleKind, Facts]]:
    """Holders with what keeps each, the nearest to running it first."""
    return sorted(judged, key=lambda one: (NEARNESS[one[0]], len(one[1].missing_tags), one[1].name))
