"""`python -m benchmarks`: measures, and prints a table."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.cli import Scenario, main
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


if __name__ == "__main__":
    main("bench", "Measure Mitosis on this machine, each figure beside a floor where there is one.", SCENARIOS)
