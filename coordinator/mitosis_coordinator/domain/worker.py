"""The life of an independent worker, as the coordinator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

# So many lost workers, each blamed on the same task, end it: what ends every process that runs it would do so for ever.
MAX_WORKERS_LOST = 5


class WorkerState(StrEnum):
    """Where a worker stands; the values are what users see."""

    OFFLINE = "Offline"
    IDLE = "Idle"
    BUSY = "Busy"


@dataclass(frozen=True, slots=True)
class WorkerPulse:
    """What a heartbeat says: where the worker stands, and counters since its process started."""

    state: WorkerState = WorkerState.IDLE
    tasks_completed: int = 0
    tasks_failed: int = 0


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """One group whose tasks a worker may run."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Worker:
    """An independent worker as stored."""

    id: UUID
    name: str
    pulse: WorkerPulse
    tags: tuple[str, ...]
    groups: tuple[WorkerGroup, ...]
    created_by: str
    created_at: datetime
    last_heartbeat_at: datetime | None
    version: str
    hostname: str
