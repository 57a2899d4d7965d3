"""The small pure decisions: deaths, respawns, cores, prefetch, credit, supervision, defaults."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis.v1 import suite_pb2, task_pb2
from mitosis_nodemgr import deaths, defaults, prefetch
from mitosis_nodemgr.binding import BindingRefusedError, CpuBinding, bind
from mitosis_nodemgr.config import WorkerDefaults
from mitosis_nodemgr.credit import Credit
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.prefetch import Prefetch, TaskTime
from mitosis_nodemgr.respawn import GiveUp, Respawn, RespawnPolicy, RespawnState, after_death, after_success
from mitosis_nodemgr.supervision import Running, View, look
from mitosis_nodemgr.task_book import Fate, Task

FAULT, OOM, EXIT = Death(-signal.SIGSEGV), Death(-signal.SIGKILL), Death(3)


@pytest.mark.parametrize(
    ("history", "worn_out"),
    [
        ([], False),
        ([FAULT], False),
        ([FAULT, Death(-signal.SIGBUS)], True),
        ([OOM, FAULT], False),
        ([OOM, EXIT], False),
        ([OOM, EXIT, OOM], True),
        ([FAULT, OOM, FAULT], True),
    ],
)
def test_a_task_is_worn_out_after_three_deaths_or_two_faults(history: list[Death], worn_out: bool) -> None:
    assert deaths.is_worn_out(history) is worn_out


def test_deaths_say_what_happened() -> None:
    assert FAULT.reason == "killed by SIGSEGV"
    assert EXIT.reason == "exit code 3"
    assert OOM.reason == "killed by SIGKILL (out of memory?)"
    assert Death(-signal.SIGKILL, wanted=True).reason == "killed by SIGKILL"


def test_respawn_delays_double_up_to_ten_seconds_and_start_again_after_a_success() -> None:
    state, delays = RespawnState(), []
    for _ in range(10):
        state, decision = after_death(state, RespawnPolicy(), blamed=True)
        assert isinstance(decision, Respawn)
        delays.append(decision.delay_seconds)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    _, decision = after_death(after_success(state), RespawnPolicy(), blamed=False)
    assert decision == Respawn(0.1)


def test_a_worker_that_cannot_work_is_given_up() -> None:
    state = RespawnState()
    decisions = []
    for _ in range(4):
        state, decision = after_death(state, RespawnPolicy(max_restarts=3), blamed=False)
        decisions.append(type(decision))
    assert decisions == [Respawn, Respawn, Respawn, GiveUp]
    assert isinstance(after_death(RespawnState(), RespawnPolicy(restart_on_failure=False), blamed=True)[1], GiveUp)


@given(
    binding=st.sampled_from(CpuBinding),
    workers=st.integers(1, 40),
    allowed=st.sets(st.integers(0, 63), min_size=1),
    wanted=st.sets(st.integers(0, 63)),
)
def test_workers_get_only_cores_that_they_may_have(
    binding: CpuBinding, workers: int, allowed: set[int], wanted: set[int]
) -> None:
    usable = allowed & wanted if wanted else allowed
    if not usable or (binding is CpuBinding.EXCLUSIVE and workers > len(usable)):
        with pytest.raises(BindingRefusedError, match="core"):
            bind(binding, workers, allowed, wanted)
        return
    shares = bind(binding, workers, allowed, wanted)
    assert len(shares) == workers
    assert all(share and share <= usable for share in shares)
    if binding is CpuBinding.EXCLUSIVE:
        assert sum(map(len, shares)) == len(usable) == len(frozenset().union(*shares))
    elif binding is CpuBinding.ROUND_ROBIN:
        assert all(len(share) == 1 for share in shares)
    else:
        assert set(shares) == {frozenset(usable)}


def taking(seconds: float, count: int = 300) -> TaskTime:
    time = TaskTime()
    for _ in range(count):
        time.add(seconds)
    return time


@pytest.mark.parametrize(
    ("seconds", "per_worker", "expected"),
    [
        (None, 32, 8),
        (10, 32, 8),
        (0.1, 32, 44),
        (0.01, 32, 132),
        # Short tasks: a tenth of a second of them, up to 512, whatever the bound by count says, unless it says none.
        (0.001, 32, 404),
        (0.0001, 32, 2052),
        (0.0001, 1000, 4004),
        (0.0001, 0, 4),
    ],
)
def test_the_window_is_a_second_of_work_within_its_bounds(
    seconds: float | None, per_worker: int, expected: int
) -> None:
    time = TaskTime() if seconds is None else taking(seconds)
    assert prefetch.window(Prefetch(4, per_worker), time) == expected


@given(buffered=st.integers(0, 5000), workers=st.integers(1, 64), seconds=st.floats(0, 100))
def test_a_share_is_fair_short_and_never_nothing(buffered: int, workers: int, seconds: float) -> None:
    given_out = prefetch.share(buffered, workers, taking(seconds, 20))
    assert given_out <= min(buffered, prefetch.MAX_GIVE)
    assert (given_out > 0) == (buffered > 0)
    assert given_out <= -(-buffered // workers)
    if seconds > prefetch.PAIR_SECONDS:
        assert given_out <= 1
    elif seconds > prefetch.GIVE_SECONDS:
        assert given_out <= 2


def test_one_long_task_among_short_ones_stops_the_batches() -> None:
    time = taking(0.0001)
    assert prefetch.share(64, 1, time) == 64
    time.add(5)
    assert prefetch.share(64, 1, time) == 1


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300), st.integers(0, 50)), max_size=50))
def test_credit_never_asks_for_more_than_the_window(steps: list[tuple[int, int, int]]) -> None:
    credit = Credit()
    for window, held, arriving in steps:
        announced = credit.refill(window, held)
        if announced is not None:
            assert announced == credit.granted
            assert held + credit.granted - credit.received <= max(window, held)
        credit.arrived(min(arriving, credit.granted - credit.received))
        assert credit.received <= credit.granted


def test_credit_is_refilled_by_quarters_and_taken_back() -> None:
    credit = Credit()
    assert credit.refill(100, 0) == 100
    credit.arrived(100)
    assert credit.refill(100, 80) is None
    assert credit.refill(100, 75) == 125
    assert credit.refill(20, 75) == 100
    assert credit.refill(20, 75) is None
    assert credit.refill(200, 0) == 300
    assert credit.withdraw() == 100
    assert credit.withdraw() is None
    credit.arrived(5)
    credit.restart()
    assert (credit.granted, credit.received) == (0, 0)


def supervised(*, ordinal: int = 1, **fields: object) -> Task:
    task = Task("t", 1, b"", worker=0, ordinal=ordinal)
    for name, value in fields.items():
        setattr(task, name, value)
    return task


def test_a_task_is_announced_once_after_a_second() -> None:
    task = supervised()
    first = look([View(0, [task], Running(1, 10.0))], 10.5, lambda _: None, 2.0)
    assert (first.starts, first.next_at) == ([], 11.0)
    second = look([View(0, [task], Running(1, 10.0))], 11.0, lambda _: None, 2.0)
    assert second.starts == [(task, 10.0)]
    third = look([View(0, [task], Running(1, 10.0))], 99.0, lambda _: None, 2.0)
    assert (third.starts, third.next_at) == ([], None), "a long task needs no timer"


def test_a_task_that_outlives_its_limit_costs_the_worker_its_life() -> None:
    task = supervised(announced=True)
    early = look([View(3, [task], Running(1, 10.0))], 14.9, lambda _: 3.0, 2.0)
    assert (early.kills, early.next_at) == ([], 15.0)
    assert look([View(3, [task], Running(1, 10.0))], 15.0, lambda _: 3.0, 2.0).kills == [(3, task, Fate.TIMED_OUT)]


def test_a_stopped_task_that_has_not_started_does_not_cost_another_one_its_worker() -> None:
    current, behind = supervised(announced=True), supervised(ordinal=2, fate=Fate.CANCELLED, stop_at=10.0)
    assert look([View(0, [current, behind], Running(1, 1.0))], 50.0, lambda _: None, 2.0).kills == []
    assert look([View(0, [behind], Running(2, 1.0))], 50.0, lambda _: None, 2.0).kills == [(0, behind, Fate.CANCELLED)]


def test_the_suite_wins_over_the_manager_and_an_executor_is_taken_whole() -> None:
    manager = WorkerDefaults(command="run", envs={"A": "manager", "B": "manager"}, timeout_seconds=5)
    merged = defaults.merge(task_pb2.TaskSpec(handler="m:f", envs={"A": "suite"}), manager)
    assert (merged.handler, merged.command, dict(merged.envs)) == ("m:f", "", {"A": "suite", "B": "manager"})
    assert merged.timeout_seconds == 5
    assert defaults.merge(task_pb2.TaskSpec(), manager).command == "run"
    plan = suite_pb2.WorkerSchedulePlan(cpu_binding=suite_pb2.CPU_BINDING_SHARED)
    assert defaults.cpu_binding(plan, manager) is CpuBinding.SHARED
    assert defaults.cpu_binding(suite_pb2.WorkerSchedulePlan(), manager) is CpuBinding.ROUND_ROBIN
