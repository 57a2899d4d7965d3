"""The coordinator's configuration: one YAML file and the environment, checked as a whole before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from mitosis_common import config as common
from mitosis_coordinator.domain.plan import DEFAULT_PREFETCH, MAX_WORKERS
from mitosis_coordinator.domain.rules import MAX_AUTO_CLOSE_SECONDS

# Names of their own, as documented; every other key is MITOSIS_<SECTION>__<FIELD>.
ENV_NAMES: Mapping[str, str] = {
    "DATABASE_URL": "database.url",
    "ENABLE_TASK_SUITES": "task_suites.enabled",
    "ENABLE_NODE_MANAGERS": "node_managers.enabled",
    "LOG_LEVEL": "logging.level",
    "MITOSIS_ADMIN_PASSWORD": "auth.admin_password",
}

_LAST_PORT = 65535
LEAST_CONNECTIONS = 4
"""Of one process: one that listens, one for the start, two in the pool."""

Port = Annotated[int, Field(ge=0, le=_LAST_PORT)]
Bytes = Annotated[int, Field(ge=1)]

_MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def default_data_dir() -> Path:
    """Where the coordinator keeps what is its own, unless it is told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "mitosis" / "coordinator"


class ServerConfig(_Section):
    """Where the coordinator listens and keeps its files. Port 0 takes a free one."""

    host: str = Field(default="0.0.0.0", min_length=1)  # noqa: S104 - managers are on other machines
    # HTTP: health, discovery, the documented REST paths.
    port: Port = 8080
    grpc_port: Port = 7070
    # Processes that share the ports and the database; the first one starts and ends the others.
    workers: int = Field(default=1, ge=1, le=256)
    data_dir: Path = Field(default_factory=default_data_dir)
    # Written when the coordinator serves, removed when it stops; `<data_dir>/ready.json` by default.
    ready_file: Path | None = None
    # What `GET /info` tells managers, as `host:port`; by default the host they asked for and the port above.
    advertised_grpc: str | None = Field(default=None, pattern=r"^[^\s/]+:\d{1,5}$")
    # Lets a second process on this machine share the ports, for a restart without a gap.
    reuse_port: bool = False
    shutdown_grace_seconds: float = Field(default=10.0, gt=0, le=600)

    @property
    def shares_ports(self) -> bool:
        """Whether other processes may listen on the same ports."""
        return self.reuse_port or self.workers > 1


class HttpConfig(_Section):
    """REST: who may call from a browser, and how patient the server is."""

    # As a browser sends them, `https://mitosis.example.com`; `*` for all.
    cors_origins: tuple[str, ...] = ()
    # For the head of a request, and between two requests of one connection.
    idle_timeout_seconds: float = Field(default=75.0, gt=0, le=3600)
    # For a body that does not come; one that does come gets more, by its size.
    body_timeout_seconds: float = Field(default=20.0, gt=0, le=3600)


class TlsConfig(_Section):
    """Encryption, of all ports or of none, and what may go over plain text. Files are in PEM."""

    # The coordinator's own first, then those between it and the root.
    certificate: Path | None = None
    private_key: Path | None = None
    # Who signs clients' certificates; with it a client without one is refused.
    client_ca: Path | None = None
    # Takes passwords and tokens over plain text from other machines too.
    insecure: bool = False

    @property
    def enabled(self) -> bool:
        """Whether the ports speak TLS."""
        return self.certificate is not None

    @model_validator(mode="after")
    def _go_together(self) -> TlsConfig:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key, both or neither")
        if self.client_ca is not None and not self.enabled:
            raise ValueError("certificate and private_key, where there is client_ca")
        if self.insecure and self.enabled:
            raise ValueError("certificate or insecure, not both: with a certificate no port speaks plain text")
        return self


class DatabaseConfig(_Section):
    """PostgreSQL; without a URL the coordinator runs its own in `server.data_dir`."""

    url: SecretStr | None = None
    pool_size: int = Field(default=50, ge=2, le=1000)
    # All connections of this coordinator: its processes share them equally, and each pool stays below its share.
    max_connections: int = Field(default=100, ge=4, le=10_000)
    connection_timeout_seconds: float = Field(default=30.0, gt=0, le=600)


class StreamConfig(_Section):
    """The managers' streams. The section's old name, `websocket`, is accepted."""

    heartbeat_interval_seconds: int = Field(default=30, ge=1, le=3600)
    heartbeat_timeout_seconds: int = Field(default=90, ge=2, le=86_400)
    max_connections: int = Field(default=1000, ge=1, le=100_000)

    @model_validator(mode="after")
    def _beats_before_it_is_given_up(self) -> StreamConfig:
        if self.heartbeat_timeout_seconds <= self.heartbeat_interval_seconds:
            raise ValueError(
                "heartbeat_timeout_seconds above heartbeat_interval_seconds, "
                f"given {self.heartbeat_timeout_seconds} and {self.heartbeat_interval_seconds}"
            )
        return self


