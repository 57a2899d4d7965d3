"""The manager's configuration: one YAML file, three environment variables, and defaults that suit a laptop.

Two spellings are accepted for where the coordinator is: the section `coordinator`, and the flat keys
`coordinator_url` and `websocket_url` of earlier documentation.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mitosis_common import config as common_config
from mitosis_common.loopback import is_loopback
from mitosis_nodemgr.binding import CpuBinding

ENV_NAMES = {
    "COORDINATOR_URL": "coordinator.url",
    "MANAGER_TOKEN_FILE": "coordinator.token_file",
    "LOG_LEVEL": "logging.level",
}


# What one IPC domain serves (`mitosis_common.ipc_domain`).
MAX_WORKERS = 256


def usable_cores() -> int:
    """Counts the cores that this process may run on, which in a container are fewer than the machine has."""
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def _runtime_dir() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "mitosis" if base else Path(tempfile.gettempdir()) / f"mitosis-{os.getuid()}"


def _data_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mitosis" / "manager"


def _with_scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        try:
            port_is_sound = parts.port is None or parts.port > 0
        except ValueError:
            port_is_sound = False
        if parts.scheme not in schemes or not parts.hostname or not port_is_sound:
            raise ValueError(" or ".join(f"{scheme}://host:port" for scheme in schemes))
        if parts.username is not None or parts.password is not None:
            raise ValueError("an address without user name and password")
        return value

    return AfterValidator(check)


def _tag(value: str) -> str:
    if not 1 <= len(value) <= 255 or "," in value or any(char.isspace() for char in value):
        raise ValueError("1 to 255 characters, no comma, no white space")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("an absolute path")
    return value


def _env_name(value: str) -> str:
    if not value or "=" in value or "\0" in value:
        raise ValueError("the name of an environment variable")
    return value


def _service_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value):
        raise ValueError("1 to 32 letters, digits, underscores and hyphens, a letter or digit first")
    return value


HttpUrl = Annotated[str, _with_scheme("http", "https")]
Tag = Annotated[str, AfterValidator(_tag)]
Environment = Mapping[Annotated[str, AfterValidator(_env_name)], str]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Coordinator(_Section):
    """Where the coordinator is and who the manager is to it."""

    url: HttpUrl | None = None
    # Overrides what `GET <url>/info` answers.
    stream_url: Annotated[str, _with_scheme("grpc", "grpcs")] | None = None
    # The stream's old name: of it, only the host is used, to ask there for the gRPC address.
    websocket_url: Annotated[str, _with_scheme("ws", "wss")] | None = None
    token_file: Path | None = None
    # Certificates to trust, in PEM, in place of the system's.
    ca_file: Path | None = None
    # What the manager shows where the coordinator asks for certificates, in PEM.
    certificate: Path | None = None
    private_key: Path | None = None
    # Sends the token over plain text to other machines too.
    insecure: bool = False

    @model_validator(mode="after")
    def _keeps_the_token_secret(self) -> Coordinator:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key, both or neither")
        used = self.stream_url or self.info_url
        parts = urlsplit(used or "")
        # Whoever can answer for /info can send the manager, and with it the token, elsewhere.
        if parts.scheme in ("http", "grpc") and not (self.insecure or is_loopback(parts.hostname or "")):
            raise ValueError(
                f"https:// or grpcs:// for another machine, given {used}, where the token would go over plain text; "
                "insecure: true allows that"
            )
        return self

    @property
    def info_url(self) -> str | None:
        """The HTTP address to ask for the gRPC address, without a trailing slash."""
        if self.url is not None:
            return self.url.rstrip("/")
        if self.websocket_url is None:
            return None
        parts = urlsplit(self.websocket_url)
        return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}"


class Manager(_Section):
    """This machine."""

    name: Annotated[str, Field(max_length=255)] = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=64)] = ()
    max_workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = Field(default_factory=usable_cores)
    # None: what the coordinator says.
    heartbeat_interval_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    # Holds the lock; emptied at exit.
    runtime_dir: Path = Field(default_factory=_runtime_dir)
    # Holds the record of what is owed; outlives the process.
    data_dir: Path = Field(default_factory=_data_dir)
    # How long running tasks may go on once the manager was told to end.
    drain_grace_seconds: Annotated[float, Field(ge=0, le=86400)] = 30.0
    # Between SIGTERM and SIGKILL, for tasks, hooks and workers.
    stop_grace_seconds: Annotated[float, Field(ge=0, le=600)] = 5.0


class Group(_Section):
    """A group that the manager was registered for. Informational: the registration decides."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    role: Literal["Worker", "Admin"] = "Worker"


