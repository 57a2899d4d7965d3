"""Does to a deployment what the schedule says, and undoes it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import psutil
import structlog

from tests.chaos.deployment import Deployment
from tests.chaos.schedule import Fault, Kind, owner_of

_log = structlog.get_logger(__name__)

_HOURS = 3600.0
_NO_DATABASE = "mitosis-coordinator: the database does not answer"
# A process that is younger may still be importing.
_READY_SECONDS = 10.0


class Injector:
    """Strikes and heals; what it has done is counted, and so is what ended without being struck."""

    def __init__(self, deployment: Deployment) -> None:
        self.struck: Counter[Kind] = Counter()
        self.died: list[str] = []
        self.ended_badly: list[str] = []
        self.mended = 0
        self._deployment = deployment

    async def perform(self, faults: Sequence[Fault]) -> None:
        """Strikes at the time of each fault, and returns when all have ended."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                self.look_after()
                group.create_task(self._strike(fault))
        self.look_after()

    def look_after(self) -> None:
        """Starts again what ended by itself, which nothing should, and takes it down."""
        for part in self._deployment.parts.values():
            if part.wanted and not part.runs:
                last = part.output()[-600:]
                # A coordinator refuses to start without its database, and is started again by its supervisor.
                if _NO_DATABASE not in last:
                    self.died.append(f"{part.name} ended by itself: {last}")
                part.start()

    async def mend(self, managers: Iterable[str]) -> None:
        """Restarts managers that are in quarantine, as their operator would once the disk has room again."""
        for name in managers:
            await self._restart(name, 0.0)
            self.mended += 1

    async def _strike(self, fault: Fault) -> None:
        strike = {
            Kind.KILL: self._kill,
            Kind.TERMINATE: self._terminate,
            Kind.PAUSE: self._pause,
            Kind.CUT: self._cut,
            Kind.STALL: self._stall,
            Kind.HALF_OPEN: self._half_open,
            Kind.DATABASE_RESTART: self._restart_database,
            Kind.DATABASE_PAUSE: self._pause_database,
            Kind.FULL_DISK: self._fill_disk,
            Kind.CLOCK_JUMP: self._jump,
        }[fault.kind]
        # Neither a worker of a manager without a suite nor a process that takes its time to end is there to be struck.
        part = self._deployment.parts.get(owner_of(fault.target))
        done = (part is None or (part.wanted and part.runs)) and await strike(fault)
        if done:
            self.struck[fault.kind] += 1
        _log.info("fault", fault=str(fault), struck=done)

    async def _kill(self, fault: Fault) -> bool:
        if fault.target != owner_of(fault.target):
            worker = self._worker(fault)
            return worker is not None and _signal([worker], signal.SIGKILL)
        part = self._deployment.parts[fault.target]
        part.wanted = False
        await asyncio.to_thread(part.kill)
        await asyncio.sleep(fault.seconds)
        part.start()
        part.wanted = True
        return True

    async def _terminate(self, fault: Fault) -> bool:
        await self._restart(fault.target, fault.seconds)
        return True

    async def _restart(self, name: str, seconds: float) -> None:
        part = self._deployment.parts[name]
        part.wanted = False
        # Whoever is told to end before it is ready to hear that ends all the same.
        accepted = {0} if part.age_seconds > _READY_SECONDS else {0, -signal.SIGTERM}
        try:
            code = await asyncio.to_thread(part.stop)
        except AssertionError:
            self.ended_badly.append(f"{name} did not end after SIGTERM")
            await asyncio.to_thread(part.kill)
        else:
            if code not in accepted:
                self.ended_badly.append(f"{name} ended with {code} after SIGTERM: {part.output()[-600:]}")
        await asyncio.sleep(seconds)
        part.start()
        part.wanted = True

    async def _pause(self, fault: Fault) -> bool:
        if fault.target != owner_of(fault.target):
            worker = self._worker(fault)
            return worker is not None and await self._pause_all([worker], fault.seconds)
        return await self._pause_all([psutil.Process(self._deployment.parts[fault.target].pid)], fault.seconds)

    async def _cut(self, fault: Fault) -> bool:
        link = self._deployment.links[fault.target]
        await link.cut()
        await asyncio.sleep(fault.seconds)
        await link.heal()
        return True

    async def _stall(self, fault: Fault) -> bool:
        link = self._deployment.links[fault.target]
        link.stall()
        await asyncio.sleep(fault.seconds)
        await link.heal()
        return True

    async def _half_open(self, fault: Fault) -> bool:
        link = self._deployment.links[fault.target]
        link.swallow()
        await asyncio.sleep(fault.seconds)
        await link.heal()
        return True

    async def _restart_database(self, fault: Fault) -> bool:
        server = self._server()
        if server is None:
            return False
        _signal([server], signal.SIGQUIT)
        await asyncio.sleep(fault.seconds)
        return True

    async def _pause_database(self, fault: Fault) -> bool:
        server = self._server()
        if server is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return await self._pause_all([server, *server.children(recursive=True)], fault.seconds)
        return False

    async def _fill_disk(self, fault: Fault) -> bool:
        disk = self._deployment.disks[fault.target]
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(fault.seconds)
        disk.empty()
        return True

    async def _jump(self, fault: Fault) -> bool:
        part = self._deployment.parts[fault.target]
        # As often into the past as into the future; which of both is told by the schedule alone.
        hours = (fault.at % 1 - 0.5) * 12
        part.set_clock(hours * _HOURS)
        await asyncio.sleep(fault.seconds)
        part.set_clock(0.0)
        return True

    def _server(self) -> psutil.Process | None:
        """PostgreSQL's first process, unless it is being started again."""
        pid = self._deployment.postgres.postmaster_pid
        with contextlib.suppress(psutil.NoSuchProcess):
            return None if pid is None else psutil.Process(pid)
        return None

    def _worker(self, fault: Fault) -> psutil.Process | None:
        children = self._deployment.parts[owner_of(fault.target)].children("mitosis_worker")
        return children[int(fault.at * 1000) % len(children)] if children else None

    async def _pause_all(self, processes: Sequence[psutil.Process], seconds: float) -> bool:
        if not _signal(processes, signal.SIGSTOP):
            return False
        try:
            await asyncio.sleep(seconds)
        finally:
            _signal(processes, signal.SIGCONT)
        return True


def _signal(processes: Sequence[psutil.Process], signum: signal.Signals) -> bool:
    """Signals those that are still there; tells whether any was. psutil does not take another's id for theirs."""
    any_there = False
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)
            any_there = True
    return any_there
