"""Each violation is found in the smallest evidence that shows it, and nothing is found where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.handlers import COMPLETES, FAILS, FAILS_ONCE, KILLS_ITS_WORKER
from tests.chaos.verdict import Evidence, Execution, Failure, Recorded, Violation, judge, reruns

FINE = Recorded("Completed", 1, 7, COMPLETES, "suite", (7, 1))


def evidence(row: Recorded | None = FINE, **more: object) -> Evidence:
    """One task that ran once, unless told otherwise."""
    parts: dict[str, object] = {
        "acknowledged": {"task"},
        "cancelled_tasks": (),
        "cancelled_suites": (),
        "active": {},
        "recorded": {} if row is None else {"task": row},
        "failures": (),
        "executions": ran(1),
    }
    return Evidence(**{**parts, **more})  # type: ignore[arg-type]


def ran(*attempts: int) -> list[Execution]:
    return [Execution(event, "task", attempt, 1) for attempt in attempts for event in ("start", "end")]


def next_one_kills(at: float, worker: int = 1) -> list[Execution]:
    """Another task, which kills its worker each time but the last."""
    return [
        Execution("start", "other", 1, worker, at),
        *(Execution(event, "other", 1, 9) for event in ("start", "end")),
    ]


def found(seen: Evidence) -> set[Violation]:
    return {violation for violation, examples in judge(seen).items() if examples}


RETRIED = replace(FINE, attempt=2, fate=FAILS_ONCE, result=(7, 2))


@pytest.mark.parametrize(
    "seen",
    [
        evidence(),
        # Its node was lost when it had ended and was not reported.
        evidence(replace(FINE, attempt=2, result=(7, 2)), failures=[Failure("task", 1, "Node")], executions=ran(1, 2)),
        # It was handed back before it had ended.
        evidence(replace(FINE, attempt=2, result=(7, 2)), executions=[Execution("start", "task", 1, 1), *ran(2)]),
        # The next task killed its worker before the result was handed over.
        evidence(replace(FINE, attempt=2, result=(7, 2)), executions=[*ran(1), *next_one_kills(0.1), *ran(2)]),
        evidence(RETRIED, failures=[Failure("task", 1, "Task")], executions=ran(1, 2)),
        evidence(replace(FINE, state="Failed", fate=FAILS, result=None), failures=[Failure("task", 1, "Task")]),
        evidence(
            replace(FINE, state="Failed", fate=KILLS_ITS_WORKER, result=None),
            failures=[Failure("task", 1, "Worker")] * 3,
            executions=[Execution("start", "task", 1, 1)] * 3,
        ),
        # Faults killed its workers.
        evidence(replace(FINE, state="Failed", result=None), failures=[Failure("task", 1, "Worker")] * 3),
        evidence(replace(FINE, state="Cancelled", result=None), cancelled_tasks={"task"}, executions=[]),
        evidence(replace(FINE, state="Cancelled", result=None), cancelled_suites={"suite"}, executions=[]),
        # Stored, although the answer was lost.
        evidence(acknowledged=set()),
    ],
)
def test_what_may_happen_is_no_violation(seen: Evidence) -> None:
    assert found(seen) == set()


@pytest.mark.parametrize(
    ("violation", "seen"),
    [
        (Violation.LOST, evidence(None)),
        (Violation.STUCK, evidence(None, active={"task": 7})),
        (Violation.STUCK, evidence(unsettled=["manager m is Cleaning"])),
        (Violation.SUBMITTED_TWICE, evidence(recorded={"task": FINE, "again": FINE}, executions=ran(1))),
        (Violation.COMMITTED_TWICE, evidence(active={"task": 7})),
        (Violation.COMMITTED_TWICE, evidence(failures=[Failure("task", 1, "Node")])),
        (Violation.COMMITTED_TWICE, evidence(RETRIED, failures=[Failure("task", 1, "Task")] * 2)),
        (Violation.COMMITTED_TWICE, evidence(replace(FINE, attempt=2), executions=ran(1, 2))),
        (Violation.COMMITTED_TWICE, evidence(replace(FINE, result=(8, 1)))),
        (Violation.RESULT_LOST, evidence(replace(FINE, attempt=2, result=(7, 2)), executions=ran(1, 2))),
        # Its worker died later, or it was another one.
        *(
            (Violation.RESULT_LOST, evidence(replace(FINE, attempt=2, result=(7, 2)), executions=[*ran(1, 2), *killed]))
            for killed in (next_one_kills(3.0), next_one_kills(0.1, worker=2))
        ),
        (Violation.WRONG_OUTCOME, evidence(replace(FINE, state="Failed", result=None))),
        (Violation.WRONG_OUTCOME, evidence(replace(FINE, state="Cancelled", result=None))),
        (Violation.WRONG_OUTCOME, evidence(replace(FINE, fate=FAILS))),
        (Violation.WRONG_OUTCOME, evidence(executions=[Execution("start", "task", 1, 1)])),
        (Violation.COUNTERS, evidence(contradictions=["a suite"])),
        (Violation.ENDED, evidence(bad_ends=["manager-1 ended by itself"])),
        (Violation.ORPHANS, evidence(orphans=["sleep 5"])),
        (Violation.SHARED_MEMORY, evidence(left_behind=["/dev/shm/x"])),
    ],
)
def test_each_violation_is_found(violation: Violation, seen: Evidence) -> None:
    assert violation in found(seen)


def test_no_kind_of_violation_is_untested() -> None:
    function: Callable[..., None] = test_each_violation_is_found
    [mark] = [mark for mark in function.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {violation for violation, _ in mark.args[1]} == set(Violation)


def test_reruns_are_executions_that_are_not_the_first_of_their_task() -> None:
    assert reruns(ran(1)) == 0
    assert reruns(ran(1, 2, 2)) == 2
