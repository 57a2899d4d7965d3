"""How a worker plan is shared among managers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis_coordinator.domain.plan import MAX_WORKERS, Strategy, WorkerPlan, worker_counts

LIMITS = st.dictionaries(st.integers(0, 50), st.integers(1, MAX_WORKERS), min_size=1, max_size=12)
COUNTS = st.integers(1, MAX_WORKERS)


def proportional(worker_count: int, limits: Mapping[int, int]) -> dict[int, int]:
    return worker_counts(WorkerPlan(strategy=Strategy.PROPORTIONAL, worker_count=worker_count), limits)


@given(limits=LIMITS, strategy=st.sampled_from(Strategy))
def test_without_a_count_every_manager_runs_what_it_may(limits: dict[int, int], strategy: Strategy) -> None:
    assert worker_counts(WorkerPlan(strategy=strategy), limits) == limits


@given(worker_count=COUNTS, limits=LIMITS)
def test_fixed_gives_each_manager_the_count_up_to_its_limit(worker_count: int, limits: dict[int, int]) -> None:
    counts = worker_counts(WorkerPlan(worker_count=worker_count), limits)
    assert counts == {key: min(worker_count, limit) for key, limit in limits.items()}


@given(worker_count=COUNTS, limits=LIMITS)
def test_proportional_shares_the_total(worker_count: int, limits: dict[int, int]) -> None:
    counts = proportional(worker_count, limits)
    assert counts.keys() == limits.keys()
    # All of it is used and no more, except that nobody is left without a worker.
    assert sum(counts.values()) == max(len(limits), min(worker_count, sum(limits.values())))
    assert all(1 <= count <= limits[key] for key, count in counts.items())


@given(worker_count=COUNTS, limits=LIMITS)
def test_proportional_never_gives_the_smaller_manager_more(worker_count: int, limits: dict[int, int]) -> None:
    counts = proportional(worker_count, limits)
    by_limit = sorted(limits, key=lambda key: limits[key])
    for smaller, larger in pairwise(by_limit):
        assert counts[smaller] <= counts[larger] + (limits[smaller] == limits[larger])


@given(worker_count=COUNTS, limits=LIMITS)
def test_proportional_gives_nobody_more_than_the_exact_share_rounded_up(
    worker_count: int, limits: dict[int, int]
) -> None:
    capacity = sum(limits.values())
    total = min(worker_count, capacity)
    for key, count in proportional(worker_count, limits).items():
        assert count <= max(1, math.ceil(total * limits[key] / capacity))


@given(worker_count=st.integers(1, 200), limits=st.dictionaries(st.integers(0, 9), st.integers(1, 40), min_size=1))
def test_one_worker_more_takes_no_worker_from_anybody(worker_count: int, limits: dict[int, int]) -> None:
    before, after = proportional(worker_count, limits), proportional(worker_count + 1, limits)
    assert all(after[key] >= before[key] for key in limits)


@pytest.mark.parametrize(
    ("worker_count", "limits", "expected"),
    [
        (12, {"a": 8, "b": 4}, {"a": 8, "b": 4}),
        (6, {"a": 8, "b": 4}, {"a": 4, "b": 2}),
        (100, {"a": 8, "b": 4}, {"a": 8, "b": 4}),
        (1, {"a": 8, "b": 4}, {"a": 1, "b": 1}),
        (5, {"a": 1, "b": 1, "c": 98}, {"a": 1, "b": 1, "c": 3}),
        (10, {"a": 4}, {"a": 4}),
    ],
)
def test_examples_of_proportional(worker_count: int, limits: dict[str, int], expected: dict[str, int]) -> None:
    plan = WorkerPlan(strategy=Strategy.PROPORTIONAL, worker_count=worker_count)
    assert worker_counts(plan, limits) == expected
