"""Counts durations by size, cheaply enough for every exchange with a worker. Pure."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Latencies:
    """How many durations were at most as long as each of `BOUNDS_SECONDS`, or longer than all, and their total."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more. A clock that was set back counts as no time."""
        seconds = max(seconds, 0.0)
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Returns the upper bound of each bucket, as Prometheus writes it, and how many were not above it."""
        bounds = [*(repr(bound) for bound in BOUNDS_SECONDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
