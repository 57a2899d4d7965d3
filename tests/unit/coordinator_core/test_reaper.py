"""The reaper writes each sign of life once, and gives up whoever showed none for the timeout."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pytest

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.duties.clockwork import Reaper

HOLDER = UUID(int=1)
INTERVAL_SECONDS = 10.0
TIMEOUT_SECONDS = 90.0


class World:
    """A clock, a holder whose stream stays up, and what is written of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.heard_at = self.now
        self.written_at = self.now
        self.leads = True
        self.storage_is_away = False
        self._lost_at: float | None = None
        self.reaper: Reaper[None] = Reaper(
            self,
            self,
            lambda: self.leads,
            interval_seconds=INTERVAL_SECONDS,
            timeout_seconds=TIMEOUT_SECONDS,
            monotonic=lambda: self.now,
        )

    def beats(self, heard_after: float) -> list[tuple[UUID, int, None]]:
        return [(HOLDER, 1, None)] if self.heard_at >= heard_after else []

    def look_again(self, holder_id: UUID) -> None:
        assert holder_id == HOLDER

    async def write(self, beats: list[tuple[UUID, int, None]]) -> Collection[UUID]:
        if self.storage_is_away:
            raise StorageUnavailable("away")
        if beats:
            self.written_at = self.now
        return ()

    async def silent(self, timeout_seconds: float) -> list[UUID]:
        return [HOLDER] if self.written_at < self.now - timeout_seconds and self._lost_at is None else []

    async def lost(self, holder_id: UUID, timeout_seconds: float) -> bool:
        assert holder_id in await self.silent(timeout_seconds)
        self._lost_at = self.now
        return True

    def lost_at(self) -> float | None:
        """When the holder was given up."""
        return self._lost_at

    async def rounds(self, seconds: float, *, beat_every: float | None = None) -> None:
        """Lets time pass, round by round."""
        until = self.now + seconds
        while self.now < until:
            self.now += INTERVAL_SECONDS
            if beat_every is not None and self.now - self.heard_at >= beat_every:
                self.heard_at = self.now - 1
            await self.reaper.round()


async def test_a_holder_that_beats_is_never_given_up() -> None:
    world = World()
    await world.rounds(1000, beat_every=30)
    assert world.lost_at() is None


async def test_a_stream_that_stays_up_and_is_silent_is_no_sign_of_life() -> None:
    world = World()
    await world.rounds(500, beat_every=30)
    silent_since = world.heard_at
    await world.rounds(500)
    lost_at = world.lost_at()
    assert lost_at is not None
    assert TIMEOUT_SECONDS <= lost_at - silent_since <= TIMEOUT_SECONDS + 2 * INTERVAL_SECONDS


async def test_what_could_not_be_written_is_written_later() -> None:
    world = World()
    await world.rounds(200, beat_every=30)
    world.heard_at = world.now + 1
    world.storage_is_away = True
    with pytest.raises(StorageUnavailable):
        await world.rounds(10)
    world.storage_is_away = False
    await world.rounds(10)
    assert world.written_at == world.now


async def test_whoever_takes_the_lead_gives_everybody_the_whole_timeout() -> None:
    world = World()
    world.leads = False
    await world.rounds(500)
    assert world.lost_at() is None
    world.leads = True
    leads_since = world.now
    await world.rounds(500)
    lost_at = world.lost_at()
    assert lost_at is not None
    assert lost_at - leads_since >= TIMEOUT_SECONDS - INTERVAL_SECONDS
