"""Simulated worker processes: what stands in for shared memory and for processes below a manager."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis.v1 import task_pb2
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.ipc import Exchange
from mitosis_nodemgr.pool import Ended
from mitosis_nodemgr.supervision import Running
from mitosis_nodemgr.task_book import timestamp
from tests.simulation.clock import EPOCH, SimulatedLoop
from tests.simulation.observer import Observer

_HOP_SECONDS = 0.002
_EPOCH_SECONDS = EPOCH.timestamp()


@dataclass(eq=False)
class Machine:
    """What the processes of one manager have in common. Passed to the driver as domain and as launch."""

    loop: SimulatedLoop
    rng: random.Random
    observer: Observer
    # Names the manager's process, so that one that was started again is told from the one before.
    process: str
    server: Server | None = None
    workers: dict[int, Worker] = field(default_factory=dict)
    pids: itertools.count[int] = field(default_factory=lambda: itertools.count(100))
    prefix: str = "simulated"

    def hop(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something a moment later, as another thread or process would."""
        self.loop.call_later(self.rng.uniform(0, _HOP_SECONDS), act, *arguments)


class Server:
    """Stands in for `IpcServer`: the workers' requests and the manager's orders."""

    def __init__(
        self, domain: Machine, exchange: Exchange, max_workers: int, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._machine = domain
        self._exchange = exchange
        self._parked: dict[tuple[int, int], asyncio.Future[ipc.WorkerResponse]] = {}
        self._stopped = False
        domain.server = self

    def start(self) -> None:
        """Nothing has to be made."""

    def stop(self) -> None:
        self._stopped = True

    def wake(self) -> None:
        self._machine.hop(self._unpark)

    def control(self, order: ipc.WorkerControl) -> None:
        for worker in list(self._machine.workers.values()):
            if order.worker_index in (-1, worker.index):
                self._machine.hop(worker.ordered, order)

    def forget(self, worker_index: int, pid: int, done: Callable[[], None]) -> None:
        def command() -> None:
            self._parked.pop((worker_index, pid), None)
            done()

        self._machine.hop(command)

    async def request(self, request: ipc.WorkerRequest) -> ipc.WorkerResponse:
        """A worker's request, answered when there is work."""
        await asyncio.sleep(self._machine.rng.uniform(0, _HOP_SECONDS))
        if self._stopped:
            return ipc.WorkerResponse(leave=True)
        response = self._exchange.exchange(request)
        self._machine.observer.handed_over(self._machine.process, request.reports)
        if response is not None:
            return response
        parked: asyncio.Future[ipc.WorkerResponse] = self._machine.loop.create_future()
        self._parked[request.worker_index, request.pid] = parked
        return await parked

    def _unpark(self) -> None:
        for (index, pid), parked in list(self._parked.items()):
            response = None if self._stopped else self._exchange.unpark(index, pid)
            if response is not None:
                del self._parked[index, pid]
                if not parked.done():
                    parked.set_result(response)


class Pool:
    """Stands in for `Pool`: simulated processes by worker index."""

    def __init__(
        self, launch: Machine, on_spawned: Callable[[int, ProcessId], None], on_ended: Callable[[Ended], None]
    ) -> None:
        self._machine = launch
        self._on_spawned = on_spawned
        self._on_ended = on_ended

    def __len__(self) -> int:
        return len(self._machine.workers)

    def __contains__(self, worker: int) -> bool:
        return worker in self._machine.workers

    @property
    def indices(self) -> list[int]:
        return sorted(self._machine.workers)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._machine.workers.values()]

    def spawn(self, index: int, cores: Collection[int]) -> None:
        worker = Worker(self._machine, index, next(self._machine.pids), self._bury)
        self._machine.workers[index] = worker
        self._on_spawned(index, ProcessId(worker.pid, 1))

    def pin(self, index: int, cores: Collection[int]) -> None:
        """There are no cores."""

    def running(self, index: int) -> Running | None:
        worker = self._machine.workers.get(index)
        return None if worker is None else worker.running

    def terminate(self, index: int) -> None:
        worker = self._machine.workers.get(index)
        if worker is not None:
            worker.wanted = True
            self._machine.hop(worker.ordered, ipc.WorkerControl(leave=ipc.WorkerControl.Leave()))

    def kill(self, index: int) -> None:
        worker = self._machine.workers.get(index)
        if worker is not None:
            worker.wanted = True
            worker.die(-9)

    def _bury(self, worker: Worker, returncode: int) -> None:
        if self._machine.workers.get(worker.index) is worker:
            del self._machine.workers[worker.index]
        death = Death(returncode, wanted=worker.wanted)
        running = None if worker.running is None else worker.running.ordinal
        self._on_ended(Ended(worker.index, worker.pid, death, running))


