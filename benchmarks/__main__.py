"""`python -m benchmarks`: measures, and prints a table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.cli import Measure, add_options, run_all
from benchmarks.scenarios import (
    commands,
    coordinators,
    costs,
    drain,
    efficiency,
    idle,
    ipc,
    latency,
    managers,
    rest,
    snapshot,
    submission,
    suites,
    throughput,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What measures, given the scale, and whether it belongs to the set that takes minutes."""

    run: Measure
    short: bool = True


SCENARIOS: Mapping[str, Scenario] = {
    "throughput": Scenario(throughput.run),
    "commands": Scenario(commands.run),
    "efficiency": Scenario(efficiency.run),
    "latency": Scenario(latency.run),
    "ipc": Scenario(ipc.run),
    "rest": Scenario(rest.run),
    "submission": Scenario(submission.run),
    "costs": Scenario(costs.run),
    "idle": Scenario(idle.run),
    "snapshot": Scenario(snapshot.run),
    "coordinators": Scenario(coordinators.run),
    "drain": Scenario(drain.run, short=False),
    "suites": Scenario(suites.run, short=False),
    "managers": Scenario(managers.run, short=False),
}


def main() -> None:
    """Run the scenarios that were named, or the short ones."""
    parser = argparse.ArgumentParser(description="Measure Mitosis on this machine, each figure beside a floor.")
    short = ", ".join(name for name, scenario in SCENARIOS.items() if scenario.short)
    long = ", ".join(name for name, scenario in SCENARIOS.items() if not scenario.short)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"default: {short}; only when named: {long}")
    add_options(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; accepts {', '.join(SCENARIOS)}")
    chosen = arguments.scenario or [name for name, scenario in SCENARIOS.items() if scenario.short]
    run_all("bench", {name: SCENARIOS[name].run for name in chosen}, arguments)


if __name__ == "__main__":
    main()
