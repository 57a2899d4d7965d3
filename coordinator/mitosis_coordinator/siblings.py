"""The other processes of one coordinator: they share its ports and its database, and end with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from mitosis_common.backoff import Backoff
from mitosis_common.processes import describe_exit
from mitosis_coordinator.config import CoordinatorConfig

log = structlog.get_logger(__name__)

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_STABLE_SECONDS = 30.0


class SiblingError(Exception):
    """A process of the coordinator did not start; its log says why."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the first process found out and the others are told."""

    database_url: str
    grpc_port: int
    http_port: int
    pool_size: int


def environment(config: CoordinatorConfig, shared: Shared, number: int) -> dict[str, str]:
    """What process `number`, counted from 1, is told beside the configuration; the first process is number 0.

    It goes by the environment, which only the owner can read, because the database's URL holds a password.
    """
    return {
        "DATABASE_URL": shared.database_url,
        "MITOSIS_DATABASE__POOL_SIZE": str(shared.pool_size),
        "MITOSIS_DATABASE__MAX_CONNECTIONS": str(config.connections_per_process),
        "MITOSIS_SERVER__WORKERS": "1",
        "MITOSIS_SERVER__REUSE_PORT": "true",
        "MITOSIS_SERVER__PORT": str(shared.http_port),
        "MITOSIS_SERVER__GRPC_PORT": str(shared.grpc_port),
        "MITOSIS_SERVER__READY_FILE": str(_ready_file(config, number)),
        "MITOSIS_METRICS__PORT": str(config.metrics.port and config.metrics.port + number),
        "MITOSIS_AUTH__ISSUE_READY_TOKEN": "false",
    }


class Siblings:
    """Starts the other processes, starts them again when they end, and ends them.

    Args:
        config: The first process's configuration; `server.workers` counts that process too.
        config_file: Where the others read theirs, None when all of it is in the environment.
        changed: Called when one of them is another process than before.
    """

    def __init__(self, config: CoordinatorConfig, config_file: Path | None, changed: Callable[[], None]) -> None:
        self._config = config
        self._command = [sys.executable, "-m", "mitosis_coordinator", "--die-with-parent"]
        if config_file is not None:
            self._command += ["--config", str(config_file)]
        self._changed = changed
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ready: dict[int, Mapping[str, object]] = {}
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> list[Mapping[str, object]]:
        """What each of them says of itself: `pid`, and `metrics`, the address of its metrics."""
        return [self._ready[number] for number in sorted(self._ready)]

    async def start(self, shared: Shared) -> None:
        """Start all of them, told what is shared, and return when each of them serves.

        Raises:
            SiblingError: One did not.
        """
        numbers = range(1, self._config.server.workers)
        _ready_file(self._config, 0).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for outcome in await asyncio.gather(*(self._run(shared, number) for number in numbers), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        self._keepers = [
            asyncio.create_task(self._keep(shared, number), name=f"process {number}") for number in numbers
        ]

    async def terminate(self) -> None:
        """Have all of them drain and end, and start none again."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for process in self._running():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until all of them have ended; those that have not when this is cancelled are killed."""
        try:
            await asyncio.gather(*(process.wait() for process in self._running()))
        finally:
            for process in self._running():
                log.warning("process_killed", pid=process.pid)
                process.kill()
            for number in range(1, self._config.server.workers):
                _ready_file(self._config, number).unlink(missing_ok=True)

    def _running(self) -> list[asyncio.subprocess.Process]:
        return [process for process in self._processes.values() if process.returncode is None]

    async def _keep(self, shared: Shared, number: int) -> None:
        backoff = Backoff(0.2, 10.0)
        while True:
            process, started = self._processes[number], time.monotonic()
            returncode = await process.wait()
            if time.monotonic() - started > _STABLE_SECONDS:
                backoff.reset()
            delay = next(backoff)
            log.error("process_died", pid=process.pid, reason=describe_exit(returncode), restart_in=round(delay, 2))
            await asyncio.sleep(delay)
            try:
                await self._run(shared, number)
            except SiblingError as error:
                log.error("process_not_restarted", error=str(error), failures=backoff.failures)
            else:
                self._changed()

    async def _run(self, shared: Shared, number: int) -> None:
        """Start one, and return when it serves."""
        ready_file = _ready_file(self._config, number)
        ready_file.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, **environment(self._config, shared, number)},
            stdin=asyncio.subprocess.DEVNULL,
            # Its own group: an interrupt at the terminal is for the first process, which ends the others in order.
            process_group=0,
        )
        self._processes[number] = process
        deadline = time.monotonic() + _READY_SECONDS
        while not ready_file.exists():
            if process.returncode is not None:
                raise SiblingError(f"process {number} did not start: {describe_exit(process.returncode)}")
            if time.monotonic() > deadline:
                process.kill()
                raise SiblingError(f"process {number} did not serve within {_READY_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)
        document = json.loads(ready_file.read_text(encoding="utf-8"))
        self._ready[number] = {key: document[key] for key in ("pid", "metrics") if key in document}
        log.info("process_serves", pid=process.pid)


def _ready_file(config: CoordinatorConfig, number: int) -> Path:
    return config.server.data_dir / "processes" / f"{number}.json"
