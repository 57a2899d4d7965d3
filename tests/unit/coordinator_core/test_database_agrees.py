"""What the schema and the statements say of states is what the tables of the domain say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from importlib.resources import files

import pytest

from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import HOLDING_STATES, ManagerRole, ManagerState
from mitosis_coordinator.domain.principal import GroupRole
from mitosis_coordinator.domain.suite import ACTIVE_STATES, FINAL_STATES, SUITE, Selection, SuiteEvent, SuiteState
from mitosis_coordinator.domain.task import PENDING_STATES, FailureKind, TaskState
from mitosis_coordinator.domain.worker import WorkerState

STORAGE = files("mitosis_coordinator") / "storage"
SCHEMA = "\n".join(
    (STORAGE / "migrations" / name).read_text()
    for name in ("0001_initial.sql", "0002_suites_managers_tasks.sql", "0003_independent_workers.sql")
)


def values(members: Iterable[StrEnum]) -> set[str]:
    return {str(member) for member in members}


@pytest.mark.parametrize(
    ("constraint", "accepted"),
    [
        ("task_suites_state_known", values(SuiteState)),
        ("node_managers_state_known", values(ManagerState)),
        ("independent_workers_state_known", values(WorkerState)),
        ("active_tasks_state_known", values(PENDING_STATES)),
        ("archived_tasks_state_known", values(TaskState) - values(PENDING_STATES)),
        ("assignments_state_known", values(HOLDING_STATES) | {"Ended"}),
        ("task_execution_failures_kind_known", values(FailureKind)),
        ("hook_runs_type_known", values(HookType)),
        ("hook_runs_result_known", values(HookResult)),
        ("group_node_manager_role_known", values(ManagerRole)),
        ("task_suite_managers_selection_known", values(Selection)),
        ("user_group_role_known", {role.name.title() for role in GroupRole}),
    ],
)
def test_a_check_lists_exactly_the_values_of_the_domain(constraint: str, accepted: set[str]) -> None:
    found = re.search(rf"CONSTRAINT {constraint}\s+CHECK \(\w+ IN \(([^)]*)\)\)", SCHEMA)
    assert found is not None
    assert set(re.findall(r"'(\w+)'", found[1])) == accepted


def test_statements_select_suites_by_groups_of_states_that_the_domain_has() -> None:
    groups = [values(ACTIVE_STATES), values(FINAL_STATES)]
    lists = [
        set(re.findall(r"'(\w+)'", found))
        for name in ("suites.sql", "assignments.sql")
        for found in re.findall(r"state\)?s? IN \(([^)]*)\)", (STORAGE / "sql" / name).read_text())
    ]
    assert len(lists) >= 6
    assert all(states in groups for states in lists)


def test_what_is_due_is_what_may_complete() -> None:
    assert set(SUITE.sources(SuiteEvent.COMPLETED)) == values(ACTIVE_STATES)
