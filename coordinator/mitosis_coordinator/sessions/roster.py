"""The live sessions of one kind of holder."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from mitosis_coordinator.domain.errors import LimitExceeded, ShuttingDown
from mitosis_coordinator.domain.hints import Hint, HintKind, Tell, tell_nobody

Pulse = TypeVar("Pulse", covariant=True)


class Rostered(Protocol[Pulse]):
    """What is asked of a session to be on a roster."""

    holder_id: UUID
    epoch: int
    heard_at: float

    @property
    def pulse(self) -> Pulse:
        """What to write of the holder with its liveness."""

    def close(self, because: Exception | None = None) -> None:
        """End the session; what is queued is still sent."""

    def replace(self) -> None:
        """End the session in favour of a newer one of the same holder."""

    def look_again(self) -> None:
        """Read from the database what there is to say to the holder."""


S = TypeVar("S", bound=Rostered[object])
P = TypeVar("P")


class Roster(Generic[S, P]):
    """Counts sessions from their stream's beginning, and knows the attached ones by their holder."""

    def __init__(self, subject: str, max_connections: int, tell: Tell = tell_nobody) -> None:
        self._tell = tell
        self._subject = subject
        self._max_connections = max_connections
        self._open: set[S] = set()
        self._by_holder: dict[UUID, S] = {}
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: S) -> None:
        """Begin to count a session.

        Raises:
            LimitExceeded: Too many holders are connected.
            ShuttingDown: The coordinator is going down.
        """
        if self._closing:
            raise ShuttingDown("the coordinator is going down")
        if len(self._open) >= self._max_connections:
            raise LimitExceeded(self._subject, str(len(self._open) + 1), str(self._max_connections))
        self._open.add(session)
        self._empty.clear()

    def discard(self, session: S) -> None:
        """Forget a session that ended."""
        self._open.discard(session)
        if self._by_holder.get(session.holder_id) is session:
            del self._by_holder[session.holder_id]
        if not self._open:
            self._empty.set()

    def place(self, session: S) -> bool:
        """Let a session be found, in place of an older one; False when a newer one is there, which ends this one."""
        other = self._by_holder.get(session.holder_id)
        if other is not None and other is not session:
            if other.epoch > session.epoch:
                session.replace()
                return False
            other.replace()
        if other is not session:
            self._by_holder[session.holder_id] = session
            # An older session at another coordinator ends by it.
            self._tell(Hint(HintKind.HOLDER, session.holder_id))
        return True

    def of(self, holder_id: UUID) -> S | None:
        """The session of a holder, if it is connected here."""
        return self._by_holder.get(holder_id)

    def attached(self) -> Collection[S]:
        """The sessions that can be found."""
        return self._by_holder.values()

    def beats(self, heard_after: float) -> list[tuple[UUID, int, P]]:
        """What to write of the holders that were heard of since a time on the monotonic clock."""
        return [
            (session.holder_id, session.epoch, session.pulse)  # type: ignore[misc]
            for session in self._by_holder.values()
            if session.heard_at >= heard_after
        ]

    def close_those_of(self, holder_id: UUID, because: Exception) -> None:
        """End every session of a holder, also one that cannot be found yet."""
        for session in [session for session in self._open if session.holder_id == holder_id]:
            session.close(because)

    def look_again(self, holder_id: UUID) -> None:
        """Have the session of a holder, here or elsewhere, read what there is to say to it."""
        session = self._by_holder.get(holder_id)
        if session is not None:
            session.look_again()
        else:
            self._tell(Hint(HintKind.HOLDER, holder_id))

    def hear(self, hint: Hint) -> None:
        """Do what a hint of another coordinator means for the sessions of this one."""
        match hint:
            case Hint(HintKind.HOLDER, UUID() as holder_id):
                session = self._by_holder.get(holder_id)
                if session is not None:
                    session.look_again()
            case Hint(HintKind.EVERYTHING):
                for session in self._by_holder.values():
                    session.look_again()

    async def close_all(self) -> None:
        """End every session and take no more, because the coordinator is going down; returns when they have ended."""
        self._closing = True
        for session in list(self._open):
            session.close(ShuttingDown("the coordinator is going down"))
        await self._empty.wait()
