"""The sliding window."""

import pytest

from mitosis_coordinator.domain.errors import LimitExceeded
from mitosis_coordinator.services.throttle import Throttle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_admits_up_to_the_limit_in_any_window() -> None:
    clock = Clock()
    throttle = Throttle("logins", limit=3, window_seconds=60, monotonic=clock)
    for clock.now in (0.0, 10.0, 20.0):
        throttle.admit("a")
    with pytest.raises(LimitExceeded, match=r"logins: .* 3 in 60 seconds"):
        throttle.admit("a")
    throttle.admit("b")
    # The try that was refused does not count: the first slot is free again when the first try is a minute old.
    clock.now = 60.0
    throttle.admit("a")
    with pytest.raises(LimitExceeded):
        throttle.admit("a")


def test_a_success_starts_afresh() -> None:
    throttle = Throttle("logins", limit=1, window_seconds=60, monotonic=Clock())
    throttle.admit("a")
    throttle.forget("a")
    throttle.admit("a")


def test_memory_is_bounded() -> None:
    throttle = Throttle("logins", limit=1, window_seconds=60, max_keys=2, monotonic=Clock())
    for key in "abc":
        throttle.admit(key)
    # The least recent key was forgotten.
    throttle.admit("a")
    with pytest.raises(LimitExceeded):
        throttle.admit("c")
