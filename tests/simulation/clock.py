"""An event loop whose time passes only when nothing is left to do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_EPOCH_SECONDS = EPOCH.timestamp()


class Stuck(Exception):
    """Nothing is left that could ever happen."""


class Serial:
    """Identity that does not depend on where an object lies in memory, so that sets have one order in every run."""

    _numbers = itertools.count()
    _serial: int

    def __hash__(self) -> int:
        try:
            return self._serial
        except AttributeError:
            self._serial = next(Serial._numbers)
            return self._serial


def restart_serials() -> None:
    """Count from zero, as a new process does."""
    Serial._numbers = itertools.count()


class SerialTask(Serial, asyncio.Task[Any]):
    """A task that hashes the same in every run."""


class SerialEvent(Serial, asyncio.Event):
    """An event that hashes the same in every run."""


class SimulatedLoop(asyncio.base_events.BaseEventLoop):
    """Runs callbacks in the order in which they are due, and jumps over the time between them.

    Time is in seconds since the loop was made. What a real loop would do in another thread happens at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        # Times are sums of floats; what is due within a microsecond is due.
        self._clock_resolution = 1e-6
        self._selector = self
        self.set_task_factory(_serial_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """Let time pass until the next callback is due."""
        if timeout is None:
            raise Stuck
        self._now += timeout
        return []

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, events: object) -> None:
        """There are no file descriptors."""

    def _write_to_self(self) -> None:
        """There is no other thread to be woken by."""

    @property
    def wall_clock(self) -> datetime:
        """The simulated time of day, in whole microseconds."""
        return EPOCH + timedelta(microseconds=round(self._now * 1e6))


def time_module(loop: SimulatedLoop) -> SimpleNamespace:
    """What stands in for the module `time`."""
    return SimpleNamespace(
        monotonic=loop.time,
        perf_counter=loop.time,
        monotonic_ns=lambda: int(loop.time() * 1e9),
        time=lambda: _EPOCH_SECONDS + loop.time(),
        time_ns=lambda: int((_EPOCH_SECONDS + loop.time()) * 1e9),
    )


def _serial_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    *,
    name: str | None = None,
    context: Context | None = None,
) -> asyncio.Task[Any]:
    return SerialTask(coroutine, loop=loop, name=name, context=context)
