"""Independent workers and their assignments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.domain.worker import Worker, WorkerGroup, WorkerPulse, WorkerState
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_one, fetch_value, read_orders

_SQL = load_queries("workers")


@dataclass(frozen=True, slots=True)
class WorkerFilter:
    """What a list of workers is narrowed to; None does not narrow."""

    group_ids: Sequence[UUID] | None
    state: WorkerState | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerIntroduction:
    """What a worker says of itself when a session begins."""

    session_uuid: UUID
    tags: tuple[str, ...]
    version: str
    hostname: str


@dataclass(frozen=True, slots=True)
class LockedWorker:
    """The columns of a worker that decisions need."""

    name: str
    session_epoch: int
    session_uuid: UUID | None


@dataclass(frozen=True, slots=True)
class BlamedTask:
    """A task to which the loss of a worker was charged, and how many it has lost by now."""

    task_id: UUID
    attempt: int
    workers_lost: int


async def insert(
    connection: Connection, worker_id: UUID, name: str, tags: Sequence[str], token_id: UUID, created_by: str
) -> bool:
    """Register a worker; False when the name is taken."""
    parameters = {"id": worker_id, "name": name, "tags": list(tags), "token_id": token_id, "created_by": created_by}
    return await fetch_value(connection, _SQL["insert_worker"], parameters) is not None


async def insert_groups(connection: Connection, worker_id: UUID, group_ids: Sequence[UUID]) -> None:
    """Let a worker run the tasks of groups."""
    await execute(connection, _SQL["insert_groups"], {"worker_id": worker_id, "group_ids": list(group_ids)})


async def get(connection: Connection, worker_id: UUID) -> Worker | None:
    """Read one worker."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["get_worker"], {"worker_id": worker_id})
        row = await cursor.fetchone()
        return None if row is None else _worker(row)


async def listed(connection: Connection, wanted: WorkerFilter, after: str | None, limit: int) -> list[Worker]:
    """Read one page, by name."""
    parameters = {
        "group_ids": None if wanted.group_ids is None else list(wanted.group_ids),
        "state": wanted.state,
        "tags": list(wanted.tags),
        "after": after,
        "limit": limit,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["list_workers"], parameters)
        return [_worker(row) for row in await cursor.fetchall()]


async def name_by_token(connection: Connection, worker_id: UUID, token_id: UUID) -> str | None:
    """The name of the worker that a token belongs to; None when the token is not valid any more."""
    parameters = {"worker_id": worker_id, "token_id": token_id}
    name: str | None = await fetch_value(connection, _SQL["worker_by_token"], parameters)
    return name


async def replace_token(connection: Connection, worker_id: UUID, token_id: UUID, *, at_once: bool) -> None:
    """Give a worker a new token; the old one ends now or a minute later."""
    query = _SQL["replace_token_at_once"] if at_once else _SQL["replace_token"]
    await execute(connection, query, {"worker_id": worker_id, "token_id": token_id})


async def lock(connection: Connection, worker_id: UUID) -> LockedWorker | None:
    """Read one worker and keep others from changing it until the transaction ends."""
    return await fetch_one(connection, LockedWorker, _SQL["lock_worker"], {"worker_id": worker_id})


async def group_ids(connection: Connection, worker_id: UUID) -> list[UUID]:
    """The groups whose tasks a worker may run."""
    cursor = await connection.execute(_SQL["groups_of_worker"], {"worker_id": worker_id})
    return [row[0] for row in await cursor.fetchall()]


async def held_assignment(connection: Connection, worker_id: UUID) -> int | None:
    """The assignment of a worker that lasts."""
    assignment_id: int | None = await fetch_value(connection, _SQL["held_assignment"], {"worker_id": worker_id})
    return assignment_id


