"""Reads the facts that explanations are made of, all of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from mitosis_coordinator.domain.explain import MAX_POSITION, HeldSuite, ManagerFacts, SuiteFacts, WorkerFacts
from mitosis_coordinator.domain.explain_answer import HolderFacts, TaskFacts
from mitosis_coordinator.domain.manager import ManagerState
from mitosis_coordinator.domain.suite import Selection, SuiteState
from mitosis_coordinator.domain.task import FailureKind, Task, TaskFailure, TaskState
from mitosis_coordinator.domain.worker import WorkerState
from mitosis_coordinator.storage import task_arrays, task_reads
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute

_SQL = {**load_queries("explain"), "unmade_task_line": load_queries("task_arrays")["unmade_task_line"]}
MAX_HOLDERS = 100


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: the groups whose things may be named, None for all, and after how many seconds a holder is silent."""

    group_ids: Sequence[UUID] | None
    silent_after_seconds: float

    def parameters(self) -> dict[str, object]:
        """What the statements are told of it."""
        group_ids = None if self.group_ids is None else list(self.group_ids)
        return {"group_ids": group_ids, "silent_after_seconds": self.silent_after_seconds}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of a task: its facts, whom it excludes, and when and how it was worn out by whom."""

    facts: TaskFacts
    now: datetime
    excluded_ids: frozenset[UUID]
    wear: Mapping[UUID, TaskFailure]


async def begin_snapshot(connection: Connection) -> None:
    """Have everything that the transaction reads from here on be of one moment."""
    await execute(connection, _SQL["one_snapshot"])


async def suite(connection: Connection, suite_id: UUID) -> tuple[SuiteFacts, datetime] | None:
    """Where a suite stands, and the moment of the snapshot; None when there is no such suite."""
    row = await _one(connection, "suite_facts", {"suite_id": suite_id})
    if row is None:
        return None
    now = row.pop("now")
    return SuiteFacts(**{**row, "state": SuiteState(row["state"])}), now


async def managers(
    connection: Connection, suite_id: UUID, viewer: Viewer, task: Waiting | None = None
) -> tuple[list[ManagerFacts], int]:
    """How managers stand towards a suite, or a task of it, and how many are left out."""
    parameters = {"suite_id": suite_id, "limit": MAX_HOLDERS, **viewer.parameters()}
    rows = await _all(connection, "managers_of_suite", parameters)
    return [_manager(row, task) for row in rows], _left_out(rows)


async def workers(connection: Connection, task: Waiting, viewer: Viewer) -> tuple[list[WorkerFacts], int]:
    """How independent workers stand towards a task, and how many are left out."""
    about = {"group_id": task.facts.task.group_id, "tags": list(task.facts.task.tags), "limit": MAX_HOLDERS}
    rows = await _all(connection, "workers_of_task", about | viewer.parameters())
    return [_worker(row, task) for row in rows], _left_out(rows)


async def task(connection: Connection, found: Task, now: datetime, viewer: Viewer) -> Waiting:
    """What there is to know of a task besides its holders; `now` is for one that has ended."""
    line = await _one(connection, "task_line", {"task_id": found.id, "limit": MAX_POSITION})
    if line is None and found.state is TaskState.READY:
        line = await _one(connection, "unmade_task_line", task_arrays.place(found.id) | {"limit": MAX_POSITION})
    failures = await task_reads.failures(connection, found.id)
    wear = {
        holder: failure
        for failure in failures
        if failure.kind is FailureKind.WORKER and (holder := failure.manager_id or failure.worker_id) is not None
    }
    before = None if line is None else line["before"]
    holder_id = found.manager_id or found.worker_id
    facts = TaskFacts(
        task=found,
        holder=None if holder_id is None else await _holder(connection, holder_id, viewer),
        position=None if before is None else min(before + 1, MAX_POSITION),
        last_failure=failures[-1].error if failures else "",
    )
    excluded = frozenset() if line is None else frozenset(line["excluded_ids"])
    return Waiting(facts, now if line is None else line["now"], excluded, wear)


async def _holder(connection: Connection, holder_id: UUID, viewer: Viewer) -> HolderFacts | None:
    row = await _one(connection, "holder_facts", {"holder_id": holder_id, **viewer.parameters()})
    if row is None or row["name"] is None:
        return None
    name = row["name"] if row["visible"] else ""
    return HolderFacts(name, row["heard_recently"] is True, row["last_heartbeat_at"])


def _manager(row: Mapping[str, Any], task: Waiting | None) -> ManagerFacts:
    wear = task.wear.get(row["id"]) if task is not None else None
    held = None
    if row["held_id"] is not None:
        held = HeldSuite(
            id=row["held_id"],
            name=row["held_name"],
            priority=row["held_priority"],
            visible=row["held_visible"],
            state=row["held_state"],
            since=row["held_since"],
        )
    return ManagerFacts(
        id=row["id"],
        name=row["name"],
        visible=row["visible"],
        state=ManagerState(row["state"]),
        draining=row["draining"],
        reason=row["reason"],
        missing_tags=tuple(row["missing_tags"]),
        works_for_group=row["works_for_group"],
        selection=None if row["selection"] is None else Selection(row["selection"]),
        held=held,
        has_work=row["has_work"] if task is None else row["id"] not in task.excluded_ids,
        may_join=row["may_join"],
        heard_recently=row["heard_recently"] is True,
        last_heartbeat_at=row["last_heartbeat_at"],
        retry_after=row["retry_after"],
        preparation_failures=row["preparation_failures"],
        worn_out_at=wear.failed_at if wear is not None else None,
        trouble=wear.error if wear is not None else row["trouble"] or "",
    )


def _worker(row: Mapping[str, Any], task: Waiting) -> WorkerFacts:
    wear = task.wear.get(row["id"])
    return WorkerFacts(
        id=row["id"],
        name=row["name"],
        visible=row["visible"],
        state=WorkerState(row["state"]),
        missing_tags=tuple(row["missing_tags"]),
        works_for_group=row["works_for_group"],
        excluded=row["id"] in task.excluded_ids,
        holds_tasks=row["holds_tasks"],
        heard_recently=row["heard_recently"] is True,
        last_heartbeat_at=row["last_heartbeat_at"],
        worn_out_at=wear.failed_at if wear is not None else None,
        trouble=wear.error if wear is not None else "",
    )


def _left_out(rows: Sequence[Mapping[str, Any]]) -> int:
    return rows[0]["known"] - len(rows) if rows else 0


async def _one(connection: Connection, query: str, parameters: Mapping[str, object]) -> dict[str, Any] | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query], parameters)
        return await cursor.fetchone()


async def _all(connection: Connection, query: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query], parameters)
        return await cursor.fetchall()
