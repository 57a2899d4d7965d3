"""What happens in a run, as a pure function of its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

# Virtual seconds: faults begin within the first, users act within the second, and after the third nothing goes wrong.
FAULTS_BEGIN = 15.0
USERS_ACT = 12.0
FAULTS_END = 40.0


class FaultKind(StrEnum):
    """What goes wrong."""

    CUT = "cut"
    PARTITION = "partition"
    MANAGER_KILLED = "manager killed"
    MANAGER_TERMINATED = "manager terminated"
    COORDINATOR_KILLED = "coordinator killed"
    DATABASE_AWAY = "database away"
    ANSWERS_LOST = "answers lost"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `target` is the place of a manager or coordinator, `seconds` how long it lasts."""

    at: float
    kind: FaultKind
    target: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task: how long a run takes, how it ends, how often a failure is tried again, and when a user cancels it."""

    seconds: float
    ending: str
    priority: int
    retries: int
    cancelled_after: float | None


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """One suite. Each batch is submitted at a time; a hook is its seconds and its chance to fail."""

    at: float
    priority: int
    batches: tuple[tuple[float, tuple[TaskPlan, ...]], ...]
    preparation: tuple[float, float] | None
    cleanup: tuple[float, float] | None
    cancelled_at: float | None
    cancels_running: bool
    retried: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `managers` says how many workers each has."""

    coordinators: int
    managers: tuple[int, ...]
    suites: tuple[SuitePlan, ...]
    faults: tuple[Fault, ...]


_FAULT_WEIGHTS = {
    FaultKind.CUT: 5,
    FaultKind.PARTITION: 4,
    FaultKind.MANAGER_KILLED: 3,
    FaultKind.MANAGER_TERMINATED: 2,
    FaultKind.COORDINATOR_KILLED: 3,
    FaultKind.DATABASE_AWAY: 2,
    FaultKind.ANSWERS_LOST: 3,
}


def plan_of(seed: int) -> Plan:
    """Make the plan of a run."""
    rng = random.Random(f"plan {seed}")
    coordinators = rng.choice([1, 2, 2])
    managers = tuple(rng.randint(1, 3) for _ in range(rng.choice([2, 3])))
    suites = tuple(_suite(rng) for _ in range(rng.choice([1, 1, 2, 2, 3])))
    kinds = rng.choices(list(_FAULT_WEIGHTS), list(_FAULT_WEIGHTS.values()), k=rng.randint(2, 10))
    faults = [
        Fault(
            at=rng.uniform(0.5, FAULTS_BEGIN),
            kind=kind,
            target=rng.randrange(6),
            seconds=rng.choice([0.1, 1.0, 4.0, 12.0]) * rng.uniform(0.5, 1.5),
        )
        for kind in kinds
    ]
    return Plan(coordinators, managers, suites, tuple(sorted(faults, key=lambda fault: fault.at)))


def _suite(rng: random.Random) -> SuitePlan:
    at = rng.uniform(0, 3)
    batches = tuple(
        (rng.uniform(at, USERS_ACT * 0.7), tuple(_task(rng) for _ in range(rng.randint(1, 10))))
        for _ in range(rng.choice([1, 1, 2, 3]))
    )
    return SuitePlan(
        at=at,
        priority=rng.choice([0, 0, 0, 5]),
        batches=tuple(sorted(batches, key=lambda batch: batch[0])),
        preparation=(rng.uniform(0.01, 2), rng.choice([0, 0, 0.3])) if rng.random() < 0.4 else None,
        cleanup=(rng.uniform(0.01, 1), rng.choice([0, 0.5])) if rng.random() < 0.4 else None,
        cancelled_at=rng.uniform(at, USERS_ACT) if rng.random() < 0.1 else None,
        cancels_running=rng.random() < 0.5,
        retried=rng.random() < 0.15,
    )


def _task(rng: random.Random) -> TaskPlan:
    ending = rng.choices(["completes", "fails", "fails once", "kills"], [85, 6, 6, 3])[0]
    return TaskPlan(
        seconds=0.01 * 10 ** rng.uniform(0, 2.5),
        ending=ending,
        priority=rng.choice([0, 0, 0, 3]),
        retries=rng.choice([0, 0, 1, 2]),
        cancelled_after=rng.uniform(0, 8) if rng.random() < 0.05 else None,
    )