async def attach(connection: Connection, worker_id: UUID, introduction: WorkerIntroduction, *, resumes: bool) -> int:
    """Begin a session; its epoch."""
    parameters = {
        "worker_id": worker_id,
        "session_uuid": introduction.session_uuid,
        "tags": list(introduction.tags),
        "version": introduction.version,
        "hostname": introduction.hostname,
        "resumes": resumes,
    }
    epoch: int = await fetch_value(connection, _SQL["attach_worker"], parameters)
    return epoch


async def insert_assignment(connection: Connection, worker_id: UUID, session_epoch: int) -> int:
    """Make a worker, which holds nothing, a holder of tasks."""
    parameters = {"worker_id": worker_id, "session_epoch": session_epoch}
    assignment_id: int = await fetch_value(connection, _SQL["insert_assignment"], parameters)
    return assignment_id


async def blame(
    connection: Connection, worker_id: UUID, assignment_id: int, error: str, kept: Iterable[AttemptRef]
) -> BlamedTask | None:
    """Charge the loss of a worker to the task that it ran; None when it held none besides `kept`."""
    parameters = {
        "worker_id": worker_id,
        "assignment_id": assignment_id,
        "error": error,
        "kept": [ref.task_id for ref in kept],
    }
    return await fetch_one(connection, BlamedTask, _SQL["blame_task"], parameters)


async def set_offline(connection: Connection, worker_id: UUID) -> None:
    """A worker left or was lost."""
    await execute(connection, _SQL["set_offline"], {"worker_id": worker_id})


async def write_pulses(connection: Connection, pulses: Sequence[tuple[UUID, int, WorkerPulse]]) -> set[UUID]:
    """Write the liveness of many workers, each with the epoch of its session.

    Returns:
        Those whose session is current, and has nothing to look at.
    """
    parameters = {
        "ids": [worker_id for worker_id, _, _ in pulses],
        "epochs": [epoch for _, epoch, _ in pulses],
        "states": [str(pulse.state) for _, _, pulse in pulses],
        "completed": [pulse.tasks_completed for _, _, pulse in pulses],
        "failed": [pulse.tasks_failed for _, _, pulse in pulses],
    }
    cursor = await connection.execute(_SQL["write_pulses"], parameters)
    return {row[0] for row in await cursor.fetchall()}


async def orders(connection: Connection, worker_id: UUID) -> StandingOrders | None:
    """What there is to say to a connected worker; None when it is gone."""
    return await fetch_one(connection, read_orders, _SQL["orders"], {"worker_id": worker_id})


async def order_shutdown(connection: Connection, worker_id: UUID, reason: str, *, graceful: bool) -> bool:
    """Order the process of a worker to end, wherever it is connected; False when it is not believed to live."""
    parameters = {"worker_id": worker_id, "reason": reason, "graceful": graceful}
    return await fetch_value(connection, _SQL["order_shutdown"], parameters) is not None


async def silent(connection: Connection, timeout_seconds: float) -> list[UUID]:
    """Workers that stayed away longer than the timeout, at most 1000."""
    cursor = await connection.execute(_SQL["silent_workers"], {"timeout_seconds": timeout_seconds})
    return [row[0] for row in await cursor.fetchall()]


async def still_silent(connection: Connection, worker_id: UUID, timeout_seconds: float) -> bool:
    """Whether a worker is silent still; locks it."""
    parameters = {"worker_id": worker_id, "timeout_seconds": timeout_seconds}
    return await fetch_value(connection, _SQL["still_silent"], parameters) is not None


def _worker(row: Mapping[str, Any]) -> Worker:
    return Worker(
        id=row["id"],
        name=row["name"],
        pulse=WorkerPulse(WorkerState(row["state"]), row["tasks_completed"], row["tasks_failed"]),
        tags=tuple(row["tags"]),
        groups=tuple(WorkerGroup(UUID(group["id"]), group["name"]) for group in row["groups"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        last_heartbeat_at=row["last_heartbeat_at"],
        version=row["version"],
        hostname=row["hostname"],
    )
