"""`make chaos`: runs once, prints a table, and fails when anything was violated."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Outcome, Settings, run

_FAULTS_A_MINUTE = 24
_TASKS_A_MINUTE = 7500
_SHOWN = 5

# Another code than that of a run that could not be made, which proves nothing.
VIOLATED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the run to repeat; another one each time without it")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults strike")
    parser.add_argument("--faults", type=int, default=None, help=f"{_FAULTS_A_MINUTE} a minute unless given")
    parser.add_argument("--tasks", type=int, default=None, help=f"{_TASKS_A_MINUTE} a minute unless given")
    parser.add_argument("--logs", type=Path, default=None, help="where to write the processes' logs after a violation")
    given = parser.parse_args(arguments)
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    settings = Settings(
        seed=seed,
        seconds=given.minutes * 60,
        faults=given.faults or round(_FAULTS_A_MINUTE * given.minutes),
        tasks=given.tasks or round(_TASKS_A_MINUTE * given.minutes),
    )
    outcome = asyncio.run(run(settings, lambda text: print(text, flush=True)))
    show(outcome)
    if given.logs is not None and not outcome.passed:
        given.logs.write_text(outcome.logs)
    return 0 if outcome.passed else VIOLATED


def show(outcome: Outcome) -> None:
    """Prints what happened, and every violation with its first examples."""
    console = Console(width=110)
    table = Table("what", "count", title=f"chaos, seed {outcome.settings.seed}")
    table.add_row("faults", str(sum(outcome.struck.values())))
    for kind, count in sorted(outcome.struck.items()):
        table.add_row(f"  {kind}", str(count))
    if not outcome.disks:
        table.add_row("  full disk", "none: mounting one takes privileges")
    table.add_row("managers out of quarantine", str(outcome.mended))
    table.add_row("suites", str(outcome.suites))
    table.add_row("  reopened", str(outcome.reopened))
    table.add_row("tasks acknowledged", str(outcome.acknowledged))
    table.add_row("calls without an answer", str(outcome.unanswered))
    table.add_row("executions", str(outcome.executions))
    table.add_row("  re-runs", str(outcome.reruns))
    table.add_row("stale reports refused", str(outcome.stale_reports))
    table.add_row("seconds until rest", f"{outcome.quiet_seconds:.0f}")
    table.add_section()
    for violation, found in outcome.violations.items():
        table.add_row(violation, str(len(found)), style="bold red" if found else None)
    console.print(table)
    for violation, found in outcome.violations.items():
        for example in found[:_SHOWN]:
            console.print(f"{violation}: {example}", markup=False, highlight=False)
        if len(found) > _SHOWN:
            console.print(f"{violation}: and {len(found) - _SHOWN} more", markup=False)
    if not outcome.passed:
        console.print(f"repeat it with: make chaos SEED={outcome.settings.seed}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
