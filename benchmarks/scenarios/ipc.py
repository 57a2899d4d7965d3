"""A manager's IPC server and its workers alone, without coordinator and database: what shared memory costs."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.harness import REPOSITORY
from benchmarks.results import Report, Row, below, median, percentile, scaled

NAME = "ipc"
SAMPLES = 10_000
TIMEOUT_SECONDS = 180
LIMITS_MILLISECONDS = {95: 0.5, 99: 2.0}
MEDIAN_LIMIT_MILLISECONDS = 0.1


def run(scale: float) -> Report:
    """Measure in a process of their own.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ipc", str(scaled(SAMPLES, scale, 200))],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    figures = json.loads(done.stdout)
    samples = [microseconds / 1000 for microseconds in figures["round_trips_us"]]
    rows = [below("warm fetch, median", median(samples), "ms", MEDIAN_LIMIT_MILLISECONDS)]
    rows += [
        below(f"warm fetch, p{part}", percentile(samples, part), "ms", limit)
        for part, limit in LIMITS_MILLISECONDS.items()
    ]
    rows.append(Row("no-op handlers, 2 workers, 16 tasks a fetch", f"{figures['tasks_per_second']:,.0f} tasks/s"))
    return Report(NAME, rows, figures)
