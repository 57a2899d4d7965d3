"""Every lifecycle in full: each event in each state, against a table that is written here a second time."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from mitosis_coordinator.domain.errors import WrongState, spoken
from mitosis_coordinator.domain.lifecycle import Lifecycle
from mitosis_coordinator.domain.manager import HOLDING_STATES, MANAGER
from mitosis_coordinator.domain.suite import ACTIVE_STATES, FINAL_STATES, SUITE, SuiteState
from mitosis_coordinator.domain.task import PENDING_STATES, TASK
from mitosis_coordinator.sessions.machine import SESSION

# One line for each event, one column for each state, "." for what is refused.

SUITE_TABLE = """
                       Queued     Open       Executing  Complete   Cancelled  Failed
submitted              Queued     Open       Executing  Queued     .          .
assigned               Open       Open       Executing  .          .          .
execution_started      .          Executing  Executing  .          .          .
released               Queued     Queued     Queued     .          .          .
closed                 Queued     Open       Executing  Complete   .          .
updated                Queued     Open       Executing  Complete   .          Failed
completed              Complete   Complete   Complete   .          .          .
cancelled              Cancelled  Cancelled  Cancelled  Cancelled  .          Cancelled
preparation_exhausted  Failed     Failed     Failed     .          .          .
retried                Queued     Open       Executing  Queued     .          Queued
"""

TASK_TABLE = """
                 Ready       Dispatched  Running    Completed  Failed  Cancelled
handed_out       Dispatched  .           .          .          .       .
started          .           Running     .          .          .       .
returned         .           Ready       Ready      .          .       .
retry_scheduled  .           Ready       Ready      .          .       .
completed        .           Completed   Completed  .          .       .
failed           .           Failed      Failed     .          .       .
cancelled        Cancelled   Cancelled   Cancelled  .          .       .
retried          .           .           .          .          Ready   .
"""

MANAGER_TABLE = """
             Offline  Idle      Assigned   Preparing  Executing  Cleaning  Failed
attached     Idle     Idle      Idle       Idle       Idle       Idle      Idle
assigned     .        Assigned  .          .          .          .         .
preparing    .        .         Preparing  .          .          .         .
executing    .        .         Executing  Executing  .          .         .
cleaning     .        .         Cleaning   Cleaning   Cleaning   .         .
released     .        .         Idle       Idle       Idle       Idle      .
quarantined  .        Failed    .          .          .          .         .
left         .        Offline   Offline    Offline    Offline    Offline   Offline
timed_out    .        Offline   Offline    Offline    Offline    Offline   Offline
"""

SESSION_TABLE = """
                 Idle         Holding      Releasing    Unavailable  Leaving
