"""The model of the database does what PostgreSQL does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.damage import Damage

pytestmark = pytest.mark.timeout(300)
_ROOT = Path(__file__).parents[2]


def _compare(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", "--database", database_url, *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
def test_the_model_and_postgresql_answer_and_store_the_same(database_url: str) -> None:
    done = _compare(database_url, "--seed", "12", "--runs", "25")
    assert done.returncode == 0, done.stdout + done.stderr
    # None is taken on trust.
    assert "statements that were not compared: none" in done.stdout


@pytest.mark.slow
def test_a_difference_is_noticed(database_url: str) -> None:
    done = _compare(database_url, "--seed", "30", "--runs", "70", "--first", "--damage", Damage.FENCE_REMOVED)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "PostgreSQL says" in done.stdout
