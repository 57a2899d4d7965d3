"""The worker processes: spawned, pinned, counted and buried. It decides nothing about their tasks."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mitosis_common.marker import TaskMarkerReader, create_marker
from mitosis_common.open_files import set_soft_limit
from mitosis_nodemgr.child import Child, ProcessId, spawn
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.supervision import Running

# A worker's own output is its log and, after a fault, a traceback; what tasks write is captured by the worker.
_TAIL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a worker: its arguments and the place of its marker, by index, and what all have in common."""

    argv: Callable[[int], Sequence[str]]
    marker: Callable[[int], Path]
    # A serialized `WorkerSetup`, given on standard input.
    setup: bytes
    environment: Callable[[int], Mapping[str, str]]
    working_directory: str | None
    # The soft limit of a worker and its tasks.
    open_files: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker process that is no more. `running` is the ordinal of the task that it was in the middle of."""

    worker: int
    pid: int
    death: Death
    running: int | None


@dataclass(slots=True)
class _Worker:
    child: Child
    marker: TaskMarkerReader
    killed: bool = False


class Pool:
    """The processes of one assignment, by worker index."""

    def __init__(
        self,
        launch: Launch,
        on_spawned: Callable[[int, ProcessId], None],
        on_ended: Callable[[Ended], None],
    ) -> None:
        self._launch = launch
        self._on_spawned = on_spawned
        self._on_ended = on_ended
        self._workers: dict[int, _Worker] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __contains__(self, worker: int) -> bool:
        return worker in self._workers

    @property
    def indices(self) -> list[int]:
        """The workers that are alive."""
        return sorted(self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are alive."""
        return [worker.child.pid for worker in self._workers.values()]

    def spawn(self, index: int, cores: Collection[int]) -> None:
        """Starts a worker on its cores. Raises `OSError` when that cannot be done."""
        marker_path = self._launch.marker(index)
        create_marker(marker_path)
        marker = TaskMarkerReader(marker_path)

        def before_it_reads(pid: int) -> None:
            # It has one thread yet; all that it starts later inherit its cores, as they do its limit.
            _pin_thread(pid, cores)
            with contextlib.suppress(ProcessLookupError):
                set_soft_limit(self._launch.open_files, pid)
            self._on_spawned(index, ProcessId.of(pid))

        child = spawn(
            self._launch.argv(index),
            env=self._launch.environment(index),
            cwd=self._launch.working_directory,
            stdin=self._launch.setup,
            before_stdin=before_it_reads,
            tail_bytes=_TAIL_BYTES,
        )
        worker = _Worker(child, marker)
        self._workers[index] = worker
        child.exited.add_done_callback(lambda exited: self._bury(index, worker, exited.result()))

    def pin(self, index: int, cores: Collection[int]) -> None:
        """Moves a running worker, with all its threads, to other cores."""
        worker = self._workers.get(index)
        if worker is None:
            return
        with contextlib.suppress(FileNotFoundError):
            for thread in Path(f"/proc/{worker.child.pid}/task").iterdir():
                _pin_thread(int(thread.name), cores)

    def running(self, index: int) -> Running | None:
        """Reads what a worker is in the middle of."""
        worker = self._workers.get(index)
        seen = worker.marker.read() if worker is not None else None
        return None if seen is None else Running(seen.ordinal, seen.started_ns / 1e9)

    def terminate(self, index: int) -> None:
        """Asks a worker to end after its current task. Should it die of it, that is nobody's fault."""
        self._signal(index, signal.SIGTERM)

    def kill(self, index: int) -> None:
        """Kills a worker. Its death is then nobody's fault."""
        self._signal(index, signal.SIGKILL)

    def _signal(self, index: int, number: int) -> None:
        worker = self._workers.get(index)
        if worker is not None:
            worker.killed = True
            worker.child.signal(number)

    def _bury(self, index: int, worker: _Worker, returncode: int) -> None:
        if self._workers.get(index) is worker:
            del self._workers[index]
        seen = worker.marker.read()
        worker.marker.close()
        # Its group: a thread of a task may have forked without leaving it.
        worker.child.signal_group(signal.SIGKILL)
        self._on_ended(
            Ended(
                worker=index,
                pid=worker.child.pid,
                death=Death(returncode, wanted=worker.killed, output_tail=worker.child.tail.text()),
                running=None if seen is None else seen.ordinal,
            )
        )


def _pin_thread(thread: int, cores: Collection[int]) -> None:
    # A core may have been taken offline, or from our cgroup, since the plan was made: running elsewhere is better
    # than not running.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(thread, cores)
