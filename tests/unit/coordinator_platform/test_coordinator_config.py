"""The configuration: the documented file loads, and every mistake is told at once."""

from pathlib import Path

import pytest

from mitosis_common.config import ConfigError
from mitosis_coordinator.config import load
from mitosis_coordinator.siblings import Shared, environment

# The operators' guide shows this file.
DOCUMENTED = """
server: {host: "0.0.0.0", port: 8080, workers: 4}
database:
  url: "postgresql://user:pass@localhost/mitosis"
  pool_size: 50
  max_connections: 100
  connection_timeout_seconds: 30
websocket: {heartbeat_interval_seconds: 20, heartbeat_timeout_seconds: 80, max_connections: 900}
task_suites:
  enabled: true
  default_auto_close_timeout_seconds: 180
  max_tasks_per_suite: 1000000
  prefetch_count: 32
node_managers: {enabled: true, lease_duration_seconds: 3600, token_lifetime_days: 30}
metrics: {enabled: true, port: 9090, path: "/metrics"}
logging: {level: "info", format: "json", output: "/var/log/mitosis/coordinator.log"}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "coordinator.yaml"
    path.write_text(text)
    return path


def test_the_documented_file_loads(tmp_path: Path) -> None:
    config = load(write(tmp_path, DOCUMENTED), {})
    assert config.server.workers == 4
    # Each of four processes: a share of 25, of which one listens and one is for the start.
    assert config.pool_size == 23
    assert config.stream.heartbeat_timeout_seconds == 80
    assert config.stream.max_connections == 900
    assert config.task_suites.max_tasks_per_suite == 1_000_000
    assert not config.embedded
    assert "user:pass" not in repr(config)


def test_the_documented_variables_win(tmp_path: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://elsewhere/db",
        "ENABLE_TASK_SUITES": "false",
        "ENABLE_NODE_MANAGERS": "false",
        "LOG_LEVEL": "debug",
        "MITOSIS_ADMIN_PASSWORD": "a long password",
        "MITOSIS_SERVER__GRPC_PORT": "7171",
        "MITOSIS_STREAM__MAX_CONNECTIONS": "7",
    }
    config = load(write(tmp_path, DOCUMENTED), environ)
    assert config.database.url is not None
    assert config.database.url.get_secret_value() == "postgresql://elsewhere/db"
    assert not config.task_suites.enabled
    assert not config.node_managers.enabled
    assert config.logging.level == "debug"
    assert config.auth.admin_password is not None
    assert config.server.grpc_port == 7171
    assert (config.stream.max_connections, config.stream.heartbeat_timeout_seconds) == (7, 80)
    assert "long password" not in repr(config)


def test_without_anything_it_runs_a_database_of_its_own() -> None:
    config = load(None, {})
    assert config.embedded
    assert config.pool_size == 10
    assert config.server.grpc_port == 7070
    assert config.ready_file == config.server.data_dir / "ready.json"


def test_the_pool_stays_below_max_connections() -> None:
    environ = {"DATABASE_URL": "postgresql://h/d", "MITOSIS_DATABASE__MAX_CONNECTIONS": "10"}
    assert load(None, environ).pool_size == 8


def test_processes_share_the_connections_equally() -> None:
    environ = {
        "DATABASE_URL": "postgresql://h/d",
        "MITOSIS_DATABASE__MAX_CONNECTIONS": "20",
        "MITOSIS_SERVER__WORKERS": "3",
    }
    config = load(None, environ)
    assert config.connections_per_process == 6
    assert config.pool_size == 4
    with pytest.raises(ConfigError, match=r"at least 4 for each of server\.workers, given 20 for 6"):
        load(None, environ | {"MITOSIS_SERVER__WORKERS": "6"})
    with pytest.raises(ConfigError, match="given 65534 and 3 workers"):
        load(None, environ | {"MITOSIS_METRICS__PORT": "65534"})


def test_what_another_process_is_told_makes_a_configuration() -> None:
    first = load(None, {"MITOSIS_SERVER__WORKERS": "3", "MITOSIS_METRICS__PORT": "9100"})
    other = load(None, environment(first, Shared("postgresql://u:secret@h/d", 7001, 8001, 9), 2))
    assert (other.server.grpc_port, other.server.port, other.metrics.port) == (7001, 8001, 9102)
    assert (other.server.workers, other.server.shares_ports, other.pool_size) == (1, True, 9)
    assert other.ready_file != first.ready_file


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
server: {port: 99999, wrokers: 4}
database: {pool_size: many}
websocket: {heartbeat_interval_seconds: 90, heartbeat_timeout_seconds: 10}
limits: {max_payload_bytes: 99999999999}
logging: {level: loud}
auth: {admin_password: hunter2}
colour: red
""",
    )
    with pytest.raises(ConfigError) as caught:
        load(path, {"MITOSIS_METRICS__PORT": "abc"})
    told = str(caught.value)
    assert len(caught.value.problems) == 9
    for expected in (
        "server.port: given 99999; accepts",
        "server.wrokers: is not a known key",
        'database.pool_size: given "many"',
        "heartbeat_timeout_seconds above heartbeat_interval_seconds, given 10 and 90",
        "max_payload_bytes <= max_batch_bytes <= max_message_bytes",
        'logging.level: given "loud"',
        "auth.admin_password",
        "colour",
        'MITOSIS_METRICS__PORT: metrics.port: given "abc"',
    ):
        assert expected in told
    assert "hunter2" not in told
