"""Suites in PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mitosis_coordinator.domain.hook import HookResult, HookRun, HookSpec, HookType
from mitosis_coordinator.domain.plan import CpuBinding, Strategy, WorkerPlan
from mitosis_coordinator.domain.suite import (
    SUITE,
    EligibleManager,
    Selection,
    Suite,
    SuiteAssignment,
    SuiteCounters,
    SuiteEvent,
    SuiteSpec,
    SuiteState,
)
from mitosis_coordinator.domain.task import Retries
from mitosis_coordinator.storage import facts
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all, fetch_value, send_for_value

_SQL = load_queries("suites")
# Any constant will do, as long as every coordinator uses the same one.
_MATCHING_LOCK = {"key": 0x6D69_746F_7369_7302}


@dataclass(frozen=True, slots=True)
class SuiteFilter:
    """What a list of suites is narrowed to; None does not narrow."""

    group_ids: Sequence[UUID] | None
    state: SuiteState | None = None
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SubmissionTarget:
    """What a submission has to know of its suite."""

    id: UUID
    group_id: UUID
    group_name: str
    state: SuiteState
    total_tasks: int
    runs_by_default: bool
    retries: Retries


async def group_id(connection: Connection, name: str) -> UUID | None:
    """The id of a group; None when there is none of that name."""
    found: UUID | None = await fetch_value(connection, _SQL["group_id"], {"name": name})
    return found


async def insert(connection: Connection, suite_id: UUID, group_id: UUID, spec: SuiteSpec, created_by: str) -> None:
    """Store a new suite and match it with managers by tags."""
    parameters = _spec_columns(spec) | {"id": suite_id, "group_id": group_id, "created_by": created_by}
    await execute(connection, _SQL["insert_suite"], parameters)
    await match(connection, suite_id)


async def get(connection: Connection, suite_id: UUID) -> Suite | None:
    """Read one suite, without its hook runs and eligible managers."""
    return await _one(connection, "get_suite", suite_id)


async def submission_target(connection: Connection, suite_id: UUID, *, locked: bool = False) -> SubmissionTarget | None:
    """Read what a submission has to know of a suite; `locked` keeps others from changing it."""
    query = _SQL["lock_submission_target" if locked else "submission_target"]
    cursor = await connection.execute(query, {"suite_id": suite_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    identifier, group_id, group_name, state, total_tasks, runs_by_default, *retries = row
    return SubmissionTarget(
        identifier, group_id, group_name, SuiteState(state), total_tasks, runs_by_default, Retries(*retries)
    )


async def lock(connection: Connection, suite_id: UUID) -> Suite | None:
    """Read one suite and keep others from changing it until the transaction ends."""
    return await _one(connection, "lock_suite", suite_id)


async def listed(connection: Connection, wanted: SuiteFilter, before: UUID | None, limit: int) -> list[Suite]:
    """Read one page, newest first."""
    parameters = {
        "group_ids": None if wanted.group_ids is None else list(wanted.group_ids),
        "state": wanted.state,
        "labels": list(wanted.labels),
        "tags": list(wanted.tags),
        "name": wanted.name,
        "before": before,
        "limit": limit,
    }
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["list_suites"], parameters)
        return [_suite(row) for row in await cursor.fetchall()]


async def update_spec(connection: Connection, suite_id: UUID, spec: SuiteSpec, *, rematch: bool) -> None:
    """Replace what a user may change, and match by tags again when they changed."""
    await execute(connection, _SQL["update_suite"], _spec_columns(spec) | {"suite_id": suite_id})
    if rematch:
        await refresh_managers(connection, suite_id)


async def set_state(
    connection: Connection, suite_id: UUID, state: SuiteState, event: SuiteEvent, reason: str = ""
) -> bool:
    """Move a suite along its lifecycle; False when its state does not allow the event."""
    parameters = {"suite_id": suite_id, "state": state, "reason": reason, "allowed": SUITE.sources(event)}
    before: str | None = await fetch_value(connection, _SQL["set_suite_state"], parameters)
    if before is None:
        return False
    _note_move(connection, SuiteState(before), state)
    return True


def _note_move(connection: Connection, before: SuiteState, after: SuiteState) -> None:
    if before is not after:
        connection.facts.append(facts.SuiteMoved(before, after))


async def close(connection: Connection, suite_id: UUID) -> None:
    """Record that no more tasks are coming."""
    await execute(connection, _SQL["close_suite"], {"suite_id": suite_id})


async def complete(connection: Connection, suite_id: UUID) -> bool:
    """Complete a suite if it is finished; whether it was."""
    parameters = {"suite_id": suite_id, "allowed": SUITE.sources(SuiteEvent.COMPLETED)}
    cursor = await connection.execute(_SQL["complete_suite"], parameters)
    row = await cursor.fetchone()
    if row is None:
        return False
    before, group_name, started_at, finished_at = row
    _note_move(connection, SuiteState(before), SuiteState.COMPLETE)
    if started_at is not None:
        connection.facts.append(facts.SuiteCompleted(group_name, (finished_at - started_at).total_seconds()))
    return True


async def due(connection: Connection) -> list[UUID]:
    """Suites that `complete` would complete now, at most 1000."""
    cursor = await connection.execute(_SQL["due_suites"])
    return [row[0] for row in await cursor.fetchall()]


async def seconds_until_due(connection: Connection) -> float | None:
    """Seconds until the next quiet suite is due; None when none is quiet."""
    seconds: float | None = await fetch_value(connection, _SQL["next_due_suite"])
    return seconds


async def count_submitted(
    connection: Connection, suite_id: UUID, count: int, max_tasks: int
) -> Callable[[], Awaitable[SuiteState | None]]:
    """Count new tasks in, and reopen a Complete suite.

    Returns:
        What reads the suite's state before; None says that its state or its size forbade it.
    """
    parameters = {
        "suite_id": suite_id,
        "count": count,
        "max_tasks": max_tasks,
        "allowed": SUITE.sources(SuiteEvent.SUBMITTED),
    }
    read_state = await send_for_value(connection, _SQL["count_submitted"], parameters)

    async def read() -> SuiteState | None:
        state: str | None = await read_state()
        if state is None:
            return None
        if state == SuiteState.COMPLETE:
            _note_move(connection, SuiteState.COMPLETE, SuiteState.QUEUED)
        return SuiteState(state)

    return read


async def count_cancelled(connection: Connection, suite_id: UUID, count: int) -> None:
    """Count cancelled tasks out."""
    await execute(connection, _SQL["count_cancelled"], {"suite_id": suite_id, "count": count})


async def count_failed(connection: Connection, suite_id: UUID, count: int) -> None:
    """Count failed tasks out."""
    await execute(connection, _SQL["count_failed"], {"suite_id": suite_id, "count": count})


async def count_retried(
    connection: Connection, suite_id: UUID, count: int, before: SuiteState, state: SuiteState
) -> None:
    """Count failed tasks in again and put the suite into the state that the retry leads to."""
    await execute(connection, _SQL["count_retried"], {"suite_id": suite_id, "count": count, "state": state})
    _note_move(connection, before, state)


async def count_preparation_failure(connection: Connection, suite_id: UUID) -> tuple[int, int]:
    """Count one more failed preparation in a row; how many there were, and how many are allowed."""
    cursor = await connection.execute(_SQL["count_preparation_failure"], {"suite_id": suite_id})
    row = await cursor.fetchone()
    return (0, 1) if row is None else (row[0], row[1])


async def reset_preparation_failures(connection: Connection, suite_id: UUID) -> None:
    """Start the count of failed preparations in a row again."""
    await execute(connection, _SQL["reset_preparation_failures"], {"suite_id": suite_id})


async def refresh_managers(connection: Connection, suite_id: UUID) -> None:
    """Match a suite with managers by tags again."""
    await execute(connection, _SQL["unmatch_suite"], {"suite_id": suite_id})
    await match(connection, suite_id)


async def match(connection: Connection, suite_id: UUID) -> None:
    """Match a suite with the managers that are there; nobody is dropped."""
    await execute(connection, _SQL["lock_matching_shared"], _MATCHING_LOCK)
    await execute(connection, _SQL["match_suite"], {"suite_id": suite_id})


async def forget_back_offs(connection: Connection, suite_id: UUID) -> None:
    """Let every manager try to prepare a suite again at once."""
    await execute(connection, _SQL["forget_back_offs"], {"suite_id": suite_id})


async def match_manager(connection: Connection, manager_id: UUID) -> None:
    """Match a manager with the active suites again."""
    await execute(connection, _SQL["lock_matching"], _MATCHING_LOCK)
    await execute(connection, _SQL["unmatch_manager"], {"manager_id": manager_id})
    await execute(connection, _SQL["match_manager"], {"manager_id": manager_id})


async def managers_fit(connection: Connection, group_id: UUID, manager_ids: Sequence[UUID]) -> dict[UUID, bool]:
    """For each of these managers that exists, whether it may work for the group."""
    cursor = await connection.execute(
        _SQL["managers_fit_for_suite"], {"group_id": group_id, "manager_ids": list(manager_ids)}
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def add_managers(connection: Connection, suite_id: UUID, manager_ids: Sequence[UUID]) -> None:
    """Make managers eligible by hand."""
    parameters = {"suite_id": suite_id, "manager_ids": list(manager_ids)}
    await execute(connection, _SQL["add_managers_by_hand"], parameters)
    await execute(connection, _SQL["note_managers_by_hand"], {"suite_id": suite_id})


async def remove_managers(connection: Connection, suite_id: UUID, manager_ids: Sequence[UUID]) -> None:
    """Make managers ineligible."""
    await execute(connection, _SQL["remove_managers"], {"suite_id": suite_id, "manager_ids": list(manager_ids)})
    await execute(connection, _SQL["note_managers_by_hand"], {"suite_id": suite_id})


async def eligible_managers(connection: Connection, suite_id: UUID) -> list[EligibleManager]:
    """Who may run the suite, by name."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["eligible_managers"], {"suite_id": suite_id})
        return [
            EligibleManager(row["manager_id"], row["manager_name"], Selection(row["selection"]), row["assigned"])
            for row in await cursor.fetchall()
        ]


