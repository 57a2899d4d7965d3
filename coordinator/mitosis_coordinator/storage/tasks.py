"""Tasks in PostgreSQL: the queue and its history. Everything on the hot path is one statement per batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from mitosis_coordinator.domain.ids import UuidBlock
from mitosis_coordinator.domain.suite import SuiteState
from mitosis_coordinator.domain.task import (
    NO_RETRIES,
    AttemptRef,
    FailureKind,
    NewTask,
    Outcome,
    Report,
    Retries,
    TaskResult,
)
from mitosis_coordinator.storage import arrays, facts, task_arrays
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_one, fetch_value

Value = TypeVar("Value")

_SQL = load_queries("tasks")
_LOCK_SUITES = load_queries("suites")["lock_suites_of_assignments"]
_LOCK_WORKERS_ASSIGNMENTS = load_queries("workers")["lock_assignments"]
_ASSIGNMENTS = load_queries("assignments")
_LAST_UUID = UUID(int=(1 << 128) - 1)

# What `finish_tasks` takes for granted is not said.
_FINAL_STATE: dict[Outcome, str | None] = {
    Outcome.COMPLETED: None,
    Outcome.FAILED: "Failed",
    Outcome.TIMED_OUT: "Failed",
    Outcome.CANCELLED: "Cancelled",
}


@dataclass(slots=True)
class ClaimedTask:
    """One task handed to an assignment; `spec` is a serialized `mitosis.v1.TaskSpec`."""

    task_id: str
    attempt: int
    spec: bytes
    priority: int


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """A place in a suite's queue: behind this task, among those of its priority."""

    priority: int
    task_id: str


@dataclass(frozen=True, slots=True)
class Finished:
    """What a batch of reports did.

    Attributes:
        accepted_ids: Tasks whose report counted; None when all did.
        suite_ids: Suites whose counters changed.
        quiet_suite_ids: Those of them with nothing pending any more.
    """

    accepted_ids: frozenset[str] | None
    suite_ids: list[UUID]
    quiet_suite_ids: list[UUID]


NOTHING_FINISHED = Finished(accepted_ids=None, suite_ids=[], quiet_suite_ids=[])


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A held task and what is needed to decide whether another holder gets it; no suite, no `suite_state`."""

    id: UUID
    task_suite_id: UUID | None
    group_id: UUID
    attempt: int
    worn_out: int
    max_attempts: int
    suite_state: str | None
    holder_id: UUID
    another_holder: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """An assignment that lasts; without a suite where it is a worker's."""

    task_suite_id: UUID | None


@dataclass(frozen=True, slots=True)
class CancelledTask:
    """A task that was cancelled, and who held it."""

    task_suite_id: UUID | None
    group_id: UUID
    attempt: int
    assignment_id: int | None
    manager_id: UUID | None
    worker_id: UUID | None


async def insert(
    connection: Connection,
    ids: UuidBlock,
    tasks: Sequence[NewTask],
    suite_id: UUID | None,
    group_id: UUID,
    created_by: str,
    default_retries: Retries,
) -> None:
    """Store a batch of Ready tasks. The caller counts them into the suite in the same transaction."""
    count, backoff = NO_RETRIES.or_else(default_retries)
    parameters: dict[str, object] = {
        "ids": arrays.uuids(ids.binary()),
        "group_id": group_id,
        "priorities": arrays.int4s(_unless_none([task.priority or None for task in tasks])),
        "max_retries": arrays.int4s(_unless_none([task.retries.count for task in tasks])),
        "backoffs": arrays.float4s(_unless_none([task.retries.backoff_seconds for task in tasks])),
        "specs": arrays.byteas([task.spec for task in tasks]),
        "default_retries": count,
        "default_backoff": backoff,
        "created_by": created_by,
    }
    if suite_id is None:
        query = _SQL["insert_independent_tasks"]
        parameters["tags"] = arrays.texts(_unless_none([",".join(task.tags) for task in tasks]))
    else:
        query = _SQL["insert_tasks"]
        parameters["suite_id"] = suite_id
    await connection.execute(query, parameters)
    connection.facts.append(facts.TasksSubmitted(suite_id is not None, len(tasks)))


