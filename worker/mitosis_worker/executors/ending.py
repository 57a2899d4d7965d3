"""How one run of a task ended."""

from dataclasses import dataclass
from typing import Literal

from mitosis.v1 import manager_stream_pb2, task_pb2

COMPLETED = manager_stream_pb2.TASK_OUTCOME_COMPLETED
FAILED = manager_stream_pb2.TASK_OUTCOME_FAILED
TIMED_OUT = manager_stream_pb2.TASK_OUTCOME_TIMED_OUT
CANCELLED = manager_stream_pb2.TASK_OUTCOME_CANCELLED

StopReason = Literal["timed out", "cancelled"]

# An exception's text may be of any length; the traceback in the tail of standard error has all of it that fits there.
_MAX_ERROR_CHARACTERS = 4096


@dataclass(slots=True)
class Ending:
    """An outcome and what the run left behind."""

    outcome: manager_stream_pb2.TaskOutcome
    result: task_pb2.TaskResult


def failed(error: str) -> Ending:
    """Build the ending of a task that could not be started."""
    return Ending(FAILED, task_pb2.TaskResult(error=storable(error)))


def stopped(reason: StopReason, timeout_seconds: float) -> Ending:
    """Build the ending of a task that was stopped, with nothing but its error in the result."""
    if reason == "cancelled":
        return Ending(CANCELLED, task_pb2.TaskResult(error="cancelled"))
    return Ending(TIMED_OUT, task_pb2.TaskResult(error=f"ran longer than {timeout_seconds:g} s"))


def storable(text: str) -> str:
    """Make an error text short, and free of what protobuf or PostgreSQL refuse: lone surrogates and NUL."""
    if len(text) > _MAX_ERROR_CHARACTERS:
        text = text[: _MAX_ERROR_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