class Worker:
    """One worker process: it fetches, runs what a task's arguments say, and reports with its next fetch."""

    def __init__(self, machine: Machine, index: int, pid: int, on_ended: Callable[[Worker, int], None]) -> None:
        self.index = index
        self.pid = pid
        self.wanted = False
        self.running: Running | None = None
        self._machine = machine
        self._ended = on_ended
        self._returncode = 0
        self._leaving = asyncio.Event()
        self._stopped: set[tuple[str, int]] = set()
        self._current: tuple[str, int] | None = None
        self._interrupted = asyncio.Event()
        self._ordinal = 0
        self._life = machine.loop.create_task(self._live())
        self._life.add_done_callback(self._over)

    def die(self, returncode: int) -> None:
        """End as by a signal."""
        self._returncode = returncode
        self._life.cancel()

    def vanish(self) -> None:
        """End with the manager, with nobody left to be told."""
        self._life.remove_done_callback(self._over)
        self._life.cancel()

    def ordered(self, order: ipc.WorkerControl) -> None:
        """The manager says something outside of an answer."""
        if order.HasField("leave"):
            self._leaving.set()
        else:
            key = order.cancel_task.task_uuid, order.cancel_task.attempt
            self._stopped.add(key)
            if key == self._current:
                self._interrupted.set()

    def _over(self, life: asyncio.Task[None]) -> None:
        if not life.cancelled() and (failure := life.exception()) is not None:
            self._machine.observer.failed(f"worker of {self._machine.process}", failure)
        self._ended(self, self._returncode)

    async def _live(self) -> None:
        await asyncio.sleep(self._machine.rng.uniform(0.01, 0.2))
        reports: list[ipc.WorkerReport] = []
        while True:
            response = await self._exchange(reports)
            if response is None or response.leave:
                return
            reports = [await self._run(task) for task in response.tasks]

    async def _exchange(self, reports: list[ipc.WorkerReport]) -> ipc.WorkerResponse | None:
        """Report and fetch; None when the worker is to leave, with its reports told."""
        server = self._machine.server
        assert server is not None
        if not self._leaving.is_set():
            fetch = ipc.WorkerRequest(worker_index=self.index, pid=self.pid, reports=reports, fetch=True)
            asked = asyncio.ensure_future(server.request(fetch))
            left = asyncio.ensure_future(self._leaving.wait())
            try:
                await asyncio.wait({asked, left}, return_when=asyncio.FIRST_COMPLETED)
                if asked.done():
                    return asked.result()
            finally:
                asked.cancel()
                left.cancel()
        # Told again, in case the request had not been read.
        await server.request(ipc.WorkerRequest(worker_index=self.index, pid=self.pid, reports=reports))
        return None

    async def _run(self, task: ipc.WorkerTask) -> ipc.WorkerReport:
        self._ordinal += 1
        key = task.task_uuid, task.attempt
        report = ipc.WorkerReport(task_uuid=task.task_uuid, attempt=task.attempt)
        if key in self._stopped or self._leaving.is_set():
            report.outcome = stream.TASK_OUTCOME_CANCELLED
            return report
        seconds, ending = task_pb2.TaskSpec.FromString(task.task_spec).args
        self._current = key
        self._interrupted.clear()
        self.running = Running(self._ordinal, self._machine.loop.time())
        report.started_at.CopyFrom(timestamp(_EPOCH_SECONDS + self._machine.loop.time()))
        self._machine.observer.began(self._machine.process, key)
        try:
            async with asyncio.timeout(float(seconds)):
                await self._interrupted.wait()
        except TimeoutError:
            report.outcome = self._end(ending, task.attempt)
        else:
            report.outcome = stream.TASK_OUTCOME_CANCELLED
        report.finished_at.CopyFrom(timestamp(_EPOCH_SECONDS + self._machine.loop.time()))
        self._machine.observer.ended(self._machine.process, key, report.outcome)
        self.running = self._current = None
        return report

    def _end(self, ending: str, attempt: int) -> stream.TaskOutcome:
        """How a run of a task ends: by its arguments alone, so that every attempt knows what is expected of it."""
        if ending == "kills":
            self.die(self._machine.rng.choice([-9, -11, 3]))
            raise asyncio.CancelledError
        if ending == "fails" or (ending == "fails once" and attempt == 1):
            return stream.TASK_OUTCOME_FAILED
        return stream.TASK_OUTCOME_COMPLETED
