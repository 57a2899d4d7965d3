"""A bound on how often something may be tried, within this process."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from mitosis_coordinator.domain.errors import LimitExceeded


class Throttle:
    """A sliding window for each key: at most `limit` tries in `window_seconds`.

    Memory is bounded by `max_keys`; beyond it the key that was tried least recently is forgotten.
    """

    def __init__(
        self,
        subject: str,
        *,
        limit: int,
        window_seconds: float,
        max_keys: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subject = subject
        self._limit = limit
        self._window_seconds = window_seconds
        self._max_keys = max_keys
        self._monotonic = monotonic
        self._tries: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def admit(self, key: Hashable) -> None:
        """Count one try.

        Raises:
            LimitExceeded: there were too many; this one is not counted.
        """
        now = self._monotonic()
        tries = self._tries.setdefault(key, deque(maxlen=self._limit))
        self._tries.move_to_end(key)
        if len(self._tries) > self._max_keys:
            self._tries.popitem(last=False)
        while tries and tries[0] <= now - self._window_seconds:
            tries.popleft()
        if len(tries) >= self._limit:
            raise LimitExceeded(
                self._subject, "one more try", f"{self._limit} in {self._window_seconds:.0f} seconds; try again later"
            )
        tries.append(now)

    def forget(self, key: Hashable) -> None:
        """Start counting afresh, after a success."""
        self._tries.pop(key, None)
