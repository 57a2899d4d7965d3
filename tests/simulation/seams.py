"""Where the real code is cut off from the real world."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

from mitosis_common import dial
from mitosis_coordinator.domain import ids
from mitosis_coordinator.sessions import holder, session, signals
from mitosis_nodemgr import crew, driver, obligations, recovery, suite_run
from mitosis_nodemgr.feed import Feed
from tests.simulation import clock
from tests.simulation.clock import SimulatedLoop
from tests.simulation.manager import SimulatedHook, end_nothing
from tests.simulation.network import Network
from tests.simulation.observer import Observer
from tests.simulation.workers import Pool, Server


@contextmanager
def simulated(loop: SimulatedLoop, network: Network, observer: Observer, seed: int) -> Iterator[None]:
    """Replace clock, chance, network, processes and files of the real code."""
    rng = random.Random(seed)
    now = clock.time_module(loop)
    clock.restart_serials()
    with ExitStack() as stack:

        def replace(place: Any, name: str, substitute: object) -> None:
            stack.enter_context(patch.object(place, name, substitute))

        for name, module in list(sys.modules.items()):
            if name.startswith("mitosis_") and getattr(module, "time", None) is time:
                replace(module, "time", now)
        replace(ids, "os", SimpleNamespace(urandom=rng.randbytes))
        replace(dial, "find", network.find)
        replace(dial, "open_channel", network.open_channel)
        replace(suite_run, "IpcServer", Server)
        replace(suite_run, "Feed", partial(Feed, clock=loop.time))
        replace(crew, "Pool", Pool)
        replace(obligations, "Hook", SimulatedHook)
        for place, name in (
            (driver, "reap_everything"),
            (driver, "reap_after_worker"),
            (obligations, "reap_everything"),
            (recovery, "kill_recorded"),
            (recovery, "kill_marked"),
            (recovery, "cleanup_leftovers"),
        ):
            replace(place, name, end_nothing)
        replace(driver, "metadata", SimpleNamespace(version=lambda name: "0"))
        # Sets of these are iterated over; by default they hash by their place in memory.
        replace(holder.HolderSession, "__hash__", clock.Serial.__hash__)
        for place in (signals, holder, session):
            replace(place, "asyncio", _AsyncioWithSerialEvents())
        ids.__dict__["_factory"].__init__()
        random.seed(seed)
        replace(_Log, "observer", observer)
        yield


class _AsyncioWithSerialEvents:
    """The module `asyncio`, with events that hash the same in every run."""

    Event = clock.SerialEvent

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


class _Log:
    """Where log entries go: into the trace of the run that is under way."""

    observer: Observer | None = None

    @classmethod
    def take(cls, logger: object, level: str, event: MutableMapping[str, Any]) -> Any:
        """A structlog processor."""
        if cls.observer is not None:
            cls.observer.note(f"{level} {event.pop('event')}", event)
        raise structlog.DropEvent


structlog.configure(
    processors=[_Log.take], wrapper_class=structlog.make_filtering_bound_logger(20), cache_logger_on_first_use=True
)
