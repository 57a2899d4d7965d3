"""One run: a plan carried out, watched, and judged."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import UUID

from mitosis_coordinator.domain.errors import StorageUnavailable, WrongState
from mitosis_coordinator.domain.hook import HookSpec
from mitosis_coordinator.domain.plan import WorkerPlan
from mitosis_coordinator.domain.principal import UserPrincipal
from mitosis_coordinator.domain.suite import SuiteSpec
from mitosis_coordinator.domain.task import NewTask, Retries
from tests.simulation.clock import SimulatedLoop, Stuck
from tests.simulation.coordinator import Gone, SimulatedCoordinator
from tests.simulation.manager import COORDINATORS, SimulatedManager, task_spec
from tests.simulation.model_suites import FINAL
from tests.simulation.network import Network
from tests.simulation.observer import Observer
from tests.simulation.peers import Peers
from tests.simulation.plan import FAULTS_END, Fault, FaultKind, SuitePlan, TaskPlan, plan_of
from tests.simulation.seams import simulated
from tests.simulation.store import Engine, ModelEngine, Store
from tests.simulation.tables import Row

# Virtual seconds in which everything must have come to an end once nothing goes wrong any more.
PATIENCE_SECONDS = 300.0
# In memory where there is such a place: nothing here has to survive the machine.
_DISKS = "/dev/shm" if Path("/dev/shm").is_dir() else None
_LOOK_SECONDS = 1.0
_LEAVING_SECONDS = 6.0
_CALL_TIMEOUT_SECONDS = 10.0
_GROUP = "simulation"
_USER = UserPrincipal(UUID(int=1), "user", is_admin=True)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `violation` is None when everything held.

    Its `trace` is only there when something did not; its `digest`, which tells two runs apart, when it was asked for.
    """

    seed: int
    violation: str | None
    trace: list[str]
    digest: str | None
    steps: int
    virtual_seconds: float


def run(
    seed: int, *, digest: bool = False, make_engine: Callable[[SimulatedLoop], Engine] = ModelEngine
) -> Outcome:  # fmt: skip
    """Carry out the plan of a seed."""
    # A collection in the middle would end things at a time that depends on what ran before.
    gc.disable()
    loop = SimulatedLoop()
    try:
        with TemporaryDirectory(prefix="simulated-", dir=_DISKS) as disks:
            engine = make_engine(loop)
            world = _World(seed, loop, engine, Path(disks))
            with simulated(loop, world.network, world.observer, seed):
                try:
                    loop.run_until_complete(world.live())
                except Stuck:
                    world.observer.violated("nothing is left that could happen")
                finally:
                    world.over = True
                    _end(loop)
            try:
                engine.close()
            except AssertionError as disagreement:
                world.observer.violated(str(disagreement))
        observer = world.observer
        trace = [] if observer.violation is None else [_line(one) for one in observer.trace]
        fingerprint = world.digest() if digest else None
        return Outcome(seed, observer.violation, trace, fingerprint, observer.steps, loop.time())
    finally:
        loop.close()
        gc.enable()


