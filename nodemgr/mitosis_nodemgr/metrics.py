"""What a manager exposes for Prometheus, on a port of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from platform import python_version

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mitosis_common.config import ConfigError
from mitosis_common.report_journal import ReportJournal
from mitosis_nodemgr.config import Metrics
from mitosis_nodemgr.driver import Driver
from mitosis_nodemgr.states import Stage

TARGETS_FILE = "metrics.json"
_log = structlog.get_logger(__name__)


class Reader(Collector):
    """Reads memory alone, on the event loop."""

    def __init__(self, registry: CollectorRegistry, driver: Driver, journal: ReportJournal) -> None:
        self._driver = driver
        self._journal = journal
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        counters, told = self._driver.counters, self._driver.metrics()
        fetches = counters.fetches
        fetch = HistogramMetricFamily(
            "mitosis_task_fetch_latency_seconds",
            "From a worker's request, or the arrival of the tasks that it waited for, to the answer.",
            labels=["via"],
        )
        fetch.add_metric(["ipc"], fetches.cumulative(), fetches.total)
        yield fetch
        yield _counted(
            "mitosis_task_prefetch",
            "Workers' requests that found tasks waiting here, and those that had to wait.",
            "result",
            hit=counters.hits,
            miss=counters.misses,
        )
        yield _counted(
            "mitosis_manager_tasks",
            "Attempts that ended here, but for those that were cancelled.",
            "result",
            success=counters.completed,
            failure=counters.failed,
        )
        restarts = CounterMetricFamily("mitosis_manager_worker_restarts", "Workers that were started again.")
        restarts.add_metric([], told.worker_restarts)
        yield restarts
        state = GaugeMetricFamily("mitosis_manager_stage", "1 for the stage that the manager is in.", labels=["stage"])
        for stage in Stage:
            state.add_metric([stage], self._driver.state.stage is stage)
        yield state
        for name, text, value in (
            ("mitosis_manager_connected", "1 while the stream to the coordinator is up.", self._driver.state.connected),
            ("mitosis_manager_worker_processes", "Worker processes that are alive.", told.active_workers),
            ("mitosis_manager_tasks_waiting", "Tasks that no worker has.", told.prefetch_buffer_size),
            (
                "mitosis_manager_reports_unacknowledged",
                "Results that the coordinator has not acknowledged.",
                self._driver.unacknowledged,
            ),
            ("mitosis_manager_journal_bytes", "The journal of results on disk, about.", self._journal.size),
            (
                "mitosis_manager_journal_failing",
                "1 while the disk takes no results and they wait in memory alone.",
                self._journal.is_failing,
            ),
        ):
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge
        build = GaugeMetricFamily("mitosis_build_info", "Always 1.", labels=["component", "version", "python"])
        build.add_metric(["manager", metadata.version("mitosis"), python_version()], 1)
        yield build


@asynccontextmanager
async def serving_metrics(
    config: Metrics, data_dir: Path, driver: Driver, journal: ReportJournal
) -> AsyncIterator[None]:
    """Serves scrapes for as long as the context lasts, and says in `data_dir` where.

    Raises `ConfigError` when the port cannot be listened on.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Reader(registry, driver, journal)

    async def scraped(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get(config.path, scraped)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    targets = data_dir / TARGETS_FILE
    try:
        port = await _listen(runner, config)
        targets.write_text(json.dumps(_targets(config, port)), encoding="utf-8")
        _log.info("metrics_served", port=port, path=config.path)
        yield
    finally:
        targets.unlink(missing_ok=True)
        await runner.cleanup()


async def _listen(runner: web.AppRunner, config: Metrics) -> int:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise ConfigError([f"metrics.port: cannot listen on {where}: {error.strerror}"]) from error
    await web.SockSite(runner, listener).start()
    port: int = listener.getsockname()[1]
    return port


def _targets(config: Metrics, port: int) -> list[dict[str, object]]:
    """As Prometheus' file-based discovery reads them."""
    host = socket.gethostname() if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [{"targets": [target], "labels": {"__metrics_path__": config.path, "component": "manager"}}]


def _counted(name: str, text: str, label: str, **values: int) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
