"""Where in its suite's queue a session claims next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mitosis_coordinator.storage.tasks import ClaimedTask, QueuePlace

# Above the time in which a statement looks from the beginning when nothing dead lies there, on a busy machine.
_CHEAP_SECONDS = 0.05
# Looking from the beginning takes at most one part in so many of the time, beyond what is cheap.
_PARTS = 20
# In case a hint was lost.
_LOOK_SECONDS = 5.0


class QueueFront:
    """Decides whether a claim looks from the beginning of the queue or goes on behind the last one.

    What was claimed leaves entries behind at the front of the index, and while somebody holds an old snapshot nothing
    can remove them: claims that begin there would each walk over all that were ever claimed. One that goes on behind
    the last one, within its priority, walks over none. Whatever became Ready further in front is told by a hint, after
    which one claim looks from the beginning; when that took long, the next one that does waits in proportion. A claim
    that goes on and finds too little has to be repeated from the beginning before anybody may call the queue empty.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._place: QueuePlace | None = None
        self._rewound = False
        # When the last look from the beginning ended, and what it took.
        self._looked_at = clock()
        self._look_seconds = 0.0
        self._began_at = 0.0

    def rewind(self) -> None:
        """Something may have become Ready in front of the place."""
        self._rewound = True

    def begin(self) -> QueuePlace | None:
        """Begin a claim; behind which place, None for the beginning of the queue."""
        self._began_at = self._clock()
        since = self._began_at - self._looked_at
        wanted = self._rewound or since >= _LOOK_SECONDS
        if wanted and since >= _PARTS * max(0.0, self._look_seconds - _CHEAP_SECONDS):
            self._place = None
        if self._place is None:
            # Not at the end: a hint may come while the statement runs.
            self._rewound = False
        return self._place

    def end(self, claimed: Sequence[ClaimedTask], *, enough: bool) -> None:
        """End the claim that `begin` began, with what it found in the queue's order."""
        if self._place is None:
            self._looked_at = self._clock()
            self._look_seconds = self._looked_at - self._began_at
        self._place = QueuePlace(claimed[-1].priority, claimed[-1].task_id) if claimed and enough else None
