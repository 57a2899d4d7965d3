"""Judges a run by what is left of it. Pure: evidence in, violations out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.handlers import (
    COMPLETES,
    END,
    FAILS,
    FAILS_ONCE,
    KILLS_ITS_WORKER,
    KILLS_ITS_WORKER_ONCE,
    START,
)

# A worker hands results over with its next fetch, or after about a tenth of this; the machine may be busy.
_UNSENT_SECONDS = 1.0


class Violation(StrEnum):
    """What must never happen."""

    LOST = "lost"  # acknowledged to the submitter and nowhere in the database
    STUCK = "stuck"  # not final although everything works again
    SUBMITTED_TWICE = "submitted twice"  # one submission, two tasks
    COMMITTED_TWICE = "committed twice"  # two outcomes of one task or attempt, or the outcome of another attempt
    RESULT_LOST = "result lost"  # an execution came to its end, and the task was run again without a recorded reason
    WRONG_OUTCOME = "wrong outcome"  # recorded otherwise than it ended, or without having been run
    COUNTERS = "counter drift"  # what the tables say twice they do not say alike
    ENDED = "bad ends"  # a process that ended by itself, or not as it should
    ORPHANS = "orphans"  # processes that outlived their owner
    SHARED_MEMORY = "left behind"  # shared memory, locks and files that should be gone


@dataclass(frozen=True, slots=True)
class Recorded:
    """A task in the history: `number` and `fate` as submitted, `result` as returned by a handler that completed.

    `result` is the task's number and the attempt that returned it.
    """

    state: str
    attempt: int
    number: int
    fate: str
    suite: str | None
    result: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the failures."""

    task: str
    attempt: int
    kind: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One line of the execution log: `pid` is the worker, `at` in seconds since the machine's start."""

    event: str
    task: str
    attempt: int
    pid: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a run leaves: the submitter's books, the database, the execution log, the machine.

    `active` has the number of each task that is not in the history; `unsettled` names suites and managers that did not
    come to rest.
    """

    acknowledged: Collection[str]
    cancelled_tasks: Collection[str]
    cancelled_suites: Collection[str]
    active: Mapping[str, int]
    recorded: Mapping[str, Recorded]
    failures: Sequence[Failure]
    executions: Sequence[Execution]
    unsettled: Sequence[str] = ()
    contradictions: Sequence[str] = ()
    bad_ends: Sequence[str] = ()
    orphans: Sequence[str] = ()
    left_behind: Sequence[str] = ()


def judge(evidence: Evidence) -> dict[Violation, list[str]]:
    """Returns every violation with what shows it; each kind is there, most of them empty."""
    found: dict[Violation, list[str]] = {violation: [] for violation in Violation}
    for task in evidence.acknowledged:
        if task not in evidence.recorded and task not in evidence.active:
            found[Violation.LOST].append(task)
    found[Violation.STUCK] += [f"task {task}" for task in evidence.active]
    found[Violation.STUCK] += evidence.unsettled
    found[Violation.SUBMITTED_TWICE] += _submitted_twice(evidence)
    found[Violation.COMMITTED_TWICE] += _committed_twice(evidence)
    found[Violation.RESULT_LOST] += _results_lost(evidence)
    found[Violation.WRONG_OUTCOME] += _wrong_outcomes(evidence)
    found[Violation.COUNTERS] += evidence.contradictions
    found[Violation.ENDED] += evidence.bad_ends
    found[Violation.ORPHANS] += evidence.orphans
    found[Violation.SHARED_MEMORY] += evidence.left_behind
    return found


def reruns(executions: Sequence[Execution]) -> int:
    """Counts the executions that were not the first of their task."""
    counts = Counter(execution.task for execution in executions if execution.event == START)
    return sum(counts.values()) - len(counts)


def _submitted_twice(evidence: Evidence) -> list[str]:
    numbers = Counter(evidence.active.values()) + Counter(row.number for row in evidence.recorded.values())
    return [f"number {number}: {count} tasks" for number, count in numbers.items() if count > 1]


def _committed_twice(evidence: Evidence) -> list[str]:
    found = [f"{task} is pending and finished" for task in evidence.active if task in evidence.recorded]
    # Workers may die several times in one attempt; an attempt fails, or loses its node, once.
    counts = Counter(failure for failure in evidence.failures if failure.kind in ("Task", "Node"))
    found += [f"{failure} was recorded {count} times" for failure, count in counts.items() if count > 1]
    for task, row in evidence.recorded.items():
        if row.result is not None and row.result != (row.number, row.attempt):
            found.append(f"{task}: attempt {row.attempt} of number {row.number} has the result of {row.result}")
        if row.state == "Completed":
            found += [
                f"{task}: attempt {row.attempt} was charged to the {kind} and completed all the same"
                for kind in ("Task", "Node")
                if Failure(task, row.attempt, kind) in counts
            ]
    return found


def _results_lost(evidence: Evidence) -> list[str]:
    """Finds attempts that ran to their end, had no recorded failure, and were not the last.

    A result is its worker's until it was handed over, and falls with it when the next task kills that worker.
    """
    falls = _falls(evidence.executions)
    excused = {(failure.task, failure.attempt) for failure in evidence.failures}
    last: dict[str, int] = defaultdict(int)
    ended: dict[tuple[str, int], Execution] = {}
    for execution in evidence.executions:
        last[execution.task] = max(last[execution.task], execution.attempt)
        if execution.event == END:
            ended[execution.task, execution.attempt] = execution
    return [
        f"{task} of {_suite_of(task, evidence)}: attempt {attempt} ended in worker {end.pid}, was charged to nobody, "
        f"and attempt {last[task]} was run"
        for (task, attempt), end in sorted(ended.items())
        if attempt < last[task]
        and (task, attempt) not in excused
        and not any(0 <= fall - end.at <= _UNSENT_SECONDS for fall in falls.get(end.pid, ()))
    ]


def _suite_of(task: str, evidence: Evidence) -> str:
    row = evidence.recorded.get(task)
    return "no suite" if row is None or row.suite is None else f"suite {row.suite}"


def _falls(executions: Sequence[Execution]) -> Mapping[int, Sequence[float]]:
    """Returns when each worker began a task that did not come to its end."""
    found: dict[int, list[float]] = defaultdict(list)
    begun: dict[int, float] = {}
    for execution in executions:
        before = begun.pop(execution.pid, None)
        if execution.event == START:
            if before is not None:
                found[execution.pid].append(before)
            begun[execution.pid] = execution.at
    for pid, at in begun.items():
        found[pid].append(at)
    return found


def _wrong_outcomes(evidence: Evidence) -> list[str]:
    ended = {(row.task, row.attempt) for row in evidence.executions if row.event == END}
    worn_out = {failure.task for failure in evidence.failures if failure.kind == "Worker"}
    found = []
    for task, row in evidence.recorded.items():
        allowed = set(_STATES[row.fate])
        if task in evidence.cancelled_tasks or row.suite in evidence.cancelled_suites:
            allowed.add("Cancelled")
        if row.suite in evidence.cancelled_suites and row.fate == FAILS_ONCE:
            # What fails in a cancelled suite is not tried again.
            allowed.add("Failed")
        if task in worn_out:
            # Its workers were killed by faults, as often as if it had done that itself.
            allowed.add("Failed")
        if row.state not in allowed:
            found.append(f"{task}, which {row.fate}, is {row.state} after attempt {row.attempt}")
        elif row.state == "Completed" and (task, row.attempt) not in ended:
            found.append(f"{task} is Completed, and attempt {row.attempt} never came to its end")
    return found


# What may be recorded of a task that nobody cancelled.
_STATES = {
    COMPLETES: ("Completed",),
    FAILS: ("Failed",),
    FAILS_ONCE: ("Completed",),
    KILLS_ITS_WORKER: ("Failed",),
    KILLS_ITS_WORKER_ONCE: ("Completed",),
}
