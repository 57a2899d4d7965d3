"""The manager's configuration: one YAML file, three environment variables, and defaults that suit a laptop.

Two spellings are accepted for where the coordinator is: the section `coordinator`, and the flat keys
`coordinator_url` and `websocket_url` of earlier documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mitosis_common import config as common_config
from mitosis_common.agent_config import Coordinator, Environment, ExecutorDefaults, Logging, Section, Tag, runtime_dir
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


def _data_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mitosis" / "manager"


def _service_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value):
        raise ValueError("1 to 32 letters, digits, underscores and hyphens, a letter or digit first")
    return value


class Manager(Section):
    """This machine."""

    name: Annotated[str, Field(max_length=255)] = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=64)] = ()
    max_workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] = Field(default_factory=usable_cores)
    # None: what the coordinator says.
    heartbeat_interval_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    # Holds the lock; emptied at exit.
    runtime_dir: Path = Field(default_factory=runtime_dir)
    # Holds the record of what is owed; outlives the process.
    data_dir: Path = Field(default_factory=_data_dir)
    # How long running tasks may go on once the manager was told to end.
    drain_grace_seconds: Annotated[float, Field(ge=0, le=86400)] = 30.0
    # Between SIGTERM and SIGKILL, for tasks, hooks and workers.
    stop_grace_seconds: Annotated[float, Field(ge=0, le=600)] = 5.0


class Group(Section):
    """A group that the manager was registered for. Informational: the registration decides."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    role: Literal["Worker", "Admin"] = "Worker"


class WorkerDefaults(ExecutorDefaults):
    """What applies to workers and tasks when neither the task nor the suite says."""

    cpu_binding: CpuBinding = CpuBinding.ROUND_ROBIN
    restart_on_failure: bool = True
    max_restarts: Annotated[int, Field(ge=0, le=1_000_000)] = 3


class Ipc(Section):
    """The shared memory between manager and workers."""

    service_prefix: Annotated[str, AfterValidator(_service_prefix)] = "mitosis_mgr"
    cleanup_on_exit: bool = True


class Hooks(Section):
    """What applies to hooks when the suite does not say."""

    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 300.0
    env: Environment = Field(default_factory=dict)


class Metrics(Section):
    """The Prometheus exposition, on a port of its own; 0 takes a free one."""

    enabled: bool = False
    host: Annotated[str, Field(min_length=1)] = "0.0.0.0"  # noqa: S104 - Prometheus is on another machine
    port: Annotated[int, Field(ge=0, le=65535)] = 9091
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*$")] = "/metrics"


class ManagerConfig(Section):
    """Everything a manager is told before it starts."""

    coordinator: Coordinator = Coordinator()
    manager: Manager = Field(default_factory=Manager)
    groups: tuple[Group, ...] = ()
    worker_defaults: WorkerDefaults = WorkerDefaults()
    ipc: Ipc = Ipc()
    hooks: Hooks = Hooks()
    metrics: Metrics = Metrics()
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
        if not where.addresses:
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
