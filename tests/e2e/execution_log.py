"""What really ran: every execution of a task appends one line to a file, whatever the coordinator comes to know of it.

The handlers here run in workers, so the module needs the standard library alone.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

RECORD = f"{__name__}:record"
# The same for a task that runs a command; the shell's `>>` opens with O_APPEND.
RECORD_COMMAND = 'echo "$MITOSIS_TASK_UUID $MITOSIS_TASK_ATTEMPT $$" >> "$EXECUTION_LOG"'


class Recorded(TypedDict):
    """The payload of `record`: where to append, how long to take, and what to return."""

    log: str
    seconds: float
    number: int


@dataclass(frozen=True, slots=True)
class Execution:
    """One line of the log."""

    task: str
    attempt: int
    pid: int


def record(payload: Recorded) -> int:
    """Takes some time, appends a line, and returns the task's number."""
    time.sleep(payload["seconds"])
    line = f"{os.environ['MITOSIS_TASK_UUID']} {os.environ['MITOSIS_TASK_ATTEMPT']} {os.getpid()}\n"
    # One write of a short line to a file opened for appending is not torn by other writers.
    descriptor = os.open(payload["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    return payload["number"]


class ExecutionLog:
    """The reading side."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def executions(self) -> list[Execution]:
        """Returns every execution so far, oldest first."""
        if not self.path.exists():
            return []
        fields = [line.split() for line in self.path.read_text().splitlines()]
        return [Execution(task, int(attempt), int(pid)) for task, attempt, pid in fields]

    def counts(self) -> Counter[str]:
        """Returns how often each task was executed."""
        return Counter(execution.task for execution in self.executions())
