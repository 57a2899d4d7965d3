"""What the statements of the hot paths read, with a million pending and a million finished tasks.

A plan that is good on an empty table may read all of a large one, and a generic plan may be worse than one made for its
parameters: each statement is run with both, and the rows that it looked at are counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from mitosis_coordinator.domain.task import TaskState
from mitosis_coordinator.storage.queries import load_queries
from tests.plans.large import BIG_SUITE, GROUP, HELD, MANAGER, OTHER_GROUP, PENDING, WORKER, Large, fill
from tests.support.postgres import SessionPostgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LAST = UUID(int=(1 << 128) - 1)
ALL_STATES = [str(state) for state in TaskState]
_LARGE_TABLES = {"active_tasks", "archived_tasks"}

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A statement, what it is given, and how many rows of the large tables it may look at."""

    source: str
    statement: str
    parameters: Callable[[Large], Parameters]
    rows: int
    note: str = ""

    def __str__(self) -> str:
        return f"{self.statement}{f' ({self.note})' if self.note else ''}"


def claim(large: Large) -> Parameters:
    return {
        "suite_id": BIG_SUITE,
        "manager_id": MANAGER,
        "assignment_id": large.assignment_id,
        "session_epoch": 1,
        "limit": 256,
    }


def behind(large: Large) -> Parameters:
    return {**claim(large), "priority": 0, "behind": large.pending_task}


def independent(large: Large) -> Parameters:
    return {"worker_id": WORKER, "assignment_id": large.worker_assignment_id, "session_epoch": 1, "limit": 16}


def attempts(large: Large) -> dict[str, Any]:
    return {
        "assignment_id": large.assignment_id,
        "ids": [task for task, _ in large.held],
        "attempts": [attempt for _, attempt in large.held],
    }


def finish(large: Large) -> Parameters:
    count = len(large.held)
    now = datetime.now(UTC)
    return attempts(large) | {
        "holder_id": MANAGER,
        "holdings": [large.assignment_id],
        "assignment_ids": [large.assignment_id] * count,
        "states": [],
        "exit_codes": [],
        "errors": [],
        "stdout_tails": [],
        "stderr_tails": [],
        "return_values": [],
        "started": [now] * count,
        "finished": [now] * count,
        "count": count,
    }


def page(states: list[str] = ALL_STATES, **fields: Any) -> Callable[[Large], Parameters]:
    pending = {"Ready", "Dispatched", "Running"}
    parameters = {
        "before": LAST,
        "limit": 100,
        "states": states,
        "pending": bool(pending & set(states)),
        "final": not set(states) <= pending,
        "completed": "Completed" in states,
    } | fields
    return lambda large: parameters


def task(task_id: Callable[[Large], UUID]) -> Callable[[Large], Parameters]:
    return lambda large: {"task_id": task_id(large), "error": "cancelled"}


CASES = [
    Case("tasks", "claim_tasks", claim, 256 * 3),
    Case("tasks", "claim_tasks_behind", behind, 256 * 3),
    Case("tasks", "claim_independent_tasks", independent, 16 * 4),
    Case("tasks", "finish_tasks", finish, 256 * 3),
    Case("tasks", "return_tasks", attempts, 256 * 3),
    Case("tasks", "held_by_assignment", attempts, HELD),
    Case("tasks", "release_assignment", attempts, HELD),
    Case(
        "tasks",
        "reclaim_assignment",
        lambda it: attempts(it) | {"holder_id": MANAGER, "error": "lost", "kept": []},
        HELD,
    ),
    Case("tasks", "release_due_retries", lambda it: {}, 500),
    Case("tasks", "next_due_retry", lambda it: {}, 500),
    Case("tasks", "cancel_task", task(lambda it: it.pending_task), 4),
    Case("tasks", "get_task", task(lambda it: it.pending_task), 4, "pending"),
    Case("tasks", "get_task", task(lambda it: it.finished_task), 4, "finished"),
    Case("tasks", "get_task", task(lambda it: LAST), 4, "absent"),
    Case("tasks", "list_suite_tasks", page(suite_id=BIG_SUITE), 300, "all"),
    Case("tasks", "list_suite_tasks", page(["Failed"], suite_id=BIG_SUITE), 100, "failed"),
    Case("tasks", "list_suite_tasks", page(["Completed"], suite_id=BIG_SUITE), 120, "completed"),
    Case("tasks", "list_suite_tasks", page(suite_id=UUID(int=2 << 64)), 2500, "a small suite"),
    Case("tasks", "list_group_tasks", page(group_ids=[GROUP, OTHER_GROUP]), 300),
    Case("tasks", "list_all_tasks", page(), 300),
    Case("monitoring", "independent_tasks", lambda it: {"limit": 1000}, 1000),
    Case(
        "task_arrays",
        "make_tasks",
        lambda it: {"suite_id": BIG_SUITE, "first_task_id": None, "chunk": 4096, "low_water": 2048},
        2048,
    ),
    Case("assignments", "pick_suite", lambda it: {"manager_id": MANAGER}, 2500),
    Case("assignments", "wanted_managers", lambda it: {"manager_ids": [MANAGER]}, 2500),
    Case("suites", "due_suites", lambda it: {}, 0),
]