async def claim(
    connection: Connection,
    suite_id: UUID,
    manager_id: UUID,
    assignment_id: int,
    session_epoch: int,
    limit: int,
    behind: QueuePlace | None = None,
) -> tuple[list[ClaimedTask], bool]:
    """Hand at most `limit` Ready tasks to an assignment, by priority and age; none when it is over or resumed since.

    With `behind`, only tasks of that place's priority that are behind it.

    Returns:
        The tasks, and whether the suite may have more that are not made yet.
    """
    read = await send_claim(connection, suite_id, manager_id, assignment_id, session_epoch, limit, behind)
    return await read()


async def send_claim(
    connection: Connection,
    suite_id: UUID,
    manager_id: UUID,
    assignment_id: int,
    session_epoch: int,
    limit: int,
    behind: QueuePlace | None = None,
) -> Callable[[], Awaitable[tuple[list[ClaimedTask], bool]]]:
    """Do as `claim` in a pipeline, and return what reads its answer."""
    parameters: dict[str, object] = {
        "suite_id": suite_id,
        "manager_id": manager_id,
        "assignment_id": assignment_id,
        "session_epoch": session_epoch,
        "limit": limit,
    }
    query = _SQL["claim_tasks"]
    if behind is not None:
        query = _SQL["claim_tasks_behind"]
        parameters |= {"priority": behind.priority, "behind": UUID(behind.task_id)}
    cursor = connection.cursor(binary=True)
    await cursor.execute(query, parameters)

    async def read() -> tuple[list[ClaimedTask], bool]:
        rows = await cursor.fetchall()
        if rows:
            connection.facts.append(facts.TasksClaimed(managed=True, count=len(rows)))
        # An UPDATE returns rows in no order; text UUIDs sort as the UUIDs do.
        rows.sort(key=lambda row: (-row[3], row[0]))
        return [ClaimedTask(*row[:4]) for row in rows], not rows or rows[0][4]

    return read


async def claim_independent(
    connection: Connection, worker_id: UUID, assignment_id: int, session_epoch: int, limit: int
) -> list[ClaimedTask] | None:
    """Hand at most `limit` Ready tasks of one group to a worker, by priority and age.

    Returns:
        The tasks; none when there are none for it, or its assignment is over or resumed since; None when there were
        some and others were quicker, so that another try may find more.
    """
    parameters = {
        "worker_id": worker_id,
        "assignment_id": assignment_id,
        "session_epoch": session_epoch,
        "limit": limit,
    }
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_SQL["claim_independent_tasks"], parameters)
        rows = await cursor.fetchall()
    if rows and rows[0][0] is None:
        return None
    if rows:
        connection.facts.append(facts.TasksClaimed(managed=False, count=len(rows)))
    rows.sort(key=lambda row: (-row[3], row[0]))
    return [ClaimedTask(*row) for row in rows]


def _unless_none(column: Sequence[Value]) -> Sequence[Value]:
    """Nothing for a column in which no row says anything: most have neither an error nor an output."""
    return column if any(value is not None and value != "" for value in column) else ()


async def lock_suites(
    connection: Connection, holder_id: UUID, assignment_ids: Collection[int]
) -> dict[int, SuiteState | None]:
    """Lock what guards the tasks of a holder's assignments, before the tasks, as every transaction does.

    That is the suite, and for a worker, which has none, the assignment itself.

    Returns:
        The suite's state, None where there is no suite, for each of these assignments that is the holder's.
    """
    parameters = {"holder_id": holder_id, "assignment_ids": list(assignment_ids)}
    cursor = await connection.execute(_LOCK_SUITES, parameters)
    states: dict[int, SuiteState | None] = {row[0]: SuiteState(row[1]) for row in await cursor.fetchall()}
    if not states and assignment_ids:
        cursor = await connection.execute(_LOCK_WORKERS_ASSIGNMENTS, parameters)
        states = {row[0]: None for row in await cursor.fetchall()}
    return states


async def holding(connection: Connection, assignment_id: int, session_epoch: int) -> Holding | None:
    """What a session holds by an assignment; None when that is over or passed to a newer session."""
    parameters = {"assignment_id": assignment_id, "session_epoch": session_epoch}
    return await fetch_one(connection, Holding, _ASSIGNMENTS["holding_of_session"], parameters)


