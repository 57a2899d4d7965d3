"""How many workers each manager runs for a suite, and where."""

from __future__ import annotations

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


def worker_counts(plan: WorkerPlan, max_workers: Mapping[Key, int]) -> dict[Key, int]:
    """Share a plan among the managers that hold the suite.

    Fixed gives each manager `worker_count`, at most its own limit. Proportional shares
    the total by largest remainder; every manager gets at least one worker, so that no
    holder is without work, and none more than its limit.

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
    capacity = sum(max_workers.values())
    total = min(plan.worker_count, capacity)
    exact = {key: total * limit / capacity for key, limit in max_workers.items()}
    shares = {key: int(share) for key, share in exact.items()}
    by_remainder = sorted(exact, key=lambda key: exact[key] - shares[key], reverse=True)
    for key in by_remainder[: total - sum(shares.values())]:
        shares[key] += 1
    return {key: max(1, share) for key, share in shares.items()}
