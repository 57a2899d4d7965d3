"""What a run is asked to do: suites and independent tasks, as a pure function of the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from mitosis_client.specs import NewTask, SuiteSpec
from tests.chaos import handlers
from tests.chaos.handlers import Work

# (weight, how a task ends, shortest and longest run in seconds)
_FATES = (
    (880, handlers.COMPLETES, 0.0, 0.004),
    (60, handlers.COMPLETES, 0.01, 0.1),
    (10, handlers.COMPLETES, 1.0, 4.0),
    (25, handlers.FAILS, 0.0, 0.01),
    (24, handlers.FAILS_ONCE, 0.0, 0.01),
    (2, handlers.KILLS_ITS_WORKER_ONCE, 0.0, 0.01),
)
_COMMANDS = 0.03
_RETRIES = 2
# Each wears out its workers on every manager, which takes a while: a run has a few.
TASKS_FOR_EACH_KILLER = 5000


@dataclass(frozen=True, slots=True)
class Plan:
    """A suite, or without `suite` independent tasks: what its author does, at seconds after the beginning.

    Attributes:
        at: When it is submitted.
        suite: The suite to create.
        tasks: The numbers of its tasks; the first of them come at once.
        late: How many of the last tasks are submitted when the suite is complete, which reopens it.
        cancelled_tasks: Tasks that are cancelled one by one, by their place in the order of submission.
        cancel_after: Seconds after which the suite is cancelled.
        cancel_running: Whether its running tasks are stopped then.
        closes: Whether the author says that no more is coming; the suite completes by itself otherwise.
    """

    at: float
    suite: SuiteSpec | None
    tasks: range
    late: int = 0
    cancelled_tasks: tuple[int, ...] = ()
    cancel_after: float | None = None
    cancel_running: bool = False
    closes: bool = False


def plans(seed: int, seconds: float, tasks: int, *, mean_size: int = 500) -> list[Plan]:
    """Returns who submits what within `seconds`, `tasks` tasks in all, in the order of time."""
    rng = random.Random(f"load of {seed}")
    found: list[Plan] = []
    first = 0
    while first < tasks:
        size = min(tasks - first, max(1, round(mean_size * rng.choice((0.05, 0.3, 1.0, 1.0, 2.0)))))
        numbers = range(first, first + size)
        at = seconds * rng.random()
        found.append(
            Plan(at, None, numbers, cancelled_tasks=_some(rng, size))
            if rng.random() < 0.2
            else _suite(rng, at, numbers, len(found))
        )
        first += size
    return sorted(found, key=lambda plan: plan.at)


def task(seed: int, number: int, log: Path, *, independent: bool) -> NewTask:
    """Returns one task of a run, which is the same whenever it is asked for.

    An independent one leaves its worker alone: that is a node of its own, and nobody here would start it again.
    """
    rng = random.Random(f"task {number} of {seed}")
    (_, fate, shortest, longest) = rng.choices(_FATES, [row[0] for row in _FATES])[0]
    if number % TASKS_FOR_EACH_KILLER == TASKS_FOR_EACH_KILLER // 2:
        fate = handlers.KILLS_ITS_WORKER
    if independent and fate in (handlers.KILLS_ITS_WORKER, handlers.KILLS_ITS_WORKER_ONCE):
        fate = handlers.COMPLETES
    seconds = round(rng.uniform(shortest, longest), 4)
    payload = Work(number=number, log=str(log), seconds=seconds, fate=fate)
    priority = rng.choice((0, 0, 0, 5, -5))
    if fate == handlers.COMPLETES and rng.random() < _COMMANDS:
        envs = {"CHAOS_LOG": str(log), "CHAOS_SECONDS": str(seconds)}
        return {"command": handlers.COMMAND, "envs": envs, "payload": payload, "priority": priority}
    retries = _RETRIES if fate == handlers.FAILS_ONCE else 0
    return {
        "handler": handlers.HANDLER,
        "payload": payload,
        "priority": priority,
        "max_retries": retries,
        "retry_backoff_seconds": 0.2,
    }


def _suite(rng: random.Random, at: float, numbers: range, index: int) -> Plan:
    spec: SuiteSpec = {
        "name": f"chaos {index}",
        "group_name": "default",
        "priority": rng.choice((0, 0, 10)),
        "worker_schedule": {"worker_count": rng.choice((1, 2)), "task_prefetch_count": rng.choice((2, 16, 32))},
        "auto_close_timeout_seconds": rng.choice((0, 1, 3)),
        # What breaks here is not the environment: nobody is to be put into quarantine.
        "max_preparation_failures": 100,
    }
    if rng.random() < 0.3:
        spec["env_preparation"] = {"command": "sleep 0.1"}
    if rng.random() < 0.3:
        spec["env_cleanup"] = {"command": "sleep 0.1"}
    size = len(numbers)
    fate = rng.random()
    if fate < 0.12:
        return Plan(at, spec, numbers, cancel_after=rng.uniform(0, 5), cancel_running=rng.random() < 0.5)
    if fate < 0.27:
        return Plan(at, spec, numbers, late=max(1, size // 5) if size > 1 else 0, closes=rng.random() < 0.5)
    return Plan(at, spec, numbers, cancelled_tasks=_some(rng, size), closes=rng.random() < 0.7)


def _some(rng: random.Random, size: int) -> tuple[int, ...]:
    return tuple(rng.sample(range(size), min(size, rng.choice((0, 0, 3, 10)))))
