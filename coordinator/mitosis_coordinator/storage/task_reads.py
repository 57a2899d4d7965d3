"""Tasks as users see them: the queue and the history as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from mitosis_coordinator.domain.task import (
    PENDING_STATES,
    FailureKind,
    Task,
    TaskFailure,
    TaskResult,
    TaskState,
)
from mitosis_coordinator.storage import task_arrays
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries

_SQL = load_queries("tasks")
_LAST_UUID = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a list of tasks is narrowed to; None does not narrow."""

    group_ids: Sequence[UUID] | None
    suite_id: UUID | None
    state: TaskState | None


async def get(connection: Connection, task_id: UUID) -> Task | None:
    """Read one task, pending, finished, or of an array and not made yet, without its failures."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["get_task"], {"task_id": task_id})
        row = await cursor.fetchone()
    return await task_arrays.get(connection, task_id) if row is None else _task(row)


async def failures(connection: Connection, task_id: UUID) -> list[TaskFailure]:
    """The failures of a task, oldest first, at most 1000."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["task_failures"], {"task_id": task_id})
        return [
            TaskFailure(
                kind=FailureKind(row["kind"]),
                attempt=row["attempt"],
                manager_id=row["manager_id"],
                manager_name=row["manager_name"] or "",
                worker_id=row["worker_id"],
                worker_name=row["worker_name"] or "",
                error=row["error"],
                failed_at=row["failed_at"],
            )
            for row in await cursor.fetchall()
        ]


async def listed(connection: Connection, wanted: TaskFilter, before: UUID | None, limit: int) -> list[Task]:
    """Read one page, newest first."""
    states = [wanted.state] if wanted.state else list(TaskState)
    parameters: dict[str, object] = {
        "before": before or _LAST_UUID,
        "limit": limit,
        "states": [str(state) for state in states],
        "pending": not set(states).isdisjoint(PENDING_STATES),
        "final": not set(states) <= set(PENDING_STATES),
        "completed": TaskState.COMPLETED in states,
    }
    if wanted.suite_id is not None:
        query = _SQL["list_suite_tasks"]
        parameters["suite_id"] = wanted.suite_id
    elif wanted.group_ids is not None:
        query = _SQL["list_group_tasks"]
        parameters["group_ids"] = list(wanted.group_ids)
    else:
        query = _SQL["list_all_tasks"]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return [_task(row) for row in await cursor.fetchall()]


def _task(row: Mapping[str, Any]) -> Task:
    finished = row["finished_at"] is not None
    return Task(
        id=row["id"],
        suite_id=row["task_suite_id"],
        group_id=row["group_id"],
        group_name=row["group_name"],
        state=TaskState(row["state"]),
        attempt=row["attempt"],
        priority=row["priority"],
        spec=bytes(row["spec"]),
        created_by=row["created_by"],
        manager_id=row["manager_id"],
        manager_name=row["manager_name"] or "",
        tags=tuple(row["tags"]),
        worker_id=row["worker_id"],
        worker_name=row["worker_name"] or "",
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        retry_at=row["retry_at"],
        result=TaskResult(
            exit_code=row["exit_code"],
            error=row["error"] or "",
            stdout_tail=row["stdout_tail"] or "",
            stderr_tail=row["stderr_tail"] or "",
            return_value=row["return_value"],
        )
        if finished
        else None,
    )
