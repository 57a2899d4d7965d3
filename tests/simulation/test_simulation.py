"""A thousand runs hold, and runs of damaged code do not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.damage import Damage
from tests.simulation.plan import FaultKind, plan_of

_ROOT = Path(__file__).parents[2]
# The default budget: what `make test` spends, and what damage has to be found with.
_RUNS = 1000
# Twenty to thirty seconds where two cores are free, and much more where other tests have them.
pytestmark = pytest.mark.timeout(300)


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: clock and chance of the real code are replaced.
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_nothing_that_must_not_happen_does() -> None:
    done = _simulate("--seed", "0", "--runs", str(_RUNS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{_RUNS} runs" in done.stdout
    # What nobody awaited, or nobody ended, is said here.
    assert not done.stderr


@pytest.mark.parametrize("damage", list(Damage))
def test_damage_is_found_and_can_be_repeated(damage: Damage) -> None:
    done = _simulate("--seed", "0", "--runs", str(_RUNS), "--first", "--jobs", "1", "--damage", damage)
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.search(r"^seed (\d+): (.+)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    again = _simulate("--seed", found[1], "--runs", "1", "--damage", damage)
    assert found[0] in again.stdout
    assert _simulate("--seed", found[1], "--runs", "1").returncode == 0


def test_a_seed_stands_for_one_run() -> None:
    first, second = (_simulate("--seed", "7", "--runs", "1").stdout for _ in range(2))
    assert _digest(first) == _digest(second)


def test_a_run_does_not_depend_on_those_before_it() -> None:
    alone = _simulate("--seed", "8", "--runs", "1").stdout
    after_others = _simulate("--seed", "5", "--runs", "4", "--jobs", "1", "--digests").stdout
    assert f"seed 8: digest {_digest(alone)}" in after_others


def test_plans_are_functions_of_their_seed_and_name_every_fault() -> None:
    plans = [plan_of(seed) for seed in range(200)]
    assert plans == [plan_of(seed) for seed in range(200)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(FaultKind)
    assert {len(plan.managers) for plan in plans} == {2, 3}
    assert {plan.coordinators for plan in plans} == {1, 2}


def _digest(output: str) -> str:
    found = re.search(r"digest (\w+)", output)
    assert found is not None, output
    return found[1]