async def finish(connection: Connection, holder_id: UUID, reports: Sequence[Report]) -> Finished:
    """Move reported attempts into history and count them, where the holder still holds them.

    Locks the suites itself, so that it may be a transaction of its own.
    """
    results = [report.result for report in reports]
    parameters = {
        "holder_id": holder_id,
        "holdings": arrays.int8s(list({report.assignment_id for report in reports})),
        "ids": arrays.text_uuids([report.task_id for report in reports]),
        "attempts": arrays.int4s([report.attempt for report in reports]),
        "assignment_ids": arrays.int8s([report.assignment_id for report in reports]),
        "states": arrays.texts(_unless_none([_FINAL_STATE[report.outcome] for report in reports])),
        "exit_codes": arrays.int4s(_unless_none([result.exit_code for result in results])),
        "errors": arrays.texts(_unless_none([result.error for result in results])),
        "stdout_tails": arrays.texts(_unless_none([result.stdout_tail for result in results])),
        "stderr_tails": arrays.texts(_unless_none([result.stderr_tail for result in results])),
        "return_values": arrays.texts(_unless_none([result.return_value for result in results])),
        "started": arrays.timestamps([report.started_at for report in reports]),
        "finished": arrays.timestamps([report.finished_at for report in reports]),
        "count": len(reports),
    }
    cursor = await connection.execute(_SQL["finish_tasks"], parameters)
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("finish_tasks returned no row")
    accepted, accepted_ids, suite_ids, quiet_suite_ids = row
    accepted_set = None if accepted == len(reports) else frozenset[str](accepted_ids or ())
    ended = Counter(report.outcome for report in reports if accepted_set is None or report.task_id in accepted_set)
    if ended:
        connection.facts.append(facts.AttemptsEnded(managed=bool(suite_ids), outcomes=ended))
    return Finished(
        accepted_ids=accepted_set,
        suite_ids=suite_ids or [],
        quiet_suite_ids=quiet_suite_ids or [],
    )


async def schedule_retries(connection: Connection, reports: Sequence[Report]) -> set[str]:
    """Make failed attempts with retries left Ready again after their back-off; which ones."""
    cursor = await connection.execute(
        _SQL["schedule_retries"],
        {
            "ids": [report.task_id for report in reports],
            "attempts": [report.attempt for report in reports],
            "assignment_ids": [report.assignment_id for report in reports],
            "errors": [report.result.error for report in reports],
        },
    )
    rows = await cursor.fetchall()
    outcomes = {report.task_id: report.outcome for report in reports} if rows else {}
    for managed in (True, False):
        ended = Counter(outcomes[row[0]] for row in rows if (row[1] is not None) is managed)
        if ended:
            connection.facts.append(facts.AttemptsEnded(managed, ended))
            connection.facts.append(facts.TasksRetried(FailureKind.TASK, ended.total()))
    return {row[0] for row in rows}


async def release_due_retries(connection: Connection) -> set[tuple[UUID | None, UUID]]:
    """End the back-offs whose time has come; suite and group of what is Ready from it, without a suite None."""
    cursor = await connection.execute(_SQL["release_due_retries"])
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def seconds_until_retry(connection: Connection) -> float | None:
    """Seconds until the next back-off ends; None when there is none."""
    seconds: float | None = await fetch_value(connection, _SQL["next_due_retry"])
    return seconds


async def lock_held(connection: Connection, report: Report) -> HeldTask | None:
    """One attempt if its reporter still holds it, locked, for a decision about it."""
    parameters = {"task_id": report.task_id, "attempt": report.attempt, "assignment_id": report.assignment_id}
    return await fetch_one(connection, HeldTask, _SQL["lock_held_task"], parameters)


async def exclude_holder(connection: Connection, task_id: UUID, holder_id: UUID) -> None:
    """Make a held task Ready for any holder but this one."""
    await execute(connection, _SQL["exclude_holder"], {"task_id": task_id, "holder_id": holder_id})
    connection.facts.append(facts.TasksRetried(FailureKind.WORKER, 1))


async def fail_held(connection: Connection, task_id: UUID, result: TaskResult) -> None:
    """Move a held task into history as Failed. The caller counts it."""
    parameters = {
        "task_id": task_id,
        "error": result.error,
        "stdout_tail": result.stdout_tail,
        "stderr_tail": result.stderr_tail,
    }
    await execute(connection, _SQL["fail_held_task"], parameters)


async def record_failures(
    connection: Connection, held: HeldTask, kind: FailureKind, holder_id: UUID, errors: Sequence[str]
) -> None:
    """Write failures into the history of a task."""
    parameters = {
        "task_id": held.id,
        "suite_id": held.task_suite_id,
        "attempt": held.attempt,
        "kind": kind,
        "holder_id": holder_id,
        "errors": list(errors),
    }
    await execute(connection, _SQL["record_failures"], parameters)
    ended = Counter([Outcome.WORKER_DIED])
    connection.facts.append(facts.AttemptsEnded(held.task_suite_id is not None, ended))


