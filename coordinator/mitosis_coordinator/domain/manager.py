"""The life of a node manager, as the coordinator sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mitosis_coordinator.domain.lifecycle import Lifecycle


class ManagerState(StrEnum):
    """Where a manager stands; the values are what users see."""

    OFFLINE = "Offline"
    IDLE = "Idle"
    ASSIGNED = "Assigned"
    PREPARING = "Preparing"
    EXECUTING = "Executing"
    CLEANING = "Cleaning"
    FAILED = "Failed"


class ManagerEvent(StrEnum):
    """What can happen to a manager."""

    ATTACHED = "attached"
    ASSIGNED = "assigned"
    PREPARING = "preparing"
    EXECUTING = "executing"
    CLEANING = "cleaning"
    RELEASED = "released"
    QUARANTINED = "quarantined"
    LEFT = "left"
    TIMED_OUT = "timed_out"


_OFFLINE, _IDLE, _FAILED = ManagerState.OFFLINE, ManagerState.IDLE, ManagerState.FAILED
_ASSIGNED, _PREPARING = ManagerState.ASSIGNED, ManagerState.PREPARING
_EXECUTING, _CLEANING = ManagerState.EXECUTING, ManagerState.CLEANING

MANAGER: Lifecycle[ManagerState, ManagerEvent] = Lifecycle(
    kind="manager",
    initial=_OFFLINE,
    transitions={
        # A restart clears a quarantine; an attach that resumes keeps the state it finds.
        (_OFFLINE, ManagerEvent.ATTACHED): _IDLE,
        (_IDLE, ManagerEvent.ATTACHED): _IDLE,
        (_FAILED, ManagerEvent.ATTACHED): _IDLE,
        (_ASSIGNED, ManagerEvent.ATTACHED): _IDLE,
        (_PREPARING, ManagerEvent.ATTACHED): _IDLE,
        (_EXECUTING, ManagerEvent.ATTACHED): _IDLE,
        (_CLEANING, ManagerEvent.ATTACHED): _IDLE,
        (_IDLE, ManagerEvent.ASSIGNED): _ASSIGNED,
        (_ASSIGNED, ManagerEvent.PREPARING): _PREPARING,
        (_ASSIGNED, ManagerEvent.EXECUTING): _EXECUTING,
        (_PREPARING, ManagerEvent.EXECUTING): _EXECUTING,
        (_ASSIGNED, ManagerEvent.CLEANING): _CLEANING,
        (_PREPARING, ManagerEvent.CLEANING): _CLEANING,
        (_EXECUTING, ManagerEvent.CLEANING): _CLEANING,
        (_ASSIGNED, ManagerEvent.RELEASED): _IDLE,
        (_PREPARING, ManagerEvent.RELEASED): _IDLE,
        (_EXECUTING, ManagerEvent.RELEASED): _IDLE,
        (_CLEANING, ManagerEvent.RELEASED): _IDLE,
        (_IDLE, ManagerEvent.QUARANTINED): _FAILED,
        (_IDLE, ManagerEvent.LEFT): _OFFLINE,
        (_ASSIGNED, ManagerEvent.LEFT): _OFFLINE,
        (_PREPARING, ManagerEvent.LEFT): _OFFLINE,
        (_EXECUTING, ManagerEvent.LEFT): _OFFLINE,
        (_CLEANING, ManagerEvent.LEFT): _OFFLINE,
        (_FAILED, ManagerEvent.LEFT): _OFFLINE,
        (_IDLE, ManagerEvent.TIMED_OUT): _OFFLINE,
        (_ASSIGNED, ManagerEvent.TIMED_OUT): _OFFLINE,
        (_PREPARING, ManagerEvent.TIMED_OUT): _OFFLINE,
        (_EXECUTING, ManagerEvent.TIMED_OUT): _OFFLINE,
        (_CLEANING, ManagerEvent.TIMED_OUT): _OFFLINE,
        (_FAILED, ManagerEvent.TIMED_OUT): _OFFLINE,
    },
)

HOLDING_STATES = (_ASSIGNED, _PREPARING, _EXECUTING, _CLEANING)

QUARANTINE_AFTER = 3
"""Different suites in a row that a manager may fail to prepare."""


class ManagerRole(StrEnum):
    """What a manager may do for a group."""

    WORKER = "Worker"
    ADMIN = "Admin"


@dataclass(frozen=True, slots=True)
class Membership:
    """One group that a manager belongs to."""

    group_id: UUID
    group_name: str
    role: ManagerRole


@dataclass(frozen=True, slots=True)
class ManagerMetrics:
    """Counters since the manager's start, as its heartbeat tells them."""

    active_workers: int = 0
    tasks_completed: int = 0
    tasks_failed: int = 0
    prefetch_buffer_size: int = 0
    worker_restarts: int = 0
    prefetch_hits: int = 0
    prefetch_misses: int = 0


@dataclass(frozen=True, slots=True)
class Manager:
    """A node manager as stored."""

    id: UUID
    name: str
    state: ManagerState
    tags: tuple[str, ...]
    max_workers: int
    memberships: tuple[Membership, ...]
    assigned_suite_id: UUID | None
    metrics: ManagerMetrics
    created_by: str
    created_at: datetime
    last_heartbeat_at: datetime | None
    version: str
    hostname: str
    reason: str
    draining: bool


def preparation_failed(failed_suites: Sequence[UUID], suite_id: UUID) -> list[UUID]:
    """The different suites that a manager failed to prepare in a row, one more included."""
    return [*(failed for failed in failed_suites if failed != suite_id), suite_id]


def quarantined(failed_suites: Sequence[UUID]) -> bool:
    """Whether so many preparations failed that the environment of the machine must be broken."""
    return len(failed_suites) >= QUARANTINE_AFTER


def preparation_backoff_seconds(failures: int) -> float:
    """How long a manager keeps away from a suite after that many failed preparations in a row of it."""
    return float(min(60, 2 ** max(0, failures - 1)))
