"""What this process knows at the moment of a scrape: its sessions, its pool, and whether it leads."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from platform import python_version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mitosis_coordinator.peers.bus import HintBus
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.workers import WorkerRegistry
from mitosis_coordinator.storage.pool import Database


class Live(Collector):
    """Reads memory alone. A manager has series of its own for as long as it is connected here."""

    def __init__(
        self,
        registry: CollectorRegistry,
        database: Database,
        managers: SessionRegistry,
        workers: WorkerRegistry,
        bus: HintBus,
    ) -> None:
        self._database = database
        self._managers = managers
        self._workers = workers
        self._bus = bus
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        yield from self._of_sessions()
        yield from self._of_the_pool()
        leads = GaugeMetricFamily("mitosis_coordinator_leader", "1 where the background duties are done.")
        leads.add_metric([], self._bus.leadership.held)
        yield leads
        hints = CounterMetricFamily("mitosis_coordinator_hints_sent", "Messages to the other coordinators.")
        hints.add_metric([], self._bus.sent)
        yield hints
        build = GaugeMetricFamily("mitosis_build_info", "Always 1.", labels=["component", "version", "python"])
        build.add_metric(["coordinator", version("mitosis"), python_version()], 1)
        yield build

    def _of_sessions(self) -> Iterable[Metric]:
        connections = GaugeMetricFamily("mitosis_stream_connections", "Open streams.", labels=["type"])
        waiting = GaugeMetricFamily(
            "mitosis_stream_outbox_messages", "Messages that wait to be sent, of all streams.", labels=["type"]
        )
        connections.add_metric(["manager"], len(self._managers))
        connections.add_metric(["worker"], len(self._workers))
        waiting.add_metric(["manager"], sum(len(session.outbox) for session in self._managers.attached()))
        waiting.add_metric(["worker"], sum(len(session.outbox) for session in self._workers.attached()))
        running = GaugeMetricFamily(
            "mitosis_manager_workers", "Worker processes, as the last heartbeat said.", labels=["manager_uuid"]
        )
        ahead = GaugeMetricFamily(
            "mitosis_manager_prefetch_buffer_size",
            "Tasks that wait at a manager, as the last heartbeat said.",
            labels=["manager_uuid"],
        )
        for session in self._managers.attached():
            running.add_metric([str(session.holder_id)], session.pulse.active_workers)
            ahead.add_metric([str(session.holder_id)], session.pulse.prefetch_buffer_size)
        return connections, waiting, running, ahead

    def _of_the_pool(self) -> Iterable[Metric]:
        counted = self._database.statistics
        size, idle = counted.get("pool_size", 0), counted.get("pool_available", 0)
        for name, text, value in (
            ("mitosis_db_pool_connections_active", "Connections in use.", size - idle),
            ("mitosis_db_pool_connections_idle", "Connections open and not in use.", idle),
            ("mitosis_db_pool_connections_max", "Connections at most.", counted.get("pool_max", 0)),
            ("mitosis_db_pool_requests_waiting", "Callers that wait.", counted.get("requests_waiting", 0)),
        ):
            gauge = GaugeMetricFamily(name, f"The pool of connections to PostgreSQL: {_low(text)}")
            gauge.add_metric([], value)
            yield gauge
        for name, text, count in (
            ("mitosis_db_pool_requests", "Connections that were asked for.", counted.get("requests_num", 0)),
            (
                "mitosis_db_pool_wait_seconds",
                "Time that callers waited.",
                counted.get("requests_wait_ms", 0) / 1000,
            ),
            ("mitosis_db_pool_request_errors", "Callers that got none.", counted.get("requests_errors", 0)),
            ("mitosis_db_pool_connections_lost", "Connections that broke.", counted.get("connections_lost", 0)),
        ):
            counter = CounterMetricFamily(name, f"The pool of connections to PostgreSQL: {_low(text)}")
            counter.add_metric([], count)
            yield counter


def _low(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