class _World:
    """Everybody who takes part in a run."""

    def __init__(self, seed: int, loop: SimulatedLoop, engine: Engine, disks: Path) -> None:
        self.plan = plan_of(seed)
        self.over = False
        self._loop = loop
        self._disks = disks
        self._rng = random.Random(f"chance {seed}")
        self.observer = Observer(loop.time)
        self.store = Store(loop, engine, self._rng, self.observer.committed)
        self.network = Network(loop, self._rng)
        self.peers = Peers(loop, self._rng, lambda: not self.store.outage)
        self._manager_ids = {f"m{place}": UUID(int=0x100 + place) for place in range(len(self.plan.managers))}
        for table, key, row in _registered(self._manager_ids, self.plan.managers, self.store.tables.now):
            engine.register(table, key, row)
        self.observer.tables = self.store.tables
        self._coordinators: list[SimulatedCoordinator] = []
        self._managers: list[SimulatedManager] = []
        self._background: set[asyncio.Task[None]] = set()

    async def live(self) -> None:
        """Let everything happen, until it is over or something that must not happen did."""
        story = self._loop.create_task(self._story())
        alarm = self._loop.create_task(self.observer.alarm.wait())
        await asyncio.wait({story, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not alarm.done() and (failure := story.exception()) is not None:
            self.observer.failed("the simulation", failure)

    def digest(self) -> str:
        """A fingerprint of the final rows and of how many transactions led there."""
        parts = [repr(sorted(getattr(self.store.tables, name).items(), key=repr)) for name in ("active_tasks",
                 "archived_tasks", "assignments", "task_suites", "task_execution_failures")]  # fmt: skip
        return hashlib.sha256("".join([*parts, str(self.observer.steps)]).encode()).hexdigest()

    async def _story(self) -> None:
        for place in range(self.plan.coordinators):
            self._coordinators.append(self._new_coordinator(place))
        for place, workers in enumerate(self.plan.managers):
            name = f"m{place}"
            disk = self._disks / name
            disk.mkdir()
            manager = SimulatedManager(name, workers, self._loop, self.network, self.observer, self._rng, disk)
            self._managers.append(manager)
            manager.start()
        users = [self._start(self._use(suite)) for suite in self.plan.suites]
        faults = [self._start(self._suffer(fault)) for fault in self.plan.faults]
        await asyncio.wait({*users, *faults}, timeout=FAULTS_END)
        self._heal()
        await self._come_to_rest()

    # --- users ------------------------------------------------------------------------------------------------

    async def _use(self, plan: SuitePlan) -> None:
        """What one user does with one suite."""
        await self._sleep_until(plan.at)
        spec = _suite_spec(plan)
        name = f"{self._rng.getrandbits(64):x}"
        suite = await self._ask(lambda at: at.suites.create(_USER, _GROUP, spec, name, b"suite"))
        if plan.cancelled_at is not None:
            self._start(self._cancel_suite(suite.id, plan))
        # A suite that was cancelled or failed takes no more.
        with suppress(WrongState):
            for at, tasks in plan.batches:
                await self._sleep_until(at)
                await self._submit(suite.id, tasks)
            await self._ask(lambda at: at.suites.close(_USER, suite.id))
            if plan.retried:
                await asyncio.sleep(5)
                await self._ask(lambda at: at.suites.retry(_USER, suite.id))
                await self._ask(lambda at: at.suites.close(_USER, suite.id))

    async def _submit(self, suite_id: UUID, tasks: tuple[TaskPlan, ...]) -> None:
        name = f"{self._rng.getrandbits(64):x}"
        new = [
            NewTask(task_spec(task.seconds, task.ending), task.priority, Retries(task.retries, 0.5), False)
            for task in tasks
        ]
        ids = await self._ask(lambda at: at.submission.submit(_USER, _GROUP, suite_id, new, name, b"tasks"))
        self.observer.acknowledged(ids)
        for task_id, task in zip(ids, tasks, strict=True):
            if task.cancelled_after is not None:
                self._start(self._cancel_task(task_id, task.cancelled_after))

    async def _cancel_task(self, task_id: UUID, after: float) -> None:
        await asyncio.sleep(after)
        with suppress(WrongState):
            await self._ask(lambda at: at.tasks.cancel(_USER, task_id, ""))

    async def _cancel_suite(self, suite_id: UUID, plan: SuitePlan) -> None:
        await self._sleep_until(plan.cancelled_at or 0)
        with suppress(WrongState):
            await self._ask(
                lambda at: at.suites.cancel(_USER, suite_id, "", running_too=plan.cancels_running)
            )  # fmt: skip

    async def _ask(self, use: Callable[[SimulatedCoordinator], Awaitable[Result]]) -> Result:
        """Call one coordinator after the other until one answers, as a client does with a request id."""
        while True:
            alive = [one for one in self._coordinators if not one.is_dead]
            if alive:
                with suppress(Gone, StorageUnavailable, TimeoutError):
                    return await asyncio.wait_for(self._rng.choice(alive).call(use), _CALL_TIMEOUT_SECONDS)
            await asyncio.sleep(self._rng.uniform(0.1, 1))

    # --- faults -----------------------------------------------------------------------------------------------

    async def _suffer(self, fault: Fault) -> None:
        """Do what a fault says when it is time, and undo it after its time."""
        await self._sleep_until(fault.at)
        manager = self._managers[fault.target % len(self._managers)]
        place = fault.target % len(self._coordinators)
        self.observer.note("FAULT", fault)
        match fault.kind:
            case FaultKind.CUT:
                for call in self.network.calls_of(manager=manager.name):
                    call.cut()
            case FaultKind.PARTITION:
                self.network.partition(manager.name, True)
                await asyncio.sleep(fault.seconds)
                self.network.partition(manager.name, False)
            case FaultKind.MANAGER_KILLED:
                manager.kill()
                await asyncio.sleep(fault.seconds)
                manager.start()
            case FaultKind.MANAGER_TERMINATED:
                manager.leave()
                await asyncio.sleep(_LEAVING_SECONDS + fault.seconds)
                manager.start()
            case FaultKind.COORDINATOR_KILLED:
                if not self._coordinators[place].is_dead:
                    self._coordinators[place].kill()
                    await asyncio.sleep(fault.seconds)
                    self._coordinators[place] = self._new_coordinator(place)
            case FaultKind.DATABASE_AWAY:
                self.store.outage = True
                await asyncio.sleep(fault.seconds)
                self.store.outage = False
            case FaultKind.ANSWERS_LOST:
                self.store.answers_lost = 0.25
                await asyncio.sleep(fault.seconds)
                self.store.answers_lost = 0.0

    def _heal(self) -> None:
        """From now on nothing goes wrong."""
        self.observer.note("FAULTS END")
        self.store.outage = False
        self.store.answers_lost = 0.0
        for manager in self._managers:
            self.network.partition(manager.name, False)
            manager.start()

    def _new_coordinator(self, place: int) -> SimulatedCoordinator:
        return SimulatedCoordinator(
            COORDINATORS[place], self._loop, self.store, self.network, self.peers, self.observer, self._manager_ids
        )

    # --- the end ----------------------------------------------------------------------------------------------

    async def _come_to_rest(self) -> None:
        """Wait until everything is over; it is a violation when that takes too long."""
        deadline = self._loop.time() + PATIENCE_SECONDS
        while open_ends := list(self._open_ends()):
            if self._loop.time() > deadline:
                self.observer.violated(f"still open after {PATIENCE_SECONDS:g} s without faults: {open_ends}")
                return
            self._restart_quarantined()
            await asyncio.sleep(_LOOK_SECONDS)

    def _restart_quarantined(self) -> None:
        """What an operator does about a manager that failed to prepare three suites in a row."""
        for manager in self._managers:
            row = self.store.tables.node_managers[self._manager_ids[manager.name]]
            if row["state"] == "Failed" or not manager.is_running:
                manager.kill()
                manager.start()

    def _open_ends(self) -> Iterator[str]:
        tables = self.store.tables
        for suite in tables.task_suites.values():
            if suite["state"] not in FINAL:
                yield f"suite {suite['id']} is {suite['state']} with {suite['pending_tasks']} pending"
        for task in tables.active_tasks.values():
            if task["state"] != "Ready" or tables.task_suites[task["task_suite_id"]]["state"] != "Failed":
                yield f"task {task['id']} is {task['state']}"
        for one in tables.assignments.values():
            if one["state"] != "Ended":
                yield f"assignment {one['id']} is {one['state']}"
        for manager in self._managers:
            if not manager.is_quiet:
                yield f"{manager.name} holds something"
            if not any(at.registry.of(self._manager_ids[manager.name]) for at in self._coordinators):
                yield f"{manager.name} is not connected"

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self._loop.time()))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None and not self.over:
            self.observer.failed("the simulation", failure)


