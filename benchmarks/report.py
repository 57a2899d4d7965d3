"""`python -m benchmarks.report RESULTS.json...`: writes docs/performance.md and its plot from what was measured.

No figure of that page is typed by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import REPOSITORY
from benchmarks.plot import draw
from benchmarks.results import Row, Run

PAGE = REPOSITORY / "docs" / "performance.md"
_INTRODUCTION = """# Performance

How fast Mitosis is, beside floors and other systems that were measured in the same run on the same machine.
[Decision {decision}](adr/{decision_file}) says how, and what the figures do not say.

`python -m benchmarks.report` writes this page from the files that `make bench ARGS='--json FILE'` and
`make bench-peers ARGS='--json FILE'` write; it is not edited.
"""
_DECISION = "0030-measuring.md"
_NOTHING = """
## No run yet

Nothing has been measured on a quiet machine with this version.
"""
_MARKS = {True: "yes", False: "**no**", None: ""}


def page(runs: Sequence[Run], plot: str) -> str:
    """The page for some runs; `plot` is where their drawing is."""
    parts = [_INTRODUCTION.format(decision=int(_DECISION[:4]), decision_file=_DECISION)]
    missed = [row for run in runs for report in run.reports for row in report.rows if row.reached is False]
    if not runs:
        parts.append(_NOTHING)
    elif missed:
        parts.append("\n## Not reached\n\n" + "".join(f"- {_described(row)}\n" for row in missed))
    else:
        parts.append("\nEvery target was reached.\n")
    parts += [_section(run) for run in runs]
    if any(report.bars for run in runs for report in run.reports):
        parts.append(f"\n## Drawn\n\n![Every figure that can be compared, as bars]({plot})\n")
    return "".join(parts)


def _section(run: Run) -> str:
    lines = [
        f"\n## `{run.command}`\n",
        f"{run.measured_at}; {run.machine}." + (f" Sizes were multiplied by {run.scale:g}." if run.scale != 1 else ""),
        "",
        "| scenario | figure | measured | beside | ratio | target | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for report in run.reports:
        for row in report.rows:
            cells = (report.name, row.figure, row.value, row.beside, row.ratio, row.target, _MARKS[row.reached])
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _described(row: Row) -> str:
    return f"{row.figure}: {row.value}, promised {row.target}"


def main() -> None:
    """Write the page, and the plot beside it."""
    parser = argparse.ArgumentParser(description="Write the page of figures from the results of runs.")
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULTS.json")
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE.md", help="default: docs/performance.md")
    arguments = parser.parse_args()
    runs = [Run.read(path) for path in arguments.results]
    plot = arguments.output.with_suffix(".svg")
    arguments.output.write_text(page(runs, plot.name))
    if runs:
        plot.write_text(draw([bars for run in runs for report in run.reports for bars in report.bars]))


if __name__ == "__main__":
    main()
