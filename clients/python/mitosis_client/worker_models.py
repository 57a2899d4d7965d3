"""Independent workers as dataclasses; see `mitosis_client.models`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mitosis_client.models import DocumentedEnum, Model


class WorkerState(DocumentedEnum):
    """Where an independent worker stands."""

    OFFLINE = "Offline"
    IDLE = "Idle"
    BUSY = "Busy"


@dataclass(frozen=True, slots=True)
class Worker(Model):
    """A process that runs tasks of no suite; its counters are since its start."""

    uuid: str = ""
    name: str = ""
    state: WorkerState = WorkerState.OFFLINE
    tags: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    tasks_completed: int = 0
    tasks_failed: int = 0
    created_by: str = ""
    created_at: datetime | None = None
    last_heartbeat: datetime | None = None
    version: str = ""
    hostname: str = ""
