"""Starts a whole Mitosis on this machine, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from mitosis_client.aio.client import AsyncClient
from mitosis_client.connection import Connection, write_private
from mitosis_client.errors import MitosisError
from mitosis_client.local import machine
from mitosis_client.local.child import Child
from mitosis_client.local.errors import LocalError
from mitosis_client.local.layout import (
    COORDINATOR_GRACE_SECONDS,
    GROUP,
    MANAGER_GRACE_SECONDS,
    Config,
    Layout,
    ManagerLayout,
    Options,
    Ports,
    coordinator_config,
    manager_config,
)
from mitosis_client.local.tokens import is_fresh
from mitosis_client.models import ManagerState
from mitosis_common.backoff import Backoff
from mitosis_common.processes import describe_exit

READY_SECONDS = 90.0
_POLL_SECONDS = 0.05
_STABLE_SECONDS = 30.0
# Ends in a row, each soon after its start, after which another start would only end the same way.
_MAX_ENDS = 8
_UNAVAILABLE = 5


class Supervisor:
    """An embedded PostgreSQL with its coordinator, and the managers, as children of this process.

    Use it as an asynchronous context manager, on the main thread: inside, everything is up and `connection` says where.
    A child that ends by itself is started again with back-off. `report` gets a line for each thing that happens.
    """

    def __init__(self, options: Options, report: Callable[[str], None]) -> None:
        self._options = options
        self._report = report
        self.layout = Layout(options.data_dir.absolute())
        self._ports = options.ports
        self._coordinator = Child(
            "coordinator",
            [
                sys.executable,
                "-m",
                "mitosis_coordinator",
                "--config",
                str(self.layout.coordinator_config),
                "--die-with-parent",
            ],
            self.layout.logs / "coordinator.log",
        )
        self._managers: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._exit = contextlib.ExitStack()
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """Where the coordinator is, once everything is up."""
        if self._connection is None:
            raise RuntimeError("the coordinator is not up")
        return self._connection

    def manager_metrics(self) -> list[str]:
        """Where the metrics of each manager are; none of one that does not run at the moment."""
        urls: list[str] = []
        for number in range(1, self._options.managers + 1):
            with contextlib.suppress(OSError, ValueError):
                [group] = json.loads(self.layout.manager(number).metrics.read_text(encoding="utf-8"))
                urls += [f"http://{target}{group['labels']['__metrics_path__']}" for target in group["targets"]]
        return urls

    async def __aenter__(self) -> Self:
        machine.require_parts()
        try:
            self.layout.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalError(f"--data-dir {self.layout.root} cannot be created: {error.strerror}", 2) from None
        self._exit.enter_context(machine.locked(self.layout.lock))
        try:
            machine.require_free(self._ports)
            self.layout.connection.unlink(missing_ok=True)
            await self._start_coordinator()
            await self._start_managers()
            self.connection.write(self.layout.connection)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def wait_failed(self) -> None:
        """Returns never, or raises what ended the supervision of a child."""
        await asyncio.gather(*self._keepers)

    def kill(self) -> None:
        """Kills all children now, for somebody who does not want to wait for an orderly end."""
        for keeper in self._keepers:
            keeper.cancel()
        for child in [*self._managers, self._coordinator]:
            child.kill()

    async def _start_coordinator(self) -> None:
        self._coordinator.keep_old_log()
        await self._run_coordinator()
        # From now on the ports are fixed: a coordinator that is started again must be found where it was.
        grpc, http, metrics = (
            int(address.rpartition(":")[2].partition("/")[0])
            for address in (self.connection.grpc, self.connection.http, self.connection.metrics)
        )
        self._ports = Ports(grpc, http, metrics)
        self._report(f"Coordinator is up: gRPC {self.connection.grpc}, REST {self.connection.http}")
        self._keep(self._coordinator, self._run_coordinator)

    async def _run_coordinator(self) -> None:
        _write_config(
            self.layout.coordinator_config, coordinator_config(self.layout, self._ports, self._options.coordinators)
        )
        self.layout.ready_file.unlink(missing_ok=True)
        await self._coordinator.start()
        await self._until(self._coordinator, self._coordinator_is_ready)

    async def _coordinator_is_ready(self) -> bool:
        try:
            document = json.loads(self.layout.ready_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        self._connection = Connection(
            grpc=document["grpc"],
            http=document["http"],
            metrics=document.get("metrics") or "",
            username=document["username"],
            token=document["token"],
            source=str(self.layout.connection),
        )
        if self.layout.connection.exists():
            self._connection.write(self.layout.connection)
        return True

    async def _start_managers(self) -> None:
        async with self.connection.async_client() as client:
            numbers = range(1, self._options.managers + 1)
            starts = [self._start_manager(client, self.layout.manager(number)) for number in numbers]
            # All are waited for even when one fails: a start still under way would race with the stop.
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _start_manager(self, client: AsyncClient, files: ManagerLayout) -> None:
        uuid = await _register(client, files)
        child = Child(
            f"manager {files.name}",
            _command("mitosis_nodemgr", files.config, "--token-file", str(files.token), "--allow-several"),
            self.layout.logs / f"manager-{files.name}.log",
        )
        child.keep_old_log()
        self._managers.append(child)

        async def run() -> None:
            config = manager_config(files, self._options.workers, self.connection.http, self.connection.grpc)
            _write_config(files.config, config)
            await child.start()

        async def is_connected() -> bool:
            return (await client.get_manager(uuid)).state is not ManagerState.OFFLINE

        await run()
        await self._until(child, is_connected)
        self._report(f"Manager {files.name} is up with {self._options.workers} workers")
        self._keep(child, run)

    async def _until(self, child: Child, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Waits until a child is ready; a child that ends before that, or takes too long, is an error."""
        ended = asyncio.create_task(child.wait())
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await is_ready():
                    await asyncio.wait([ended], timeout=_POLL_SECONDS)
                    if ended.done():
                        raise LocalError(
                            _with_log(child, f"{child.name} did not start: {describe_exit(ended.result())}")
                        )
        except TimeoutError:
            raise LocalError(_with_log(child, f"{child.name} was not ready within {READY_SECONDS:.0f} s")) from None
        finally:
            ended.cancel()

    def _keep(self, child: Child, run: Callable[[], Awaitable[None]]) -> None:
        self._keepers.append(asyncio.create_task(self._restart(child, run), name=f"keep {child.name}"))

    async def _restart(self, child: Child, run: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(0.2, 10.0)
        while True:
            started = time.monotonic()
            returncode = await child.wait()
            if time.monotonic() - started > _STABLE_SECONDS:
                backoff.reset()
            delay = next(backoff)
            if backoff.failures > _MAX_ENDS:
                times = f"{backoff.failures} times in a row"
                raise LocalError(_with_log(child, f"{child.name} ended {times} ({describe_exit(returncode)})"))
            why = "" if returncode == 0 else f"; why: {child.old_log}"
            self._report(f"{child.name} ended ({describe_exit(returncode)}{why}); starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
            try:
                await run()
            except LocalError as error:
                self._report(str(error))
                child.kill()
            else:
                self._report(f"{child.name} runs again")

    async def _stop(self) -> None:
        """Ends the managers, then the coordinator, so that the managers can hand back what they hold."""
        try:
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            with contextlib.suppress(FileNotFoundError):
                self.layout.connection.unlink()
            if self._managers:
                self._report("Stopping the managers")
            ended = await asyncio.gather(*(manager.stop(MANAGER_GRACE_SECONDS) for manager in self._managers))
            if self._coordinator.pid is not None:
                self._report("Stopping the coordinator and its database")
            ended.append(await self._coordinator.stop(COORDINATOR_GRACE_SECONDS))
            for child, orderly in zip([*self._managers, self._coordinator], ended, strict=True):
                if not orderly:
                    self._report(f"{child.name} did not end in time and was killed; its log is {child.log}")
        finally:
            self.kill()
            # A manager that was killed has left some, and its next start may never be.
            machine.remove_shared_memory(self.layout.ipc_prefix)
            self.layout.ready_file.unlink(missing_ok=True)
            self._exit.close()


async def _register(client: AsyncClient, files: ManagerLayout) -> str:
    """Returns the UUID of a manager that has a token, registering it at the first start."""
    files.root.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if is_fresh(files.token.read_text(encoding="utf-8").strip()):
            return files.uuid.read_text(encoding="utf-8").strip()
    memberships = [{"group_name": GROUP, "role": "Worker"}, {"group_name": GROUP, "role": "Admin"}]
    try:
        # The same request at every start gets the same manager with a new token, whatever became of the files.
        granted = await client.register_manager(
            files.name,
            group_memberships=memberships,
            request_id=f"mitosis-up-{files.name}",
        )
    except MitosisError as error:
        raise LocalError(f"manager {files.name} cannot be registered: {error.message}", _UNAVAILABLE) from None
    write_private(files.token, granted.token + "\n")
    write_private(files.uuid, granted.manager.uuid + "\n")
    return granted.manager.uuid


def _write_config(path: Path, config: Config) -> None:
    write_private(path, yaml.safe_dump(config, sort_keys=False))


def _command(module: str, config: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", module, "--config", str(config), *flags, "--die-with-parent"]


def _with_log(child: Child, message: str) -> str:
    tail = child.log_tail()
    return f"{message}; the end of {child.log}:\n{tail}" if tail else f"{message}; its log {child.log} is empty"
