"""What every command that measures has in common: its options, its table and its files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plot import draw
from benchmarks.results import Report, Run

Measure = Callable[[float], Report]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that measures."""
    parser.add_argument(
        "--scale", type=_scale, default=1.0, metavar="FACTOR", help="multiply all sizes; 0.01 tries a scenario out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="also draw the figures")


def run_all(target: str, chosen: Mapping[str, Measure], arguments: argparse.Namespace) -> None:
    """Measure, print, and write what was asked for; what failed is said at the end, and spoils nothing else."""
    # A table in a file or a log needs no width of a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    reports, failures = [], []
    for name, measure in chosen.items():
        with console.status(f"Measuring {name}"):
            try:
                reports.append(measure(arguments.scale))
            except Exception as error:
                failures.append(f"{name}: {type(error).__name__}: {error}")
    console.print(_table(reports))
    run = Run.of(target, arguments.scale, reports)
    if arguments.json:
        run.write(arguments.json)
    if arguments.plot:
        arguments.plot.write_text(draw([bars for report in reports for bars in report.bars]))
    if failures:
        sys.exit("\n".join(failures))


def _table(reports: Sequence[Report]) -> Table:
    table = Table("Scenario", "Figure", "Measured", "Beside", "Ratio", "Target", "", title="Medians of this run")
    for report in reports:
        for row in report.rows:
            reached = {True: "[green]reached", False: "[red]missed", None: ""}[row.reached]
            table.add_row(report.name, row.figure, row.value, row.beside, row.ratio, row.target, reached)
    return table


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 100:
        raise argparse.ArgumentTypeError(f"given {text}; accepts more than 0 and at most 100")
    return scale
