"""The hint bus: what this coordinator and the others of its database tell each other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from mitosis_common.backoff import Backoff
from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.domain.hints import Hint, HintKind, Tell, decode, encode
from mitosis_coordinator.peers.leadership import Leadership
from mitosis_coordinator.storage import coordinators
from mitosis_coordinator.storage.coordinators import Ear, Identity
from mitosis_coordinator.storage.pool import Database

log = structlog.get_logger(__name__)

# A NOTIFY takes a lock of the whole database when it commits: a burst of hints becomes one.
GATHER_SECONDS = 0.02
BEAT_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_MAX_WAITING = 1024


class HintBus:
    """Hears the hints of others and passes on this coordinator's own, together, and to nobody while it is alone.

    It keeps one connection outside the pool. When that is lost it connects again, and everything is read again: what
    was said meanwhile was not heard. Hints that are lost otherwise are made up for by the sweeps of those they are for.
    """

    def __init__(self, database: Database, identity: Identity, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.leadership = Leadership()
        self._database = database
        self._identity = identity
        self._monotonic = monotonic
        self._listeners: list[Tell] = []
        self._ear: Ear | None = None
        # Others live, as far as this one knows.
        self._accompanied = False
        # In the order in which they were told; a dictionary keeps each once.
        self._waiting: dict[Hint, None] = {}
        self._wanted = asyncio.Event()
        self._beat_at = 0.0
        self.sent = 0

    @property
    def accompanied(self) -> bool:
        """Whether other coordinators live, as far as this one knows."""
        return self._accompanied

    def on_hint(self, listener: Tell) -> None:
        """Call `listener` with every hint of another coordinator."""
        self._listeners.append(listener)

    def tell(self, hint: Hint) -> None:
        """Pass a hint on to the others, soon."""
        if not self._accompanied or (hint.kind is HintKind.DEADLINE_CHANGED and self.leadership.held):
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting = {Hint(HintKind.EVERYTHING): None}
        self._waiting[hint] = None
        self._wanted.set()

    async def join(self) -> None:
        """Begin to listen, say that this coordinator is there, and lead if nobody does.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        self._ear = await Ear.open(self._database.conninfo, self._identity)
        await self._beat(self._ear)
        # Without hints: those who did not know of this coordinator begin to tell it theirs.
        await coordinators.notify(self._database, encode(self._identity.id, []))

    async def leave(self) -> None:
        """Say goodbye; whoever hears it leads at once if this one did."""
        self.leadership.set(False)
        ear, self._ear = self._ear, None
        if ear is None:
            return
        try:
            await ear.leave(encode(self._identity.id, []))
        except StorageUnavailable as error:
            log.info("left_without_goodbye", error=str(error))

    async def hear(self) -> None:
        """Listen until cancelled, and connect again when the connection is lost."""
        backoff = Backoff(0.2, 2.0)
        while True:
            try:
                if self._ear is None:
                    self._ear = await Ear.open(self._database.conninfo, self._identity)
                    await self._beat(self._ear)
                    log.info("hints_heard_again")
                    self._deliver(Hint(HintKind.EVERYTHING))
                    backoff.reset()
                await self._listen(self._ear)
            except StorageUnavailable as error:
                await self._lose_ear(error)
                await asyncio.sleep(next(backoff))

    async def speak(self) -> None:
        """Send what was told, at most one NOTIFY in `GATHER_SECONDS`, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            hints, self._waiting = self._waiting, {}
            try:
                await coordinators.notify(self._database, encode(self._identity.id, hints))
                self.sent += 1
            except StorageUnavailable as error:
                log.warning("hints_not_sent", count=len(hints), error=str(error))
                self._waiting = {Hint(HintKind.EVERYTHING): None}
                self._wanted.set()
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)

    async def _listen(self, ear: Ear) -> None:
        while True:
            for payload in await ear.heard(max(0.0, self._beat_at - self._monotonic())):
                sender, hints = decode(payload)
                if sender == self._identity.id:
                    continue
                self._accompanied = True
                if not hints:
                    # Somebody came or goes, perhaps the leader.
                    self._beat_at = self._monotonic()
                for hint in hints:
                    self._deliver(hint)
            if self._monotonic() >= self._beat_at:
                await self._beat(ear)

    async def _beat(self, ear: Ear) -> None:
        company = await ear.beat()
        self._accompanied = company.others > 0
        if self.leadership.set(company.leads):
            log.info("duties_taken_over" if company.leads else "duties_given_up")
        self._beat_at = self._monotonic() + BEAT_SECONDS * random.uniform(0.8, 1.0)

    async def _lose_ear(self, error: StorageUnavailable) -> None:
        # The lock is gone with the connection, or somebody else may have it soon.
        self.leadership.set(False)
        # Who else lives is not known any more; others may.
        self._accompanied = True
        ear, self._ear = self._ear, None
        if ear is not None:
            log.warning("hints_not_heard", error=str(error.__cause__ or error))
            await ear.close()

    def _deliver(self, hint: Hint) -> None:
        for listener in self._listeners:
            listener(hint)
