"""`python -m benchmarks.peers`: measures Mitosis beside other systems, and prints a table."""

from __future__ import annotations

from benchmarks.cli import Scenario, main
from benchmarks.peers import commands, efficiency, handlers

COMPARISONS = {
    "handlers": Scenario(handlers.run),
    "commands": Scenario(commands.run),
    "efficiency": Scenario(efficiency.run),
}

if __name__ == "__main__":
    main("bench-peers", "Measure Mitosis beside other systems, in turn, on this machine.", COMPARISONS)
