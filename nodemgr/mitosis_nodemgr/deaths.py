"""What a worker's death means for the task that it ran. Pure.

Three budgets meet here and stay apart: the task's own failures (counted by the coordinator), the deaths of workers
that it caused (this module), and the worker's respawn delay (`respawn.py`).
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from mitosis_common.processes import describe_exit

# Signals that a program earns by its own fault and would earn again: trying a third time would only cost a core dump.
FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
MAX_DEATHS = 3
MAX_FAULTS = 2


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker process ended: an exit code, or the signal that killed it."""

    # As `subprocess` gives it: a negative number is a signal.
    returncode: int
    # We sent the signal ourselves, so nobody is to blame for it.
    wanted: bool = False
    # The end of what it wrote itself; after a fault, the Python traceback is in it.
    output_tail: str = ""

    @property
    def clean(self) -> bool:
        """Tells whether the worker left because it was asked to."""
        return self.returncode == 0

    @property
    def reason(self) -> str:
        """Says it in words, for example `killed by SIGSEGV`."""
        words = describe_exit(self.returncode)
        # The kernel tells nobody but its log. A SIGKILL that we did not send is its out-of-memory killer, or a person.
        if self.returncode == -signal.SIGKILL and not self.wanted:
            return f"{words} (out of memory?)"
        return words


def is_worn_out(deaths: Sequence[Death]) -> bool:
    """Tells whether a task has killed as many workers as one manager allows."""
    faults = sum(-death.returncode in FAULTS for death in deaths)
    return faults >= MAX_FAULTS or len(deaths) >= MAX_DEATHS
