"""The parts of one Mitosis as processes of their own, each of which can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
import yaml
from psycopg.rows import TupleRow

from mitosis_client import Client
from mitosis_client.connection import Connection, write_private
from mitosis_client.local.layout import GROUP, Layout, Ports, coordinator_config, manager_config
from mitosis_common.processes import describe_exit
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from tests.e2e.support import Sandbox, sandbox, until

# Handlers are found by their place in this tree.
_ROOT = Path(__file__).parents[2]
_SHARED_MEMORY = Path("/dev/shm")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
# Short, so that a part that stays away is noticed within a test; long enough for a restart on a busy machine.
HEARTBEAT_SECONDS = 1
HEARTBEAT_TIMEOUT_SECONDS = 20


class Part:
    """One process, started again and again with the same arguments, and its log."""

    # Added to the environment of the sandbox.
    more_environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name: str, module: str, arguments: list[str], box: Sandbox) -> None:
        self.name = name
        self.log = box.root / f"{name}.log"
        self._argv = [sys.executable, "-m", module, *arguments]
        self._box = box
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process; it may not be ready when this returns."""
        assert not self.runs
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._box.root,
                env={
                    **self._box.environment,
                    "PYTHONPATH": os.pathsep.join(_python_path(self._box)),
                    **self.more_environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kills the process, and nothing but the process: what becomes of its children is for the product to see to."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Waits for the end of the process and returns its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end:\n{self.output()}") from None

    def output(self) -> str:
        """Returns what all its processes have written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _python_path(box: Sandbox) -> list[str]:
    inherited = box.environment.get("PYTHONPATH")
    return [str(_ROOT), inherited] if inherited else [str(_ROOT)]


class ManagerPart(Part):
    """A node manager, and who it is to the coordinator."""

    uuid = ""
    # How often its processes have attached so far, as the coordinator's log tells.
    attached = 0


class Cluster:
    """A coordinator, with its embedded PostgreSQL or with a database that is there, and some node managers.

    The files lie where `mitosis up` would put them, so that the `mitosis` command finds the coordinator by itself.
    """

    def __init__(
        self,
        box: Sandbox,
        *,
        managers: int = 1,
        workers: int = 2,
        database_url: str | None = None,
        heartbeat_timeout: int = HEARTBEAT_TIMEOUT_SECONDS,
    ) -> None:
        self.box = box
        self.layout = Layout(box.data)
        self.connection: Connection | None = None
        self._workers = workers
        self._heartbeat_timeout = heartbeat_timeout
        self._embedded = database_url is None
        if database_url is not None:
            box.environment["DATABASE_URL"] = database_url
        postgres = EmbeddedPostgres(self.layout.coordinator_data / "postgres")
        self.database_url = database_url or postgres.url
        self._cluster_directory = self.layout.coordinator_data / "postgres" / "cluster"
        self.coordinator = Part(
            "coordinator", "mitosis_coordinator", ["--config", str(self.layout.coordinator_config)], box
        )
        self.managers = [self._manager_part(number) for number in range(1, managers + 1)]

    @property
    def manager(self) -> ManagerPart:
        """The only manager, or the first."""
        return self.managers[0]

    def start(self) -> None:
        """Starts everything, and returns when every manager has attached."""
        self.box.data.mkdir()
        self.start_coordinator()
        for number, part in enumerate(self.managers, start=1):
            self._register(number, part)
        for part in self.managers:
            part.start()
        for part in self.managers:
            self.wait_attached(part)

    def start_coordinator(self) -> None:
        """Starts the coordinator where it was before, and returns when it answers."""
        ports = Ports(0, 0, 0)
        if self.connection is not None:
            addresses = (self.connection.grpc, self.connection.http, self.connection.metrics)
            ports = Ports(*(int(address.rpartition(":")[2].partition("/")[0]) for address in addresses))
        config = coordinator_config(self.layout, ports)
        config["stream"] = {
            "heartbeat_interval_seconds": HEARTBEAT_SECONDS,
            "heartbeat_timeout_seconds": self._heartbeat_timeout,
        }
        write_private(self.layout.coordinator_config, yaml.safe_dump(config))
        self.layout.ready_file.unlink(missing_ok=True)
        self.coordinator.start()
        until(
            lambda: self.layout.ready_file.exists() or not self.coordinator.runs,
            _START_SECONDS,
            self.coordinator.output,
        )
        assert self.coordinator.runs, self.coordinator.output()
        document = json.loads(self.layout.ready_file.read_text())
        del document["pid"]
        self.connection = Connection(**document)
        self.connection.write(self.layout.connection)

    def client(self) -> Client:
        """Returns a new client, as administrator."""
        assert self.connection is not None
        return self.connection.client()

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Connection[TupleRow]]:
        """Opens a connection to the database itself."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def wait_attached(self, part: ManagerPart) -> None:
        """Waits until a manager has attached once more than the last time this was called."""
        until(lambda: self.attachments(part) > part.attached or not part.runs, _START_SECONDS, part.output)
        assert part.runs, part.output()
        part.attached = self.attachments(part)

    def attachments(self, part: ManagerPart) -> int:
        """Counts how often a manager has attached, as the coordinator's log tells."""
        lines = self.coordinator.output().splitlines()
        return sum("manager_attached" in line and f"manager_uuid={part.uuid}" in line for line in lines)

    def worker_pids(self, part: ManagerPart) -> list[int]:
        """Returns the worker processes of a manager."""
        wanted = f"--manager-pid\0{part.pid}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in entry.joinpath("cmdline").read_bytes():
                        found.append(int(entry.name))
        return sorted(found)

    def postmaster_pid(self) -> int | None:
        """Returns the embedded PostgreSQL's first process, if there is one that accepts connections."""
        try:
            lines = (self._cluster_directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        return int(lines[0]) if lines and lines[-1].strip() == "ready" else None

    def shared_memory(self) -> set[Path]:
        """Returns every file in shared memory that belongs to this cluster's managers."""
        return set(_SHARED_MEMORY.glob(f"{self.layout.ipc_prefix}_*"))

    def stop(self) -> None:
        """Stops the managers, then the coordinator, and checks that each ends well and that nothing is left."""
        codes = {part.name: part.stop() for part in [*self.managers, self.coordinator] if part.runs}
        assert not any(codes.values()), {name: describe_exit(code) for name, code in codes.items()}
        self.layout.connection.unlink()
        assert self.leftovers() == []

    def leftovers(self) -> list[str]:
        """Returns everything that should be gone once all parts have ended."""
        found = self.box.leftovers() + [str(path) for path in self.shared_memory()]
        # Records of what is owed, and locks.
        found += [str(path) for path in self.box.data.glob("managers/*/state/*")]
        if self._embedded:
            # PostgreSQL's interlock, a System V segment, is named after its directory.
            key = str(self._cluster_directory.stat().st_ino & 0x7FFFFFFF)
            segments = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
            found += [f"System V segment {fields[1]}" for fields in segments if fields[0] == key]
        return found

    def output(self) -> str:
        """Returns all logs, for a test that failed."""
        parts = [*self.managers, self.coordinator]
        return "\n".join(f"--- {part.name}\n{part.output()[-20_000:]}" for part in parts)

    def _manager_part(self, number: int) -> ManagerPart:
        files = self.layout.manager(number)
        arguments = ["--config", str(files.config), "--token-file", str(files.token), "--allow-several"]
        return ManagerPart(f"manager-{number}", "mitosis_nodemgr", arguments, self.box)

    def _register(self, number: int, part: ManagerPart) -> None:
        assert self.connection is not None
        files = self.layout.manager(number)
        with self.client() as client:
            granted = client.register_manager(files.name, group_memberships=[{"group_name": GROUP, "role": "Worker"}])
        part.uuid = granted.manager.uuid
        write_private(files.token, granted.token + "\n")
        config: dict[str, Any] = manager_config(files, self._workers, self.connection.http, self.connection.grpc)
        config["manager"]["stop_grace_seconds"] = 1.0
        write_private(files.config, yaml.safe_dump(config))


@contextlib.contextmanager
def running_cluster(
    *,
    managers: int = 1,
    workers: int = 2,
    database_url: str | None = None,
    heartbeat_timeout: int = HEARTBEAT_TIMEOUT_SECONDS,
) -> Iterator[Cluster]:
    """Runs a cluster; at the end everything is stopped in order, and nothing may be left."""
    with sandbox() as box:
        cluster = Cluster(
            box, managers=managers, workers=workers, database_url=database_url, heartbeat_timeout=heartbeat_timeout
        )
        try:
            cluster.start()
            yield cluster
            cluster.stop()
        finally:
            # Shown for a test that failed.
            print(cluster.output())


def alive(pid: int) -> bool:
    """Tells whether a process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid: int) -> None:
    """Sends SIGKILL."""
    os.kill(pid, signal.SIGKILL)
