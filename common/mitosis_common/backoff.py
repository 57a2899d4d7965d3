"""Waiting longer after each failure, without everybody waiting equally long."""

import random
from collections.abc import Iterator


class Backoff:
    """Yields delays in seconds: exponential with full jitter, as in the AWS article "Exponential Backoff And Jitter".

    The n-th delay since the last `reset` is uniform between 0 and `min(cap, base * 2**n)`; `floor` lifts the lower end
    for callers that must not be called again at once.
    """

    def __init__(
        self, base: float = 1.0, cap: float = 60.0, *, floor: float = 0.0, rng: random.Random | None = None
    ) -> None:
        if not 0 <= floor <= base <= cap:
            raise ValueError(f"needs 0 <= floor <= base <= cap, given floor={floor}, base={base}, cap={cap}")
        self._base = base
        self._cap = cap
        self._floor = floor
        self._uniform = random.uniform if rng is None else rng.uniform
        self._failures = 0

    @property
    def failures(self) -> int:
        """The number of delays handed out since the last reset."""
        return self._failures

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        # The exponent is bounded before the power: 2.0**1100 overflows after a night of failures.
        ceiling = min(self._cap, self._base * 2.0 ** min(self._failures, 64))
        self._failures += 1
        return self._uniform(self._floor, ceiling)

    def reset(self) -> None:
        """Start again from the shortest delay, after a success."""
        self._failures = 0
