"""One simulated coordinator process: the real services, sessions and duties over the simulated database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from prometheus_client import CollectorRegistry

from mitosis_coordinator.dispatch.assigner import Assigner
from mitosis_coordinator.dispatch.balancer import Balancer
from mitosis_coordinator.domain.errors import DomainError
from mitosis_coordinator.domain.principal import ManagerPrincipal
from mitosis_coordinator.duties.clockwork import Deadlines, Reaper
from mitosis_coordinator.monitoring.streams import StreamMetrics
from mitosis_coordinator.rpc.context import set_principal
from mitosis_coordinator.rpc.errors import shape_of
from mitosis_coordinator.rpc.manager_service import ManagerServicer
from mitosis_coordinator.services.assignments import AssignmentService, Liveness
from mitosis_coordinator.services.attachment import AttachmentService
from mitosis_coordinator.services.balance import BalanceService
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.endings import Endings
from mitosis_coordinator.services.managers import ManagerService
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.services.retries import RetryService
from mitosis_coordinator.services.submission import SubmissionService
from mitosis_coordinator.services.suites import SuiteService
from mitosis_coordinator.services.tasks import TaskService
from mitosis_coordinator.sessions.holder import SessionSettings
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.session import Session
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.sessions.workers import WorkerRegistry
from tests.simulation.clock import SimulatedLoop
from tests.simulation.network import Network, StreamCall, error
from tests.simulation.observer import Observer
from tests.simulation.peers import Peers
from tests.simulation.store import Store

HEARTBEAT_SECONDS = 3.0
HEARTBEAT_TIMEOUT_SECONDS = 8.0
Result = TypeVar("Result")


class Gone(Exception):
    """The coordinator died before it answered."""


class SimulatedCoordinator:
    """A process that listens under a name from its start until it is killed."""

    def __init__(
        self,
        name: str,
        loop: SimulatedLoop,
        store: Store,
        network: Network,
        peers: Peers,
        observer: Observer,
        manager_ids: dict[str, UUID],
    ) -> None:
        self.name = name
        self.is_dead = False
        self._loop = loop
        self._network = network
        self._peers = peers
        self._observer = observer
        self._manager_ids = manager_ids
        self._tasks: set[asyncio.Task[Any]] = set()
        database = store.client(lambda: self.is_dead)
        peer = peers.join(self)
        signals = SignalHub(peer.tell)
        registry = SessionRegistry(100, peer.tell)
        completion = Completion(database, signals, registry)
        endings = Endings(database, signals, registry)
        assignments = AssignmentService(database, signals, registry, endings)
        attachments = AttachmentService(database, endings)
        reports = ReportService(database, signals, completion)
        settings = SessionSettings(timedelta(seconds=HEARTBEAT_SECONDS), timedelta(seconds=HEARTBEAT_TIMEOUT_SECONDS))
        self.registry = registry
        self.suites = SuiteService(database, signals, registry, completion)
        self.tasks = TaskService(database, signals, registry, WorkerRegistry(0), completion)
        self.submission = SubmissionService(database, signals, registry, max_tasks_per_suite=1_000_000)
        # The stream asks nothing of it.
        no_managers = cast(ManagerService, None)
        self._servicer = ManagerServicer(
            no_managers,
            registry,
            lambda manager: Session(manager, attachments, assignments, reports, signals, settings, registry.moved),
            round(HEARTBEAT_SECONDS),
            StreamMetrics(CollectorRegistry()),
        )
        reaper = Reaper(
            Liveness(database, assignments),
            registry,
            lambda: peer.leadership.held,
            interval_seconds=HEARTBEAT_SECONDS,
            timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS,
            monotonic=loop.time,
        )
        deadlines = Deadlines(completion, RetryService(database, signals), signals)
        peer.on_hint(signals.hear)
        peer.on_hint(registry.hear)
        for duty in (
            Assigner(assignments, registry, signals).run,
            Balancer(BalanceService(database, registry), registry, signals).run,
            reaper.run,
        ):
            self._own(duty())
        self._own(peer.leadership.work(deadlines.run))
        network.listening[name] = self._accept

    def kill(self) -> None:
        """End without a word, as SIGKILL does."""
        self.is_dead = True
        self._peers.leave(self)
        del self._network.listening[self.name]
        for call in self._network.calls_of(coordinator=self.name):
            call.coordinator_died()
        for task in list(self._tasks):
            task.cancel()

    async def call(self, use: Callable[[SimulatedCoordinator], Awaitable[Result]]) -> Result:
        """Make a unary call. Raises Gone, and what the service raises."""

        async def made() -> Result:
            return await use(self)

        task = self._own(made())
        await asyncio.wait({task})
        if task.cancelled():
            raise Gone
        return task.result()

    def _own(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self.is_dead:
            return
        failure = task.exception()
        if failure is not None and not isinstance(failure, DomainError):
            self._observer.failed(self.name, failure)

    def _accept(self, manager: str, call: StreamCall) -> None:
        call.handler = self._own(self._serve(manager, call))

    async def _serve(self, manager: str, call: StreamCall) -> None:
        """What grpcio and the interceptors do around the handler of a stream."""
        principal = ManagerPrincipal(self._manager_ids[manager], manager)

        async def renewed() -> ManagerPrincipal:
            return principal

        set_principal(principal, renewed)
        watch = self._observer.watch_stream(manager)
        try:
            answers = self._servicer.Connect(watch.requests(call.incoming()), cast(Any, None))
            async with aclosing(cast(Any, answers)) as responses:
                async for response in responses:
                    watch.responded(response)
                    call.responses.put(response)
            call.responses.end()
        except DomainError as refusal:
            shape = shape_of(refusal)
            call.responses.end(error(shape.row.code.name, shape.status.message, shape.status))
        except asyncio.CancelledError:
            call.responses.break_off(error("CANCELLED", "cancelled"))
            raise
        finally:
            if not self.is_dead:
                call.close()
