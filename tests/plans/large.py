"""A database with a million pending and a million finished tasks, made in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

PENDING = 1_000_000
FINISHED = 1_000_000
SUITES = 1_000
HELD = 2_000
INDEPENDENT = 50_000

GROUP = UUID(int=1)
OTHER_GROUP = UUID(int=2)
MANAGER = UUID(int=3)
WORKER = UUID(int=4)
BIG_SUITE = UUID(int=1 << 64)
_TASKS = ("active_tasks", "archived_tasks")

# The first suite has nearly everything; the others share what is left. Few rows are held, failed or wait for a retry.
_ROWS = f"""
INSERT INTO groups (id, name) VALUES ('{GROUP}', 'g'), ('{OTHER_GROUP}', 'other');
INSERT INTO node_managers (id, name, state, tags, max_workers, token_id, created_by)
SELECT lpad(to_hex(2 + i), 32, '0')::uuid, 'm' || i, 'Idle', '{{}}', 4, gen_random_uuid(), 'x'
FROM generate_series(1, 1) i;
INSERT INTO group_node_manager VALUES ('{GROUP}', '{MANAGER}', 'Worker');
INSERT INTO independent_workers (id, name, state, tags, token_id, created_by)
VALUES ('{WORKER}', 'w', 'Idle', '{{}}', gen_random_uuid(), 'x');
INSERT INTO group_worker (worker_id, group_id) VALUES ('{WORKER}', '{GROUP}');
INSERT INTO task_suites (id, group_id, name, description, labels, tags, priority, worker_schedule, task_defaults,
    runs_by_default, auto_close_timeout_seconds, max_preparation_failures, max_attempts, created_by, state,
    total_tasks, pending_tasks)
SELECT (lpad(to_hex((i + 1)::bigint), 16, '0') || repeat('0', 16))::uuid, '{GROUP}', 's' || i, '', '{{}}', '{{}}', 0,
    '{{}}', '', true, 180, 3, 3, 'x', 'Queued', 1000000, 1000000
FROM generate_series(0, {SUITES - 1}) i;
"""


@dataclass(frozen=True, slots=True)
class Large:
    """Where things are in it."""

    url: str
    assignment_id: int
    worker_assignment_id: int
    held: tuple[tuple[str, int], ...]
    """Task and attempt of some tasks that the assignment holds."""
    pending_task: UUID
    finished_task: UUID


@contextmanager
def without_indexes(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """Make the indexes of the task tables at the end: for a million rows that takes seconds less."""
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname NOT LIKE '%%pkey'",
        [list(_TASKS)],
    ).fetchall()
    for name, _ in rows:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, definition in rows:
        connection.execute(definition)


def fill(url: str) -> Large:
    """Make the rows, and have the server look at them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute(_ROWS)
        [assignment] = _row(
            connection,
            f"""INSERT INTO assignments (task_suite_id, manager_id, session_epoch, state)
                VALUES ('{BIG_SUITE}', '{MANAGER}', 1, 'Executing') RETURNING id""",
        )
        [of_worker] = _row(
            connection,
            f"""INSERT INTO assignments (worker_id, session_epoch, state)
                VALUES ('{WORKER}', 1, 'Executing') RETURNING id""",
        )
        with without_indexes(connection):
            connection.execute(_pending(assignment))
            connection.execute(_FINISHED)
        connection.execute("VACUUM ANALYZE")
        held = connection.execute(
            "SELECT id::text, attempt FROM active_tasks WHERE assignment_id = %s ORDER BY id LIMIT 256", [assignment]
        ).fetchall()
        [pending] = _row(connection, "SELECT id FROM active_tasks WHERE state = 'Ready' ORDER BY id DESC LIMIT 1")
        [finished] = _row(connection, "SELECT id FROM archived_tasks ORDER BY id LIMIT 1")
    return Large(url, assignment, of_worker, tuple((row[0], row[1]) for row in held), pending, finished)


def _row(connection: psycopg.Connection[TupleRow], query: str) -> TupleRow:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def _suite_of(number: str) -> str:
    """Nine tenths are of the big suite, some of none, the rest of all others."""
    other = f"(lpad(to_hex((2 + {number} % {SUITES - 1})::bigint), 16, '0') || repeat('0', 16))::uuid"
    return f"""CASE WHEN {number} % 10 > 0 THEN '{BIG_SUITE}'::uuid
                    WHEN {number} >= {INDEPENDENT * 10} THEN {other} END"""


def _id(table: int, number: str) -> str:
    return f"('0192{table:04x}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


def _pending(assignment_id: object) -> str:
    held = f"i % 10 > 0 AND i < {HELD * 10 // 9}"
    return f"""
        INSERT INTO active_tasks (id, task_suite_id, group_id, state, priority, attempt, assignment_id, retry_at,
            max_retries, retry_backoff_seconds, spec, created_by)
        SELECT {_id(2, "i")}, {_suite_of("i")}, '{GROUP}',
            CASE WHEN {held} THEN CASE WHEN i % 50 = 1 THEN 'Running' ELSE 'Dispatched' END ELSE 'Ready' END, i % 3,
            CASE WHEN {held} THEN 1 ELSE 0 END, CASE WHEN {held} THEN {assignment_id} END,
            CASE WHEN i > {PENDING - 500} THEN now() + interval '1 hour' END, 0, 1, 'spec of a task', 'x'
        FROM generate_series(1, {PENDING}) AS i"""


_FINISHED = f"""
    INSERT INTO archived_tasks (id, task_suite_id, group_id, state, priority, attempt, max_retries,
        retry_backoff_seconds, spec, created_by, created_at, started_at, finished_at)
    SELECT {_id(1, "i")}, {_suite_of("i")}, '{GROUP}', CASE WHEN i % 50000 = 1 THEN 'Failed' ELSE 'Completed' END, 0, 1,
        0, 1, 'spec of a task', 'x', now(), now(), now()
    FROM generate_series(1, {FINISHED}) AS i"""
