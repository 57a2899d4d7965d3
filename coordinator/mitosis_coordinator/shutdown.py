"""Coming down: tasks that have an owner, and steps that have an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import structlog

log = structlog.get_logger(__name__)


class BackgroundTaskDiedError(Exception):
    """A task that should run as long as the process ended; the process must not go on without it."""


class BackgroundTasks:
    """Owns every task that runs beside the servers."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the process lives."""
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _task: self._changed.set())
        self._changed.set()

    async def wait_failed(self) -> NoReturn:
        """Wait until a task ends, in whatever way.

        Raises:
            BackgroundTaskDiedError: always; its cause is what the task died of.
        """
        while True:
            for name, task in self._tasks.items():
                if task.done():
                    cause = None if task.cancelled() else task.exception()
                    raise BackgroundTaskDiedError(f"the background task {name} ended") from cause
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have unwound."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()


class Drain:
    """Steps on the way down, which share one budget of time.

    The budget starts with the first step. A step that fails or does not end is logged, and the next one runs: what
    comes last (the database) must be closed however the rest went.
    """

    # Even when the budget is used up, closing a socket is tried.
    _LEAST_SECONDS = 0.5

    def __init__(self, budget_seconds: float) -> None:
        self._budget_seconds = budget_seconds
        self._deadline: float | None = None

    def remaining_seconds(self) -> float:
        """What is left of the budget, in seconds; starts it."""
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._budget_seconds
        return max(self._deadline - now, 0.0)

    async def step(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run one step within what is left of the budget."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(self.remaining_seconds(), self._LEAST_SECONDS)):
                await work()
        except TimeoutError:
            log.warning("drain_step_timed_out", step=name)
        except Exception:
            log.exception("drain_step_failed", step=name)
        else:
            log.debug("drain_step_done", step=name, seconds=round(time.monotonic() - started, 3))
