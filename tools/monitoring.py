"""Writes the list of metrics in docs/monitoring.md and the Grafana dashboard, or checks them.

Usage: python tools/monitoring.py [--check]

The list is read from the metrics that the code registers; the dashboard is made of `tools/dashboard.py`.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import dashboard
import gen
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from mitosis.v1 import manager_pb2
from mitosis_coordinator.monitoring.backlog import Backlog
from mitosis_coordinator.monitoring.calls import RpcMetrics
from mitosis_coordinator.monitoring.live import Live
from mitosis_coordinator.monitoring.streams import StreamMetrics
from mitosis_coordinator.monitoring.work import WorkMetrics
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.workers import WorkerRegistry
from mitosis_nodemgr.metrics import Reader
from mitosis_nodemgr.states import ManagerState
from mitosis_nodemgr.task_book import Counters

PAGE = gen.ROOT / "docs" / "monitoring.md"
DASHBOARD = gen.ROOT / "monitoring" / "grafana" / "task-suites-dashboard.json"
SECTION = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """One metric, under the name that its samples have."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def coordinator() -> list[Described]:
    """Returns what a coordinator exposes."""
    registry = CollectorRegistry()
    nobody = SimpleNamespace(statistics={}, leadership=SimpleNamespace(held=False), sent=0)
    RpcMetrics(registry)
    WorkMetrics(registry, 1)
    StreamMetrics(registry)
    Backlog(registry, cast(Any, nobody))
    Live(registry, cast(Any, nobody), SessionRegistry(1), WorkerRegistry(1), cast(Any, nobody))
    return _described(registry)


def manager() -> list[Described]:
    """Returns what a manager exposes."""
    registry = CollectorRegistry()
    driver = SimpleNamespace(
        counters=Counters(), metrics=manager_pb2.ManagerMetrics, state=ManagerState(), unacknowledged=0
    )
    Reader(registry, cast(Any, driver), cast(Any, SimpleNamespace(size=0, is_failing=False)))
    return _described(registry)


def table(metrics: Iterable[Described]) -> str:
    """Lists metrics for people."""
    lines = ["| metric | type | labels | |", "|---|---|---|---|"]
    for one in sorted(metrics, key=lambda one: one.name):
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.text} |")
    return "\n".join(lines) + "\n"


def outputs() -> dict[Any, str]:
    """Returns what each file should say."""
    sections = {"coordinator-metrics": table(coordinator()), "manager-metrics": table(manager())}
    page = PAGE.read_text(encoding="utf-8")
    found = [match["name"] for match in SECTION.finditer(page)]
    if sorted(found) != sorted(sections):
        raise SystemExit(f"{PAGE}: there are the sections {found}, and should be {list(sections)}")
    return {
        PAGE: SECTION.sub(lambda match: match[1] + sections[match["name"]] + match[3], page),
        DASHBOARD: json.dumps(dashboard.document(), indent=2) + "\n",
    }


def main() -> int:
    """Writes or checks; 1 when a file is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, and fail when a file would change")
    check = parser.parse_args().check
    stale = []
    for path, text in outputs().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(gen.ROOT)))
            if not check:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("not up to date: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


def _described(registry: CollectorRegistry) -> list[Described]:
    found: list[Described] = []
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            found += [_one(family, tuple(collector._labelnames)) for family in collector.describe()]
        else:
            families = collector.describe() if hasattr(collector, "describe") else collector.collect()
            found += [_one(family, tuple(cast(Any, family)._labelnames)) for family in families]
    return found


def _one(family: Metric, labels: tuple[str, ...]) -> Described:
    suffix = "_total" if family.type == "counter" else ""
    return Described(family.name + suffix, family.type, labels, family.documentation)


if __name__ == "__main__":
    sys.exit(main())