assigned         Holding      .            .            .            .
resumed          Holding      .            .            .            .
aborted          Unavailable  .            .            .            .
release_wanted   .            Releasing    .            .            .
finished         .            Idle         Idle         Idle         Leaving
refused          .            Unavailable  Unavailable  Unavailable  Leaving
idle_again       .            .            .            Idle         .
shutdown_wanted  Leaving      Leaving      Leaving      Leaving      Leaving
"""

TABLES: list[tuple[Lifecycle[Any, Any], str, str]] = [
    (SUITE, "Queued", SUITE_TABLE),
    (TASK, "Ready", TASK_TABLE),
    (MANAGER, "Offline", MANAGER_TABLE),
    (SESSION, "Idle", SESSION_TABLE),
]


def parsed(table: str) -> dict[tuple[str, str], str | None]:
    """(state, event) to the new state, None where the event is refused."""
    header, *lines = table.strip().splitlines()
    states = header.split()
    cells: dict[tuple[str, str], str | None] = {}
    for line in lines:
        event, *targets = line.split()
        for state, target in zip(states, targets, strict=True):
            cells[state, event] = None if target == "." else target
    return cells


TABLE_OF = {lifecycle.kind: table for lifecycle, _, table in TABLES}
CELLS = [
    pytest.param(lifecycle, state, event, target, id=f"{lifecycle.kind}-{state}-{event}")
    for lifecycle, _, table in TABLES
    for (state, event), target in parsed(table).items()
]
EVERY_LIFECYCLE = pytest.mark.parametrize(
    ("lifecycle", "initial", "table"), TABLES, ids=[lifecycle.kind for lifecycle, _, _ in TABLES]
)


def enums_of(lifecycle: Lifecycle[Any, Any]) -> tuple[type[StrEnum], type[StrEnum]]:
    state, event = next(iter(lifecycle.transitions))
    return type(state), type(event)


@pytest.mark.parametrize(("lifecycle", "state", "event", "target"), CELLS)
def test_an_event_in_a_state(lifecycle: Lifecycle[Any, Any], state: str, event: str, target: str | None) -> None:
    states, events = enums_of(lifecycle)
    cells = parsed(TABLE_OF[lifecycle.kind])
    allowed = {name for (source, name), to in cells.items() if source == state and to}

    assert lifecycle.allows(states(state), events(event)) is (target is not None)
    assert set(lifecycle.allowed(states(state))) == allowed
    if target is not None:
        assert lifecycle.after(states(state), events(event)) is states(target)
        return
    with pytest.raises(WrongState) as refused:
        lifecycle.after(states(state), events(event), "the-name")
    error = refused.value
    assert (error.kind, error.name, error.state, error.event) == (lifecycle.kind, "the-name", state, event)
    assert set(error.allowed) == allowed
    assert f"{lifecycle.kind} the-name is {state}" in str(error)
    assert f"cannot be {spoken(event)}" in str(error)
    assert all(spoken(name) in str(error) for name in allowed)


@EVERY_LIFECYCLE
def test_the_tables_name_every_state_and_event(lifecycle: Lifecycle[Any, Any], initial: str, table: str) -> None:
    states, events = enums_of(lifecycle)
    cells = parsed(table)
    assert {state for state, _ in cells} == {str(state) for state in states}
    assert {event for _, event in cells} == {str(event) for event in events}
    assert lifecycle.initial == initial


@EVERY_LIFECYCLE
def test_the_guards_of_updates_are_the_columns(lifecycle: Lifecycle[Any, Any], initial: str, table: str) -> None:
    _, events = enums_of(lifecycle)
    for event in events:
        expected = {state for (state, name), target in parsed(table).items() if name == event and target}
        sources = lifecycle.sources(event)
        assert set(sources) == expected
        assert len(sources) == len(expected)


@EVERY_LIFECYCLE
def test_the_diagram_shows_every_move(lifecycle: Lifecycle[Any, Any], initial: str, table: str) -> None:
    lines = [line.strip() for line in lifecycle.mermaid().splitlines()]
    assert lines[:2] == ["stateDiagram-v2", f"[*] --> {initial}"]
    shown = {
        (arrow.split(" --> ")[0], event, arrow.split(" --> ")[1])
        for arrow, _, events in (line.partition(": ") for line in lines[2:])
        for event in events.split(", ")
    }
    assert shown == {
        (state, event, target) for (state, event), target in parsed(table).items() if target not in (None, state)
    }


@EVERY_LIFECYCLE
def test_every_state_can_be_reached(lifecycle: Lifecycle[Any, Any], initial: str, table: str) -> None:
    states, _ = enums_of(lifecycle)
    reached = {initial}
    while more := {to for (state, _), to in parsed(table).items() if state in reached and to} - reached:
        reached |= more
    assert reached == {str(state) for state in states}


def test_groups_of_states_follow_from_the_tables() -> None:
    suites = parsed(SUITE_TABLE)
    assert set(ACTIVE_STATES) == {state for (state, event), to in suites.items() if event == "completed" and to}
    assert set(ACTIVE_STATES) | set(FINAL_STATES) == set(SuiteState)
    assert not set(ACTIVE_STATES) & set(FINAL_STATES)
    tasks = parsed(TASK_TABLE)
    assert set(PENDING_STATES) == {state for (state, event), to in tasks.items() if event == "cancelled" and to}
    managers = parsed(MANAGER_TABLE)
    assert set(HOLDING_STATES) == {state for (state, event), to in managers.items() if event == "released" and to}
