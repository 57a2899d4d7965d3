"""All processes of a Mitosis with several coordinators, each of which can be struck, and a proxy on each connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from mitosis_client import AsyncClient
from mitosis_client.aio.transport import RetryPolicy
from mitosis_client.connection import write_private
from mitosis_client.local.layout import GROUP, Layout, Ports, coordinator_config, manager_config
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from tests.chaos.clock.sitecustomize import OFFSET
from tests.chaos.disk import SmallDisk
from tests.chaos.proxy import Address, Link
from tests.chaos.schedule import Cast
from tests.e2e.cluster import Part
from tests.e2e.support import Sandbox
from tests.support.waiting import until

_CLOCKS = Path(__file__).parent / "clock"
_START_SECONDS = 60.0
# Crashes of processes are survived without syncing; only the machine's own would not be.
_POSTGRES = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
_POOL_SIZE = 8
# A call that is stuck in a stalled connection is given up and made again.
_CALL_SECONDS = 20.0
# Of each log, after a violation: some minutes, because what was wrong shows long after it went wrong.
_SHOWN_CHARACTERS = 400_000
_PATIENCE = RetryPolicy(attempts=10_000, max_wait=1.0, timeout=180.0)


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are of each; `threads` is the number of workers for each manager."""

    coordinators: int = 2
    managers: int = 3
    threads: int = 2
    workers: int = 2
    clients: int = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """After how many seconds of silence a holder loses its tasks, and how often it beats."""

    heartbeat_interval_seconds: int = 1
    heartbeat_timeout_seconds: int = 8


class ClockedPart(Part):
    """A process whose wall clock can be moved, who it is to the coordinator, and whether it is meant to run."""

    uuid = ""
    # False while a fault keeps it down.
    wanted = True

    def __init__(self, name: str, module: str, arguments: list[str], box: Sandbox) -> None:
        self._offset = box.root / f"{name}.clock"
        self.set_clock(0.0)
        super().__init__(name, module, arguments, box)
        self.more_environment = {"CHAOS_CLOCK": str(self._offset)}

    def set_clock(self, seconds: float) -> None:
        """Moves the wall clock of the process, and of those that it starts."""
        descriptor = os.open(self._offset, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, OFFSET.pack(seconds), 0)
        finally:
            os.close(descriptor)

    @property
    def age_seconds(self) -> float:
        """How long the process has been there."""
        return time.time() - psutil.Process(self.pid).create_time()

    def children(self, module: str) -> list[psutil.Process]:
        """Returns the child processes that run a module."""
        found = []
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.Error):
                    if module in child.cmdline():
                        found.append(child)
        return found


