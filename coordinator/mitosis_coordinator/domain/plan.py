"""How many workers each manager runs for a suite, and where."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Key = TypeVar("Key")

DEFAULT_PREFETCH = 32
MAX_WORKERS = 4096


class Strategy(StrEnum):
    """What `worker_count` counts."""

    FIXED = "Fixed"
    PROPORTIONAL = "Proportional"


class CpuBinding(StrEnum):
    """How workers are bound to processor cores."""

    ROUND_ROBIN = "RoundRobin"
    EXCLUSIVE = "Exclusive"
    SHARED = "Shared"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The worker plan of a suite; None means that the manager's default counts."""

    strategy: Strategy = Strategy.FIXED
    worker_count: int | None = None
    cpu_binding: CpuBinding | None = None
    cores: tuple[int, ...] = ()
    task_prefetch_count: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether what one holder runs depends on the others."""
        return self.strategy is Strategy.PROPORTIONAL and self.worker_count is not None


def worker_counts(plan: WorkerPlan, max_workers: Mapping[Key, int]) -> dict[Key, int]:
    """Share a plan among the managers that hold the suite.

    Fixed gives each manager `worker_count`, at most its own limit. Proportional shares
    the total by Adams' method: everybody gets one worker, so that no holder is without
    work, and each further one goes to whoever has the most capacity for each worker so
    far. The sum is the total, unless there are more holders than that.

    Args:
        plan: The suite's plan.
        max_workers: The limit of each holder, 1 or more.

    Returns:
        Workers for each holder, 1 or more.
    """
    if plan.worker_count is None:
        return dict(max_workers)
    if plan.strategy is Strategy.FIXED:
        return {key: min(plan.worker_count, limit) for key, limit in max_workers.items()}
    shares = dict.fromkeys(max_workers, 1)
    # The largest ratio of limit to share first; the place in the mapping decides among equals.
    waiting = [(-float(limit), place, key) for place, (key, limit) in enumerate(max_workers.items())]
    heapq.heapify(waiting)
    for _ in range(min(plan.worker_count, sum(max_workers.values())) - len(shares)):
        _, place, key = waiting[0]
        shares[key] += 1
        heapq.heapreplace(waiting, (-max_workers[key] / shares[key], place, key))
    return shares
