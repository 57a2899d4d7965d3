"""Background duties: what falls due, and who stayed away."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.retries import RetryService
from mitosis_coordinator.sessions.signals import SignalHub

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 30.0
RETENTION_SECONDS = 3600.0
_MIN_PAUSE_SECONDS = 0.02
_RETRY_SECONDS = 1.0


class Deadlines:
    """Completes suites whose auto-close time is over, and ends the back-off of tasks that wait for a retry.

    It sleeps until the next one is due. One coordinator does it; should two believe that they lead, every step is
    guarded by the row it changes, so that the second finds nothing left to do.
    """

    def __init__(self, completion: Completion, retries: RetryService, signals: SignalHub) -> None:
        self._completion = completion
        self._retries = retries
        self._changed = asyncio.Event()
        signals.on_deadline(self._changed.set)

    async def run(self) -> None:
        """Work until cancelled."""
        timeout = 0.0
        while True:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(_MIN_PAUSE_SECONDS)
            self._changed.clear()
            try:
                due = [await self._completion.complete_due(), await self._retries.release_due()]
            except StorageUnavailable as error:
                log.warning("deadlines_wait_for_storage", error=str(error))
                timeout = _RETRY_SECONDS
                continue
            known = [seconds for seconds in due if seconds is not None]
            sweep = SWEEP_SECONDS * random.uniform(0.8, 1.2)
            timeout = max(_MIN_PAUSE_SECONDS, min([sweep, *known]))


Beat = TypeVar("Beat")


class Lives(Protocol[Beat]):
    """Where the liveness of one kind of holder is written."""

    async def write(self, beats: list[tuple[UUID, int, Beat]]) -> Collection[UUID]:
        """Write the liveness of holders, each with the epoch of its session; whose session should look again."""

    async def silent(self, timeout_seconds: float) -> list[UUID]:
        """Holders that stayed away longer than the timeout."""

    async def lost(self, holder_id: UUID, timeout_seconds: float) -> bool:
        """Take everything back from a holder that stayed away longer than the timeout; whether it did."""


class Connected(Protocol[Beat]):
    """The holders of one kind that are connected."""

    def beats(self, heard_after: float) -> list[tuple[UUID, int, Beat]]:
        """What to write of the holders that were heard of since a time on the monotonic clock."""

    def look_again(self, holder_id: UUID) -> None:
        """Have the session of a holder, here or elsewhere, read what there is to say to it."""


class Reaper(Generic[Beat]):
    """Writes that connected holders live and, where this coordinator leads, takes work back from the silent ones."""

    def __init__(
        self,
        lives: Lives[Beat],
        connected: Connected[Beat],
        leads: Callable[[], bool],
        *,
        interval_seconds: float,
        timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leads = leads
        self._lives = lives
        self._connected = connected
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        # Holders were not heard of while their coordinator or the database was away: that is not their fault, and each
        # has the whole timeout to come back.
        self._armed_at = monotonic() + timeout_seconds
        # Whoever was not heard of since is not written again: the timeout runs from the last sign of life, whether the
        # stream broke or went silent.
        self._written_at = monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds * random.uniform(0.8, 1.0))
            try:
                await self.round()
            except StorageUnavailable as error:
                log.warning("reaper_waits_for_storage", error=str(error))
                self._armed_at = self._monotonic() + self._timeout_seconds

    async def round(self) -> None:
        """Write and reap once."""
        now = self._monotonic()
        for holder_id in await self._lives.write(self._connected.beats(self._written_at)):
            self._connected.look_again(holder_id)
        self._written_at = now
        if not self._leads():
            self._armed_at = now + self._timeout_seconds
        if now < self._armed_at:
            return
        for holder_id in await self._lives.silent(self._timeout_seconds):
            if await self._lives.lost(holder_id, self._timeout_seconds):
                # A session that is there after all ends, and its holder attaches anew.
                self._connected.look_again(holder_id)


async def repeatedly(work: Callable[[], Awaitable[None]], seconds: float, name: str) -> None:
    """Do something now and then for ever; the database may be away."""
    while True:
        try:
            await work()
        except StorageUnavailable as error:
            log.warning("duty_waits_for_storage", duty=name, error=str(error))
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))
