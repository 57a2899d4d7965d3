"""What failed preparations cost a manager."""

from __future__ import annotations

from uuid import UUID

import pytest

from mitosis_coordinator.domain.manager import preparation_backoff_seconds, preparation_failed, quarantined

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (5000, 60)])
def test_the_back_off_doubles_up_to_a_minute(failures: int, seconds: float) -> None:
    assert preparation_backoff_seconds(failures) == seconds


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ([], False),
        ([A], False),
        ([A, A, A, A], False),
        ([A, B], False),
        ([A, B, A, B], False),
        ([A, B, C], True),
        ([A, A, B, B, A, C], True),
    ],
)
def test_three_different_suites_in_a_row_are_a_broken_machine(failed: list[UUID], expected: bool) -> None:
    in_a_row: list[UUID] = []
    for suite_id in failed:
        in_a_row = preparation_failed(in_a_row, suite_id)
    assert quarantined(in_a_row) is expected
    assert len(in_a_row) == len(set(failed))
    assert not failed or in_a_row[-1] == failed[-1]
