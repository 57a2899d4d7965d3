"""The manager's lifecycle: every state with every event, and the stories that matter."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis.v1 import hook_pb2, manager_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr import events as ev
from mitosis_nodemgr import instructions as do
from mitosis_nodemgr.machine import TABLE, Step, handle
from mitosis_nodemgr.states import HOLDING, ManagerState, Stage

SUITE = stream.SuiteAssigned(assignment_id=7, env_preparation=hook_pb2.EnvHookSpec(command="true"))
BARE_SUITE = stream.SuiteAssigned(assignment_id=7)
OTHER_SUITE = stream.SuiteAssigned(assignment_id=8)
GOOD = stream.HookReport(assignment_id=7, result=hook_pb2.HOOK_RESULT_SUCCESS)
BAD = stream.HookReport(assignment_id=7, result=hook_pb2.HOOK_RESULT_FAILURE, error="exit code 3")

EVENTS: list[ev.Event] = [
    *(ev.Attached(verdict) for verdict in ev.Verdict),
    ev.Disconnected(),
    ev.Rejected("replaced"),
    *(ev.SuiteAssigned(suite) for suite in (SUITE, BARE_SUITE, OTHER_SUITE)),
    ev.SuiteDrained(7),
    ev.SuiteDrained(8),
    *(ev.SuiteCancelled(number, stop) for number in (7, 8) for stop in (False, True)),
    ev.IntentRecorded(),
    ev.SuiteRefused(BAD),
    ev.PreparationEnded(GOOD),
    ev.PreparationEnded(BAD),
    ev.WorkersFailed(BAD),
    ev.WorkersGone(),
    ev.CleanupEnded(None),
    ev.CleanupEnded(GOOD),
    ev.ReportsSettled(),
    ev.DrainRequested(),
    ev.LeaveRequested(graceful=True),
    ev.LeaveRequested(graceful=False),
    ev.StopRequested(),
    ev.GraceEnded(),
    ev.PatienceEnded(),
]


def states() -> list[ManagerState]:
    """Every state that the machine can be in, apart from the reports it may be keeping."""
    found = []
    for stage, connected, draining, leaving in itertools.product(Stage, (False, True), (False, True), (False, True)):
        if leaving and not draining:
            continue
        state = ManagerState(stage=stage, connected=connected, draining=draining, leaving=leaving)
        if stage not in HOLDING:
            if connected == (stage is Stage.IDLE) or stage is Stage.GONE:
                found.append(state)
            continue
        for finish, abandoned in itertools.product(
            (None, stream.FINISH_REASON_RELEASED, stream.FINISH_REASON_CANCELLED, stream.FINISH_REASON_DRAINED),
            (False, True),
        ):
            if finish is None and (abandoned or draining or stage in (Stage.SETTLING, Stage.CLEANING, Stage.FINISHING)):
                continue
            if finish is not None and stage is Stage.EXECUTING:
                continue
            if abandoned and stage is Stage.FINISHING:
                continue
            found.append(replace(state, suite=SUITE, finish=finish, abandoned=abandoned))
    return found


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_every_state_takes_every_event(event: ev.Event) -> None:
    for state in states():
        step = handle(state, event)
        check(state, event, step)


def check(state: ManagerState, event: ev.Event, step: Step) -> None:
    """What holds after any event in any state."""
    after = step.state
    row = TABLE.get((state.stage, type(event)))
    if row is None:
        assert step == Step(state)
    else:
        assert after.stage in row.leads_to | {state.stage}, (state, event)
    # A manager that leaves in a hurry leaves its suite, and the record of it, to the next start.
    assert after.stage is Stage.GONE or (after.suite is not None) == (after.stage in HOLDING)
    if any(isinstance(instruction, do.Tell) for instruction in step.instructions):
        assert state.connected or after.connected, "told without a stream"
    if after.stage in (Stage.SETTLING, Stage.CLEANING, Stage.FINISHING):
        assert after.finish is not None
    if after.stage is Stage.EXECUTING:
        assert after.finish is None
    if after.abandoned and not isinstance(event, ev.SuiteAssigned):
        assert not any(isinstance(instruction, do.Tell) for instruction in step.instructions)
    leaves = [instruction for instruction in step.instructions if isinstance(instruction, do.Leave)]
    assert bool(leaves) == (after.stage is Stage.GONE and state.stage is not Stage.GONE)
    assert not leaves or step.instructions[-1] is leaves[0], "something was asked for after the goodbye"


def kinds(step: Step) -> list[str]:
    names = []
    for instruction in step.instructions:
        if isinstance(instruction, do.Tell):
            names.append(str(instruction.message.WhichOneof("message")))
        else:
            names.append(type(instruction).__name__)
    return names


def play(*happened: ev.Event, start: ManagerState | None = None) -> tuple[ManagerState, list[str]]:
    state, done = start or ManagerState(), list[str]()
    for event in happened:
        step = handle(state, event)
        check(state, event, step)
        state = step.state
        done += kinds(step)
    return state, done


TO_IDLE = (ev.Attached(ev.Verdict.IDLE),)
TO_EXECUTING = (*TO_IDLE, ev.SuiteAssigned(SUITE), ev.IntentRecorded(), ev.PreparationEnded(GOOD))


def test_a_suite_from_beginning_to_end() -> None:
    state, done = play(*TO_EXECUTING, ev.SuiteDrained(7), ev.WorkersGone(), ev.CleanupEnded(GOOD), ev.ReportsSettled())
    assert state == ManagerState(stage=Stage.IDLE, connected=True)
    assert done == [
        "state_changed", "RecordIntent",
        "state_changed", "RunPreparation",
        "hook_report", "StartWorkers", "state_changed", "GrantCredit",
        "Wind",
        "state_changed", "RunCleanup",
        "hook_report", "AwaitReports",
        "suite_finished", "state_changed",
    ]  # fmt: skip


def test_a_suite_without_preparation_starts_workers_at_once() -> None:
    state, done = play(*TO_IDLE, ev.SuiteAssigned(BARE_SUITE), ev.IntentRecorded())
    assert state.stage is Stage.EXECUTING
    assert done[2:] == ["StartWorkers", "state_changed", "GrantCredit"]


def test_a_failed_preparation_is_cleaned_up_and_reported() -> None:
    state, done = play(*TO_EXECUTING[:-1], ev.PreparationEnded(BAD), ev.CleanupEnded(None))
    assert done[-4:] == ["hook_report", "state_changed", "RunCleanup", "AwaitReports"]
    step = handle(state, ev.ReportsSettled())
    assert isinstance(step.instructions[0], do.Tell)
    assert step.instructions[0].message.suite_finished.reason == stream.FINISH_REASON_PREPARATION_FAILED


def test_a_hook_report_waits_for_the_stream() -> None:
    state, done = play(*TO_EXECUTING[:-1], ev.Disconnected(), ev.PreparationEnded(GOOD))
    assert done[-2:] == ["StartWorkers", "GrantCredit"]
    _, done = play(ev.Attached(ev.Verdict.RESUME), start=state)
    assert done == ["state_changed", "hook_report", "GrantCredit"]


def test_the_end_of_a_suite_waits_for_the_stream() -> None:
    state, done = play(
        *TO_EXECUTING,
        ev.SuiteDrained(7),
        ev.Disconnected(),
        ev.WorkersGone(),
        ev.CleanupEnded(GOOD),
        ev.ReportsSettled(),
    )
    assert state.stage is Stage.FINISHING
    assert "suite_finished" not in done
    state, done = play(ev.Attached(ev.Verdict.RESUME), ev.ReportsSettled(), start=state)
    assert done == ["state_changed", "hook_report", "AwaitReports", "suite_finished", "state_changed"]


@pytest.mark.parametrize("event", [ev.SuiteDrained(7), ev.SuiteCancelled(7, stop_running=False), ev.DrainRequested()])
def test_letting_go_while_preparing_stops_the_hook_and_cleans_up(event: ev.Event) -> None:
    state, done = play(*TO_EXECUTING[:-1], event)
    assert done[-1] == "StopPreparation"
    _, done = play(ev.PreparationEnded(GOOD), start=state)
    assert done == ["hook_report", "state_changed", "RunCleanup"], "a preparation that won the race is not used"


def test_an_aborted_assignment_ends_in_silence_and_with_its_cleanup() -> None:
    state, done = play(
        *TO_EXECUTING, ev.Disconnected(), ev.Attached(ev.Verdict.ABORT), ev.WorkersGone(), ev.CleanupEnded(GOOD)
    )
    assert done[8:] == ["DropTasks", "RunCleanup", "state_changed"]
    assert state == ManagerState(stage=Stage.IDLE, connected=True)


def test_a_signal_drains_within_the_grace_and_says_goodbye() -> None:
    state, done = play(
        *TO_EXECUTING,
        ev.LeaveRequested(graceful=True),
        ev.GraceEnded(),
        ev.WorkersGone(),
        ev.CleanupEnded(GOOD),
        ev.ReportsSettled(),
    )
    assert state.stage is Stage.GONE
    assert state.exit_code == 0
    assert done[8:] == [
        "Wind", "StartGrace", "StopRunning", "state_changed", "RunCleanup", "hook_report", "AwaitReports",
        "StartPatience", "suite_finished", "Leave",
    ]  # fmt: skip


def test_leaving_does_not_wait_for_ever_for_a_coordinator_that_is_away() -> None:
    state, _ = play(
        *TO_EXECUTING, ev.Disconnected(), ev.LeaveRequested(graceful=False), ev.WorkersGone(), ev.CleanupEnded(None)
    )
    assert state.stage is Stage.FINISHING
    assert handle(state, ev.PatienceEnded()).state.stage is Stage.GONE


def test_a_draining_manager_refuses_suites() -> None:
    _, done = play(*TO_IDLE, ev.DrainRequested(), ev.SuiteAssigned(SUITE))
    assert done == ["suite_finished"]


def test_a_rejected_manager_cleans_up_and_fails() -> None:
    state, done = play(
        *TO_EXECUTING, ev.Disconnected(), ev.Rejected("replaced"), ev.WorkersGone(), ev.CleanupEnded(GOOD)
    )
    assert (state.stage, state.exit_code, state.reason) == (Stage.GONE, 1, "replaced")
    assert done[8:] == ["DropTasks", "RunCleanup", "Leave"]


def test_every_stage_has_a_name_for_the_coordinator() -> None:
    assert {ManagerState(stage=stage).told_as for stage in Stage} < set(manager_pb2.NodeManagerState.values())


@given(st.lists(st.sampled_from(EVENTS), max_size=60))
def test_no_sequence_of_events_breaks_an_invariant(happened: list[ev.Event]) -> None:
    play(*happened)
