"""The workers of one assignment as a whole: how many there are, who is started again, who is stuck, when all left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis.v1 import task_pb2
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.feed import Feed
from mitosis_nodemgr.ipc import IpcServer
from mitosis_nodemgr.pool import Ended, Launch, Pool
from mitosis_nodemgr.respawn import GiveUp, RespawnPolicy, RespawnState, after_death, after_success
from mitosis_nodemgr.supervision import ANNOUNCE_AFTER_SECONDS, View, look
from mitosis_nodemgr.task_book import Task

# What a worker may need, beyond the grace it gives its task, to notice and to report.
SLACK_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """Who is told, on the event loop, what happens to the workers."""

    def worker_failed(self, failure: stream.WorkerFailure) -> None:
        """A worker died."""

    def tasks_started(self, starts: Sequence[tuple[Task, float]]) -> None:
        """Tasks have been running for a while; each comes with its start on the monotonic clock."""

    def process_started(self, process: ProcessId) -> None:
        """A worker process exists."""

    def workers_gone(self) -> None:
        """No worker is left, and none will be started."""

    def workers_failed(self, error: str, output_tail: str) -> None:
        """No worker is left that is worth starting again."""


class Crew:
    """Keeps the wanted number of workers alive, until it winds down."""

    def __init__(
        self,
        *,
        feed: Feed,
        server: IpcServer,
        launch: Launch,
        policy: RespawnPolicy,
        bind: Callable[[int], Sequence[Collection[int]]],
        defaults: task_pb2.TaskSpec,
        stop_grace_seconds: float,
        reap: Callable[[Collection[int]], object],
        listener: Listener,
    ) -> None:
        self._feed = feed
        self._server = server
        self._policy = policy
        self._bind = bind
        self._defaults = defaults
        self._stop_seconds = stop_grace_seconds + SLACK_SECONDS
        self._reap = reap
        self._listener = listener
        self._pool = Pool(launch, self._spawned, self._ended)
        self._loop = asyncio.get_running_loop()
        self._cores: Sequence[Collection[int]] = ()
        self._states: dict[int, RespawnState] = {}
        self._respawns: dict[int, asyncio.TimerHandle] = {}
        self._given_up: set[int] = set()
        self._winding = False
        self._timers: set[asyncio.TimerHandle] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self.restarts = 0

    @property
    def active(self) -> int:
        """Counts the worker processes that are alive."""
        return len(self._pool)

    @property
    def size(self) -> int:
        """Counts the workers that are alive or will be started again."""
        return len(self._cores) - len(self._given_up)

    def start(self, count: int) -> None:
        """Starts the workers. Raises `OSError` or `BindingRefusedError`; some workers may then be running."""
        self._cores = self._bind(count)
        for worker in range(count):
            self._pool.spawn(worker, self._cores[worker])

    def resize(self, count: int) -> None:
        """Changes the number of workers: new ones start, those too many leave after their current task.

        Raises `BindingRefusedError` when the machine is too small, and changes nothing.
        """
        if self._winding:
            return
        before, self._cores = len(self._cores), self._bind(count)
        for worker in self._pool.indices:
            if worker < count:
                self._pool.pin(worker, self._cores[worker])
            else:
                self._feed.dismiss(worker)
                self._order_leave(worker)
        for worker in range(count, before):
            self._cancel_respawn(worker)
            self._given_up.discard(worker)
        for worker in range(before, count):
            # A worker that is still leaving under this index is followed by the new one when it has ended.
            if worker not in self._pool:
                self._spawn(worker)
        self._server.wake()

    def wind(self) -> None:
        """Starts nothing again, and lets every worker end after its current task. Repeating it is harmless."""
        if not self._winding:
            self._winding = True
            for worker in list(self._respawns):
                self._cancel_respawn(worker)
            self._order_leave(-1)
            self._after(self._stop_seconds, self._end_stragglers, frozenset[int]())
        self._server.wake()
        self._check_gone()

    def stop_all(self) -> None:
        """Makes every worker stop its task and end, and kills those that do not in time. Call `wind` as well."""
        with self._feed.book() as book:
            held = {worker: book.held_by(worker) for worker in self._pool.indices}
        for worker, tasks in held.items():
            # Leave first, by a signal: between the end of the stopped task and an order, the next one would start.
            self._pool.terminate(worker)
            running = self._pool.running(worker)
            current = next((task for task in tasks if running and task.ordinal == running.ordinal), None)
            self.stop_tasks(tasks[:1] if current is None else [current])
        self._after(self._stop_seconds, self.kill_all)

    def kill_all(self) -> None:
        """Kills every worker."""
        for worker in self._pool.indices:
            self._pool.kill(worker)

    def stop_tasks(self, tasks: Sequence[Task]) -> None:
        """Tells the workers to stop these tasks."""
        for task in tasks:
            if task.worker is not None:
                cancel = ipc.WorkerControl.CancelTask(task_uuid=task.uuid, attempt=task.attempt)
                self._server.control(ipc.WorkerControl(worker_index=task.worker, cancel_task=cancel))
        self._look_by(time.monotonic() + self._stop_seconds)

    def tasks_given(self) -> None:
        """Looks after tasks that may just have been handed to a worker."""
        self._look_by(time.monotonic() + ANNOUNCE_AFTER_SECONDS)

    def close(self) -> None:
        """Cancels every timer. Workers that are still alive are killed."""
        self._winding = True
        for timer in (*self._timers, *self._respawns.values(), *([self._next_look] if self._next_look else [])):
            timer.cancel()
        self.kill_all()

    # --- life and death ---------------------------------------------------------------------------------------

    def _spawn(self, worker: int) -> None:
        self._respawns.pop(worker, None)
        try:
            self._pool.spawn(worker, self._cores[worker])
        except OSError as error:
            self._bury(worker, f"could not be started: {error.strerror}", "", blamed=None)

    def _spawned(self, worker: int, process: ProcessId) -> None:
        self._feed.worker_started(worker, process.pid)
        self._listener.process_started(process)

    def _ended(self, ended: Ended) -> None:
        def heard_out() -> None:
            self._loop.call_soon_threadsafe(self._heard_out, ended)

        # What it reported with its last breath may still wait in shared memory; its tasks are judged after that.
        self._server.forget(ended.worker, ended.pid, heard_out)

    def _heard_out(self, ended: Ended) -> None:
        blamed = self._feed.worker_ended(ended.worker, ended.death, ended.running)
        # Only now has the kernel made us the parent of what its task had started.
        self._reap([*self._pool.pids])
        if self._winding or ended.worker >= len(self._cores):
            self._check_gone()
            return
        reason = "left unasked" if ended.death.clean else ended.death.reason
        self._bury(ended.worker, reason, ended.death.output_tail, blamed)
        # Tasks went back to the buffer, where other workers may be waiting for them.
        self._server.wake()

    def _bury(self, worker: int, reason: str, output_tail: str, blamed: Task | None) -> None:
        state = self._states.get(worker, RespawnState())
        with self._feed.book() as book:
            if worker in book.successful:
                book.successful.discard(worker)
                state = after_success(state)
        self._states[worker], decision = after_death(state, self._policy, blamed=blamed is not None)
        failure = stream.WorkerFailure(worker_index=worker, reason=reason)
        if blamed is not None:
            failure.task.task_uuid, failure.task.attempt = blamed.key
        if isinstance(decision, GiveUp):
            self._given_up.add(worker)
            _log.error(
                "worker_given_up", worker_index=worker, reason=reason, why=decision.why, output=output_tail[-2000:]
            )
        else:
            failure.respawn_delay_seconds = decision.delay_seconds
            self.restarts += 1
            self._respawns[worker] = self._loop.call_later(decision.delay_seconds, self._spawn, worker)
            _log.warning("worker_died", worker_index=worker, reason=reason, respawn_in=decision.delay_seconds)
        self._listener.worker_failed(failure)
        if self.size == 0:
            self._listener.workers_failed(f"no worker is left: the last one {reason}", output_tail)

    def _cancel_respawn(self, worker: int) -> None:
        timer = self._respawns.pop(worker, None)
        if timer is not None:
            timer.cancel()

    def _order_leave(self, worker: int) -> None:
        self._server.control(ipc.WorkerControl(worker_index=worker, leave=ipc.WorkerControl.Leave()))

    def _check_gone(self) -> None:
        if self._winding and not len(self._pool):
            self._listener.workers_gone()

    def _end_stragglers(self, idle_before: frozenset[int]) -> None:
        """Kills workers that have nothing to do and do not leave: a handler may have left a thread that never ends."""
        with self._feed.book() as book:
            idle = frozenset(worker for worker in self._pool.indices if not book.held_by(worker))
        for worker in idle & idle_before:
            self._pool.kill(worker)
        if len(self._pool):
            self._after(self._stop_seconds, self._end_stragglers, idle)

    # --- time -------------------------------------------------------------------------------------------------

    def _after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            act(*arguments)

        timer = self._loop.call_later(seconds, fire)
        self._timers.add(timer)

    def _look_by(self, at: float) -> None:
        if self._next_look is not None:
            if self._next_look.when() <= at:
                return
            self._next_look.cancel()
        # The loop's clock is the monotonic one, and so is the marker's.
        self._next_look = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._next_look = None
        with self._feed.book() as book:
            views = [View(index, book.held_by(index), self._pool.running(index)) for index in self._pool.indices]
            found = look(views, time.monotonic(), self._limit_of, self._stop_seconds)
            for _, task, fate in found.kills:
                task.fate = fate
        for worker, task, fate in found.kills:
            _log.warning(
                "worker_killed", worker_index=worker, task_uuid=task.uuid, attempt=task.attempt, fate=fate.name
            )
            self._pool.kill(worker)
        if found.starts:
            self._listener.tasks_started(found.starts)
        if found.next_at is not None:
            self._look_by(found.next_at)

    def _limit_of(self, task: Task) -> float | None:
        spec = task_pb2.TaskSpec.FromString(task.spec)
        for source in (spec, self._defaults):
            if source.HasField("timeout_seconds"):
                return source.timeout_seconds
        return None
