"""`python -m benchmarks.peers`: measures Mitosis beside other systems, and prints a table."""

from __future__ import annotations

import argparse

from benchmarks.cli import add_options, run_all
from benchmarks.peers import commands, efficiency, handlers

COMPARISONS = {"handlers": handlers.run, "commands": commands.run, "efficiency": efficiency.run}


def main() -> None:
    """Run the comparisons that were named, or all."""
    parser = argparse.ArgumentParser(description="Measure Mitosis beside other systems, in turn, on this machine.")
    parser.add_argument("comparison", nargs="*", metavar="COMPARISON", help=f"any of {', '.join(COMPARISONS)}")
    add_options(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.comparison) - set(COMPARISONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepts {', '.join(COMPARISONS)}")
    chosen = arguments.comparison or list(COMPARISONS)
    run_all("bench-peers", {name: COMPARISONS[name] for name in chosen}, arguments)


if __name__ == "__main__":
    main()
