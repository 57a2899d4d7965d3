"""No-op handlers, submitted in bulk, two warm workers: from the first submit call to the suite's last result.

The floor beside it is `multiprocessing.Pool(2)` calling the same function once per task: two processes and a pipe, but
no database, no network and no promise.
"""

from __future__ import annotations

import multiprocessing
import time

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.results import Bars, Report, Row, at_least, median, scaled
from benchmarks.tasks import noop
from benchmarks.warm import Timing, run_warm
from mitosis_client.specs import NewTask

NAME = "throughput"
TASKS = 20_000
ROUNDS = 3
WORKERS = 2
TARGET = 8_000


def run(scale: float) -> Report:
    """Measure both in turn."""
    tasks = scaled(TASKS, scale, 100)
    timings, floor = [], []
    with mitosis_up(workers=WORKERS) as mitosis:
        for _ in range(ROUNDS):
            timings.append(handlers(mitosis, tasks))
            floor.append(tasks / _pool(tasks))
    ours = [tasks / timing.total for timing in timings]
    submit = [tasks / timing.submitted for timing in timings]
    rate, pool = median(ours), median(floor)
    return Report(
        NAME,
        [
            at_least(
                f"{tasks:,} no-op handlers, end to end",
                rate,
                "tasks/s",
                TARGET,
                beside=f"multiprocessing.Pool: {pool:,.0f} tasks/s",
                ratio=f"{rate / pool:.2f}",
            ),
            Row("their submission in bulk", f"{median(submit):,.0f} tasks/s"),
        ],
        {"tasks_per_second": ours, "floor_tasks_per_second": floor, "submitted_per_second": submit},
        [Bars("No-op handlers", "tasks/s", {"Mitosis": rate, "multiprocessing.Pool": pool})],
    )


def handlers(mitosis: Mitosis, tasks: int) -> Timing:
    """One round of no-op handlers."""
    return run_warm(
        mitosis, NAME, tasks, lambda index: NewTask(handler="benchmarks.tasks:noop", payload=index), workers=WORKERS
    )


def _pool(tasks: int) -> float:
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(noop, range(WORKERS))
        started = time.perf_counter()
        for _ in pool.imap_unordered(noop, range(tasks), chunksize=1):
            pass
        return time.perf_counter() - started
