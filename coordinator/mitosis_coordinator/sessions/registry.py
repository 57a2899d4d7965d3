"""Who is live: the managers' sessions of this process, by manager and by suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.hints import Hint, HintKind, Tell, tell_nobody
from mitosis_coordinator.domain.manager import ManagerMetrics
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.services.ports import Vacancy
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.roster import Roster
from mitosis_coordinator.sessions.session import Session


class SessionRegistry(Roster[Session, ManagerMetrics]):
    """The live sessions of managers, and what the rest of the coordinator says to them."""

    def __init__(self, max_connections: int, tell: Tell = tell_nobody) -> None:
        super().__init__("connected managers", max_connections, tell)
        self._by_suite: dict[UUID, set[Session]] = {}
        self._suite_of: dict[Session, UUID] = {}

    def discard(self, session: Session) -> None:
        """Forget a session that ended."""
        super().discard(session)
        self._index(session, None)

    def moved(self, session: Session) -> None:
        """A session attached, or holds something else than before."""
        replaced = self.of(session.holder_id)
        if not self.place(session):
            return
        if replaced is not None and replaced is not session:
            self._index(replaced, None)
        self._index(session, session.state.suite_id)

    def idle(self) -> list[Session]:
        """Sessions whose manager could take a suite."""
        return [session for session in self.attached() if session.is_idle()]

    def holding(self) -> list[UUID]:
        """Managers that hold a suite."""
        return [session.manager.manager_id for session in self._suite_of]

    def of_suite(self, suite_id: UUID) -> list[Session]:
        """Sessions whose manager holds a suite."""
        return list(self._by_suite.get(suite_id, ()))

    @asynccontextmanager
    async def vacancy(self, suite_id: UUID) -> AsyncIterator[Vacancy | None]:
        """Lend the manager that could run most of a suite's next tasks at once; None when none waits for any."""
        waiting = [session for session in self._by_suite.get(suite_id, ()) if session.is_waiting]
        if not waiting:
            yield None
            return
        async with max(waiting, key=Session.idle_workers).vacancy() as vacancy:
            yield vacancy

    def release_assignments(self, assignment_ids: Iterable[int]) -> None:
        """Have managers let go of assignments for the sake of other suites."""
        wanted = set(assignment_ids)
        for session in list(self._suite_of):
            if session.state.assignment_id in wanted:
                session.release()

    def cancel_suite(self, suite_id: UUID, reason: str, *, running_too: bool) -> None:
        """Tell the holders of a suite that it was cancelled."""
        for session in list(self._by_suite.get(suite_id, ())):
            session.cancel_suite(reason, running_too=running_too)
        self._tell(Hint(HintKind.SUITE_HOLDERS, suite_id))

    def release_suite(self, suite_id: UUID, manager_ids: Sequence[UUID] | None = None) -> None:
        """Tell the holders of a suite, or some of them, to finish what runs and to let go."""
        for session in list(self._by_suite.get(suite_id, ())):
            if manager_ids is None or session.manager.manager_id in manager_ids:
                session.release()
        if manager_ids is None or manager_ids:
            self._tell(Hint(HintKind.SUITE_HOLDERS, suite_id))

    def cancel_tasks(self, manager_id: UUID, assignment_id: int, tasks: Sequence[AttemptRef]) -> None:
        """Tell a manager to stop some tasks."""
        session = self.of(manager_id)
        if session is not None:
            session.cancel_tasks(msg.CancelTasks(assignment_id, tuple(tasks)))
        else:
            self._tell(Hint(HintKind.HOLDER, manager_id))

    def recall_tasks(self, manager_id: UUID, assignment_id: int, count: int) -> None:
        """Ask a manager to hand back so many unstarted tasks, and leave what is Ready to others for a moment."""
        session = self.of(manager_id)
        if session is not None:
            session.recall_tasks(msg.RecallTasks(assignment_id, count))
        else:
            self._tell(Hint(HintKind.RECALL, manager_id, count))

    def give_way(self, suite_id: UUID) -> None:
        """Have the holders of a suite that have something to run leave what is Ready to the others for a moment."""
        self._let_others_go_first(suite_id)
        self._tell(Hint(HintKind.GIVE_WAY, suite_id))

    def resize(self, manager_id: UUID, assignment_id: int, worker_count: int) -> None:
        """Tell a manager how many workers it runs from now on."""
        session = self.of(manager_id)
        if session is not None:
            session.resize(msg.ConfigUpdate(assignment_id, worker_count))
        else:
            self._tell(Hint(HintKind.HOLDER, manager_id))

    def metrics_of(self, manager_id: UUID) -> ManagerMetrics | None:
        """What a manager's last heartbeat said; None when it is not connected here."""
        session = self.of(manager_id)
        return None if session is None else session.metrics

    def disconnect(self, manager_id: UUID) -> None:
        """End every session of a manager whose token ended, also one that has not attached yet."""
        self.close_those_of(manager_id, InvalidToken("the manager's token was revoked or replaced by a newer one"))

    def shut_down(self, manager_id: UUID, reason: str, *, graceful: bool) -> bool:
        """Tell a manager to end; False when it is not connected here."""
        session = self.of(manager_id)
        if session is None:
            return False
        session.shut_down(reason, graceful=graceful)
        return True

    def hear(self, hint: Hint) -> None:
        """Do what a hint of another coordinator means for the sessions of this one."""
        match hint:
            case Hint(HintKind.SUITE_HOLDERS, UUID() as suite_id):
                for session in self._by_suite.get(suite_id, ()):
                    session.look_again()
            case Hint(HintKind.RECALL, UUID() as manager_id, count):
                holder = self.of(manager_id)
                if holder is not None and holder.state.assignment_id is not None:
                    holder.recall_tasks(msg.RecallTasks(holder.state.assignment_id, count))
            case Hint(HintKind.GIVE_WAY, UUID() as suite_id):
                self._let_others_go_first(suite_id)
            case Hint(HintKind.PRINCIPAL, UUID() as manager_id):
                self.disconnect(manager_id)
            case _:
                super().hear(hint)

    def _let_others_go_first(self, suite_id: UUID) -> None:
        for session in self._by_suite.get(suite_id, ()):
            if not session.room():
                session.give_way()

    def _index(self, session: Session, suite_id: UUID | None) -> None:
        before = self._suite_of.pop(session, None)
        if before is not None:
            self._by_suite[before].discard(session)
            if not self._by_suite[before]:
                del self._by_suite[before]
        if suite_id is not None:
            self._suite_of[session] = suite_id
            self._by_suite.setdefault(suite_id, set()).add(session)
