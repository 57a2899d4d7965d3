"""Commands that do nothing, on two warm workers; the floor is `xargs -P2`, which only starts the same processes."""

from __future__ import annotations

import subprocess
import time

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.results import Bars, Report, at_least, median, scaled
from benchmarks.warm import TIMEOUT_SECONDS, run_warm
from mitosis_client.specs import NewTask

NAME = "commands"
TASKS = 3_000
ROUNDS = 3
WORKERS = 2
TARGET = 0.5


def run(scale: float) -> Report:
    """Measure both in turn."""
    tasks = scaled(TASKS, scale, 50)
    ours, floor = [], []
    with mitosis_up(workers=WORKERS) as mitosis:
        for _ in range(ROUNDS):
            ours.append(tasks / commands(mitosis, tasks))
            floor.append(tasks / xargs(tasks))
    rate, least = median(ours), median(floor)
    return Report(
        NAME,
        [
            at_least(
                f"{tasks:,} times /bin/true, part of the floor",
                rate / least,
                "",
                TARGET,
                beside=f"{rate:,.0f}/s, xargs -P2: {least:,.0f}/s",
                ratio=f"{rate / least:.2f}",
            )
        ],
        {"commands_per_second": ours, "xargs_per_second": floor},
        [Bars("/bin/true", "commands/s", {"Mitosis": rate, "xargs -P2": least})],
    )


def commands(mitosis: Mitosis, tasks: int) -> float:
    """Seconds of one round."""
    return run_warm(mitosis, NAME, tasks, lambda _: NewTask(args=["/bin/true"]), workers=WORKERS).total


def xargs(tasks: int) -> float:
    """Seconds of one round of the floor."""
    started = time.perf_counter()
    subprocess.run(
        ["xargs", f"-P{WORKERS}", "-n1", "/bin/true"],
        input="\n".join(map(str, range(tasks))),
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    return time.perf_counter() - started
