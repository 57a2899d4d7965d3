"""One manager's stream without I/O: what may be sent when.

The table says which phase allows which event; the functions beside it say what an event does to credit. Nothing here
awaits or looks at a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from mitosis_coordinator.domain.lifecycle import Lifecycle

MAX_CLAIM = 1024
"""Tasks in one claim at most."""

MAX_OUTSTANDING = 65_536
"""Credit that is believed: tasks that a manager may hold which it was sent on this stream, whatever it says."""

TARGET_BATCH_BYTES = 2 * 1024 * 1024
"""Size at which a message with tasks is full."""


class Phase(StrEnum):
    """Where a session stands with the manager's assignment."""

    IDLE = "Idle"
    HOLDING = "Holding"
    RELEASING = "Releasing"
    UNAVAILABLE = "Unavailable"
    LEAVING = "Leaving"


class SessionEvent(StrEnum):
    """What can happen in a session."""

    ASSIGNED = "assigned"
    RESUMED = "resumed"
    ABORTED = "aborted"
    REFUSED = "refused"
    IDLE_AGAIN = "idle_again"
    RELEASE_WANTED = "release_wanted"
    FINISHED = "finished"
    SHUTDOWN_WANTED = "shutdown_wanted"


SESSION: Lifecycle[Phase, SessionEvent] = Lifecycle(
    kind="session",
    initial=Phase.IDLE,
    transitions={
        (Phase.IDLE, SessionEvent.ASSIGNED): Phase.HOLDING,
        (Phase.IDLE, SessionEvent.RESUMED): Phase.HOLDING,
        # The manager cleans up an assignment that is over; until then it takes no other.
        (Phase.IDLE, SessionEvent.ABORTED): Phase.UNAVAILABLE,
        (Phase.HOLDING, SessionEvent.RELEASE_WANTED): Phase.RELEASING,
        # A manager may let go unasked: it drains, or it failed to prepare.
        (Phase.HOLDING, SessionEvent.FINISHED): Phase.IDLE,
        (Phase.RELEASING, SessionEvent.FINISHED): Phase.IDLE,
        (Phase.UNAVAILABLE, SessionEvent.FINISHED): Phase.IDLE,
        # A manager that wants no more says so; offering the next suite at once would go round for ever.
        (Phase.HOLDING, SessionEvent.REFUSED): Phase.UNAVAILABLE,
        (Phase.RELEASING, SessionEvent.REFUSED): Phase.UNAVAILABLE,
        (Phase.UNAVAILABLE, SessionEvent.REFUSED): Phase.UNAVAILABLE,
        (Phase.LEAVING, SessionEvent.REFUSED): Phase.LEAVING,
        (Phase.UNAVAILABLE, SessionEvent.IDLE_AGAIN): Phase.IDLE,
        (Phase.IDLE, SessionEvent.SHUTDOWN_WANTED): Phase.LEAVING,
        (Phase.HOLDING, SessionEvent.SHUTDOWN_WANTED): Phase.LEAVING,
        (Phase.RELEASING, SessionEvent.SHUTDOWN_WANTED): Phase.LEAVING,
        (Phase.UNAVAILABLE, SessionEvent.SHUTDOWN_WANTED): Phase.LEAVING,
        (Phase.LEAVING, SessionEvent.FINISHED): Phase.LEAVING,
        (Phase.LEAVING, SessionEvent.SHUTDOWN_WANTED): Phase.LEAVING,
    },
)


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session knows of its manager.

    Attributes:
        assignment_id: What it holds, or is cleaning up; None for nothing.
        granted_total: Tasks that may have been sent on this stream.
        sent_total: Tasks that were.
        average_spec_bytes: Of the tasks claimed last; sizes the next claim.
    """

    phase: Phase = Phase.IDLE
    assignment_id: int | None = None
    suite_id: UUID | None = None
    granted_total: int = 0
    sent_total: int = 0
    average_spec_bytes: float = 0.0

    def claimable(self) -> int:
        """How many tasks to claim now: within the credit, and no more than make a full message."""
        if self.phase is not Phase.HOLDING:
            return 0
        by_size = MAX_CLAIM
        if self.average_spec_bytes > 0:
            by_size = max(1, int(TARGET_BATCH_BYTES / self.average_spec_bytes))
        return max(0, min(self.granted_total - self.sent_total, MAX_CLAIM, by_size))

    def holds(self, assignment_id: int) -> bool:
        """Whether messages about an assignment concern this session."""
        return self.assignment_id == assignment_id


def taken(state: SessionState, event: SessionEvent, assignment_id: int, suite_id: UUID | None) -> SessionState:
    """The session holds an assignment, or cleans one up, from now on.

    Raises:
        WrongState: It holds another.
    """
    return SessionState(phase=SESSION.after(state.phase, event), assignment_id=assignment_id, suite_id=suite_id)


def credited(state: SessionState, assignment_id: int, granted_total: int) -> SessionState:
    """The manager said how many tasks may have been sent; credit for another assignment is void."""
    if not state.holds(assignment_id):
        return state
    return replace(state, granted_total=granted_total)


def sent(state: SessionState, count: int, spec_bytes: int) -> SessionState:
    """Tasks were claimed and are on their way."""
    if not count:
        return state
    return replace(state, sent_total=state.sent_total + count, average_spec_bytes=spec_bytes / count)


def release_wanted(state: SessionState) -> SessionState:
    """The manager shall let go."""
    if not SESSION.allows(state.phase, SessionEvent.RELEASE_WANTED):
        return state
    return replace(state, phase=SESSION.after(state.phase, SessionEvent.RELEASE_WANTED))


def finished(state: SessionState, assignment_id: int, *, wants_more: bool) -> SessionState:
    """The manager let go of an assignment; one that the session does not know is let go already."""
    if not state.holds(assignment_id):
        return state
    event = SessionEvent.FINISHED if wants_more else SessionEvent.REFUSED
    return SessionState(phase=SESSION.after(state.phase, event))


def idle_again(state: SessionState) -> SessionState:
    """The manager said that it is Idle, which counts where that was not known."""
    if not SESSION.allows(state.phase, SessionEvent.IDLE_AGAIN):
        return state
    return SessionState(phase=SESSION.after(state.phase, SessionEvent.IDLE_AGAIN))


def shutdown_wanted(state: SessionState) -> SessionState:
    """The manager's process shall end."""
    return replace(state, phase=SESSION.after(state.phase, SessionEvent.SHUTDOWN_WANTED))
