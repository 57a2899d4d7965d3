"""Node managers and assignments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import (
    MANAGER,
    Manager,
    ManagerEvent,
    ManagerMetrics,
    ManagerRole,
    ManagerState,
    Membership,
)
from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.storage import facts
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all, fetch_one, fetch_value, read_orders

_SQL = load_queries("managers")
_ASSIGNMENTS = load_queries("assignments")


@dataclass(frozen=True, slots=True)
class ManagerFilter:
    """What a list of managers is narrowed to; None does not narrow."""

    group_ids: Sequence[UUID] | None
    state: ManagerState | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedManager:
    """The columns of a manager that decisions need."""

    id: UUID
    name: str
    state: str
    session_epoch: int
    session_uuid: UUID | None
    failed_preparations: list[UUID]
    tags: list[str]
    max_workers: int
    draining: bool


@dataclass(frozen=True, slots=True)
class HeldAssignment:
    """One manager holding one suite."""

    id: int
    task_suite_id: UUID
    manager_id: UUID
    state: str
    session_epoch: int


@dataclass(frozen=True, slots=True)
class Holder:
    """A manager that holds a suite, where it stands, and how many workers it may run."""

    assignment_id: int
    manager_id: UUID
    state: str
    max_workers: int


@dataclass(frozen=True, slots=True)
class TailHolder:
    """A manager that executes a suite with no Ready task, and what it holds; see `domain.balance.Share`."""

    assignment_id: int
    manager_id: UUID
    max_workers: int
    held: int
    long_running: int
    bound: bool


@dataclass(frozen=True, slots=True)
class HookReport:
    """How a hook ended, as the manager tells it."""

    assignment_id: int
    hook_type: HookType
    result: HookResult
    exit_code: int | None
    error: str
    output_tail: str
    started_at: datetime
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a manager says of itself when a session begins."""

    session_uuid: UUID
    tags: tuple[str, ...]
    max_workers: int
    version: str
    hostname: str


async def insert(
    connection: Connection,
    manager_id: UUID,
    name: str,
    tags: Sequence[str],
    max_workers: int,
    token_id: UUID,
    created_by: str,
) -> bool:
    """Register a manager; False when the name is taken."""
    parameters = {
        "id": manager_id,
        "name": name,
        "tags": list(tags),
        "max_workers": max_workers,
        "token_id": token_id,
        "created_by": created_by,
    }
    return await fetch_value(connection, _SQL["insert_manager"], parameters) is not None


async def insert_memberships(
    connection: Connection, manager_id: UUID, memberships: Sequence[tuple[UUID, ManagerRole]]
) -> None:
    """Put a manager into groups."""
    parameters = {
        "manager_id": manager_id,
        "group_ids": [group_id for group_id, _ in memberships],
        "roles": [str(role) for _, role in memberships],
    }
    await execute(connection, _SQL["insert_memberships"], parameters)


