"""The same with a transaction left open in the database all along, so that nothing that dies can be vacuumed away."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.draining import drain
from benchmarks.harness import mitosis_up
from benchmarks.results import Report, scaled
from benchmarks.scenarios.drain import WORKERS, bars_of, rows_of

NAME = "snapshot"
TASKS = 200_000
FLAT = 0.6


def run(scale: float) -> Report:
    """Measure a streamed suite, whose tasks are rows from the start."""
    with mitosis_up(workers=WORKERS) as mitosis:
        drained = drain(mitosis, scaled(TASKS, scale, 100), "stream", held_snapshot=True)
    bars = bars_of("a snapshot held", drained)
    return Report(NAME, rows_of("snapshot held", drained, FLAT), asdict(drained), [bars])
