"""What only the database knows: read now and then by the coordinator that leads, and never by a scrape."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.domain.manager import ManagerState
from mitosis_coordinator.domain.suite import ACTIVE_STATES
from mitosis_coordinator.domain.worker import WorkerState
from mitosis_coordinator.storage import monitoring
from mitosis_coordinator.storage.pool import Database

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 15.0
FIRST_SECONDS = 1.0
"""Until the first reading: whoever led before has stopped telling by then."""
MAX_SUITE_SERIES = 100
"""Suites with a series of their own: those with most tasks to run."""

_ACTIVE_MANAGERS = tuple(state for state in ManagerState if state is not ManagerState.OFFLINE)


@dataclass(frozen=True, slots=True)
class _Reading:
    groups: list[monitoring.GroupBacklog]
    suites: list[monitoring.SuiteBacklog]
    managers: Mapping[str, int]
    workers: Mapping[str, int]
    independent_tasks: int
    health: monitoring.DatabaseHealth


class Backlog(Collector):
    """Gauges of the last reading; none where another coordinator leads, so that sums over all are right.

    A reading that fails leaves no gauges either: they would tell of the past as if it were now.
    """

    def __init__(self, registry: CollectorRegistry, database: Database) -> None:
        self._database = database
        self._reading: _Reading | None = None
        registry.register(self)

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            await asyncio.sleep(FIRST_SECONDS)
            while True:
                try:
                    self._reading = await self._read()
                except StorageUnavailable as error:
                    self._reading = None
                    log.warning("monitoring_waits_for_storage", error=str(error))
                await asyncio.sleep(REFRESH_SECONDS * random.uniform(0.9, 1.1))
        finally:
            self._reading = None

    async def _read(self) -> _Reading:
        async with self._database.transaction() as connection:
            await monitoring.use_one_snapshot(connection)
            return _Reading(
                await monitoring.suites_by_group(connection),
                await monitoring.largest_suites(connection, MAX_SUITE_SERIES),
                await monitoring.managers_by_state(connection),
                await monitoring.workers_by_state(connection),
                await monitoring.independent_tasks(connection),
                await monitoring.database_health(connection),
            )

    def describe(self) -> Iterable[Metric]:
        """Names what may be there, for the registry to find names that are taken."""
        return _families()

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        families = _families()
        if self._reading is not None:
            _fill(families, self._reading)
        return families


def _families() -> list[GaugeMetricFamily]:
    def gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, help, labels=labels)

    return [
        gauge("mitosis_suites_active", "Suites that are neither finished, cancelled nor failed.", "state"),
        gauge(
            "mitosis_queue_tasks",
            "Tasks of active suites that wait or run, by group and the suites' state.",
            "group_name",
            "suite_state",
        ),
        gauge(
            "mitosis_suite_tasks",
            f"Tasks of the {MAX_SUITE_SERIES} active suites with most tasks to run.",
            "suite_uuid",
            "state",
        ),
        gauge("mitosis_managers_active", "Managers that are not Offline.", "state"),
        gauge("mitosis_managers_registered", "Managers, those that are Offline included."),
        gauge("mitosis_workers_active", "Independent workers that are not Offline.", "state"),
        gauge(
            "mitosis_queue_independent_tasks",
            f"Ready tasks of no suite; more than {monitoring.MAX_INDEPENDENT_TASKS} are not counted.",
        ),
        gauge(
            "mitosis_db_oldest_transaction_seconds",
            "Age of the oldest transaction in the database, which keeps dead rows from being cleaned up.",
        ),
        gauge("mitosis_db_queue_dead_rows", "Dead rows of the table of tasks, as PostgreSQL estimates them."),
    ]


def _fill(families: list[GaugeMetricFamily], reading: _Reading) -> None:
    by_state, queue, suites, managers, registered, workers, independent, oldest, dead = families
    for state in ACTIVE_STATES:
        by_state.add_metric([state], sum(one.suites for one in reading.groups if one.state == state))
    for group in reading.groups:
        queue.add_metric([group.group_name, group.state], group.pending_tasks)
    for suite in reading.suites:
        for name, count in (
            ("Pending", suite.pending_tasks),
            ("Completed", suite.completed_tasks),
            ("Failed", suite.failed_tasks),
            ("Cancelled", suite.cancelled_tasks),
        ):
            suites.add_metric([str(suite.id), name], count)
    for manager_state in _ACTIVE_MANAGERS:
        managers.add_metric([manager_state], reading.managers.get(manager_state, 0))
    registered.add_metric([], sum(reading.managers.values()))
    for worker_state in (WorkerState.IDLE, WorkerState.BUSY):
        workers.add_metric([worker_state], reading.workers.get(worker_state, 0))
    independent.add_metric([], reading.independent_tasks)
    oldest.add_metric([], reading.health.oldest_seconds)
    dead.add_metric([], reading.health.dead_rows)
