"""Collects what a run left in the database and in the execution log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from mitosis.v1 import task_pb2
from tests.chaos.deployment import Deployment
from tests.chaos.verdict import Execution, Failure, Recorded

_ACTIVE = "SELECT id::text, spec FROM active_tasks"
_RECORDED = "SELECT id::text, state, attempt, spec, task_suite_id::text, return_value FROM archived_tasks"
_FAILURES = "SELECT task_id::text, attempt, kind FROM task_execution_failures"
# All that keeps a deployment from being at rest, in words.
_UNSETTLED = """
    SELECT 'suite ' || id || ' is ' || state FROM task_suites WHERE state NOT IN ('Complete', 'Cancelled')
    UNION ALL
    SELECT 'manager ' || name || ' is ' || state FROM node_managers WHERE state <> 'Idle'
    UNION ALL
    SELECT 'worker ' || name || ' is ' || state FROM independent_workers WHERE state <> 'Idle'
    UNION ALL
    SELECT 'task ' || id || ' is ' || state FROM active_tasks"""
_UNSETTLED_SHOWN = 20
_QUARANTINED = "SELECT name FROM node_managers WHERE state = 'Failed'"
_STALE = re.compile(r"stale_reports\b.*\bcount=(\d+)")


def unsettled(database_url: str) -> list[str]:
    """Returns what keeps the deployment from being at rest, not all of it when that is much."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        return [row[0] for row in connection.execute(f"{_UNSETTLED} LIMIT {_UNSETTLED_SHOWN}")]


def quarantined(database_url: str) -> list[str]:
    """Returns the managers that wait for an operator."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        return [row[0] for row in connection.execute(_QUARANTINED)]


def active(connection: psycopg.Connection[TupleRow]) -> dict[str, int]:
    """Returns the number of each task that is not final."""
    return {task: _payload(spec)[0] for task, spec in connection.execute(_ACTIVE)}


def recorded(connection: psycopg.Connection[TupleRow]) -> dict[str, Recorded]:
    """Returns each task that is final."""
    found = {}
    for task, state, attempt, spec, suite, value in connection.execute(_RECORDED):
        number, fate = _payload(spec)
        result = None
        if value is not None:
            document = json.loads(value)
            result = document["number"], document["attempt"]
        found[task] = Recorded(state, attempt, number, fate, suite, result)
    return found


def failures(connection: psycopg.Connection[TupleRow]) -> list[Failure]:
    """Returns every failure in the history of any task."""
    return [Failure(*row) for row in connection.execute(_FAILURES)]


def executions(log: Path) -> list[Execution]:
    """Returns every line of the execution log."""
    if not log.exists():
        return []
    fields = (line.split() for line in log.read_text().splitlines())
    return [Execution(event, task, int(attempt), int(pid), float(at)) for event, task, attempt, pid, at in fields]


def stale_reports(deployment: Deployment) -> int:
    """Counts the reports that came too late and were refused, as the coordinators' logs tell."""
    logs: Iterable[str] = (deployment.parts[name].output() for name in deployment.cast.coordinators)
    return sum(int(count) for log in logs for count in _STALE.findall(log))


def _payload(spec: bytes) -> tuple[int, str]:
    document = json.loads(task_pb2.TaskSpec.FromString(spec).payload)
    return document["number"], document["fate"]
