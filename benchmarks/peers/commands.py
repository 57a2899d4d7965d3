"""`/bin/true` on two workers, in turn with HyperQueue and with the floor."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.harness import mitosis_up
from benchmarks.peers.rounds import OURS, alternate, seconds_of
from benchmarks.results import Bars, Report, scaled
from benchmarks.scenarios import commands

NAME = "peers: commands"
ROUNDS = 3
HYPERQUEUE, HYPERQUEUE_TARGET = "HyperQueue", 1.8
FLOOR = f"xargs -P{commands.WORKERS}"


def run(scale: float) -> Report:
    """Measure everybody."""
    tasks = scaled(commands.TASKS, scale, 50)
    with mitosis_up(workers=commands.WORKERS) as mitosis:
        measured = alternate(
            ROUNDS,
            {
                OURS: lambda: tasks / commands.commands(mitosis, tasks),
                HYPERQUEUE: lambda: tasks / seconds_of("hyperqueue_commands", tasks, workers=commands.WORKERS),
                FLOOR: lambda: tasks / commands.xargs(tasks),
            },
        )
    rows = [
        measured.ratio(HYPERQUEUE, "commands/s", HYPERQUEUE_TARGET),
        measured.ratio(FLOOR, "commands/s", commands.TARGET),
    ]
    return Report(NAME, rows, asdict(measured), [Bars("/bin/true, two workers", "commands/s", measured.medians)])
