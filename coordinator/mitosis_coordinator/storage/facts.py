"""What transactions did, for those who count it: told once it is committed, and never when it was rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import ManagerState
from mitosis_coordinator.domain.suite import SuiteState
from mitosis_coordinator.domain.task import FailureKind, Outcome


@dataclass(frozen=True, slots=True)
class SuiteCreated:
    """A suite was created in a group."""

    group_name: str


@dataclass(frozen=True, slots=True)
class SuiteMoved:
    """A suite entered another state."""

    before: SuiteState
    after: SuiteState


@dataclass(frozen=True, slots=True)
class SuiteCompleted:
    """A suite is Complete, so many seconds after the first manager took it."""

    group_name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ManagerMoved:
    """A manager entered another state."""

    manager_id: UUID
    before: ManagerState
    after: ManagerState


@dataclass(frozen=True, slots=True)
class ManagerAttached:
    """A manager began a session, as another process than before or with a new stream alone."""

    manager_id: UUID
    restarted: bool


@dataclass(frozen=True, slots=True)
class HookEnded:
    """A hook ended."""

    hook_type: HookType
    result: HookResult
    seconds: float


@dataclass(frozen=True, slots=True)
class TasksSubmitted:
    """Tasks were stored, with a suite or without."""

    in_suite: bool
    count: int


@dataclass(frozen=True, slots=True)
class TasksClaimed:
    """Tasks were handed to a manager, or to an independent worker."""

    managed: bool
    count: int


@dataclass(frozen=True, slots=True)
class AttemptsEnded:
    """Reports were taken from a manager, or from an independent worker."""

    managed: bool
    outcomes: Counter[Outcome]


@dataclass(frozen=True, slots=True)
class ReportsStale:
    """Reports came too late and were ignored."""

    count: int


class Cause(StrEnum):
    """Why tasks that were held are Ready again, but for their own failures."""

    HOLDER_LOST = "holder_lost"
    ASSIGNMENT_ENDED = "assignment_ended"
    HANDED_BACK = "handed_back"


@dataclass(frozen=True, slots=True)
class TasksReclaimed:
    """Held tasks are Ready again."""

    cause: Cause
    count: int


@dataclass(frozen=True, slots=True)
class TasksRetried:
    """Tasks are tried again, at the expense of a budget."""

    kind: FailureKind
    count: int


Fact: TypeAlias = (
    SuiteCreated
    | SuiteMoved
    | SuiteCompleted
    | ManagerMoved
    | ManagerAttached
    | HookEnded
    | TasksSubmitted
    | TasksClaimed
    | AttemptsEnded
    | ReportsStale
    | TasksReclaimed
    | TasksRetried
)

Listener: TypeAlias = Callable[[Sequence[Fact], float], None]
"""Told of the facts of one transaction, and how many seconds it took, the wait for a connection included."""
