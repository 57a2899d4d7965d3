"""Which fault strikes whom, and when: a pure function of the seed, so that a run can be repeated."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Item = TypeVar("Item")

DATABASE = "database"
# The first faults come when suites are under way, and the last ones have ended when the load has.
LEAD_SECONDS = 2.0
# The part of the faults that outlast the timeout.
_LONG = 0.2


class Kind(StrEnum):
    """What is done to a target, and undone after some seconds."""

    KILL = "kill"  # SIGKILL; started again
    TERMINATE = "terminate"  # SIGTERM, which must end well; started again
    PAUSE = "pause"  # SIGSTOP; SIGCONT
    CUT = "cut"  # connections are reset and refused
    STALL = "stall"  # bytes are held back, and delivered later
    HALF_OPEN = "half-open"  # bytes vanish, and neither side is told; reset at the end
    DATABASE_RESTART = "database restart"  # immediate: no checkpoint, connections cut, log replayed
    DATABASE_PAUSE = "database pause"  # SIGSTOP to every process of the server
    FULL_DISK = "full disk"  # nothing can be written below the manager's data directory
    CLOCK_JUMP = "clock jump"  # the wall clock of one process is hours off, and comes back


@dataclass(frozen=True, slots=True)
class Cast:
    """Who can be struck. `links` name the process whose connections run through a proxy."""

    coordinators: tuple[str, ...]
    managers: tuple[str, ...]
    workers: tuple[str, ...]
    clients: tuple[str, ...]
    # Without it no disk can be filled.
    disks: bool = True

    @property
    def _managed(self) -> tuple[str, ...]:
        return tuple(worker_of(manager) for manager in self.managers)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """Returns whom a kind of fault can strike."""
        processes = self.coordinators + self.managers + self.workers
        match kind:
            case Kind.KILL:
                return processes + self._managed
            case Kind.PAUSE:
                # Coordinators more often: one that goes on after others have taken its managers' tasks back finds old
                # reports in its sockets, and only the fences are left to refuse them.
                return processes + self.coordinators * 2 + self._managed
            case Kind.TERMINATE:
                return processes
            case Kind.CUT | Kind.STALL | Kind.HALF_OPEN:
                return self.managers + self.workers + self.clients
            case Kind.DATABASE_RESTART | Kind.DATABASE_PAUSE:
                return (DATABASE,)
            case Kind.FULL_DISK:
                return self.managers if self.disks else ()
            case Kind.CLOCK_JUMP:
                return processes


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at` seconds after the beginning, for `seconds`."""

    at: float
    kind: Kind
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind} {self.target} for {self.seconds:.1f} s"


def worker_of(manager: str) -> str:
    """Names one of a manager's worker processes, whichever is there."""
    return f"{manager}/worker"


def owner_of(target: str) -> str:
    """Names the process that a target is, or belongs to."""
    return target.partition("/")[0]


def plan(seed: int, seconds: float, faults: int, cast: Cast, timeout_seconds: float) -> list[Fault]:
    """Returns about `faults` faults within `seconds`, in the order of time.

    Every kind comes about equally often and goes round its targets. Nobody is struck by two faults at a time. Most
    faults are short; some outlast `timeout_seconds`, after which a silent holder loses its tasks.
    """
    rng = random.Random(f"faults of {seed}")
    kinds = _shuffled_for_ever(rng, [kind for kind in Kind if cast.targets(kind)])
    rounds = {kind: _shuffled_for_ever(rng, cast.targets(kind)) for kind in Kind if cast.targets(kind)}
    free_at = dict.fromkeys({owner_of(target) for kind in rounds for target in cast.targets(kind)}, 0.0)
    span = max(seconds - LEAD_SECONDS, 0.0)
    planned = []
    for number in range(faults):
        at = LEAD_SECONDS + span * (number + rng.random()) / faults
        for kind in itertools.islice(kinds, len(rounds)):
            candidates = itertools.islice(rounds[kind], len(cast.targets(kind)))
            target = next((name for name in candidates if free_at[owner_of(name)] <= at), None)
            if target is not None:
                lasts = _duration(rng, kind, target in cast.coordinators, timeout_seconds)
                planned.append(Fault(round(at, 3), kind, target, round(lasts, 3)))
                free_at[owner_of(target)] = at + lasts
                break
    return planned


def _shuffled_for_ever(rng: random.Random, items: Sequence[Item]) -> Iterator[Item]:
    while True:
        deck = list(items)
        rng.shuffle(deck)
        yield from deck


def _duration(rng: random.Random, kind: Kind, coordinator: bool, timeout_seconds: float) -> float:
    if kind is Kind.DATABASE_RESTART:
        # Over as soon as the server is back, which it is by itself.
        return 1.0
    if kind is Kind.PAUSE and coordinator:
        # It wakes up while what was taken back is being run again.
        return timeout_seconds * rng.uniform(1.15, 1.45)
    if kind is not Kind.DATABASE_PAUSE and rng.random() < _LONG:
        return timeout_seconds * rng.uniform(1.1, 1.6)
    return timeout_seconds * rng.uniform(0.02, 0.5)
