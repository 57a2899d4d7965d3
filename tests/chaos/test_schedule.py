"""The schedule and the load are functions of the seed, and hold what they promise for every seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.schedule import LEAD_SECONDS, Cast, Fault, Kind, owner_of, plan
from tests.chaos.workload import plans, task

CAST = Cast(
    coordinators=("coordinator-1", "coordinator-2"),
    managers=("manager-1", "manager-2", "manager-3"),
    workers=("worker-1", "worker-2"),
    clients=("client-1", "client-2"),
)
SEEDS = st.integers(0, 2**32)
TIMEOUT_SECONDS = 8.0


def planned(seed: int, seconds: float = 180.0, faults: int = 72, cast: Cast = CAST) -> list[Fault]:
    return plan(seed, seconds, faults, cast, TIMEOUT_SECONDS)


@given(SEEDS)
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    assert planned(seed) == planned(seed)
    assert plans(seed, 100, 3000) == plans(seed, 100, 3000)
    log = Path("log")
    assert [task(seed, number, log, independent=False) for number in range(50)] == [
        task(seed, number, log, independent=False) for number in range(50)
    ]


def test_another_seed_gives_another_run() -> None:
    assert planned(1) != planned(2)
    assert plans(1, 100, 3000) != plans(2, 100, 3000)


@given(SEEDS)
@settings(max_examples=50)
def test_every_kind_strikes_and_goes_round_its_targets(seed: int) -> None:
    faults = planned(seed)
    assert len(faults) >= 60
    counts = {kind: sum(fault.kind is kind for fault in faults) for kind in Kind}
    assert min(counts.values()) >= 3
    assert {fault.target for fault in faults if fault.kind is Kind.FULL_DISK} <= set(CAST.managers)
    for fault in faults:
        assert fault.target in CAST.targets(fault.kind)


@given(SEEDS, st.integers(1, 120), st.floats(5, 600))
@settings(max_examples=50)
def test_nobody_is_struck_twice_at_a_time(seed: int, count: int, seconds: float) -> None:
    faults = planned(seed, seconds, count)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    free_at: dict[str, float] = {}
    for fault in faults:
        assert LEAD_SECONDS <= fault.at <= seconds + 0.001
        owner = owner_of(fault.target)
        # Both are rounded to milliseconds.
        assert fault.at >= free_at.get(owner, 0.0) - 0.002
        free_at[owner] = fault.at + fault.seconds


@given(SEEDS)
@settings(max_examples=20)
def test_some_faults_outlast_the_timeout_and_most_do_not(seed: int) -> None:
    long = [fault for fault in planned(seed, 1800, 400) if fault.seconds > TIMEOUT_SECONDS]
    assert 20 < len(long) < 120


@given(SEEDS)
@settings(max_examples=20)
def test_without_small_disks_none_is_filled(seed: int) -> None:
    cast = Cast(CAST.coordinators, CAST.managers, CAST.workers, CAST.clients, disks=False)
    assert all(fault.kind is not Kind.FULL_DISK for fault in planned(seed, cast=cast))


@given(SEEDS, st.integers(1, 5000))
@settings(max_examples=50)
def test_every_task_is_in_one_plan(seed: int, count: int) -> None:
    load = plans(seed, 60, count)
    assert sorted(number for one in load for number in one.tasks) == list(range(count))
    assert [one.at for one in load] == sorted(one.at for one in load)
    assert all(0 <= one.at <= 60 for one in load)


@pytest.mark.parametrize("independent", [True, False])
def test_independent_tasks_leave_their_worker_alone(independent: bool) -> None:
    fates = {str(task(1, number, Path("log"), independent=independent)["payload"]) for number in range(5000)}
    assert any("kills" in fate for fate in fates) is not independent
