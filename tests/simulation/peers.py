"""What coordinators tell each other, and which of them leads."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

from mitosis_coordinator.domain.hints import Hint, Tell
from mitosis_coordinator.peers.leadership import Leadership
from tests.simulation.clock import SimulatedLoop

# Hints may be lost at any time: everybody who waits for one also sweeps.
_LOST = 0.05
_DELAY_SECONDS = 0.1
# How long until somebody notices that the leader is gone.
_SUCCESSION_SECONDS = 4.0


class Peer:
    """Stands in for `HintBus`: one coordinator's end of it."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.leadership = Leadership()
        self._listeners: list[Tell] = []

    def on_hint(self, listener: Tell) -> None:
        """Call `listener` with every hint of another coordinator."""
        self._listeners.append(listener)

    def hear(self, hint: Hint) -> None:
        """Another coordinator said something."""
        for listener in self._listeners:
            listener(hint)


class Peers:
    """All coordinators that live. Hints pass through the database, while it can be reached."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, is_reachable: Callable[[], bool]) -> None:
        self._loop = loop
        self._rng = rng
        self._is_reachable = is_reachable
        self._peers: dict[Hashable, Peer] = {}

    def join(self, coordinator: Hashable) -> Peer:
        """A coordinator begins to live; it leads if nobody does."""
        self._peers[coordinator] = peer = Peer(lambda hint: self._tell(coordinator, hint))
        self._elect()
        return peer

    def leave(self, coordinator: Hashable) -> None:
        """A coordinator died; what it was told meanwhile is lost."""
        if self._peers.pop(coordinator).leadership.held:
            self._loop.call_later(self._rng.uniform(0, _SUCCESSION_SECONDS), self._elect)

    def _elect(self) -> None:
        if self._peers and not any(peer.leadership.held for peer in self._peers.values()):
            next(iter(self._peers.values())).leadership.set(True)

    def _tell(self, sender: Hashable, hint: Hint) -> None:
        for coordinator in list(self._peers):
            if coordinator != sender and self._rng.random() > _LOST and self._is_reachable():
                self._loop.call_later(self._rng.uniform(0, _DELAY_SECONDS), self._hear, coordinator, hint)

    def _hear(self, coordinator: Hashable, hint: Hint) -> None:
        peer = self._peers.get(coordinator)
        if peer is not None:
            peer.hear(hint)