class TaskSuitesConfig(_Section):
    """Task suites: whether there are any, and what they start with."""

    enabled: bool = True
    default_auto_close_timeout_seconds: int = Field(default=180, ge=0, le=MAX_AUTO_CLOSE_SECONDS)
    max_tasks_per_suite: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    prefetch_count: int = Field(default=DEFAULT_PREFETCH, ge=0, le=MAX_WORKERS)


class NodeManagersConfig(_Section):
    """Node managers: whether they may come, and how long they hold on without a sign of life."""

    enabled: bool = True
    lease_duration_seconds: int = Field(default=3600, ge=10, le=604_800)
    token_lifetime_days: float = Field(default=30, gt=0, le=3650)


class AuthConfig(_Section):
    """Users' tokens, and the administrator that the first start makes."""

    user_token_lifetime_hours: float = Field(default=24, gt=0, le=87_600)
    # Puts an administrator's token into the ready file, for `mitosis up` and for tests.
    issue_ready_token: bool = False
    # Without it the first start makes one up and writes it to the file below.
    admin_password: SecretStr | None = Field(default=None, min_length=8, max_length=1024)
    # `<data_dir>/admin-password` by default.
    admin_password_file: Path | None = None


class LimitsConfig(_Section):
    """What a single call may carry."""

    max_payload_bytes: Bytes = _MIB
    max_batch_tasks: int = Field(default=10_000, ge=1, le=1_000_000)
    max_batch_bytes: Bytes = 16 * _MIB
    max_message_bytes: int = Field(default=32 * _MIB, ge=64 * 1024, le=1024 * _MIB)

    @model_validator(mode="after")
    def _fit_into_each_other(self) -> LimitsConfig:
        if not self.max_payload_bytes <= self.max_batch_bytes <= self.max_message_bytes:
            raise ValueError(
                "max_payload_bytes <= max_batch_bytes <= max_message_bytes, "
                f"given {self.max_payload_bytes}, {self.max_batch_bytes} and {self.max_message_bytes}"
            )
        return self


class MetricsConfig(_Section):
    """The Prometheus exposition, on a port of its own."""

    enabled: bool = True
    port: Port = 9090
    path: str = Field(default="/metrics", pattern=r"^/[A-Za-z0-9._/-]*$")


class LoggingConfig(_Section):
    """Structured logs to a file, or to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    output: Path | None = None


class CoordinatorConfig(_Section):
    """Everything the coordinator can be told."""

    server: ServerConfig = ServerConfig()
    http: HttpConfig = HttpConfig()
    tls: TlsConfig = TlsConfig()
    database: DatabaseConfig = DatabaseConfig()
    stream: StreamConfig = StreamConfig()
    task_suites: TaskSuitesConfig = TaskSuitesConfig()
    node_managers: NodeManagersConfig = NodeManagersConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    metrics: MetricsConfig = MetricsConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "websocket" not in document:
            return document
        renamed = dict(document)
        old, new = renamed.pop("websocket"), renamed.get("stream", {})
        # Both can be there when one comes from the file and the other from the environment.
        renamed["stream"] = {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else old
        return renamed

    @model_validator(mode="after")
    def _processes_fit(self) -> CoordinatorConfig:
        workers, connections, metrics = self.server.workers, self.database.max_connections, self.metrics
        if self.connections_per_process < LEAST_CONNECTIONS:
            raise ValueError(
                f"database.max_connections at least {LEAST_CONNECTIONS} for each of server.workers, "
                f"given {connections} for {workers}"
            )
        if metrics.enabled and metrics.port + workers - 1 > _LAST_PORT:
            raise ValueError(
                f"metrics.port and server.workers - 1 ports above it, given {metrics.port} and {workers} workers"
            )
        return self

    @property
    def connections_per_process(self) -> int:
        """The share of `database.max_connections` that each process has."""
        return self.database.max_connections // self.server.workers

    @property
    def embedded(self) -> bool:
        """Whether the coordinator runs a PostgreSQL of its own."""
        return self.database.url is None

    @property
    def pool_size(self) -> int:
        """Connections in the pool of one process."""
        return self.pool_size_within(self.connections_per_process)

    def pool_size_within(self, connections: int) -> int:
        """Connections in the pool of a process that may open so many: one listens, one is for the start."""
        configured = min(self.database.pool_size, connections - 2)
        # One process alone with its database on a small machine gains nothing from more.
        chosen = "pool_size" in self.database.model_fields_set
        return min(configured, 10) if self.embedded and not chosen else configured

    @property
    def ready_file(self) -> Path:
        """Where the coordinator tells that it serves, and where."""
        return self.server.ready_file or self.server.data_dir / "ready.json"

    @property
    def admin_password_file(self) -> Path:
        """Where the first administrator's password is written."""
        return self.auth.admin_password_file or self.server.data_dir / "admin-password"


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> CoordinatorConfig:
    """Read the configuration.

    Raises:
        ConfigError: with every mistake at once.
    """
    return common.load(CoordinatorConfig, path, environ, ENV_NAMES)
