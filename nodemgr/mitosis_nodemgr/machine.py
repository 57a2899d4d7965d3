"""The life of a manager: (state, event) to new state and instructions, without I/O and without a clock.

Each rule below is one row of `TABLE`: where it applies, to what event, and where it may lead. The rules decide, and
`driver.py` acts. What is not in the table changes nothing: a late answer of a hook, a timer that fired too late, or a
message about an assignment that is over is no error in a distributed system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from mitosis.v1 import hook_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr import events as ev
from mitosis_nodemgr import instructions as do
from mitosis_nodemgr.states import ALIVE, HOLDING, ManagerState, Stage


class Step(NamedTuple):
    """The new state, and what to do, in order."""

    state: ManagerState
    instructions: tuple[do.Instruction, ...] = ()


# The event type differs from rule to rule, and the table looks the rule up by that type.
_Rule = Callable[[ManagerState, Any], Step]


class Row(NamedTuple):
    """One rule, and the stages it may lead to (its own included)."""

    rule: _Rule
    leads_to: frozenset[Stage]


_rows: dict[tuple[Stage, type[ev.Event]], Row] = {}
TABLE: Mapping[tuple[Stage, type[ev.Event]], Row] = MappingProxyType(_rows)


def handle(state: ManagerState, event: ev.Event) -> Step:
    """Applies the rule for this stage and event; without one, nothing changes."""
    row = _rows.get((state.stage, type(event)))
    return Step(state) if row is None else row.rule(state, event)


def _when(event: type[ev.Event], stages: Stage | frozenset[Stage], *leads_to: Stage) -> Callable[[_Rule], _Rule]:
    def enter(rule: _Rule) -> _Rule:
        for stage in [stages] if isinstance(stages, Stage) else stages:
            assert (stage, event) not in _rows, f"two rules for {event.__name__} in {stage}"
            _rows[stage, event] = Row(rule, frozenset(leads_to) or frozenset({stage}))
        return rule

    return enter


# --- helpers -----------------------------------------------------------------------------------------------------


def _tell_state(state: ManagerState) -> tuple[do.Instruction, ...]:
    if not state.connected or state.abandoned:
        return ()
    told = stream.StateChanged(assignment_id=state.assignment_id, state=state.told_as)
    return (do.Tell(stream.ConnectRequest(state_changed=told)),)


def _tell_finished(assignment_id: int, reason: stream.FinishReason) -> do.Instruction:
    finished = stream.SuiteFinished(assignment_id=assignment_id, reason=reason)
    return do.Tell(stream.ConnectRequest(suite_finished=finished))


def _with_report(state: ManagerState, report: stream.HookReport) -> Step:
    """Sends a hook report, or keeps it until the stream is back."""
    if state.abandoned:
        return Step(state)
    if not state.connected:
        return Step(replace(state, unsent=(*state.unsent, report)))
    return Step(state, (do.Tell(stream.ConnectRequest(hook_report=report)),))


def _enter(state: ManagerState, stage: Stage, *then: do.Instruction) -> Step:
    state = replace(state, stage=stage)
    return Step(state, (*_tell_state(state), *then))


def _execute(state: ManagerState) -> Step:
    # Workers first: the coordinator may answer credit with tasks before this call has returned.
    state = replace(state, stage=Stage.EXECUTING)
    return Step(state, (do.StartWorkers(), *_tell_state(state), do.GrantCredit()))


def _settle(state: ManagerState, *then: do.Instruction) -> Step:
    return Step(replace(state, stage=Stage.SETTLING), then)


def _finish(state: ManagerState) -> Step:
    if state.abandoned:
        return _conclude(state)
    patience = (do.StartPatience(),) if state.leaving else ()
    return Step(replace(state, stage=Stage.FINISHING), (do.AwaitReports(), *patience))


def _conclude(state: ManagerState) -> Step:
    """Lets go of the suite, and then is idle or leaves."""
    told: tuple[do.Instruction, ...] = ()
    if state.connected and not state.abandoned and state.finish is not None:
        told = (_tell_finished(state.assignment_id, state.finish),)
    free = replace(
        state,
        stage=Stage.IDLE if state.connected else Stage.OFFLINE,
        suite=None,
        finish=None,
        abandoned=False,
        unsent=(),
    )
    if free.leaving:
        gone = _leave(free)
        return Step(gone.state, (*told, *gone.instructions))
    return Step(free, (*told, *_tell_state(free)))


def _leave(state: ManagerState) -> Step:
    return Step(replace(state, stage=Stage.GONE), (do.Leave(state.exit_code, state.reason),))


def _held(state: ManagerState, assignment_id: int) -> bool:
    return state.assignment_id == assignment_id and not state.abandoned


# --- the stream --------------------------------------------------------------------------------------------------


@_when(ev.Attached, Stage.OFFLINE, Stage.IDLE)
@_when(ev.Attached, Stage.IDLE)
def _attached_empty(state: ManagerState, event: ev.Attached) -> Step:
    return Step(replace(state, stage=Stage.IDLE, connected=True))


@_when(ev.Attached, Stage.ASSIGNED)
@_when(ev.Attached, Stage.PREPARING)
@_when(ev.Attached, Stage.EXECUTING, Stage.EXECUTING, Stage.SETTLING)
@_when(ev.Attached, Stage.SETTLING)
@_when(ev.Attached, Stage.CLEANING)
@_when(ev.Attached, Stage.FINISHING, Stage.FINISHING, Stage.IDLE, Stage.GONE)
def _attached_holding(state: ManagerState, event: ev.Attached) -> Step:
    state = replace(state, connected=True)
    if event.verdict is not ev.Verdict.RESUME:
        return _abandon(state)
    unsent = tuple(do.Tell(stream.ConnectRequest(hook_report=report)) for report in state.unsent)
    state = replace(state, unsent=())
    # The stage may have changed since `Attach` was written.
    told = (*_tell_state(state), *unsent)
    if state.stage is Stage.EXECUTING:
        return Step(state, (*told, do.GrantCredit()))
    if state.stage is Stage.FINISHING:
        return Step(state, (*told, do.AwaitReports()))
    return Step(state, told)


def _abandon(state: ManagerState) -> Step:
    """Ends a suite that the coordinator has given up: silently, but with its cleanup."""
    if state.abandoned:
        return Step(state)
    state = replace(state, abandoned=True, finish=stream.FINISH_REASON_CANCELLED, unsent=())
    match state.stage:
        case Stage.PREPARING:
            return Step(state, (do.StopPreparation(),))
        case Stage.EXECUTING | Stage.SETTLING:
            return _settle(state, do.DropTasks())
        case Stage.CLEANING:
            return Step(state, (do.DropTasks(),))
        case Stage.FINISHING:
            done = _conclude(state)
            return Step(done.state, (do.DropTasks(), *done.instructions))
        case _:
            return Step(state)


@_when(ev.Disconnected, Stage.IDLE, Stage.OFFLINE)
def _disconnected_idle(state: ManagerState, event: ev.Disconnected) -> Step:
    return Step(replace(state, stage=Stage.OFFLINE, connected=False))


@_when(ev.Disconnected, HOLDING)
def _disconnected(state: ManagerState, event: ev.Disconnected) -> Step:
    return Step(replace(state, connected=False))


@_when(ev.Rejected, Stage.OFFLINE, Stage.GONE)
@_when(ev.Rejected, Stage.IDLE, Stage.GONE)
@_when(ev.Rejected, Stage.ASSIGNED)
@_when(ev.Rejected, Stage.PREPARING)
@_when(ev.Rejected, Stage.EXECUTING, Stage.SETTLING)
@_when(ev.Rejected, Stage.SETTLING)
@_when(ev.Rejected, Stage.CLEANING)
@_when(ev.Rejected, Stage.FINISHING, Stage.GONE)
def _rejected(state: ManagerState, event: ev.Rejected) -> Step:
    state = replace(state, connected=False, draining=True, leaving=True, exit_code=1, reason=event.why)
    return _abandon(state) if state.stage in HOLDING else _leave(state)


# --- a suite comes and goes --------------------------------------------------------------------------------------


@_when(ev.SuiteAssigned, Stage.IDLE, Stage.IDLE, Stage.ASSIGNED)
def _assigned(state: ManagerState, event: ev.SuiteAssigned) -> Step:
    if state.draining:
        return Step(state, (_tell_finished(event.suite.assignment_id, stream.FINISH_REASON_DRAINED),))
    return _enter(replace(state, suite=event.suite), Stage.ASSIGNED, do.RecordIntent(event.suite))


@_when(ev.SuiteAssigned, HOLDING)
def _assigned_while_holding(state: ManagerState, event: ev.SuiteAssigned) -> Step:
    if not state.connected or (event.suite.assignment_id == state.assignment_id and not state.abandoned):
        return Step(state)
    return Step(state, (_tell_finished(event.suite.assignment_id, stream.FINISH_REASON_DRAINED),))


@_when(ev.IntentRecorded, Stage.ASSIGNED, Stage.PREPARING, Stage.EXECUTING, Stage.FINISHING, Stage.IDLE,
       Stage.OFFLINE, Stage.GONE)  # fmt: skip
def _recorded(state: ManagerState, event: ev.IntentRecorded) -> Step:
    if state.finish is not None:
        # Nothing ran, so nothing is owed.
        done = _finish(state)
        return Step(done.state, (do.EraseIntent(), *done.instructions))
    if state.suite is not None and state.suite.HasField("env_preparation"):
        return _enter(state, Stage.PREPARING, do.RunPreparation())
    return _execute(state)


@_when(ev.SuiteRefused, Stage.ASSIGNED, Stage.FINISHING, Stage.IDLE, Stage.OFFLINE, Stage.GONE)
def _refused(state: ManagerState, event: ev.SuiteRefused) -> Step:
    if state.finish is None:
        state = replace(state, finish=stream.FINISH_REASON_PREPARATION_FAILED)
    reported = _with_report(state, event.report)
    done = _finish(reported.state)
    return Step(done.state, (do.EraseIntent(), *reported.instructions, *done.instructions))


@_when(ev.PreparationEnded, Stage.PREPARING, Stage.EXECUTING, Stage.CLEANING)
def _prepared(state: ManagerState, event: ev.PreparationEnded) -> Step:
    reported = _with_report(state, event.report)
    state = reported.state
    if state.finish is None and event.report.result == hook_pb2.HOOK_RESULT_SUCCESS:
        step = _execute(state)
    else:
        finish = state.finish or stream.FINISH_REASON_PREPARATION_FAILED
        step = _enter(replace(state, finish=finish), Stage.CLEANING, do.RunCleanup())
    return Step(step.state, (*reported.instructions, *step.instructions))


@_when(ev.WorkersFailed, Stage.EXECUTING, Stage.SETTLING)
def _workers_failed(state: ManagerState, event: ev.WorkersFailed) -> Step:
    reported = _with_report(replace(state, finish=stream.FINISH_REASON_PREPARATION_FAILED), event.report)
    step = _settle(reported.state, do.Wind(cancelled=False))
    return Step(step.state, (*reported.instructions, *step.instructions))


@_when(ev.SuiteDrained, Stage.ASSIGNED)
@_when(ev.SuiteDrained, Stage.PREPARING)
@_when(ev.SuiteDrained, Stage.EXECUTING, Stage.EXECUTING, Stage.SETTLING)
def _drained(state: ManagerState, event: ev.SuiteDrained) -> Step:
    if not _held(state, event.assignment_id) or state.finish is not None:
        return Step(state)
    state = replace(state, finish=stream.FINISH_REASON_RELEASED)
    return _let_go(state, do.Wind(cancelled=False))


@_when(ev.SuiteCancelled, Stage.ASSIGNED)
@_when(ev.SuiteCancelled, Stage.PREPARING)
@_when(ev.SuiteCancelled, Stage.EXECUTING, Stage.EXECUTING, Stage.SETTLING)
@_when(ev.SuiteCancelled, Stage.SETTLING)
def _cancelled(state: ManagerState, event: ev.SuiteCancelled) -> Step:
    if not _held(state, event.assignment_id):
        return Step(state)
    state = replace(state, finish=stream.FINISH_REASON_CANCELLED)
    stop = (do.StopRunning(cancelled=True),) if event.stop_running else ()
    return _let_go(state, do.Wind(cancelled=True), *stop)


def _let_go(state: ManagerState, *then: do.Instruction) -> Step:
    """Begins the end of a suite, from whatever stage."""
    if state.stage is Stage.PREPARING:
        return Step(state, (do.StopPreparation(),))
    if state.stage in (Stage.EXECUTING, Stage.SETTLING):
        return _settle(state, *then)
    # Assigned: the record is being written, and its `IntentRecorded` sees that the suite is not wanted.
    return Step(state)


@_when(ev.WorkersGone, Stage.SETTLING, Stage.CLEANING)
def _workers_gone(state: ManagerState, event: ev.WorkersGone) -> Step:
    return _enter(state, Stage.CLEANING, do.RunCleanup())


@_when(ev.CleanupEnded, Stage.CLEANING, Stage.FINISHING, Stage.IDLE, Stage.OFFLINE, Stage.GONE)
def _cleaned(state: ManagerState, event: ev.CleanupEnded) -> Step:
    reported = _with_report(state, event.report) if event.report is not None else Step(state)
    done = _finish(reported.state)
    return Step(done.state, (*reported.instructions, *done.instructions))


@_when(ev.ReportsSettled, Stage.FINISHING, Stage.FINISHING, Stage.IDLE, Stage.GONE)
def _settled(state: ManagerState, event: ev.ReportsSettled) -> Step:
    # Without a stream `SuiteFinished` could not be told; `Attached` asks again.
    return _conclude(state) if state.connected else Step(state)


# --- the manager goes --------------------------------------------------------------------------------------------


@_when(ev.DrainRequested, ALIVE - {Stage.EXECUTING})
@_when(ev.DrainRequested, Stage.EXECUTING, Stage.SETTLING)
def _drain(state: ManagerState, event: ev.DrainRequested) -> Step:
    state = replace(state, draining=True)
    if state.stage in HOLDING and state.finish is None:
        return _let_go(replace(state, finish=stream.FINISH_REASON_DRAINED), do.Wind(cancelled=False))
    return Step(state)


@_when(ev.LeaveRequested, Stage.OFFLINE, Stage.GONE)
@_when(ev.LeaveRequested, Stage.IDLE, Stage.GONE)
@_when(ev.LeaveRequested, Stage.ASSIGNED)
@_when(ev.LeaveRequested, Stage.PREPARING)
@_when(ev.LeaveRequested, Stage.EXECUTING, Stage.SETTLING)
@_when(ev.LeaveRequested, Stage.SETTLING)
@_when(ev.LeaveRequested, Stage.CLEANING)
@_when(ev.LeaveRequested, Stage.FINISHING)
def _leave_requested(state: ManagerState, event: ev.LeaveRequested) -> Step:
    state = replace(state, draining=True, leaving=True, reason=state.reason or "shutting down")
    if state.stage not in HOLDING:
        return _leave(state)
    if state.stage is Stage.FINISHING:
        return Step(state, (do.StartPatience(),))
    if state.stage is Stage.CLEANING:
        return Step(state)
    wind = () if state.finish is not None else (do.Wind(cancelled=False),)
    bound = do.StartGrace() if event.graceful else do.StopRunning(cancelled=False)
    state = replace(state, finish=state.finish or stream.FINISH_REASON_DRAINED)
    return _let_go(state, *wind, bound)


@_when(ev.GraceEnded, Stage.SETTLING)
def _grace_ended(state: ManagerState, event: ev.GraceEnded) -> Step:
    return Step(state, (do.StopRunning(cancelled=False),))


@_when(ev.PatienceEnded, Stage.FINISHING, Stage.GONE)
def _patience_ended(state: ManagerState, event: ev.PatienceEnded) -> Step:
    # The coordinator takes back what it did not hear of; those tasks run once more elsewhere.
    return _leave(state) if state.leaving else Step(state)


@_when(ev.StopRequested, ALIVE, Stage.GONE)
def _stop(state: ManagerState, event: ev.StopRequested) -> Step:
    gone = _leave(replace(state, reason="stopped by a second signal"))
    return Step(gone.state, (do.KillAll(), *gone.instructions))
