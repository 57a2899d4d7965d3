"""How suites, tasks and managers are put together."""

from __future__ import annotations

from datetime import timedelta

from mitosis.v1 import (
    manager_service_pb2,
    manager_service_pb2_grpc,
    suite_service_pb2,
    suite_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    worker_service_pb2,
    worker_service_pb2_grpc,
)
from mitosis_coordinator.components import Components
from mitosis_coordinator.config import CoordinatorConfig
from mitosis_coordinator.dispatch.assigner import Assigner
from mitosis_coordinator.dispatch.balancer import Balancer
from mitosis_coordinator.domain.principal import ManagerPrincipal, WorkerPrincipal
from mitosis_coordinator.duties.clockwork import RETENTION_SECONDS, Deadlines, Reaper, repeatedly
from mitosis_coordinator.monitoring.backlog import Backlog
from mitosis_coordinator.monitoring.live import Live
from mitosis_coordinator.monitoring.streams import StreamMetrics
from mitosis_coordinator.monitoring.work import WorkMetrics
from mitosis_coordinator.rpc.manager_service import ManagerServicer
from mitosis_coordinator.rpc.requests import Limits
from mitosis_coordinator.rpc.server import RpcService
from mitosis_coordinator.rpc.suite_service import SuiteServicer
from mitosis_coordinator.rpc.task_service import TaskServicer
from mitosis_coordinator.rpc.worker_service import WorkerServicer
from mitosis_coordinator.services.assignments import AssignmentService, Liveness
from mitosis_coordinator.services.attachment import AttachmentService
from mitosis_coordinator.services.balance import BalanceService
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.endings import Endings
from mitosis_coordinator.services.explain import ExplainService
from mitosis_coordinator.services.holdings import HoldingService
from mitosis_coordinator.services.managers import ManagerService
from mitosis_coordinator.services.reports import ReportService
from mitosis_coordinator.services.retries import RetryService
from mitosis_coordinator.services.submission import SubmissionService
from mitosis_coordinator.services.suites import SuiteService
from mitosis_coordinator.services.tasks import TaskService
from mitosis_coordinator.services.workers import WorkerService
from mitosis_coordinator.sessions.holder import SessionSettings
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.session import Session
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.sessions.workers import WorkerRegistry, WorkerSession


def add_suites_and_managers(config: CoordinatorConfig, components: Components) -> None:
    """Make the services, sessions and duties of suites, tasks, managers and workers, and connect them."""
    database = components.database
    bus = components.bus
    signals = SignalHub(bus.tell)
    registry = SessionRegistry(config.stream.max_connections, bus.tell)
    worker_registry = WorkerRegistry(config.stream.max_connections, bus.tell)
    completion = Completion(database, signals, registry)
    suites = SuiteService(database, signals, registry, completion, enabled=config.task_suites.enabled)
    tasks = TaskService(
        database,
        signals,
        registry,
        worker_registry,
        completion,
    )
    submission = SubmissionService(
        database, signals, registry, max_tasks_per_suite=config.task_suites.max_tasks_per_suite
    )
    explain = ExplainService(database, config.stream.heartbeat_timeout_seconds)
    managers = ManagerService(
        database,
        signals,
        registry,
        components.authority,
        components.authenticator,
        enabled=config.node_managers.enabled,
    )
    endings = Endings(database, signals, registry)
    assignments = AssignmentService(database, signals, registry, endings)
    attachments = AttachmentService(database, endings)
    reports = ReportService(database, signals, completion)
    workers = WorkerService(database, worker_registry, components.authority, components.authenticator)
    holdings = HoldingService(database, signals)
    settings = SessionSettings(
        heartbeat_interval=timedelta(seconds=config.stream.heartbeat_interval_seconds),
        heartbeat_timeout=timedelta(seconds=config.stream.heartbeat_timeout_seconds),
    )

    def new_session(manager: ManagerPrincipal) -> Session:
        return Session(manager, attachments, assignments, reports, signals, settings, registry.moved)

    def new_worker_session(worker: WorkerPrincipal) -> WorkerSession:
        return WorkerSession(worker, holdings, reports, signals, settings, worker_registry.place)

    stream_metrics = StreamMetrics(components.registry)
    limits = Limits(
        max_payload_bytes=config.limits.max_payload_bytes,
        max_batch_tasks=config.limits.max_batch_tasks,
        max_batch_bytes=config.limits.max_batch_bytes,
        default_auto_close_timeout_seconds=config.task_suites.default_auto_close_timeout_seconds,
        default_prefetch_count=config.task_suites.prefetch_count,
    )
    components.services.extend(
        [
            RpcService(
                suite_service_pb2.DESCRIPTOR.services_by_name["SuiteService"],
                suite_service_pb2_grpc.add_SuiteServiceServicer_to_server,
                SuiteServicer(suites, explain, signals, limits),
            ),
            RpcService(
                task_service_pb2.DESCRIPTOR.services_by_name["TaskService"],
                task_service_pb2_grpc.add_TaskServiceServicer_to_server,
                TaskServicer(tasks, submission, explain, limits),
            ),
            RpcService(
                manager_service_pb2.DESCRIPTOR.services_by_name["ManagerService"],
                manager_service_pb2_grpc.add_ManagerServiceServicer_to_server,
                ManagerServicer(
                    managers, registry, new_session, config.stream.heartbeat_interval_seconds, stream_metrics
                ),
            ),
            RpcService(
                worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"],
                worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
                WorkerServicer(workers, worker_registry, new_worker_session, stream_metrics),
            ),
        ]
    )

    retries = RetryService(database, signals)
    interval_seconds = min(10.0, config.stream.heartbeat_interval_seconds)
    timeout_seconds = config.stream.heartbeat_timeout_seconds
    liveness = Liveness(database, assignments)
    leadership = bus.leadership

    def leads() -> bool:
        return leadership.held

    reaper = Reaper(liveness, registry, leads, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)
    worker_reaper = Reaper(
        holdings, worker_registry, leads, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds
    )
    deadlines = Deadlines(completion, retries, signals)
    components.background["assigner"] = Assigner(assignments, registry, signals).run
    components.background["balancer"] = Balancer(BalanceService(database, registry), registry, signals).run
    components.background["deadlines"] = lambda: leadership.work(deadlines.run)
    components.background["reaper"] = reaper.run
    components.background["worker-reaper"] = worker_reaper.run
    components.background["retention"] = lambda: leadership.work(
        lambda: repeatedly(retries.forget_requests, RETENTION_SECONDS, "retention")
    )
    if config.metrics.enabled:
        database.on_facts(WorkMetrics(components.registry, config.stream.max_connections).take)
        Live(components.registry, database, registry, worker_registry, bus)
        backlog = Backlog(components.registry, database)
        components.background["monitoring"] = lambda: leadership.work(backlog.run)
    for listener in (signals.hear, registry.hear, worker_registry.hear):
        bus.on_hint(listener)
    components.goodbyes["sessions"] = registry.close_all
    components.goodbyes["worker-sessions"] = worker_registry.close_all
    components.goodbyes["watchers"] = signals.close