@pytest.fixture(scope="module")
def large(postgres: SessionPostgres) -> Iterator[Large]:
    with postgres.fresh() as url:
        yield fill(url)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_statement_reads_little_of_a_large_table(large: Large, case: Case, mode: str) -> None:
    plan = explained(large, load_queries(case.source)[case.statement], case.parameters(large), mode)
    looked_at = {str(node["Relation Name"]): rows_of(node) for node in nodes(plan) if is_large(node)}
    scans = [node["Node Type"] for node in nodes(plan) if is_large(node)]
    total = sum(rows_of(node) for node in nodes(plan) if is_large(node))
    assert total <= case.rows, f"{scans}: {looked_at}"


@pytest.mark.parametrize(
    "statement", ["claim_tasks", "claim_tasks_behind", "finish_tasks", "return_tasks", "cancel_task", "get_task"]
)
def test_a_plan_made_while_the_table_was_empty_will_do_for_a_large_one(database_url: str, statement: str) -> None:
    """A cached plan is kept until the next ANALYZE, which may be a minute and a million tasks away."""
    empty = Large(database_url, 1, 2, ((str(LAST), 1),), LAST, LAST)
    [case, *_] = [case for case in CASES if case.statement == statement]
    plan = explained(empty, load_queries(case.source)[statement], case.parameters(empty), "force_generic_plan")
    assert [node["Node Type"] for node in nodes(plan) if is_large(node) and node["Node Type"] == "Seq Scan"] == []


def test_the_count_sees_a_plan_that_reads_everything(large: Large) -> None:
    plan = explained(large, "SELECT count(*) FROM active_tasks WHERE created_by = %(name)s", {"name": "y"}, "auto")
    assert sum(rows_of(node) for node in nodes(plan) if is_large(node)) == PENDING


def explained(large: Large, query: str, parameters: Parameters, mode: str) -> dict[str, Any]:
    """Run a statement as a prepared one, undo it, and return its plan with what was counted."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", query).replace("%%", "%")
    with psycopg.connect(large.url, cursor_factory=psycopg.ClientCursor) as connection:
        # As the coordinator's pool does.
        connection.execute("SET random_page_cost = 1.1")
        connection.execute(f"SET plan_cache_mode = {mode}")
        connection.execute(f"PREPARE it AS {text}")
        given = f"({', '.join(['%s'] * len(names))})" if names else ""
        cursor = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE it{given}",
            [parameters[name] for name in names],
        )
        row = cursor.fetchone()
        connection.rollback()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def is_large(node: dict[str, Any]) -> bool:
    """Whether a node reads a large table; those that write it count nothing."""
    return node.get("Relation Name") in _LARGE_TABLES and "Scan" in node["Node Type"]


def rows_of(node: dict[str, Any]) -> int:
    """Rows that a node looked at, in all its loops."""
    each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(each * node["Actual Loops"])
