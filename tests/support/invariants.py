"""What must be true of the tables at any time, whatever happened."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

# Each finds what contradicts the sentence above it.
_CONTRADICTIONS = {
    "the counters of a suite are the numbers of its rows": """
        SELECT s.id, s.state, s.total_tasks, s.pending_tasks, s.completed_tasks, s.failed_tasks, s.cancelled_tasks,
            counted.*
        FROM task_suites s CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM active_tasks t WHERE t.task_suite_id = s.id)
                + (SELECT coalesce(sum(task_count - next_index - (
                       SELECT count(*) FROM unnest(skipped) i WHERE i >= next_index)), 0)
                   FROM task_arrays a WHERE a.task_suite_id = s.id) AS active,
                count(*) FILTER (WHERE state = 'Completed') AS completed,
                count(*) FILTER (WHERE state = 'Failed') AS failed,
                count(*) FILTER (WHERE state = 'Cancelled') AS cancelled
            FROM archived_tasks t WHERE t.task_suite_id = s.id
        ) AS counted
        WHERE (s.pending_tasks, s.completed_tasks, s.failed_tasks, s.cancelled_tasks)
            IS DISTINCT FROM (counted.active, counted.completed, counted.failed, counted.cancelled)""",
    "a task is pending or finished, never both": """
        SELECT id FROM active_tasks JOIN archived_tasks USING (id)""",
    "an array whose tasks were all made, or whose suite was cancelled, is gone": """
        SELECT a.id, s.state FROM task_arrays a JOIN task_suites s ON s.id = a.task_suite_id
        WHERE s.state IN ('Cancelled', 'Complete')""",
    "a task of a suite belongs to an existing one": """
        SELECT id FROM (
            SELECT id, task_suite_id FROM active_tasks UNION ALL SELECT id, task_suite_id FROM archived_tasks) t
        WHERE task_suite_id IS NOT NULL AND task_suite_id NOT IN (SELECT id FROM task_suites)""",
    "a held task is held by an assignment of its suite that lasts": """
        SELECT t.id, t.state, t.assignment_id, a.state AS assignment_state
        FROM active_tasks t LEFT JOIN assignments a
            ON a.id = t.assignment_id AND a.task_suite_id IS NOT DISTINCT FROM t.task_suite_id
        WHERE t.assignment_id IS NOT NULL AND (a.state IS NULL OR a.state = 'Ended')""",
    "a worker that is there holds an assignment, and one that is not holds none": """
        SELECT w.id, w.name, w.state, a.id AS assignment_id FROM independent_workers w
        LEFT JOIN assignments a ON a.worker_id = w.id AND a.state <> 'Ended'
        WHERE (a.id IS NOT NULL) <> (w.state <> 'Offline')""",
    "a cancelled suite has no task that waits": """
        SELECT s.id, t.id FROM task_suites s JOIN active_tasks t ON t.task_suite_id = s.id
        WHERE s.state = 'Cancelled' AND t.state = 'Ready'""",
    "a suite that is Open or Executing is held by somebody": """
        SELECT s.id, s.state FROM task_suites s
        WHERE s.state IN ('Open', 'Executing')
          AND NOT EXISTS (SELECT 1 FROM assignments a WHERE a.task_suite_id = s.id AND a.state <> 'Ended')""",
    "a manager's state says whether it holds a suite": """
        SELECT m.id, m.name, m.state, a.id AS assignment_id FROM node_managers m
        LEFT JOIN assignments a ON a.manager_id = m.id AND a.state <> 'Ended'
        WHERE (a.id IS NOT NULL) <> (m.state IN ('Assigned', 'Preparing', 'Executing', 'Cleaning'))""",
}

Snapshot = dict[str, list[dict[str, Any]]]


def contradictions(database_url: str) -> list[str]:
    """What the tables say twice and do not say alike."""
    found = []
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        for sentence, query in _CONTRADICTIONS.items():
            found += [f"{sentence}: {row}" for row in connection.execute(query)]
    return found


def assert_counters_agree(database_url: str) -> None:
    """Check that what the tables say twice they say alike."""
    assert contradictions(database_url) == []


def snapshot(database_url: str) -> Snapshot:
    """Every row of every table."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        names = [row["tablename"] for row in connection.execute(_TABLES)]
        return {
            name: sorted(
                connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall(), key=repr
            )
            for name in names
        }


# Coordinators write down from time to time that they live, whatever is asked of them.
_TABLES = """
    SELECT tablename FROM pg_tables
     WHERE schemaname = 'public' AND tablename <> 'coordinators'
     ORDER BY tablename
"""
