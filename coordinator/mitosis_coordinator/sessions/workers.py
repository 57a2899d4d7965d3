"""The independent workers' sessions of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import ExitStack, suppress
from typing import assert_never
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidField, InvalidToken
from mitosis_coordinator.domain.hints import Hint, HintKind, Tell, tell_nobody
from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.domain.principal import WorkerPrincipal
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.domain.worker import WorkerPulse, WorkerState
from mitosis_coordinator.services.holdings import HoldingService
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.sessions import machine
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.holder import ATTACH_TIMEOUT_SECONDS, HolderSession, SessionSettings
from mitosis_coordinator.sessions.machine import SessionEvent
from mitosis_coordinator.sessions.roster import Roster
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage.tasks import ClaimedTask

log = structlog.get_logger(__name__)


class WorkerSession(HolderSession[msg.WorkerIncoming, msg.WorkerOutgoing]):
    """One connected worker: it holds its assignment from the first message to the last."""

    def __init__(
        self,
        worker: WorkerPrincipal,
        holdings: HoldingService,
        reports: ReportService,
        signals: SignalHub,
        settings: SessionSettings,
        attached: Callable[[WorkerSession], object],
    ) -> None:
        super().__init__(worker.worker_id, reports, signals)
        self.worker = worker
        self._holdings = holdings
        self._settings = settings
        self._on_attached = attached
        self._feeding = ExitStack()
        self._counters = (0, 0)

    @property
    def pulse(self) -> WorkerPulse:
        """Where the worker stands, by what it holds, and what its last heartbeat counted."""
        return WorkerPulse(WorkerState.BUSY if self._tasks else WorkerState.IDLE, *self._counters)

    def shut_down(self, reason: str, *, graceful: bool) -> None:
        """Have the worker's process end."""
        self._state = machine.shutdown_wanted(self._state)
        self._put(msg.Shutdown(graceful, reason))

    async def _attach(self, incoming: AsyncIterator[msg.WorkerIncoming]) -> None:
        first: msg.WorkerIncoming | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(ATTACH_TIMEOUT_SECONDS):
                first = await anext(incoming, None)
        if not isinstance(first, msg.WorkerAttach):
            given = "nothing" if first is None else type(first).__name__
            raise InvalidField.one("message", given, "attach, as the first message of a stream")
        attachment = await self._holdings.attach(self.holder_id, first.introduction, first.held)
        self.epoch = attachment.epoch
        self._attached = True
        self._put(
            msg.WorkerAttached(
                attachment.epoch,
                attachment.assignment_id,
                self.holder_id,
                attachment.name,
                self._settings.heartbeat_interval,
                self._settings.heartbeat_timeout,
                tuple(attachment.revoked),
                self.worker.token_expires_at,
            )
        )
        event = SessionEvent.RESUMED if attachment.resumed else SessionEvent.ASSIGNED
        self._state = machine.taken(self._state, event, attachment.assignment_id, None)
        revoked = set(attachment.revoked)
        self._tasks.take_over(ref for ref in first.held if ref not in revoked)
        for group_id in attachment.group_ids:
            self._feeding.enter_context(self._signals.feeding_group(group_id, self._feed_wanted.set))
        # Only now can somebody find the session.
        self._on_attached(self)
        log.info(
            "worker_attached",
            worker_uuid=str(self.holder_id),
            epoch=attachment.epoch,
            assignment_id=attachment.assignment_id,
            resumed=attachment.resumed,
        )

    def _detached(self) -> None:
        self._feeding.close()

    async def _handle(self, message: msg.WorkerIncoming) -> None:
        match message:
            case msg.TaskReports() | msg.TaskCredit() | msg.TasksStarted() | msg.TaskReturn():
                await self._flow(message)
            case msg.WorkerHeartbeat():
                self._counters = (message.tasks_completed, message.tasks_failed)
            case msg.Goodbye():
                await self._to_commit.join()
                await self._persist(lambda: self._holdings.write([(self.holder_id, self.epoch, self.pulse)]))
                await self._persist(lambda: self._holdings.left(self.holder_id, self.epoch))
                log.info("worker_said_goodbye", worker_uuid=str(self.holder_id), reason=message.reason)
                self._goodbye = True
            case msg.WorkerAttach():
                raise InvalidField.one("message", "attach", "attach once, as the first message of a stream")
            case _:
                assert_never(message)

    async def _claim_tasks(self, limit: int) -> list[ClaimedTask]:
        assignment_id = self._state.assignment_id
        if assignment_id is None:
            return []
        return await self._holdings.claim(self.holder_id, assignment_id, self.epoch, limit)

    def _may_have_more(self, claimed: int, limit: int) -> bool:
        # A claim is from one group, and there may be others.
        return claimed > 0

    async def _believed_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        return await self._holdings.held_tasks(assignment_id)

    async def _orders(self) -> StandingOrders | None:
        return await self._holdings.orders(self.holder_id)

    async def _sweep(self) -> None:
        await self._compare()


class WorkerRegistry(Roster[WorkerSession, WorkerPulse]):
    """The live sessions of workers, and what the rest of the coordinator says to them."""

    def __init__(self, max_connections: int, tell: Tell = tell_nobody) -> None:
        super().__init__("connected workers", max_connections, tell)

    def cancel_tasks(self, worker_id: UUID, assignment_id: int, tasks: Sequence[AttemptRef]) -> None:
        """Tell a worker to stop some tasks."""
        session = self.of(worker_id)
        if session is not None:
            session.cancel_tasks(msg.CancelTasks(assignment_id, tuple(tasks)))
        else:
            self._tell(Hint(HintKind.HOLDER, worker_id))

    def pulse_of(self, worker_id: UUID) -> WorkerPulse | None:
        """Where a worker stands now; None when it is not connected here."""
        session = self.of(worker_id)
        return None if session is None else session.pulse

    def disconnect(self, worker_id: UUID) -> None:
        """End every session of a worker whose token ended, also one that has not attached yet."""
        self.close_those_of(worker_id, InvalidToken("the worker's token was revoked or replaced by a newer one"))

    def shut_down(self, worker_id: UUID, reason: str, *, graceful: bool) -> bool:
        """Tell a worker to end; False when it is not connected here."""
        session = self.of(worker_id)
        if session is None:
            return False
        session.shut_down(reason, graceful=graceful)
        return True

    def hear(self, hint: Hint) -> None:
        """Do what a hint of another coordinator means for the sessions of this one."""
        match hint:
            case Hint(HintKind.PRINCIPAL, UUID() as worker_id):
                self.disconnect(worker_id)
            case _:
                super().hear(hint)