async def get(connection: Connection, manager_id: UUID) -> Manager | None:
    """Read one manager."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["get_manager"], {"manager_id": manager_id})
        row = await cursor.fetchone()
        return None if row is None else _manager(row)


async def listed(connection: Connection, wanted: ManagerFilter, after: str | None, limit: int) -> list[Manager]:
    """Read one page, by name."""
    parameters = {
        "group_ids": None if wanted.group_ids is None else list(wanted.group_ids),
        "state": wanted.state,
        "tags": list(wanted.tags),
        "after": after,
        "limit": limit,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["list_managers"], parameters)
        return [_manager(row) for row in await cursor.fetchall()]


async def name_by_token(connection: Connection, manager_id: UUID, token_id: UUID) -> str | None:
    """The name of the manager that a token belongs to; None when the token is not valid any more."""
    cursor = await connection.execute(_SQL["manager_by_token"], {"manager_id": manager_id, "token_id": token_id})
    row = await cursor.fetchone()
    return None if row is None else row[1]


async def replace_token(connection: Connection, manager_id: UUID, token_id: UUID, *, at_once: bool) -> None:
    """Give a manager a new token; the old one ends now or a minute later."""
    query = _SQL["replace_token_at_once"] if at_once else _SQL["replace_token"]
    await execute(connection, query, {"manager_id": manager_id, "token_id": token_id})


async def lock(connection: Connection, manager_id: UUID) -> LockedManager | None:
    """Read one manager and keep others from changing it until the transaction ends."""
    return await fetch_one(connection, LockedManager, _SQL["lock_manager"], {"manager_id": manager_id})


async def held_assignment(connection: Connection, manager_id: UUID) -> HeldAssignment | None:
    """What a manager holds."""
    return await fetch_one(connection, HeldAssignment, _SQL["held_assignment"], {"manager_id": manager_id})


async def attach(
    connection: Connection, manager_id: UUID, introduction: Introduction, state: ManagerState, *, restarted: bool
) -> int:
    """Begin a session; its epoch."""
    parameters = {
        "manager_id": manager_id,
        "session_uuid": introduction.session_uuid,
        "tags": list(introduction.tags),
        "max_workers": introduction.max_workers,
        "version": introduction.version,
        "hostname": introduction.hostname,
        "state": state,
        "restarted": restarted,
    }
    cursor = await connection.execute(_SQL["attach_manager"], parameters)
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("attach_manager returned no row")
    epoch: int = row[0]
    connection.facts.append(facts.ManagerAttached(manager_id, restarted))
    _note_move(connection, manager_id, ManagerState(row[1]), state)
    return epoch


async def set_state(
    connection: Connection, manager_id: UUID, state: ManagerState, event: ManagerEvent, reason: str = ""
) -> bool:
    """Move a manager along its lifecycle; False when its state does not allow the event."""
    parameters = {"manager_id": manager_id, "state": state, "reason": reason, "allowed": MANAGER.sources(event)}
    before: str | None = await fetch_value(connection, _SQL["set_manager_state"], parameters)
    if before is None:
        return False
    _note_move(connection, manager_id, ManagerState(before), state)
    return True


def _note_move(connection: Connection, manager_id: UUID, before: ManagerState, after: ManagerState) -> None:
    if before is not after:
        connection.facts.append(facts.ManagerMoved(manager_id, before, after))


async def set_draining(connection: Connection, manager_id: UUID, *, draining: bool) -> None:
    """Take a manager out of service, or put it back."""
    await execute(connection, _SQL["set_draining"], {"manager_id": manager_id, "draining": draining})


async def note_failed_preparations(connection: Connection, manager_id: UUID, suite_ids: Sequence[UUID]) -> None:
    """Record the different suites in a row that a manager failed to prepare."""
    parameters = {"manager_id": manager_id, "suite_ids": list(suite_ids)}
    await execute(connection, _SQL["note_failed_preparations"], parameters)


async def write_heartbeats(connection: Connection, beats: Sequence[tuple[UUID, int, ManagerMetrics]]) -> set[UUID]:
    """Write the liveness of many managers, each with the epoch of its session.

    Returns:
        Those whose session is current, and has nothing to look at.
    """
    parameters = {
        "ids": [manager_id for manager_id, _, _ in beats],
        "epochs": [epoch for _, epoch, _ in beats],
        "metrics": [Jsonb(asdict(metrics)) for _, _, metrics in beats],
    }
    cursor = await connection.execute(_SQL["write_heartbeats"], parameters)
    return {row[0] for row in await cursor.fetchall()}


async def orders(connection: Connection, manager_id: UUID) -> StandingOrders | None:
    """What there is to say to a connected manager; None when it is gone."""
    return await fetch_one(connection, read_orders, _SQL["orders"], {"manager_id": manager_id})


async def order_shutdown(connection: Connection, manager_id: UUID, reason: str, *, graceful: bool) -> bool:
    """Order the process of a manager to end, wherever it is connected; False when it is not believed to live."""
    parameters = {"manager_id": manager_id, "reason": reason, "graceful": graceful}
    return await fetch_value(connection, _SQL["order_shutdown"], parameters) is not None


async def touch(connection: Connection, manager_id: UUID, metrics: ManagerMetrics) -> None:
    """Write the liveness of one manager that has no stream."""
    await execute(connection, _SQL["touch_manager"], {"manager_id": manager_id, "metrics": Jsonb(asdict(metrics))})


async def silent(connection: Connection, timeout_seconds: float) -> list[UUID]:
    """Managers that stayed away longer than the timeout, at most 1000."""
    cursor = await connection.execute(_SQL["silent_managers"], {"timeout_seconds": timeout_seconds})
    return [row[0] for row in await cursor.fetchall()]


async def still_silent(connection: Connection, manager_id: UUID, timeout_seconds: float) -> bool:
    """Whether a manager is silent still; locks it."""
    parameters = {"manager_id": manager_id, "timeout_seconds": timeout_seconds}
    return await fetch_value(connection, _SQL["still_silent"], parameters) is not None


async def pick_suite(connection: Connection, manager_id: UUID) -> UUID | None:
    """The best suite that a manager could work for now, locked."""
    suite_id: UUID | None = await fetch_value(connection, _ASSIGNMENTS["pick_suite"], {"manager_id": manager_id})
    return suite_id


async def wanted(connection: Connection, manager_ids: Sequence[UUID]) -> list[UUID]:
    """Which of these managers `pick_suite` would find something for."""
    cursor = await connection.execute(_ASSIGNMENTS["wanted_managers"], {"manager_ids": list(manager_ids)})
    return [row[0] for row in await cursor.fetchall()]


async def to_release(
    connection: Connection, manager_ids: Sequence[UUID], connected_ids: Sequence[UUID], fresh_seconds: float
) -> list[HeldAssignment]:
    """The assignments of these managers that should end for suites that nobody works for.

    Of managers that are none of `connected_ids` those count that were heard of in the last `fresh_seconds`.
    """
    parameters = {
        "manager_ids": list(manager_ids),
        "connected_ids": list(connected_ids),
        "fresh_seconds": fresh_seconds,
    }
    return await fetch_all(connection, HeldAssignment, _ASSIGNMENTS["assignments_to_release"], parameters)


async def insert_assignment(connection: Connection, suite_id: UUID, manager_id: UUID, session_epoch: int) -> int | None:
    """Give a suite to a session of a manager; None when the manager holds one already."""
    parameters = {"suite_id": suite_id, "manager_id": manager_id, "session_epoch": session_epoch}
    assignment_id: int | None = await fetch_value(connection, _ASSIGNMENTS["insert_assignment"], parameters)
    return assignment_id


async def holders_of_tail(connection: Connection, suite_id: UUID) -> list[TailHolder]:
    """Who executes a suite, and what each holds; nobody while the suite has Ready tasks."""
    return await fetch_all(connection, TailHolder, _ASSIGNMENTS["holders_of_tail"], {"suite_id": suite_id})


async def idle_for(connection: Connection, suite_id: UUID) -> dict[UUID, int]:
    """Idle managers that would get a suite if it had Ready tasks, at most 100, and how many workers each may run."""
    cursor = await connection.execute(_ASSIGNMENTS["idle_managers_for"], {"suite_id": suite_id})
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def set_assignment_state(
    connection: Connection, assignment_id: int, manager_id: UUID, state: ManagerState
) -> UUID | None:
    """Follow a manager through its assignment; the suite, or None when the assignment is over."""
    parameters = {"assignment_id": assignment_id, "manager_id": manager_id, "state": state}
    suite_id: UUID | None = await fetch_value(connection, _ASSIGNMENTS["set_assignment_state"], parameters)
    return suite_id


async def end_assignment(connection: Connection, assignment_id: int, reason: str) -> bool:
    """End an assignment; False when it was over already."""
    parameters = {"assignment_id": assignment_id, "reason": reason}
    return await fetch_value(connection, _ASSIGNMENTS["end_assignment"], parameters) is not None


async def resume_assignment(connection: Connection, assignment_id: int, session_epoch: int) -> None:
    """Pass an assignment to a newer session of its manager; waits for claims of the older one."""
    parameters = {"assignment_id": assignment_id, "session_epoch": session_epoch}
    await execute(connection, _ASSIGNMENTS["resume_assignment"], parameters)


async def live_assignments(connection: Connection, manager_ids: Sequence[UUID]) -> list[HeldAssignment]:
    """What these managers hold."""
    parameters = {"manager_ids": list(manager_ids)}
    return await fetch_all(connection, HeldAssignment, _ASSIGNMENTS["live_assignments"], parameters)


async def may_hold(connection: Connection, suite_id: UUID, manager_id: UUID) -> bool:
    """Whether a manager may go on with a suite."""
    parameters = {"suite_id": suite_id, "manager_id": manager_id}
    may: bool = await fetch_value(connection, _ASSIGNMENTS["may_hold"], parameters)
    return may


async def mark_preparation_failed(connection: Connection, assignment_id: int) -> bool:
    """Note that the preparation of an assignment failed; False when that was noted before."""
    parameters = {"assignment_id": assignment_id}
    return await fetch_value(connection, _ASSIGNMENTS["mark_preparation_failed"], parameters) is not None


async def mark_proven(connection: Connection, assignment_id: int) -> bool:
    """Note that an assignment works; False when that was noted before."""
    return await fetch_value(connection, _ASSIGNMENTS["mark_proven"], {"assignment_id": assignment_id}) is not None


async def holders(connection: Connection, suite_id: UUID) -> list[Holder]:
    """The managers that hold a suite."""
    return await fetch_all(connection, Holder, _ASSIGNMENTS["holders"], {"suite_id": suite_id})


async def insert_hook_run(connection: Connection, manager_id: UUID, report: HookReport) -> UUID | None:
    """Record how a hook ended; the suite, or None when it was recorded before or is not this manager's."""
    parameters = asdict(report) | {"manager_id": manager_id}
    suite_id: UUID | None = await fetch_value(connection, _ASSIGNMENTS["insert_hook_run"], parameters)
    if suite_id is not None:
        connection.facts.append(facts.HookEnded(report.hook_type, report.result, report.duration_seconds))
    return suite_id


