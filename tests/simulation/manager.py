"""One simulated machine: a manager's real driver, restarted and killed, with simulated workers and hooks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from mitosis.v1 import hook_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_journal import ReportJournal
from mitosis_common.token_file import Token
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.config import ManagerConfig
from mitosis_nodemgr.driver import Driver
from mitosis_nodemgr.environment import Environment
from mitosis_nodemgr.events import LeaveRequested
from mitosis_nodemgr.hooks import HookContext
from mitosis_nodemgr.intents import IntentStore
from mitosis_nodemgr.pool import Launch
from mitosis_nodemgr.recovery import take_over
from mitosis_nodemgr.respawn import RespawnPolicy
from mitosis_nodemgr.task_book import timestamp
from tests.simulation.clock import EPOCH, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.observer import Observer
from tests.simulation.workers import Machine

_EPOCH_SECONDS = EPOCH.timestamp()
COORDINATORS = ("c0", "c1")
"""The names that managers know; the second may never be there."""


@dataclass(frozen=True)
class SimulatedEnvironment:
    """Stands in for `Environment`: this process and its machine, without any real process."""

    config: ManagerConfig
    session_uuid: str
    machine: Machine
    mark: str = "simulated"

    @property
    def policy(self) -> RespawnPolicy:
        return RespawnPolicy()

    def domain(self, manager_uuid: str) -> Machine:
        return self.machine

    def launch(self, suite: stream.SuiteAssigned, manager_uuid: str) -> Launch:
        return cast(Launch, self.machine)

    def bind(self, suite: stream.SuiteAssigned, worker_count: int) -> list[frozenset[int]]:
        return [frozenset({0})] * worker_count

    def hook_context(self, suite: stream.SuiteAssigned, manager_uuid: str) -> HookContext:
        environment = {"machine": self.machine}
        return HookContext(suite.assignment_id, suite.suite_uuid, "", "", 1, manager_uuid,
                           cast(Any, environment), 300.0, 1.0, 1024)  # fmt: skip


class SimulatedHook:
    """Stands in for `Hook`: its command says how long it takes and how likely it fails."""

    def __init__(
        self,
        spec: hook_pb2.EnvHookSpec,
        hook_type: hook_pb2.HookType,
        context: HookContext,
        on_start: Callable[[ProcessId], None],
    ) -> None:
        self._spec = spec
        self._type = hook_type
        self._context = context
        self._machine = cast(Machine, context.environment["machine"])
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> stream.HookReport:
        seconds, chance = (float(word) for word in self._spec.args)
        report = stream.HookReport(
            assignment_id=self._context.assignment_id,
            hook_type=self._type,
            started_at=timestamp(_EPOCH_SECONDS + self._machine.loop.time()),
        )
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            failed = self._machine.rng.random() < chance
            report.result = hook_pb2.HOOK_RESULT_FAILURE if failed else hook_pb2.HOOK_RESULT_SUCCESS
            report.exit_code = int(failed)
        else:
            report.result = hook_pb2.HOOK_RESULT_CANCELLED
        report.duration_seconds = seconds
        return report


class SimulatedToken:
    """Stands in for `Token`."""

    metadata = ()

    def reload(self) -> None:
        """It is always good."""


class SimulatedManager:
    """A machine on which at most one manager process runs at a time. `disk` is a directory of its own."""

    def __init__(
        self,
        name: str,
        workers: int,
        loop: SimulatedLoop,
        network: Network,
        observer: Observer,
        rng: random.Random,
        disk: Path,
    ) -> None:
        self.name = name
        self.driver: Driver | None = None
        self._workers = workers
        self._loop = loop
        self._network = network
        self._observer = observer
        self._rng = rng
        self._intents = IntentStore(disk)
        self._disk = disk
        self._incarnations = 0
        self._machine: Machine | None = None
        self._life: asyncio.Task[int] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._life is not None and not self._life.done()

    @property
    def is_quiet(self) -> bool:
        """Whether it holds nothing: no suite, no task, no report, no worker."""
        assert self.driver is not None
        attach = self.driver.attach()
        return self.is_running and not attach.assignment_id and not attach.held_tasks and not self.workers_alive

    @property
    def workers_alive(self) -> int:
        """The worker processes of this machine."""
        return 0 if self._machine is None else len(self._machine.workers)

    def start(self) -> None:
        """Start a process."""
        if self.is_running:
            return
        self._incarnations += 1
        process = f"{self.name}#{self._incarnations}"
        self._machine = Machine(self._loop, self._rng, self._observer, process)
        session_uuid = str(UUID(int=self._rng.getrandbits(128), version=4))
        environment = SimulatedEnvironment(_config(self.name, self._workers), session_uuid, self._machine)
        self._journal = ReportJournal(self._disk, clock=self._loop.time)
        inheritance = take_over(cast(Environment, environment), self._intents, self._journal)
        self.driver = Driver(
            cast(Environment, environment),
            cast(Token, SimulatedToken()),
            self._intents,
            self._journal,
            inheritance,
        )
        self._life = self._loop.create_task(self.driver.run())
        self._life.add_done_callback(lambda life: self._over(life, process))

    def leave(self) -> None:
        """SIGTERM."""
        if self.is_running and self.driver is not None:
            self.driver.post(LeaveRequested(graceful=True))

    def kill(self) -> None:
        """SIGKILL: the kernel ends its workers with it."""
        if self._life is None or self._machine is None or not self.is_running:
            return
        for call in self._network.calls_of(manager=self.name):
            call.manager_died()
        for worker in list(self._machine.workers.values()):
            worker.vanish()
        self._machine.workers.clear()
        self._life.cancel()

    def _over(self, life: asyncio.Task[int], process: str) -> None:
        # The kernel closes files, however a process ends.
        self._journal.close()
        if not life.cancelled() and (failure := life.exception()) is not None:
            self._observer.failed(process, failure)


@cache
def _config(name: str, workers: int) -> ManagerConfig:
    """A manager's configuration, made once: a thousand runs need the same few."""
    addresses = [f"grpc://{name}.{coordinator}:1" for coordinator in COORDINATORS]
    return ManagerConfig.model_validate(
        {
            "coordinator": {"stream_url": addresses, "token_file": "/nowhere", "insecure": True},
            "manager": {
                "name": name,
                "max_workers": workers,
                "runtime_dir": "/nowhere",
                "data_dir": "/nowhere",
                "drain_grace_seconds": 3,
                "stop_grace_seconds": 1,
            },
        }
    )


def task_spec(seconds: float, ending: str) -> bytes:
    """A task as simulated workers understand it."""
    return task_pb2.TaskSpec(args=[f"{seconds:.3f}", ending]).SerializeToString()


def end_nothing(*_: object) -> int:
    """Stands in for what ends real processes and removes real shared memory; how many there were."""
    return 0
