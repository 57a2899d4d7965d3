"""Writes the diagrams and tables of docs/architecture/state-machines.md from the tables in the code, or checks them.

Usage: python tools/diagrams.py [--check]

A generated section stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; everything else in the page is
written by hand.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import gen

from mitosis_coordinator.domain.lifecycle import Event, Lifecycle, State
from mitosis_coordinator.domain.manager import MANAGER
from mitosis_coordinator.domain.suite import SUITE
from mitosis_coordinator.domain.task import TASK
from mitosis_coordinator.sessions.machine import SESSION
from mitosis_nodemgr import deaths, respawn
from mitosis_nodemgr.machine import TABLE as NODE_MANAGER
from mitosis_nodemgr.states import ALIVE, ManagerState, Stage

PAGE = gen.ROOT / "docs" / "architecture" / "state-machines.md"
SECTION = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end: (?P=name) -->)", re.DOTALL)


class DiagramsDiffer(Exception):
    """The page does not say what the code says; the message is a diff."""


def lifecycle(table: Lifecycle[State, Event]) -> str:
    """Draws a lifecycle of the coordinator, and lists every state with every event."""
    states = list(type(table.initial))
    events = list(dict.fromkeys(event for _, event in table.transitions))
    cells = {(str(event), str(state)): _cell(state, new) for (state, event), new in table.transitions.items()}
    return _picture(table.mermaid()) + "\n" + _matrix("event", list(map(str, events)), list(map(str, states)), cells)


def node_manager() -> str:
    """Draws the node manager's machine. A rule may lead to several stages, because its state is more than the stage."""
    moves: dict[tuple[str, str], list[str]] = {}
    cells: dict[tuple[str, str], str] = {}
    for (stage, event), row in NODE_MANAGER.items():
        targets = [target for target in Stage if target in row.leads_to]
        cells[event.__name__, stage] = ", ".join(_cell(stage, target) for target in targets)
        for target in targets:
            if target is not stage:
                moves.setdefault((stage, target), []).append(event.__name__)
    # One that leads from everywhere to one place would be most of the lines.
    everywhere = [
        event.__name__
        for event in dict.fromkeys(event for _, event in NODE_MANAGER)
        if all(Stage.GONE in _targets(stage, event) for stage in ALIVE)
    ]
    lines = ["stateDiagram-v2", f"    [*] --> {ManagerState().stage}"]
    for (start, end), names in moves.items():
        shown = [name for name in names if name not in everywhere]
        if shown:
            lines.append(f"    {start} --> {end}: {', '.join(shown)}")
    lines.append(f"    {Stage.GONE} --> [*]")
    note = f"Left out of the picture, since it leads from every stage to Gone: {', '.join(everywhere)}.\n"
    events = list(dict.fromkeys(event.__name__ for _, event in NODE_MANAGER))
    return _picture("\n".join(lines)) + f"\n{note}\n" + _matrix("event", events, [str(s) for s in Stage], cells)


def worker() -> str:
    """Draws what becomes of a worker process; the numbers come from the functions that decide."""
    policy = respawn.RespawnPolicy()
    delays = _delays(policy)
    lines = [
        "stateDiagram-v2",
        "    [*] --> Alive: spawned, pinned to its cores",
        "    Alive --> [*]: told to leave",
        f"    Alive --> Waiting: died, and is wanted ({delays[0]:g} s, doubled up to {delays[-1]:g} s)",
        "    Waiting --> Alive: spawned under the same index",
        "    Waiting --> [*]: the suite is let go",
        f"    Alive --> GivenUp: died {policy.max_restarts + 1} times without ending a task, no task to blame",
        "    GivenUp --> [*]: the suite is let go",
    ]
    rows = [f"| {number} | {delay:g} s |" for number, delay in enumerate(delays, 1)]
    text = (
        f"A task is handed back after {deaths.MAX_DEATHS} deaths of workers that it caused, or "
        f"{deaths.MAX_FAULTS} by {', '.join(sorted(signal.name for signal in deaths.FAULTS))}.\n"
    )
    table = "| deaths since it last ended a task | delay before the next start |\n|---|---|\n" + "\n".join(rows) + "\n"
    return _picture("\n".join(lines)) + f"\n{text}\n{table}"


def _delays(policy: respawn.RespawnPolicy) -> list[float]:
    """Lets one worker die, with a task to blame each time, until the delay grows no more."""
    state, delays = respawn.RespawnState(), list[float]()
    while len(delays) < 2 or delays[-1] != delays[-2]:
        state, decision = respawn.after_death(state, policy, blamed=True)
        assert isinstance(decision, respawn.Respawn)
        delays.append(decision.delay_seconds)
    return delays[:-1]


def _targets(stage: Stage, event: type) -> frozenset[Stage]:
    row = NODE_MANAGER.get((stage, event))
    return row.leads_to if row is not None else frozenset()


def _picture(mermaid: str) -> str:
    return f"```mermaid\n{mermaid}\n```\n"


def _cell(source: str, target: str) -> str:
    return "=" if source == target else target


def _matrix(corner: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], str]) -> str:
    def line(values: Iterable[str]) -> str:
        return f"| {' | '.join(values)} |\n"

    head = line([corner, *columns]) + "|" + "---|" * (len(columns) + 1) + "\n"
    return head + "".join(line([f"`{row}`", *(cells.get((row, column), "") for column in columns)]) for row in rows)


SECTIONS: Mapping[str, Callable[[], str]] = {
    "suite": lambda: lifecycle(SUITE),
    "task": lambda: lifecycle(TASK),
    "manager": lambda: lifecycle(MANAGER),
    "session": lambda: lifecycle(SESSION),
    "node-manager": node_manager,
    "worker": worker,
}


def generate(text: str) -> str:
    """Replaces every generated section of a page.

    Raises:
        DiagramsDiffer: a section is missing, or one is not known.
    """
    found = [match["name"] for match in SECTION.finditer(text)]
    if sorted(found) != sorted(SECTIONS):
        raise DiagramsDiffer(f"{PAGE.name} has the generated sections {found}; it needs {list(SECTIONS)}, each once")
    return SECTION.sub(lambda match: f"{match[1]}\n{SECTIONS[match['name']]()}\n{match[3]}", text)


def check(page: Path = PAGE) -> None:
    """Compares the page with the code.

    Raises:
        DiagramsDiffer: they differ.
    """
    text = page.read_text(encoding="utf-8")
    wanted = generate(text)
    if text != wanted:
        lines = difflib.unified_diff(
            text.splitlines(), wanted.splitlines(), str(page.name), "the code", lineterm="", n=1
        )
        raise DiagramsDiffer("\n".join([*lines, "Write it again: python tools/diagrams.py"]))


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail when the page differs from the code")
    options = parser.parse_args()
    try:
        if options.check:
            check()
        else:
            PAGE.write_text(generate(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except DiagramsDiffer as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
