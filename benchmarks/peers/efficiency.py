"""Sixteen workers that sleep, as commands, in turn with HyperQueue: how much longer than sleeping alone it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.peers.rounds import OURS, alternate, seconds_of
from benchmarks.results import Bars, Report, Row, scaled
from benchmarks.scenarios.efficiency import WORKERS, Load, overhead
from benchmarks.warm import run_warm
from mitosis_client.specs import NewTask

NAME = "peers: efficiency"
ROUNDS = 3
HYPERQUEUE = "HyperQueue"
# Shorter ones would measure how fast the machine starts processes.
LOADS = (Load(100, 800, None), Load(10, 8_000, None))


def run(scale: float) -> Report:
    """Measure both for each length."""
    rows, bars = [], []
    raw: dict[str, object] = {}
    with mitosis_up(workers=WORKERS) as mitosis:
        for load in LOADS:
            tasks = scaled(load.tasks, scale, WORKERS)
            length = f"{load.milliseconds} ms"
            measured = alternate(ROUNDS, {OURS: _ours(mitosis, load, tasks), HYPERQUEUE: _hyperqueue(load, tasks)})
            percent = measured.medians
            beside = measured.problems.get(HYPERQUEUE) or f"HyperQueue: {percent[HYPERQUEUE]:.1f} %"
            rows.append(Row(f"overhead of {length} commands, {WORKERS} workers", f"{percent[OURS]:.1f} %", beside))
            bars.append(Bars(f"Overhead of {length} commands", "%", percent))
            raw[length] = asdict(measured)
    return Report(NAME, rows, raw, bars)


def _ours(mitosis: Mitosis, load: Load, tasks: int) -> Callable[[], float]:
    def task(_index: int) -> NewTask:
        return NewTask(args=["/bin/sleep", str(load.milliseconds / 1000)])

    return lambda: overhead(load, tasks, run_warm(mitosis, NAME, tasks, task, workers=WORKERS).total)


def _hyperqueue(load: Load, tasks: int) -> Callable[[], float]:
    seconds = load.milliseconds / 1000
    return lambda: overhead(
        load, tasks, seconds_of("hyperqueue_commands", tasks, workers=WORKERS, task_seconds=seconds)
    )
