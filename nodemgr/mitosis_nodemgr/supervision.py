"""Which running tasks to announce, and which to end by killing their worker. Pure.

Workers keep their tasks' time limits themselves; what is left for the manager is a handler stuck in C code, which hears
no signal. Each look says when the next one is due, so that nothing is polled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from mitosis_nodemgr.task_book import Fate, Task

# A task that ends sooner is never reported as running: most tasks, and so most messages, are short.
ANNOUNCE_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Running:
    """What a worker's marker says: the ordinal of its task, and when that started on the monotonic clock."""

    ordinal: int
    started_at: float


@dataclass(frozen=True, slots=True)
class View:
    """One worker: its tasks in order, and the one that it is in the middle of."""

    worker: int
    tasks: Sequence[Task]
    running: Running | None


@dataclass(slots=True)
class Look:
    """What one look found. `next_at` is on the monotonic clock, None when nothing can become due by itself."""

    # Task and start.
    starts: list[tuple[Task, float]] = field(default_factory=list)
    # Worker, the task that it does not let go of, and what becomes of that.
    kills: list[tuple[int, Task, Fate]] = field(default_factory=list)
    next_at: float | None = None

    def _due(self, at: float) -> None:
        self.next_at = at if self.next_at is None else min(self.next_at, at)


def look(views: Iterable[View], now: float, limit_of: Callable[[Task], float | None], slack_seconds: float) -> Look:
    """Inspects every worker.

    `limit_of` gives a task's time limit in seconds; `slack_seconds` is what a worker may take beyond the limit, or
    beyond the moment when it was told to stop, to end the task by its own means.
    """
    found = Look()
    for view in views:
        for task in view.tasks:
            if view.running is None or task.ordinal != view.running.ordinal:
                # It may start at any moment, and nobody will say so. A task that was told to stop and has not started
                # is skipped by its worker: it is no reason to kill the one that runs before it.
                found._due(now + ANNOUNCE_AFTER_SECONDS)
                continue
            started = view.running.started_at
            ends = [] if task.stop_at is None else [task.stop_at + slack_seconds]
            limit = limit_of(task)
            if limit is not None:
                ends.append(started + limit + slack_seconds)
            if ends and now >= min(ends):
                found.kills.append((view.worker, task, task.fate or Fate.TIMED_OUT))
                break
            if ends:
                found._due(min(ends))
            if not task.announced and now >= started + ANNOUNCE_AFTER_SECONDS:
                task.announced = True
                found.starts.append((task, started))
            elif not task.announced:
                found._due(started + ANNOUNCE_AFTER_SECONDS)
    return found
