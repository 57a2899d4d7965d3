"""docs/operations/configuration.md says what the models say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mitosis_coordinator import config as coordinator
from mitosis_nodemgr import config as manager
from mitosis_worker import config as worker
from tests.unit.docs.reference import Key, coordinator_rows, manager_rows, worker_rows

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "configuration.md"
_ROW = re.compile(
    r"^\| `(?P<key>[a-z_.]+)` \| (?P<accepts>.*?) \| (?P<default>.*?) \| `?(?P<env>\w*)`? \| (?P<text>.+) \|$"
)

# Keys without which a manager does not start.
_NEEDED = {"COORDINATOR_URL": "http://127.0.0.1:8080", "MANAGER_TOKEN_FILE": "/nonexistent/token"}
# A value for each key that has no default of its own.
_EXAMPLES = {
    "auth.admin_password": "correct horse",
    "database.url": "postgresql://localhost/mitosis",
    "coordinator.url": "http://127.0.0.1:8080",
    "coordinator.stream_url": "grpc://127.0.0.1:7070",
    "coordinator.websocket_url": "ws://127.0.0.1:8080/ws/managers",
    "server.advertised_grpc": "127.0.0.1:7070",
    "worker_defaults.working_directory": "/",
}
# Keys that are only accepted with others.
_COMPANIONS = {
    "tls.certificate": {"MITOSIS_TLS__PRIVATE_KEY": "/key"},
    "tls.private_key": {"MITOSIS_TLS__CERTIFICATE": "/certificate"},
    "coordinator.certificate": {"MITOSIS_COORDINATOR__PRIVATE_KEY": "/key"},
    "coordinator.private_key": {"MITOSIS_COORDINATOR__CERTIFICATE": "/certificate"},
    "tls.client_ca": {"MITOSIS_TLS__CERTIFICATE": "/certificate", "MITOSIS_TLS__PRIVATE_KEY": "/key"},
}


def documented(heading: str) -> list[Key]:
    """The rows below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [match for line in section.splitlines() if (match := _ROW.match(line))]
    return [Key(heading.lower(), row["key"], row["accepts"], row["default"], row["env"]) for row in found]


@pytest.mark.parametrize(
    ("heading", "rows"),
    [("Coordinator", coordinator_rows()), ("Manager", manager_rows()), ("Worker", worker_rows())],
    ids=["coordinator", "manager", "worker"],
)
def test_the_page_says_what_the_models_say(heading: str, rows: list[Key]) -> None:
    assert documented(heading) == rows


@pytest.mark.parametrize("row", coordinator_rows(), ids=lambda row: row.key)
def test_the_coordinator_takes_every_documented_variable(row: Key) -> None:
    loaded = coordinator.load(None, {**_COMPANIONS.get(row.key, {}), row.variable: _value(row)})

    assert row.key.partition(".")[2] in getattr(loaded, row.key.partition(".")[0]).model_fields_set


@pytest.mark.parametrize("row", [row for row in manager_rows() if row.variable], ids=lambda row: row.key)
def test_the_manager_takes_every_documented_variable(row: Key) -> None:
    loaded = manager.load(None, {**_NEEDED, **_COMPANIONS.get(row.key, {}), row.variable: _value(row)})

    assert row.key.partition(".")[2] in getattr(loaded, row.key.partition(".")[0]).model_fields_set


@pytest.mark.parametrize("row", worker_rows(), ids=lambda row: row.key)
def test_the_worker_takes_every_documented_variable(row: Key) -> None:
    needed = {"COORDINATOR_URL": _NEEDED["COORDINATOR_URL"], "WORKER_TOKEN_FILE": "/nonexistent/token"}
    loaded = worker.load(None, {**needed, **_COMPANIONS.get(row.key, {}), row.variable: _value(row)})

    assert row.key.partition(".")[2] in getattr(loaded, row.key.partition(".")[0]).model_fields_set


def test_the_example_is_accepted(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    file = tmp_path / "coordinator.yaml"
    file.write_text(example[1], encoding="utf-8")

    assert coordinator.load(file, {}).server.data_dir == Path(yaml.safe_load(example[1])["server"]["data_dir"])


def _value(row: Key) -> str:
    if row.key in _EXAMPLES:
        return _EXAMPLES[row.key]
    if row.default not in ("none", "the usable cores") and "$" not in row.default:
        return row.default.strip("`")
    kind = row.accepts.partition(",")[0]
    return {"list": "[one]", "mapping": "{NAME: value}", "path": "/tmp/somewhere"}.get(kind, "1")
