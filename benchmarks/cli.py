"""What both commands that measure have in common: their options, their table and their files."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plot import draw
from benchmarks.results import Report, Row, Run


@dataclass(frozen=True, slots=True)
class Scenario:
    """What measures, given the scale, and whether it belongs to the set that takes minutes."""

    run: Callable[[float], Report]
    short: bool = True


def main(target: str, description: str, scenarios: Mapping[str, Scenario]) -> None:
    """Run the scenarios that were named, or the short ones; print them, and write what was asked for.

    Args:
        target: Of the Makefile.
        description: For `--help`.
        scenarios: By name, in the order in which they run.
    """
    arguments = _parse(description, scenarios)
    # By default the signal ends the process at once, and what it started would go on.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    chosen = arguments.scenario or [name for name, scenario in scenarios.items() if scenario.short]
    # A table in a file or a log needs no width of a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    reports, failed = [], []
    for name in chosen:
        with console.status(f"Measuring {name}"):
            try:
                reports.append(scenarios[name].run(arguments.scale))
            except Exception as error:
                # The others are still worth measuring.
                traceback.print_exc()
                failed.append(name)
                reports.append(Report(name, [Row("all of it", "failed", f"{type(error).__name__}: {error}")]))
    console.print(_table(reports))
    if arguments.json:
        Run.of(target, arguments.scenario, arguments.scale, reports).write(arguments.json)
    if arguments.plot:
        arguments.plot.write_text(draw([bars for report in reports for bars in report.bars]))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _parse(description: str, scenarios: Mapping[str, Scenario]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    short = ", ".join(name for name, scenario in scenarios.items() if scenario.short)
    long = ", ".join(name for name, scenario in scenarios.items() if not scenario.short)
    only = f"; only when named: {long}" if long else ""
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"default: {short}{only}")
    parser.add_argument(
        "--scale", type=_scale, default=1.0, metavar="FACTOR", help="multiply all sizes; 0.01 tries a scenario out"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="also draw the figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario) - set(scenarios):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepts {', '.join(scenarios)}")
    return arguments


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
