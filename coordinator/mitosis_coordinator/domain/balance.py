"""Which unstarted tasks change hands when a manager has nothing to run and others hold more than they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

MAX_RECALLED = 1024
"""Tasks that change hands in one decision at most."""


@dataclass(frozen=True, slots=True)
class Share:
    """One manager's share of a suite.

    Attributes:
        workers: Tasks that it runs at a time, 1 or more.
        held: Tasks that it was sent and that have not ended.
        long_running: Of these, the ones that have been running for more than a second.
        bound: It holds unstarted tasks that not every manager may run. It cannot be told which ones to hand back.
    """

    workers: int
    held: int
    long_running: int = 0
    bound: bool = False

    @property
    def may_give(self) -> bool:
        """Whether what it holds is worth moving: where tasks end within a second, a buffer is gone in about one."""
        return self.long_running > 0 and self.held > self.workers and not self.bound


def recalls(shares: Mapping[Key, Share], room: Mapping[Key, int]) -> dict[Key, int]:
    """Decide how many unstarted tasks each manager hands back.

    One task after the other moves from the manager with the most for each of its workers to the starving one with the
    least. A move is worth it when the task starts at once there, or when it leaves the giver no less loaded than the
    taker. So no giver falls below one task for each worker, nothing moves among managers that are level, and no taker
    becomes a giver by what it took.

    Args:
        shares: Every manager that executes the suite, the starving ones included.
        room: For each starving manager how many tasks it takes.

    Returns:
        For each manager that gives the number of tasks, at least 1; at most `MAX_RECALLED` in all.
    """
    held = {key: share.held for key, share in shares.items()}
    left = {key: count for key, count in room.items() if count > 0 and shares[key].held < shares[key].workers}
    givers = [key for key, share in shares.items() if key not in room and share.may_give]
    given: Counter[Key] = Counter()

    def load(key: Key) -> float:
        return held[key] / shares[key].workers

    for _ in range(MAX_RECALLED):
        givers = [key for key in givers if held[key] > shares[key].workers]
        if not left or not givers:
            break
        taker, giver = min(left, key=load), max(givers, key=load)
        starts_at_once = held[taker] < shares[taker].workers
        # By cross products, because fractions of equal value must compare as equal.
        levels = (held[giver] - 1) * shares[taker].workers >= (held[taker] + 1) * shares[giver].workers
        if not starts_at_once and not levels:
            break
        held[giver] -= 1
        held[taker] += 1
        given[giver] += 1
        left[taker] -= 1
        if not left[taker]:
            del left[taker]
    return dict(given)
