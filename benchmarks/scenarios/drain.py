"""A million no-op tasks in one suite, as one array and as a stream: is the last tenth as fast as the second?"""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.draining import PARTS, Drained, Way, drain
from benchmarks.harness import mitosis_up
from benchmarks.results import Bars, Report, Row, at_least, below, median, scaled

NAME = "drain"
TASKS = 1_000_000
WORKERS = 2
FLAT = 0.8
GROWTH_LIMIT_MEGABYTES = 150
STREAM_TARGET = 40_000
ARRAY_LIMIT_SECONDS = 1.0


def run(scale: float) -> Report:
    """Measure both ways of submission, each on a system of its own."""
    tasks = scaled(TASKS, scale, 100)
    ways: tuple[Way, ...] = ("array", "stream")
    drained = {}
    for way in ways:
        with mitosis_up(workers=WORKERS) as mitosis:
            drained[way] = drain(mitosis, tasks, way)
    array, stream = drained["array"], drained["stream"]
    rows = [
        below(f"SubmitArray of {tasks:,} tasks", array.submit_seconds, "s", ARRAY_LIMIT_SECONDS),
        at_least(f"stream of {tasks:,} tasks", tasks / stream.submit_seconds, "tasks/s", STREAM_TARGET),
    ]
    for way in ways:
        rows += rows_of(way, drained[way], FLAT)
    bars = [bars_of(way, drained[way]) for way in ways]
    return Report(NAME, rows, {way: asdict(drained[way]) for way in ways}, bars)


def rows_of(name: str, drained: Drained, flat: float) -> list[Row]:
    """What is said about every drained suite."""
    rates = drained.decile_rates
    part, grown = max(drained.growth.items(), key=lambda item: item[1])
    before, *_, last = drained.tables
    dead = max((table for state in drained.tables for table in state), key=lambda table: table.dead_rows, default=None)
    return [
        at_least(
            f"{name}: last tenth by second tenth",
            drained.flatness,
            "",
            flat,
            beside=f"{rates[-1]:,.0f}/s and {rates[1]:,.0f}/s; median {median(rates):,.0f}/s",
            ratio=f"{drained.flatness:.2f}",
        ),
        below(f"{name}: most that a process grew by", grown / 1e6, "MB", GROWTH_LIMIT_MEGABYTES, beside=f"one {part}"),
        Row(
            f"{name}: tables and indexes at the end",
            f"{sum(table.size for table in last) / 1e6:,.0f} MB",
            f"{sum(table.size for table in before) / 1e6:,.0f} MB after the submission",
        ),
        Row(
            f"{name}: most dead rows seen in a table",
            f"{dead.dead_rows:,}" if dead else "0",
            f"of {dead.name}" if dead else "",
        ),
    ]


def bars_of(name: str, drained: Drained) -> Bars:
    """The rate of each tenth."""
    rates = {f"{100 * (number + 1) // PARTS} %": rate for number, rate in enumerate(drained.decile_rates)}
    return Bars(f"{drained.tasks:,} tasks, {name}: rate of each tenth", "tasks/s", rates)