async def preparation_failures(connection: Connection, suite_id: UUID, manager_id: UUID) -> int:
    """Failed preparations in a row of a suite on a manager."""
    parameters = {"suite_id": suite_id, "manager_id": manager_id}
    failures: int | None = await fetch_value(connection, _ASSIGNMENTS["preparation_failures"], parameters)
    return failures or 0


async def back_off(connection: Connection, suite_id: UUID, manager_id: UUID, seconds: float) -> None:
    """Keep a manager away from a suite that it failed to prepare."""
    parameters = {"suite_id": suite_id, "manager_id": manager_id, "seconds": seconds}
    await execute(connection, _ASSIGNMENTS["back_off"], parameters)


async def forget_back_off(connection: Connection, suite_id: UUID, manager_id: UUID) -> None:
    """A manager prepared a suite with success."""
    await execute(connection, _ASSIGNMENTS["forget_back_off"], {"suite_id": suite_id, "manager_id": manager_id})


async def seconds_until_back_off_ends(connection: Connection) -> float | None:
    """Seconds until the next back-off of an active suite ends; None when there is none."""
    seconds: float | None = await fetch_value(connection, _ASSIGNMENTS["next_back_off_end"])
    return seconds


def _manager(row: Mapping[str, Any]) -> Manager:
    return Manager(
        id=row["id"],
        name=row["name"],
        state=ManagerState(row["state"]),
        tags=tuple(row["tags"]),
        max_workers=row["max_workers"],
        memberships=tuple(
            Membership(UUID(member["group_id"]), member["group_name"], ManagerRole(member["role"]))
            for member in row["memberships"]
        ),
        assigned_suite_id=row["assigned_suite_id"],
        metrics=ManagerMetrics(**row["metrics"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        last_heartbeat_at=row["last_heartbeat_at"],
        version=row["version"],
        hostname=row["hostname"],
        reason=row["reason"],
        draining=row["draining"],
    )
