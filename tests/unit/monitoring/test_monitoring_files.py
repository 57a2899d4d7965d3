"""What is shipped for Prometheus and Grafana fits the metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics import PAGE, documented

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
DASHBOARD = ROOT / "monitoring" / "grafana" / "task-suites-dashboard.json"
RUNBOOKS = ROOT / "docs" / "runbooks"
# Promised by the guide; the stream's under the names of the design.
PROMISED = {
    "mitosis_suites_created_total": {"group_name", "state"},
    "mitosis_suites_active": {"state"},
    "mitosis_suite_duration_seconds": {"group_name"},
    "mitosis_suite_state_transitions_total": {"from_state", "to_state"},
    "mitosis_suite_tasks": {"suite_uuid", "state"},
    "mitosis_managers_active": {"state"},
    "mitosis_manager_state_transitions_total": {"from_state", "to_state"},
    "mitosis_manager_workers": {"manager_uuid"},
    "mitosis_manager_reconnections_total": {"manager_uuid"},
    "mitosis_manager_heartbeat_latency_seconds": {"manager_uuid"},
    "mitosis_task_fetch_latency_seconds": {"via"},
    "mitosis_task_prefetch_total": {"result"},
    "mitosis_manager_prefetch_buffer_size": {"manager_uuid"},
    "mitosis_tasks_executed_total": {"via", "result"},
    "mitosis_env_hook_duration_seconds": {"hook_type", "result"},
    "mitosis_env_hook_failures_total": {"hook_type"},
    "mitosis_stream_connections": {"type"},
    "mitosis_stream_messages_total": {"direction", "message_type"},
    "mitosis_stream_message_latency_seconds": {"message_type"},
    "mitosis_db_pool_connections_active": set(),
    "mitosis_db_pool_connections_max": set(),
    "mitosis_stale_reports_total": set(),
}
ALERTS = [
    "HighSuiteFailureRate",
    "SuitesStuckInQueue",
    "NoActiveManagers",
    "HighManagerOfflineRate",
    "HighTaskFetchLatency",
    "HighEnvHookFailureRate",
    "WebSocketConnectionDrops",
    "DatabasePoolSaturated",
]
_NAME = re.compile(r"\b((?:mitosis|process|python)_[a-z0-9_]+)\b")
_SELECTOR = re.compile(r"\b(mitosis_\w+)\{([^}]*)\}")


def rules(file: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / file).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for file in ("alerts.yaml", "recording.yaml"):
        for rule in rules(file):
            yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_the_list_of_metrics_and_the_dashboard_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "monitoring.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + "run .venv/bin/python tools/monitoring.py"


def test_what_was_promised_is_there_with_its_labels() -> None:
    there = documented()
    found = {name: there.get(name, there.get(f"{name}_count")) for name in PROMISED}
    assert found == PROMISED


def test_expressions_name_series_and_labels_that_exist() -> None:
    there = documented()
    for where, expression in expressions():
        for name in _NAME.findall(expression):
            assert name in there or name.startswith(("process_", "python_")), f"{where}: {name}"
        for name, selectors in _SELECTOR.findall(expression):
            for label in re.findall(r"(\w+)\s*[=!]", selectors):
                assert label in there[name] | {"job", "instance"}, f"{where}: {name}{{{label}}}"


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            kept = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
            if " by (" not in target["expr"]:
                names = [name for name in _NAME.findall(target["expr"]) if name in documented()]
                kept = {"job", "instance"}.union(*(documented()[name] for name in names))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept, panel["title"]


def test_the_dashboard_has_the_rows_of_the_guide_and_unique_ids() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == [
        "Overview",
        "Suite performance",
        "Manager health",
        "Task execution",
        "Environment hooks",
        "Resource utilization",
    ]
    [variable] = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    for panel in panels():
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        position = panel["gridPos"]
        for x in range(position["x"], position["x"] + position["w"]):
            for y in range(position["y"], position["y"] + position["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{other} and {panel['title']}"


def test_there_are_the_guides_alerts_and_each_has_its_page_and_its_tests() -> None:
    alerts = rules("alerts.yaml")
    names = [alert["alert"] for alert in alerts]
    assert names[: len(ALERTS)] == ALERTS
    assert sorted(names) == sorted(page.stem for page in RUNBOOKS.glob("*.md"))
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    for alert in alerts:
        name = alert["alert"]
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")
        assert f"runbooks/{name}.md" in PAGE.read_text(encoding="utf-8")
        fires = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == name]
        assert sorted(fires) == [False, True], f"{name} needs a test in which it fires, and one in which it does not"


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_how_to_see_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [
        page.stem,
        "What it means",
        "How to see",
        "What to do",
    ]
    for name in _NAME.findall(text):
        # A name may be cut short, as what is searched for in a scrape.
        assert any(there.startswith(name) for there in documented()), name
