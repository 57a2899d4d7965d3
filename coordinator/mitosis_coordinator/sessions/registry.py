"""Who is live: the sessions of this process, by manager and by suite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidToken, LimitExceeded, ShuttingDown
from mitosis_coordinator.domain.manager import ManagerMetrics
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.session import Session

log = structlog.get_logger(__name__)


class SessionRegistry:
    """The live sessions, and what the rest of the coordinator says to them."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._open: set[Session] = set()
        self._by_manager: dict[UUID, Session] = {}
        self._by_suite: dict[UUID, set[Session]] = {}
        self._suite_of: dict[Session, UUID] = {}
        self._closing = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: Session) -> None:
        """Begin to count a session.

        Raises:
            LimitExceeded: Too many managers are connected.
            ShuttingDown: The coordinator is going down.
        """
        if self._closing:
            raise ShuttingDown("the coordinator is going down")
        if len(self._open) >= self._max_connections:
            raise LimitExceeded("connected managers", str(len(self._open) + 1), str(self._max_connections))
        self._open.add(session)
        self._empty.clear()

    def discard(self, session: Session) -> None:
        """Forget a session that ended."""
        self._open.discard(session)
        if self._by_manager.get(session.manager.manager_id) is session:
            del self._by_manager[session.manager.manager_id]
        self._index(session, None)
        if not self._open:
            self._empty.set()

    def moved(self, session: Session) -> None:
        """A session attached, or holds something else than before."""
        other = self._by_manager.get(session.manager.manager_id)
        if other is not None and other is not session:
            if other.epoch > session.epoch:
                session.replace()
                return
            other.replace()
            self._index(other, None)
        self._by_manager[session.manager.manager_id] = session
        self._index(session, session.state.suite_id)

    def idle(self) -> list[Session]:
        """Sessions whose manager could take a suite."""
        return [session for session in self._by_manager.values() if session.is_idle()]

    def holding(self) -> list[UUID]:
        """Managers that hold a suite."""
        return [session.manager.manager_id for session in self._suite_of]

    def of_manager(self, manager_id: UUID) -> Session | None:
        """The session of a manager, if it is connected here."""
        return self._by_manager.get(manager_id)

    def beats(self, heard_after: float) -> list[tuple[UUID, int, ManagerMetrics]]:
        """What to write of the managers that were heard of since a time on the monotonic clock."""
        return [
            (session.manager.manager_id, session.epoch, session.metrics or ManagerMetrics())
            for session in self._by_manager.values()
            if session.heard_at >= heard_after
        ]

    def release_assignments(self, assignment_ids: Iterable[int]) -> None:
        """Have managers let go of assignments for the sake of other suites."""
        wanted = set(assignment_ids)
        for session in list(self._suite_of):
            if session.state.assignment_id in wanted:
                session.release()

    async def close_all(self) -> None:
        """End every session and take no more, because the coordinator is going down; returns when they have ended."""
        self._closing = True
        for session in list(self._open):
            session.close(ShuttingDown("the coordinator is going down"))
        await self._empty.wait()

    def cancel_suite(self, suite_id: UUID, reason: str, *, running_too: bool) -> None:
        """Tell the holders of a suite that it was cancelled."""
        for session in list(self._by_suite.get(suite_id, ())):
            session.cancel_suite(reason, running_too=running_too)

    def release_suite(self, suite_id: UUID, manager_ids: Sequence[UUID] | None = None) -> None:
        """Tell the holders of a suite, or some of them, to finish what runs and to let go."""
        for session in list(self._by_suite.get(suite_id, ())):
            if manager_ids is None or session.manager.manager_id in manager_ids:
                session.release()

    def cancel_tasks(self, manager_id: UUID, assignment_id: int, tasks: Sequence[AttemptRef]) -> None:
        """Tell a manager to stop some tasks."""
        session = self._by_manager.get(manager_id)
        if session is not None:
            session.cancel_tasks(msg.CancelTasks(assignment_id, tuple(tasks)))

    def resize(self, manager_id: UUID, assignment_id: int, worker_count: int) -> None:
        """Tell a manager how many workers it runs from now on."""
        session = self._by_manager.get(manager_id)
        if session is not None:
            session.resize(msg.ConfigUpdate(assignment_id, worker_count))

    def metrics_of(self, manager_id: UUID) -> ManagerMetrics | None:
        """What a manager's last heartbeat said; None when it is not connected here."""
        session = self._by_manager.get(manager_id)
        return None if session is None else session.metrics

    def disconnect(self, manager_id: UUID) -> None:
        """End the session of a manager whose token was replaced."""
        session = self._by_manager.get(manager_id)
        if session is not None:
            session.close(InvalidToken("the manager's token was replaced by a newer one"))

    def shut_down(self, manager_id: UUID, reason: str, *, graceful: bool) -> bool:
        """Tell a manager to end; False when it is not connected."""
        session = self._by_manager.get(manager_id)
        if session is None:
            return False
        session.shut_down(reason, graceful=graceful)
        return True

    def _index(self, session: Session, suite_id: UUID | None) -> None:
        before = self._suite_of.pop(session, None)
        if before is not None:
            self._by_suite[before].discard(session)
            if not self._by_suite[before]:
                del self._by_suite[before]
        if suite_id is not None:
            self._suite_of[session] = suite_id
            self._by_suite.setdefault(suite_id, set()).add(session)