async def assignments(connection: Connection, suite_id: UUID) -> list[SuiteAssignment]:
    """Who holds the suite or held it, newest first, at most 50."""
    return await fetch_all(connection, SuiteAssignment, _SQL["assignments"], {"suite_id": suite_id})


async def hook_runs(connection: Connection, suite_id: UUID) -> list[HookRun]:
    """The latest hook runs, newest first, at most 20."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["hook_runs"], {"suite_id": suite_id})
        return [
            HookRun(
                hook_type=HookType(row["hook_type"]),
                result=HookResult(row["result"]),
                manager_id=row["manager_id"],
                manager_name=row["manager_name"] or "",
                exit_code=row["exit_code"],
                error=row["error"],
                output_tail=row["output_tail"],
                started_at=row["started_at"],
                duration_seconds=row["duration_seconds"],
            )
            for row in await cursor.fetchall()
        ]


@dataclass(frozen=True, slots=True)
class RememberedRequest:
    """What a request_id made: `resource_count` consecutive ids from `resource_id` on."""

    fingerprint: bytes
    resource_id: UUID
    resource_count: int


async def remember_request(
    connection: Connection, user_id: UUID, request_id: str, request: RememberedRequest
) -> RememberedRequest | None:
    """Record what a request_id makes; if it is known already, what it made the first time.

    Waits for another transaction that is using the same request_id now.
    """
    read = await send_request(connection, user_id, request_id, request)
    return await read()


async def send_request(
    connection: Connection, user_id: UUID, request_id: str, request: RememberedRequest
) -> Callable[[], Awaitable[RememberedRequest | None]]:
    """Do as `remember_request` in a pipeline, and return what reads its answer."""
    key = {"user_id": user_id, "request_id": request_id}
    read_new = await send_for_value(connection, _SQL["remember_request"], key | asdict(request))

    async def read() -> RememberedRequest | None:
        if await read_new() is not None:
            return None
        known = await fetch_all(connection, RememberedRequest, _SQL["recall_request"], key)
        return known[0]

    return read


async def forget_requests(connection: Connection) -> None:
    """Drop request ids that are older than any retry."""
    await execute(connection, _SQL["forget_requests"])


async def _one(connection: Connection, query: str, suite_id: UUID) -> Suite | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query], {"suite_id": suite_id})
        row = await cursor.fetchone()
        return None if row is None else _suite(row)


def _spec_columns(spec: SuiteSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "description": spec.description,
        "labels": list(spec.labels),
        "tags": list(spec.tags),
        "priority": spec.priority,
        "worker_schedule": Jsonb(asdict(spec.plan)),
        "env_preparation": _hook_column(spec.env_preparation),
        "env_cleanup": _hook_column(spec.env_cleanup),
        "task_defaults": spec.task_defaults,
        "runs_by_default": spec.runs_by_default,
        "default_max_retries": spec.retries.count,
        "default_retry_backoff_seconds": spec.retries.backoff_seconds,
        "auto_close_timeout_seconds": spec.auto_close_timeout_seconds,
        "max_preparation_failures": spec.max_preparation_failures,
        "max_attempts": spec.max_attempts,
    }


def _hook_column(hook: HookSpec | None) -> Jsonb | None:
    return None if hook is None else Jsonb(asdict(hook))


def _hook(column: Mapping[str, Any] | None) -> HookSpec | None:
    if column is None:
        return None
    return HookSpec(
        command=column["command"],
        args=tuple(column["args"]),
        timeout_seconds=column["timeout_seconds"],
        working_directory=column["working_directory"],
        envs=dict(column["envs"]),
    )


def _plan(column: Mapping[str, Any]) -> WorkerPlan:
    return WorkerPlan(
        strategy=Strategy(column["strategy"]),
        worker_count=column["worker_count"],
        cpu_binding=None if column["cpu_binding"] is None else CpuBinding(column["cpu_binding"]),
        cores=tuple(column["cores"]),
        task_prefetch_count=column["task_prefetch_count"],
    )


def _suite(row: Mapping[str, Any]) -> Suite:
    return Suite(
        id=row["id"],
        group_id=row["group_id"],
        group_name=row["group_name"],
        state=SuiteState(row["state"]),
        spec=SuiteSpec(
            name=row["name"],
            description=row["description"],
            labels=tuple(row["labels"]),
            tags=tuple(row["tags"]),
            priority=row["priority"],
            plan=_plan(row["worker_schedule"]),
            env_preparation=_hook(row["env_preparation"]),
            env_cleanup=_hook(row["env_cleanup"]),
            task_defaults=bytes(row["task_defaults"]),
            runs_by_default=row["runs_by_default"],
            auto_close_timeout_seconds=row["auto_close_timeout_seconds"],
            max_preparation_failures=row["max_preparation_failures"],
            max_attempts=row["max_attempts"],
            retries=Retries(row["default_max_retries"], row["default_retry_backoff_seconds"]),
        ),
        counters=SuiteCounters(
            total=row["total_tasks"],
            pending=row["pending_tasks"],
            completed=row["completed_tasks"],
            failed=row["failed_tasks"],
            cancelled=row["cancelled_tasks"],
        ),
        closed=row["closed"],
        assigned_managers=row["assigned_managers"],
        preparation_failures=row["preparation_failures"],
        reason=row["reason"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
    )
