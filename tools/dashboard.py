"""The Grafana dashboard as data: rows of panels, and the JSON that Grafana reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TITLE = "Mitosis: task suites"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's grid is 24 wide.
_WIDTH, _HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """One panel: pairs of an expression and the legend of its series."""

    title: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    unit: str = "short"
    help: str = ""
    stacked: bool = False


def _rate(metric: str, by: str = "", where: str = "") -> str:
    name = f"{metric}{{{where}}}" if where else metric
    return f"sum{f' by ({by})' if by else ''} (rate({name}[$__rate_interval]))"


def _quantiles(metric: str, by: str = "", *wanted: float) -> list[tuple[str, str]]:
    legend = f" {{{{{by}}}}}" if by else ""
    group = f"le, {by}" if by else "le"
    return [
        (f"histogram_quantile({q}, {_rate(f'{metric}_bucket', group)})", f"p{q * 100:g}{legend}")
        for q in wanted or (0.5, 0.95)
    ]


ROWS: dict[str, list[Panel]] = {
    "Overview": [
        Panel("Active suites by state", [("sum by (state) (mitosis_suites_active)", "{{state}}")], "piechart"),
        Panel("Suites created", [(_rate("mitosis_suites_created_total", "group_name"), "{{group_name}}")], unit="ops"),
        Panel(
            "Tasks executed",
            [(_rate("mitosis_tasks_executed_total", "result"), "{{result}}")],
            unit="ops",
            stacked=True,
        ),
        Panel("Active managers by state", [("sum by (state) (mitosis_managers_active)", "{{state}}")], "piechart"),
    ],
    "Suite performance": [
        Panel(
            "Suite execution duration",
            [("sum by (le) (increase(mitosis_suite_duration_seconds_bucket[$__rate_interval]))", "{{le}}")],
            "heatmap",
            "s",
            "From the first manager that took a suite to its completion.",
        ),
        Panel(
            "Tasks of the largest suites",
            [('topk(10, mitosis_suite_tasks{state="Pending"})', "{{suite_uuid}}")],
            "bargauge",
            help="Tasks that wait or run.",
        ),
        Panel("Queue by group", [("sum by (group_name) (mitosis_queue_tasks)", "{{group_name}}")], stacked=True),
        Panel(
            "Suite state transitions",
            [
                (
                    _rate("mitosis_suite_state_transitions_total", "from_state, to_state"),
                    "{{from_state}} to {{to_state}}",
                )
            ],
            unit="ops",
        ),
        Panel(
            "Suites completed, of those that ended",
            [
                (
                    _rate("mitosis_suite_state_transitions_total", where='to_state="Complete"')
                    + " / "
                    + _rate("mitosis_suite_state_transitions_total", where='to_state=~"Complete|Failed|Cancelled"'),
                    "completed",
                )
            ],
            unit="percentunit",
        ),
    ],
    "Manager health": [
        Panel("Managers by state", [("sum by (state) (mitosis_managers_active)", "{{state}}")], stacked=True),
        Panel("Managers registered", [("sum(mitosis_managers_registered)", "registered")], "stat"),
        Panel(
            "Heartbeat latency by manager",
            _quantiles("mitosis_manager_heartbeat_latency_seconds", "manager_uuid", 0.95),
            unit="s",
            help="By two clocks: the manager's and the coordinator's.",
        ),
        Panel("Workers by manager", [("sum by (manager_uuid) (mitosis_manager_workers)", "{{manager_uuid}}")]),
        Panel(
            "Reconnections",
            [
                (
                    "sum by (manager_uuid) (increase(mitosis_manager_reconnections_total[$__rate_interval])) > 0",
                    "{{manager_uuid}}",
                )
            ],
        ),
        Panel(
            "Results not acknowledged",
            [
                ("mitosis_manager_reports_unacknowledged", "{{instance}}"),
                ("mitosis_manager_journal_failing", "{{instance}} disk takes nothing"),
            ],
            help="From the managers' own ports.",
        ),
    ],
    "Task execution": [
        Panel(
            "Task fetch latency, managed",
            _quantiles("mitosis_task_fetch_latency_seconds", "via"),
            unit="s",
            help="From the managers' own ports.",
        ),
        Panel(
            "Hand-out to managers and independent workers",
            _quantiles("mitosis_task_dispatch_seconds", "via"),
            unit="s",
        ),
        Panel("Recording of results", _quantiles("mitosis_task_commit_seconds", "via"), unit="s"),
        Panel(
            "Prefetch hits",
            [
                (
                    _rate("mitosis_task_prefetch_total", where='result="hit"')
                    + " / "
                    + _rate("mitosis_task_prefetch_total"),
                    "hits",
                )
            ],
            unit="percentunit",
            help="Requests of workers that found tasks waiting at their manager. From the managers' own ports.",
        ),
        Panel(
            "Tasks held ahead",
            [("sum by (manager_uuid) (mitosis_manager_prefetch_buffer_size)", "{{manager_uuid}}")],
        ),
        Panel("Tasks executed by worker type", [(_rate("mitosis_tasks_executed_total", "via"), "{{via}}")], unit="ops"),
        Panel(
            "Failed, of all that ended",
            [
                (
                    _rate("mitosis_tasks_executed_total", "via", 'result="failure"')
                    + " / "
                    + _rate("mitosis_tasks_executed_total", "via"),
                    "{{via}}",
                )
            ],
            unit="percentunit",
        ),
        Panel(
            "Tried again and taken back",
            [
                (_rate("mitosis_task_retries_total", "budget"), "retry: {{budget}}"),
                (_rate("mitosis_tasks_reclaimed_total", "cause"), "back: {{cause}}"),
                (_rate("mitosis_stale_reports_total"), "stale reports"),
            ],
            unit="ops",
        ),
    ],
    "Environment hooks": [
        Panel("Hook duration", _quantiles("mitosis_env_hook_duration_seconds", "hook_type"), unit="s"),
        Panel(
            "Hooks by result",
            [
                (
                    _rate("mitosis_env_hook_duration_seconds_count", "hook_type, result"),
                    "{{hook_type}} {{result}}",
                )
            ],
            unit="ops",
        ),
        Panel(
            "Hook timeouts",
            [
                (
                    _rate("mitosis_env_hook_duration_seconds_count", "hook_type", 'result="timeout"'),
                    "{{hook_type}}",
                )
            ],
        ),
    ],
    "Resource utilization": [
        Panel(
            "Database connections",
            [
                ("mitosis_db_pool_connections_active", "{{instance}} in use"),
                ("mitosis_db_pool_connections_max", "{{instance}} at most"),
                ("mitosis_db_pool_requests_waiting", "{{instance}} callers that wait"),
            ],
        ),
        Panel("Streams", [("sum by (type) (mitosis_stream_connections)", "{{type}}")]),
        Panel(
            "Stream messages",
            [(_rate("mitosis_stream_messages_total", "direction"), "{{direction}}")],
            unit="ops",
        ),
        Panel(
            "API requests",
            [(_rate("mitosis_grpc_request_duration_seconds_count", "code"), "{{code}}")],
            unit="reqps",
        ),
        Panel("API latency", _quantiles("mitosis_grpc_request_duration_seconds"), unit="s", help="Streams included."),
        Panel("Memory", [("process_resident_memory_bytes", "{{job}} {{instance}}")], unit="bytes"),
        Panel(
            "Processor",
            [("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}} {{instance}}")],
            unit="percentunit",
        ),
        Panel(
            "Database upkeep",
            [
                ("max(mitosis_db_oldest_transaction_seconds)", "oldest transaction, s"),
                ("max(mitosis_db_queue_dead_rows)", "dead rows of the queue"),
            ],
        ),
    ],
}


def document() -> dict[str, Any]:
    """Returns the dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_row(len(panels) + 1, title, y))
        y += 1
        across = 4 if len(row) % 4 == 0 else 3
        width = _WIDTH // across
        for place, panel in enumerate(row):
            position = {"x": place % across * width, "y": y + place // across * _HEIGHT, "w": width, "h": _HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, position))
        y += -(-len(row) // across) * _HEIGHT
    return {
        "uid": "mitosis-task-suites",
        "title": TITLE,
        "description": "Suites, managers, tasks, hooks and resources of Mitosis. Made by tools/monitoring.py.",
        "tags": ["mitosis"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "prometheus",
                    "label": "Data source",
                    "hide": 0,
                    "refresh": 1,
                    "current": {},
                    "options": [],
                    "regex": "",
                    "multi": False,
                    "includeAll": False,
                }
            ]
        },
        "panels": panels,
    }


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    position = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": position, "panels": []}


def _panel(number: int, panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {
            "fillOpacity": 20 if panel.stacked else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            # What is now, where there is no time axis.
            "instant": panel.kind in ("piechart", "stat", "bargauge"),
        }
        for place, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": _DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {},
        "targets": targets,
    }
