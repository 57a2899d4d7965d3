"""A running Mitosis exposes what the page of metrics lists, and says where."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.support import Sandbox, Up, sandbox, until
from tests.support.metrics import Scrape, documented, parse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
# Only while a suite is active at the moment of a reading; held to in tests/integration/coordinator/test_monitoring.py.
_WHILE_ACTIVE = {"mitosis_suite_tasks", "mitosis_queue_tasks"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


def scrape(url: str) -> Scrape:
    with urllib.request.urlopen(url, timeout=10) as response:
        return parse(response.read().decode())


def missing(found: Scrape, section: str) -> dict[str, set[str]]:
    """The series that are listed and not there, or have other labels."""
    return {
        name: labels
        for name, labels in documented(section).items()
        if name not in _WHILE_ACTIVE and (name not in found.labels or set(found.labels[name]) != labels)
    }


def test_coordinator_and_manager_expose_what_is_documented(box: Sandbox) -> None:
    up = Up(box, "--workers", "2")
    coordinator = up.ready().metrics
    created = ("suites", "create", "--group", "default", "--name", "watched", "--prepare", "true", "--cleanup", "true")
    suite = box.run(*created).stdout.strip()
    box.run("suites", "submit", suite, "--close", "--", "true")
    box.run("suites", "wait", suite)

    def lacking() -> dict[str, set[str]]:
        return missing(scrape(coordinator), "coordinator-metrics")

    until(lambda: not lacking(), 15, lacking)
    targets = box.data / "managers" / "1" / "state" / "metrics.json"
    [group] = json.loads(targets.read_text())
    manager = f"http://{group['targets'][0]}{group['labels']['__metrics_path__']}"
    assert manager in up.output()
    told = scrape(manager)
    assert missing(told, "manager-metrics") == {}
    assert told.value("mitosis_manager_connected") == 1
    ended = told.value("mitosis_manager_tasks_total", result="success")
    assert ended == scrape(coordinator).value("mitosis_tasks_executed_total", via="managed", result="success")
    assert ended
    assert up.stop() == 0
    assert not targets.exists()
    assert box.leftovers() == []