class WorkerDefaults(_Section):
    """What applies to workers and tasks when neither the task nor the suite says."""

    cpu_binding: CpuBinding = CpuBinding.ROUND_ROBIN
    restart_on_failure: bool = True
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] = 3
    command: str | None = None
    args: tuple[str, ...] = ()
    handler: str | None = None
    envs: Environment = Field(default_factory=dict)
    working_directory: Annotated[Path, AfterValidator(_absolute)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=604800)] | None = None

    @model_validator(mode="after")
    def _one_executor(self) -> WorkerDefaults:
        given = [name for name in ("command", "args", "handler") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"at most one of command, args and handler, not {' and '.join(given)}")
        return self


class Ipc(_Section):
    """The shared memory between manager and workers."""

    service_prefix: Annotated[str, AfterValidator(_service_prefix)] = "mitosis_mgr"
    cleanup_on_exit: bool = True


class Hooks(_Section):
    """What applies to hooks when the suite does not say."""

    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 300.0
    env: Environment = Field(default_factory=dict)


class Logging(_Section):
    """Where logs go: `output` names a file, `file` is its old name, and without either it is standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "console"
    output: Path | None = None
    file: Path | None = None

    @property
    def path(self) -> Path | None:
        """The file, or None for standard error."""
        chosen = self.output or self.file
        return None if chosen is not None and str(chosen) in ("stderr", "-") else chosen


class ManagerConfig(_Section):
    """Everything a manager is told before it starts."""

    coordinator: Coordinator = Coordinator()
    manager: Manager = Field(default_factory=Manager)
    groups: tuple[Group, ...] = ()
    worker_defaults: WorkerDefaults = WorkerDefaults()
    ipc: Ipc = Ipc()
    hooks: Hooks = Hooks()
    logging: Logging = Logging()

    @model_validator(mode="before")
    @classmethod
    def _take_flat_keys(cls, document: Any) -> Any:
        """Moves `coordinator_url` and `websocket_url` into their section, where a value given there wins."""
        if not isinstance(document, dict):
            return document
        flat = {"coordinator_url": "url", "websocket_url": "websocket_url"}
        rest = {key: value for key, value in document.items() if key not in flat}
        section = rest.get("coordinator") or {}
        if isinstance(section, dict) and len(rest) < len(document):
            moved = {new: document[old] for old, new in flat.items() if old in document}
            rest["coordinator"] = {**moved, **section}
        return rest

    @model_validator(mode="after")
    def _knows_the_way(self) -> ManagerConfig:
        where = self.coordinator
        if where.info_url is None and where.stream_url is None:
            raise ValueError("coordinator.url is required (or COORDINATOR_URL in the environment)")
        if where.token_file is None:
            raise ValueError("coordinator.token_file is required (or --token-file, or MANAGER_TOKEN_FILE)")
        return self


def load(path: Path | None, environ: Mapping[str, str] = os.environ, token_file: Path | None = None) -> ManagerConfig:
    """Reads the configuration. `token_file`, from the command line, wins over file and environment.

    Raises `mitosis_common.config.ConfigError`, which lists every mistake.
    """
    if token_file is not None:
        environ = {**environ, "MANAGER_TOKEN_FILE": str(token_file)}
    return common_config.load(ManagerConfig, path, environ, ENV_NAMES)
