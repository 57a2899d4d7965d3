"""What the database has to say to a connected holder, whichever coordinator wrote it there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShutdownOrder:
    """The holder's process shall end, after a drain when `graceful`."""

    graceful: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StandingOrders:
    """Where a holder stands for its session.

    Attributes:
        epoch: Its newest session; an older one ends.
        offline: Whether it was given up, or said goodbye.
        shutdown: What was ordered since its process began.
    """

    epoch: int
    offline: bool
    shutdown: ShutdownOrder | None