async def record_worker_deaths(connection: Connection, report: Report) -> None:
    """Write the deaths of workers that an attempt survived into its history, if its reporter still holds it."""
    parameters = {
        "task_id": report.task_id,
        "attempt": report.attempt,
        "assignment_id": report.assignment_id,
        "errors": list(report.worker_deaths),
    }
    await execute(connection, _SQL["record_worker_deaths"], parameters)


async def start(
    connection: Connection, holder_id: UUID, assignment_id: int, starts: Sequence[tuple[AttemptRef, datetime]]
) -> int:
    """Record that attempts of a holder's assignment run, each with the time it started; how many."""
    parameters = {
        "holder_id": holder_id,
        "assignment_id": assignment_id,
        "ids": [ref.task_id for ref, _ in starts],
        "attempts": [ref.attempt for ref, _ in starts],
        "started": [started_at for _, started_at in starts],
    }
    return await execute(connection, _SQL["start_tasks"], parameters)


async def give_back(connection: Connection, assignment_id: int, refs: Sequence[AttemptRef]) -> int:
    """Make attempts that were handed back Ready again, without charge; how many."""
    parameters = {
        "assignment_id": assignment_id,
        "ids": [ref.task_id for ref in refs],
        "attempts": [ref.attempt for ref in refs],
    }
    count = await execute(connection, _SQL["return_tasks"], parameters)
    connection.facts.append(facts.TasksReclaimed(facts.Cause.HANDED_BACK, count))
    return count


async def held_by(connection: Connection, assignment_id: int) -> set[AttemptRef]:
    """What an assignment holds."""
    cursor = await connection.execute(_SQL["held_by_assignment"], {"assignment_id": assignment_id})
    return {AttemptRef(row[0], row[1]) for row in await cursor.fetchall()}


async def release(connection: Connection, assignment_id: int) -> int:
    """Make everything that an assignment still holds Ready again, without charge; how many."""
    count = await execute(connection, _SQL["release_assignment"], {"assignment_id": assignment_id})
    connection.facts.append(facts.TasksReclaimed(facts.Cause.ASSIGNMENT_ENDED, count))
    return count


async def reclaim(
    connection: Connection, assignment_id: int, holder_id: UUID, error: str, kept: Iterable[AttemptRef] = ()
) -> int:
    """Make what a lost holder held, but for `kept`, Ready again and write the loss into each history; how many."""
    parameters = {
        "assignment_id": assignment_id,
        "holder_id": holder_id,
        "error": error,
        "kept": [ref.task_id for ref in kept],
    }
    count: int = await fetch_value(connection, _SQL["reclaim_assignment"], parameters)
    connection.facts.append(facts.TasksReclaimed(facts.Cause.HOLDER_LOST, count))
    connection.facts.append(facts.TasksRetried(FailureKind.NODE, count))
    return count


async def allow_long_statements(connection: Connection) -> None:
    """Let the rest of a transaction take as long as a suite of a million tasks needs."""
    await execute(connection, _SQL["allow_long_statements"])


async def cancel_suite(connection: Connection, suite_id: UUID, error: str, *, held_too: bool) -> int:
    """Cancel the tasks of a suite that nobody holds, or all; how many. The caller counts them."""
    # First what is not made yet, so that nothing more can be made of it meanwhile.
    unmade = await task_arrays.cancel_all(connection, suite_id, error)
    query = _SQL["cancel_all_tasks"] if held_too else _SQL["cancel_ready_tasks"]
    count: int = await fetch_value(connection, query, {"suite_id": suite_id, "error": error})
    return unmade + count


async def cancel(connection: Connection, task_id: UUID, error: str) -> CancelledTask | None:
    """Cancel one pending task; None when there is none. The caller counts it."""
    return await fetch_one(connection, CancelledTask, _SQL["cancel_task"], {"task_id": task_id, "error": error})


async def retry_failed(connection: Connection, suite_id: UUID) -> int:
    """Make the Failed tasks of a suite Ready again; how many. The caller counts them."""
    count: int = await fetch_value(connection, _SQL["retry_failed_tasks"], {"suite_id": suite_id})
    return count
