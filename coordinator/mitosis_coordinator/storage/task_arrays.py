"""Arrays in PostgreSQL: one row for many tasks, which are made when they are about to run.

An array's tasks have consecutive ids that differ in their last 32 bits, from 0; so an id says which array it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mitosis_coordinator.domain.ids import MAX_BLOCK
from mitosis_coordinator.domain.task import NewArray, Task, TaskState
from mitosis_coordinator.storage.facts import TasksSubmitted
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_one, fetch_value

_SQL = load_queries("task_arrays")

CHUNK = 4096
"""Tasks made at a time."""

LOW_WATER = 2048
"""Ready tasks below which more are made: two claims of the largest size."""


@dataclass(frozen=True, slots=True)
class _Made:
    """How many tasks were made, and whether an array got on by that."""

    made: int
    moved_on: bool


@dataclass(frozen=True, slots=True)
class _Unmade:
    task_suite_id: UUID
    group_id: UUID
    group_name: str
    priority: int
    created_by: str
    created_at: datetime
    spec: bytes


async def insert(
    connection: Connection,
    first_task_id: UUID,
    array: NewArray,
    suite_id: UUID,
    group_id: UUID,
    created_by: str,
    retries: tuple[int, float],
) -> None:
    """Store an array. The caller counts its tasks into the suite in the same transaction."""
    parameters = {
        "suite_id": suite_id,
        "group_id": group_id,
        "first_task_id": first_task_id,
        "task_count": len(array.payloads),
        "payload_start": array.payloads.start,
        "payload_step": array.payloads.step,
        "priority": array.priority,
        "max_retries": retries[0],
        "retry_backoff_seconds": retries[1],
        "template": array.template,
        "created_by": created_by,
    }
    await execute(connection, _SQL["insert_array"], parameters)
    connection.facts.append(TasksSubmitted(in_suite=True, count=len(array.payloads)))


async def make(connection: Connection, suite_id: UUID, first_task_id: UUID | None = None) -> int:
    """Make Ready the next tasks of a suite's arrays, or of one of them, if few Ready tasks are left; how many."""
    parameters = {"suite_id": suite_id, "first_task_id": first_task_id, "chunk": CHUNK, "low_water": LOW_WATER}
    # Where every task of a chunk was cancelled there is nothing to run, and nobody would ask for the next chunk.
    for _ in range(MAX_BLOCK // CHUNK):
        done = await fetch_one(connection, _Made, _SQL["make_tasks"], parameters)
        if done is None or done.made or not done.moved_on:
            return done.made if done is not None else 0
    return 0


def place(task_id: UUID) -> dict[str, object]:
    """Which array a task would be of, and its number there: parameters of the statements about one task."""
    index = task_id.int & (MAX_BLOCK - 1)
    return {"first_task_id": UUID(int=task_id.int - index), "index": index}


async def get(connection: Connection, task_id: UUID) -> Task | None:
    """Read a task that is not made yet."""
    found = await fetch_one(connection, _Unmade, _SQL["get_unmade_task"], place(task_id))
    if found is None:
        return None
    return Task(
        id=task_id,
        suite_id=found.task_suite_id,
        group_id=found.group_id,
        group_name=found.group_name,
        state=TaskState.READY,
        attempt=0,
        priority=found.priority,
        spec=bytes(found.spec),
        created_by=found.created_by,
        tags=(),
        manager_id=None,
        manager_name="",
        worker_id=None,
        worker_name="",
        created_at=found.created_at,
        started_at=None,
        finished_at=None,
        retry_at=None,
        result=None,
    )


async def cancel(connection: Connection, task_id: UUID, error: str) -> bool:
    """Cancel a task that is not made yet; whether there was one. The caller counts it."""
    parameters = place(task_id) | {"task_id": task_id, "error": error}
    return await execute(connection, _SQL["cancel_unmade_task"], parameters) > 0


async def cancel_all(connection: Connection, suite_id: UUID, error: str) -> int:
    """Cancel everything of a suite that is not made yet; how many tasks. The caller counts them."""
    count: int = await fetch_value(connection, _SQL["cancel_unmade_tasks"], {"suite_id": suite_id, "error": error})
    return count
