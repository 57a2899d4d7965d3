"""Programs that a manager runs around a suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class HookType(StrEnum):
    """Which of a suite's two hooks."""

    PREPARATION = "Preparation"
    CLEANUP = "Cleanup"


class HookResult(StrEnum):
    """How a hook run ended."""

    SUCCESS = "Success"
    FAILURE = "Failure"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class HookSpec:
    """A command line or an argument vector, with its limits and environment."""

    command: str
    args: tuple[str, ...]
    timeout_seconds: float | None
    working_directory: str
    envs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HookRun:
    """One run of a hook on one manager."""

    hook_type: HookType
    result: HookResult
    manager_id: UUID
    manager_name: str
    exit_code: int | None
    error: str
    output_tail: str
    started_at: datetime
    duration_seconds: float