class Deployment:
    """PostgreSQL, coordinators, managers and independent workers, all of this process's making.

    Managers, workers and clients reach the coordinators through a `Link` each, which takes them to another one when
    theirs does not answer, as a load balancer would.
    """

    def __init__(self, box: Sandbox, size: Size, timing: Timing) -> None:
        self.box = box
        self.size = size
        self.timing = timing
        self.layout = Layout(box.data)
        self.postgres = EmbeddedPostgres(box.root / "pg", _POSTGRES)
        self.parts: dict[str, ClockedPart] = {}
        self.links: dict[str, Link] = {}
        self.disks: dict[str, SmallDisk] = {}
        self._token = ""
        self._grpc: list[str] = []
        self._http = ""
        # Python finds `sitecustomize` there.
        inherited = box.environment.get("PYTHONPATH")
        box.environment["PYTHONPATH"] = os.pathsep.join([str(_CLOCKS), *([inherited] if inherited else [])])

    @property
    def cast(self) -> Cast:
        """Who can be struck."""
        return Cast(
            coordinators=self._names("coordinator", self.size.coordinators),
            managers=self._names("manager", self.size.managers),
            workers=self._names("worker", self.size.workers),
            clients=self._names("client", self.size.clients),
            disks=bool(self.disks) and all(disk.mounted for disk in self.disks.values()),
        )

    @property
    def agents(self) -> tuple[str, ...]:
        """The managers and workers."""
        return self.cast.managers + self.cast.workers

    async def start(self) -> None:
        """Starts everything, and returns when every manager and worker has attached."""
        await self.postgres.start()
        for name in self.cast.coordinators:
            await self._start_coordinator(name)
        for name in self.agents + self.cast.clients:
            self.links[name] = Link([_address(grpc) for grpc in self._grpc])
            await self.links[name].start()
        async with self.client(0) as client:
            for name in self.cast.managers:
                await self._register_manager(client, name)
            for name in self.cast.workers:
                await self._register_worker(client, name)
            for name in self.agents:
                self.parts[name].start()
            for name in self.agents:
                await self.wait_attached(name)

    async def stop(self) -> dict[str, int]:
        """Asks everything to end, agents first, and returns the exit codes. PostgreSQL stays, for whoever looks."""
        codes = await self._stop_parts(self.agents)
        return codes | await self._stop_parts(self.cast.coordinators)

    async def close(self) -> None:
        """Takes away what `stop` left, whatever happened before."""
        for link in self.links.values():
            await link.close()
        await self.postgres.stop()
        for disk in self.disks.values():
            disk.unmount()

    def client(self, number: int) -> AsyncClient:
        """Returns a new client, as administrator, through one of the clients' links."""
        address = self.links[f"client-{number + 1}"].address
        return AsyncClient(address, token=self._token, timeout=_CALL_SECONDS, retry=_PATIENCE)

    async def wait_attached(self, name: str, seconds: float = _START_SECONDS) -> None:
        """Waits until a coordinator has taken a manager or worker in."""
        part = self.parts[name]
        await until(lambda: "attached" in part.output() or not part.runs, seconds=seconds, what=name)
        assert part.runs, part.output()

    def output(self) -> str:
        """Returns the ends of all logs, for a run that failed."""
        return "\n".join(f"--- {part.name}\n{part.output()[-_SHOWN_CHARACTERS:]}" for part in self.parts.values())

    def _names(self, kind: str, count: int) -> tuple[str, ...]:
        return tuple(f"{kind}-{number}" for number in range(1, count + 1))

    async def _stop_parts(self, names: Iterable[str]) -> dict[str, int]:
        running = [self.parts[name] for name in names if self.parts[name].runs]
        codes = await asyncio.gather(*(asyncio.to_thread(part.stop) for part in running))
        return {part.name: code for part, code in zip(running, codes, strict=True)}

    async def _start_coordinator(self, name: str) -> None:
        layout = Layout(self.box.root / name)
        layout.root.mkdir()
        part = ClockedPart(name, "mitosis_coordinator", ["--config", str(layout.coordinator_config)], self.box)
        self.parts[name] = part
        self._write_coordinator(layout, Ports(0, 0, 0))
        part.start()
        await until(lambda: layout.ready_file.exists() or not part.runs, seconds=_START_SECONDS, what=name)
        assert part.runs, part.output()
        ready = json.loads(layout.ready_file.read_text())
        # It is to come back where it was.
        ports = Ports(*(_address(ready[key].removeprefix("http://").partition("/")[0])[1] for key in _ADDRESSES))
        self._write_coordinator(layout, ports)
        self._grpc.append(ready["grpc"])
        self._http = self._http or ready["http"]
        self._token = self._token or ready["token"]

    def _write_coordinator(self, layout: Layout, ports: Ports) -> None:
        config: dict[str, Any] = coordinator_config(layout, ports)
        config["database"] = {"url": self.postgres.url, "pool_size": _POOL_SIZE}
        config["stream"] = {
            "heartbeat_interval_seconds": self.timing.heartbeat_interval_seconds,
            "heartbeat_timeout_seconds": self.timing.heartbeat_timeout_seconds,
        }
        write_private(layout.coordinator_config, yaml.safe_dump(config))

    async def _register_manager(self, client: AsyncClient, name: str) -> None:
        files = self.layout.manager(len(self.disks) + 1)
        granted = await client.register_manager(name, group_memberships=[{"group_name": GROUP, "role": "Worker"}])
        write_private(files.token, granted.token + "\n")
        config: dict[str, Any] = manager_config(files, self.size.threads, self._http, self.links[name].address)
        config["manager"].update(drain_grace_seconds=2.0, stop_grace_seconds=1.0)
        write_private(files.config, yaml.safe_dump(config))
        disk = SmallDisk(Path(config["manager"]["data_dir"]))
        disk.mount()
        self.disks[name] = disk
        arguments = ["--config", str(files.config), "--token-file", str(files.token), "--allow-several"]
        self.parts[name] = ClockedPart(name, "mitosis_nodemgr", arguments, self.box)
        self.parts[name].uuid = granted.manager.uuid

    async def _register_worker(self, client: AsyncClient, name: str) -> None:
        folder = self.box.root / name
        granted = await client.register_worker(name, group_names=[GROUP])
        write_private(folder / "token", granted.token + "\n")
        config = {
            "coordinator": {"url": self._http, "stream_url": f"grpc://{self.links[name].address}"},
            "worker": {"drain_grace_seconds": 2.0, "stop_grace_seconds": 1.0},
        }
        write_private(folder / "config.yaml", yaml.safe_dump(config))
        arguments = ["--config", str(folder / "config.yaml"), "--token-file", str(folder / "token")]
        self.parts[name] = ClockedPart(name, "mitosis_worker", arguments, self.box)
        self.parts[name].uuid = granted.worker.uuid


# As in `Ports`.
_ADDRESSES = ("grpc", "http", "metrics")


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


@contextlib.asynccontextmanager
async def deployed(box: Sandbox, size: Size, timing: Timing) -> AsyncIterator[Deployment]:
    """Runs a deployment; whoever wants to know how its parts end stops it."""
    deployment = Deployment(box, size, timing)
    try:
        await deployment.start()
        yield deployment
    finally:
        box.kill_leftovers()
        await deployment.close()
