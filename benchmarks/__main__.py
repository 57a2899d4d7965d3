"""`python -m benchmarks`: measures, and prints a table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Report
from benchmarks.scenarios import costs, idle, latency, rest, throughput

SCENARIOS: dict[str, Callable[[], Report]] = {
    "throughput": throughput.run,
    "costs": costs.run,
    "latency": latency.run,
    "rest": rest.run,
    "idle": idle.run,
}


def main() -> None:
    """Run the scenarios that were named, or all."""
    parser = argparse.ArgumentParser(description="Measure Mitosis on this machine, each figure beside a floor.")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"any of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepts {', '.join(SCENARIOS)}")
    # A table in a file or a log needs no width of a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    table = Table("Scenario", "Figure", "Measured", "Beside", "Ratio", "Target", title="Medians of this run")
    reports = []
    for name in arguments.scenario or SCENARIOS:
        with console.status(f"Measuring {name}"):
            report = SCENARIOS[name]()
        reports.append(report)
        for row in report.rows:
            table.add_row(report.name, row.figure, row.value, row.beside, row.ratio, row.target)
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(report) for report in reports], indent=2) + "\n")


if __name__ == "__main__":
    main()
