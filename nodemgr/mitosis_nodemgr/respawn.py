"""When a dead worker is started again. Pure.

A death that a task is blamed for is bounded by the budget of that task (`deaths.py`), so only deaths that nobody can be
blamed for use up `max_restarts`: a worker that cannot even start would otherwise be started for ever, and a handful of
poisoned tasks must not cost the suite its workers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_SECONDS = 0.1
LAST_DELAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RespawnPolicy:
    """What the manager's `worker_defaults` say about dead workers."""

    restart_on_failure: bool = True
    max_restarts: int = 3


@dataclass(frozen=True, slots=True)
class RespawnState:
    """Deaths of one worker since it last ended a task."""

    deaths: int = 0
    blameless_deaths: int = 0


@dataclass(frozen=True, slots=True)
class Respawn:
    """Start the worker again after a delay."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave the worker dead."""

    why: str


def after_success(state: RespawnState) -> RespawnState:
    """Forgets the deaths: the worker has ended a task."""
    return RespawnState() if state.deaths else state


def after_death(state: RespawnState, policy: RespawnPolicy, *, blamed: bool) -> tuple[RespawnState, Respawn | GiveUp]:
    """Decides about a worker that has just died, `blamed` telling whether a task is charged with the death."""
    state = replace(state, deaths=state.deaths + 1, blameless_deaths=state.blameless_deaths + (not blamed))
    if not policy.restart_on_failure:
        return state, GiveUp("worker_defaults.restart_on_failure is off")
    if state.blameless_deaths > policy.max_restarts:
        return state, GiveUp(f"died {state.blameless_deaths} times without ending a task")
    # min() inside the exponent: a float overflows long before a worker tires of dying.
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** min(state.deaths - 1, 16), LAST_DELAY_SECONDS)
    return state, Respawn(delay)
