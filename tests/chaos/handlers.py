"""What the tasks of a chaos run do. The handlers run in workers, so the module needs the standard library alone.

Every execution appends a line when it starts and one when it ends to a log that nobody else writes: what really
happened, whatever the coordinator comes to know of it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TypedDict

HANDLER = f"{__name__}:work"
START, END = "start", "end"

# How a task ends.
COMPLETES = "completes"
FAILS = "fails"
FAILS_ONCE = "fails once"
KILLS_ITS_WORKER = "kills its worker"
KILLS_ITS_WORKER_ONCE = "kills its worker once"

# The same for a command, which completes; the shell's `>>` opens with O_APPEND, and its parent is the worker.
COMMAND = (
    "log() { read -r now rest < /proc/uptime; "
    'echo "$1 $MITOSIS_TASK_UUID $MITOSIS_TASK_ATTEMPT $PPID $now" >> "$CHAOS_LOG"; }; '
    'log start; sleep "$CHAOS_SECONDS"; log end'
)


class Work(TypedDict):
    """The payload of every task: its number among all, where to append, how long to take, and how to end."""

    number: int
    log: str
    seconds: float
    fate: str


class Result(TypedDict):
    """What a handler returns: enough to tell whose result was recorded."""

    number: int
    attempt: int


def work(payload: Work) -> Result:
    """Runs one task.

    Raises:
        RuntimeError: It was to fail.
    """
    log = Path(payload["log"])
    attempt = int(os.environ["MITOSIS_TASK_ATTEMPT"])
    _append(log, START, attempt)
    time.sleep(payload["seconds"])
    fate = payload["fate"]
    if fate == KILLS_ITS_WORKER or (fate == KILLS_ITS_WORKER_ONCE and _first_time(log, payload["number"])):
        os.kill(os.getpid(), signal.SIGKILL)
    _append(log, END, attempt)
    if fate == FAILS or (fate == FAILS_ONCE and _first_time(log, payload["number"])):
        raise RuntimeError(f"task {payload['number']} fails")
    return {"number": payload["number"], "attempt": attempt}


def _append(log: Path, event: str, attempt: int) -> None:
    # Of a clock that faults do not move.
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    line = f"{event} {os.environ['MITOSIS_TASK_UUID']} {attempt} {os.getpid()} {now:.3f}\n"
    # One write of a short line to a file opened for appending is not torn by other writers.
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _first_time(log: Path, number: int) -> bool:
    """Tells whether no other execution of the task came to this point, on whichever holder."""
    try:
        os.close(os.open(log.with_name(f"{log.name}.{number}"), os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True
