"""What a local Mitosis is made of: options, the files of its data directory, and the configurations it writes there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mitosis_client.connection import CONNECTION_FILE

Config: TypeAlias = "dict[str, str | int | float | bool | Config]"

HOST = "127.0.0.1"
GROUP = "default"
DEFAULT_GRPC_PORT = 7070
DEFAULT_HTTP_PORT = 8080
DEFAULT_METRICS_PORT = 9090

# `up` ends everything within 15 s: managers first, then the coordinator, each with time to spare before it is killed.
MANAGER_DRAIN_SECONDS = 4.0
MANAGER_STOP_SECONDS = 2.0
MANAGER_GRACE_SECONDS = 8.5
COORDINATOR_GRACE_SECONDS = 5.0


def usable_cores() -> int:
    """Returns the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Ports:
    """The three ports; 0 lets the kernel choose."""

    grpc: int = DEFAULT_GRPC_PORT
    http: int = DEFAULT_HTTP_PORT
    metrics: int = DEFAULT_METRICS_PORT


@dataclass(frozen=True, slots=True)
class Options:
    """What `mitosis up` was asked for: coordinator processes, managers, and workers of each manager."""

    data_dir: Path
    ports: Ports = Ports()
    managers: int = 1
    workers: int = 1
    coordinators: int = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a data directory, all of them below an absolute `root`."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held while an `up` runs here."""
        return self.root / "up.lock"

    @property
    def connection(self) -> Path:
        """What clients read; there while everything is up."""
        return self.root / CONNECTION_FILE

    @property
    def ipc_prefix(self) -> str:
        """What the names of this directory's shared memory start with; short, because shared-memory names are."""
        return f"mit_{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]}"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def coordinator_config(self) -> Path:
        """Written at each start."""
        return self.root / "coordinator.yaml"

    @property
    def coordinator_data(self) -> Path:
        """The coordinator's own: keys and the database."""
        return self.root / "coordinator"

    @property
    def ready_file(self) -> Path:
        """Written by the coordinator when it answers."""
        return self.root / "coordinator.json"

    def manager(self, number: int) -> ManagerLayout:
        """Returns the files of manager `number`, counted from 1."""
        return ManagerLayout(self.root / "managers" / str(number), f"local-{number}", self.ipc_prefix)


@dataclass(frozen=True, slots=True)
class ManagerLayout:
    """The files of one manager."""

    root: Path
    name: str
    ipc_prefix: str

    @property
    def config(self) -> Path:
        """Written at each start."""
        return self.root / "manager.yaml"

    @property
    def data(self) -> Path:
        """The manager's own: what it owes, and results that were not acknowledged."""
        return self.root / "state"

    @property
    def metrics(self) -> Path:
        """Says where the manager's metrics are, as Prometheus' file-based discovery reads it, while it runs."""
        return self.data / "metrics.json"

    @property
    def token(self) -> Path:
        """Written when the manager is registered, and by the manager when it renews the token."""
        return self.root / "token"

    @property
    def uuid(self) -> Path:
        """Written when the manager is registered."""
        return self.root / "uuid"


def coordinator_config(layout: Layout, ports: Ports, processes: int = 1) -> Config:
    """Returns the coordinator's configuration: embedded PostgreSQL, this machine only, a token in the ready file."""
    return {
        "server": {
            "host": HOST,
            "port": ports.http,
            "grpc_port": ports.grpc,
            "workers": processes,
            "data_dir": str(layout.coordinator_data),
            "ready_file": str(layout.ready_file),
        },
        "auth": {"issue_ready_token": True},
        "metrics": {"enabled": True, "port": ports.metrics},
        "logging": {"level": "info", "format": "console"},
    }


def manager_config(manager: ManagerLayout, workers: int, http: str, grpc: str) -> Config:
    """Returns the configuration of one manager, whose coordinator is at the URL `http` and the address `grpc`."""
    return {
        "coordinator": {"url": http, "stream_url": f"grpc://{grpc}", "token_file": str(manager.token)},
        "manager": {
            "name": manager.name,
            "max_workers": workers,
            "data_dir": str(manager.data),
            "runtime_dir": str(manager.root / "run"),
            "drain_grace_seconds": MANAGER_DRAIN_SECONDS,
            "stop_grace_seconds": MANAGER_STOP_SECONDS,
        },
        "ipc": {"service_prefix": manager.ipc_prefix},
        "metrics": {"enabled": True, "host": HOST, "port": 0},
        "logging": {"level": "info", "format": "console"},
    }
