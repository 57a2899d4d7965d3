"""Sixteen warm workers whose tasks only sleep: how much longer it takes than sleeping alone would."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.results import Bars, Report, Row, below, median, scaled
from benchmarks.warm import run_warm
from mitosis_client.specs import NewTask

NAME = "efficiency"
WORKERS = 16
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Load:
    """Tasks of one length, and the overhead promised for them in percent, if any."""

    milliseconds: int
    tasks: int
    limit: float | None


# Each takes five seconds at best: long enough to hide neither the ramp at the start nor the one at the end.
LOADS = (Load(100, 800, 3.0), Load(10, 8_000, 10.0), Load(1, 80_000, None))


def run(scale: float) -> Report:
    """Measure all lengths in turn."""
    overheads: dict[str, list[float]] = {f"{load.milliseconds} ms": [] for load in LOADS}
    with mitosis_up(workers=WORKERS) as mitosis:
        for _ in range(ROUNDS):
            for load in LOADS:
                tasks = scaled(load.tasks, scale, WORKERS)
                overheads[f"{load.milliseconds} ms"].append(overhead(load, tasks, sleeping(mitosis, load, tasks)))
    rows = []
    for load in LOADS:
        percent = median(overheads[f"{load.milliseconds} ms"])
        figure = f"overhead of {load.milliseconds} ms tasks, {WORKERS} workers"
        if load.limit is None:
            rows.append(Row(figure, f"{percent:.1f} %"))
        else:
            rows.append(below(figure, percent, "%", load.limit))
    bars = Bars("Overhead, 16 workers", "%", {name: median(samples) for name, samples in overheads.items()})
    return Report(NAME, rows, {"overhead_percent": overheads}, [bars])


def sleeping(mitosis: Mitosis, load: Load, tasks: int) -> float:
    """Seconds of one round with handlers."""
    seconds = load.milliseconds / 1000

    def task(_index: int) -> NewTask:
        return NewTask(handler="benchmarks.tasks:sleep", payload=seconds)

    return run_warm(mitosis, NAME, tasks, task, workers=WORKERS).total


def overhead(load: Load, tasks: int, seconds: float) -> float:
    """Percent above the time in which the workers could sleep through all tasks."""
    ideal = -(-tasks // WORKERS) * load.milliseconds / 1000
    return (seconds / ideal - 1) * 100
