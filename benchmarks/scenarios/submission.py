"""What streaming many tasks costs the program that submits them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.harness import REPOSITORY, mitosis_up, suite_spec
from benchmarks.results import Report, Row, below
from mitosis_client import Client

TARGET_MEGABYTES = 100
TIMEOUT_SECONDS = 300


def run(_scale: float) -> Report:
    """Stream 100,000 tasks from a process of their own.

    Raises:
        subprocess.CalledProcessError: It failed; the error has its output.
    """
    with mitosis_up(workers=1) as mitosis:
        with Client(mitosis.address, token=mitosis.token) as client:
            # Nobody has the tag: nothing runs beside what is measured.
            suite = client.create_suite({**suite_spec("submission"), "tags": ["nowhere"]})
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.streamed", mitosis.address, suite.uuid],
            cwd=REPOSITORY,
            env={**os.environ, "MITOSIS_TOKEN": mitosis.token},
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    figures = json.loads(done.stdout)
    tasks, peak, before = figures["tasks"], figures["peak_mb"], figures["before_mb"]
    rows = [
        below(
            f"memory of a client that streams {tasks:,} tasks, at its peak",
            peak,
            "MB",
            TARGET_MEGABYTES,
            beside=f"{before:.0f} MB before the first",
            ratio=f"{peak / before:.2f}",
        ),
        Row("tasks streamed from one iterator", f"{tasks / figures['seconds']:,.0f}/s"),
    ]
    return Report("submission", rows, figures)
