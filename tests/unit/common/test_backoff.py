"""Back-off: bounded, jittered, and back to the start after a success."""

import itertools
import random

import pytest

from mitosis_common.backoff import Backoff


def test_delays_stay_under_a_ceiling_that_doubles_to_the_cap() -> None:
    for seed in range(50):
        delays = list(itertools.islice(Backoff(1, 60, rng=random.Random(seed)), 2000))
        assert all(0 <= delay <= min(60, 2**n) for n, delay in enumerate(delays[:10]))
        assert max(delays) <= 60


def test_jitter_spreads_over_the_whole_span() -> None:
    late = list(itertools.islice(Backoff(rng=random.Random(1)), 1000))[10:]
    assert min(late) < 3
    assert max(late) > 57


def test_a_reset_starts_again_from_the_shortest() -> None:
    backoff = Backoff(0.5, 60, floor=0.25)
    for _ in range(20):
        next(backoff)
    assert backoff.failures == 20
    backoff.reset()
    assert 0.25 <= next(backoff) <= 0.5


@pytest.mark.parametrize(("base", "cap", "floor"), [(2, 1, 0), (1, 2, 1.5), (1, 2, -1)])
def test_refuses_bounds_out_of_order(base: float, cap: float, floor: float) -> None:
    with pytest.raises(ValueError, match="floor <= base <= cap"):
        Backoff(base, cap, floor=floor)