def _suite_spec(plan: SuitePlan) -> SuiteSpec:
    def hook(given: tuple[float, float] | None) -> HookSpec | None:
        return None if given is None else HookSpec("", tuple(str(number) for number in given), None, "", {})

    return SuiteSpec(
        name="suite", description="", labels=(), tags=(), priority=plan.priority, plan=WorkerPlan(),
        env_preparation=hook(plan.preparation), env_cleanup=hook(plan.cleanup), task_defaults=b"",
        runs_by_default=False, auto_close_timeout_seconds=3600, max_preparation_failures=5, max_attempts=3,
        retries=Retries(),
    )  # fmt: skip


def _registered(manager_ids: dict[str, UUID], workers: tuple[int, ...], now: object) -> Iterator[tuple[str, Any, Row]]:
    """The rows that are there at the beginning: a group, and managers that work for it."""
    group_id = UUID(int=2)
    yield "groups", group_id, {"id": group_id, "name": _GROUP, "created_at": now}
    for (name, manager_id), count in zip(manager_ids.items(), workers, strict=True):
        yield "node_managers", manager_id, {
            "id": manager_id, "name": name, "state": "Offline", "tags": [], "max_workers": count,
            "token_id": manager_id, "previous_token_id": None, "previous_token_valid_until": None,
            "session_epoch": 0, "session_uuid": None, "failed_preparations": [], "metrics": {}, "version": "",
            "hostname": "", "reason": "", "created_by": "user", "created_at": now, "last_heartbeat_at": None,
            "draining": False, "shutdown_graceful": None, "shutdown_reason": "",
        }  # fmt: skip
        member = {"manager_id": manager_id, "group_id": group_id, "role": "Worker"}
        yield "group_node_manager", (manager_id, group_id, "Worker"), member


def _line(noted: tuple[float, str, object]) -> str:
    moment, what, details = noted
    return f"{moment:10.4f}  {what}  {' '.join(str(details).split())}"


def _end(loop: SimulatedLoop) -> None:
    """Let go of everything that is still going on."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
