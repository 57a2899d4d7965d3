"""How many tasks to hold, and how many to give to one worker at a time. Pure.

The aim is a span of work, not a count: a manager that holds a second of work rides out a slow answer of the
coordinator, and one that holds more than that only keeps tasks from managers that would have started them sooner.
"""

from __future__ import annotations

from dataclasses import dataclass

AHEAD_SECONDS = 1.0
# What is held ahead of each worker, however many tasks that are, up to so many: 32 tasks of 50 µs would be gone before
# the next ones are there.
SHORT_SECONDS = 0.1
MAX_SHORT_AHEAD = 512
# What one worker is given at a time: so long that what it costs to fetch hardly shows, and so short that nothing urgent
# waits long behind it.
GIVE_SECONDS = 0.1
MAX_GIVE = 64
# Tasks up to this long are given in twos while there are plenty: the next one starts without a fetch in between.
PAIR_SECONDS = 0.15
DEFAULT_PREFETCH_COUNT = 32
# The weight of one more task in the estimate, and in the estimate of its spread.
_GAIN = 1 / 16
_SPREAD_GAIN = 1 / 8
_SHORTEST_SECONDS = 20e-6


@dataclass(slots=True)
class TaskTime:
    """Running estimate of how long a task takes, and how far tasks stray from it."""

    mean_seconds: float | None = None
    spread_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Takes one more task into account. A clock that was set back counts as a task of no length."""
        seconds = max(seconds, 0.0)
        if self.mean_seconds is None:
            self.mean_seconds, self.spread_seconds = seconds, seconds / 2
            return
        error = seconds - self.mean_seconds
        self.spread_seconds += _SPREAD_GAIN * (abs(error) - self.spread_seconds)
        self.mean_seconds += _GAIN * error

    @property
    def careful_seconds(self) -> float | None:
        """A length that few tasks exceed. It decides what is given to one worker, because it cannot be taken back."""
        return None if self.mean_seconds is None else self.mean_seconds + 2 * self.spread_seconds


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The bounds: `workers` processes, and at most `per_worker` tasks, or 0.1 s of work, held ahead for each."""

    workers: int
    per_worker: int = DEFAULT_PREFETCH_COUNT


def window(bounds: Prefetch, time: TaskTime) -> int:
    """Returns how many tasks the manager wants to hold: one running in each worker, and those that wait behind."""
    if bounds.workers == 0 or bounds.per_worker == 0:
        return bounds.workers
    if time.mean_seconds is None:
        return bounds.workers * 2
    length = max(time.mean_seconds, _SHORTEST_SECONDS)
    most = max(bounds.per_worker, min(int(SHORT_SECONDS / length), MAX_SHORT_AHEAD))
    return bounds.workers * (1 + min(max(int(AHEAD_SECONDS / length), 1), most))


def grant(window_size: int, held: int, on_the_way: int) -> int:
    """Returns how many more tasks to ask for: none, until a quarter of the window has become free.

    `held` tasks are here and not ended; `on_the_way` were asked for and have not come. One message per task would cost
    more than the tasks; waiting until everything is free would let the workers run dry.
    """
    free = window_size - held - on_the_way
    return free if free >= max(1, window_size // 4) else 0


def share(buffered: int, workers: int, time: TaskTime) -> int:
    """Returns how many of `buffered` tasks one worker gets in one exchange.

    Short tasks travel together, about 0.1 s of them, but never more than a fair share: at the end of a suite no worker
    sits on tasks that an idle one could run.
    """
    if buffered == 0:
        return 0
    length = time.careful_seconds
    if length is None:
        return 1
    by_time = max(int(GIVE_SECONDS / max(length, _SHORTEST_SECONDS)), 2 if length <= PAIR_SECONDS else 1)
    fair = -(-buffered // max(workers, 1))
    return max(1, min(by_time, fair, MAX_GIVE))
