"""A suite's progress: a bar at a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Bar
from rich.text import Text

from mitosis_client.errors import Unavailable
from mitosis_client.models import Suite

_LINE_SECONDS = 10.0
_WIDE = 70


class _RateColumn(ProgressColumn):
    def render(self, task: Bar) -> Text:
        """Returns the tasks a second of late."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


class _LeftColumn(TimeRemainingColumn):
    def render(self, task: Bar) -> Text:
        """Returns how long it may still take; nothing while that cannot be known."""
        left = super().render(task)
        return Text.assemble("left ", left) if left.plain else left


class SuiteProgress:
    """Shows the changes of one suite on standard error while it is open.

    How the suite ended is for the caller to say; `until_released` says that waiting goes on after that.
    """

    def __init__(self, *, quiet: bool = False, until_released: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._until_released = until_released
        self._bar: Progress | None = None
        self._last_line = 0.0
        self._last_phase = ""
        self._is_disconnected = False
        if not quiet and self._console.is_terminal:
            columns: list[ProgressColumn] = [
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
            ]
            columns += [MofNCompleteColumn(), _RateColumn()]
            if self._console.width >= _WIDE:
                columns.append(_LeftColumn(compact=True))
            self._bar = Progress(*columns, console=self._console, expand=True, transient=True)
            self._task = self._bar.add_task("Connecting", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, suite: Suite) -> None:
        """Shows a suite as it is now."""
        self._is_disconnected = False
        if self._bar is not None:
            total = suite.total_tasks or None
            self._bar.update(self._task, description=_phase(suite), total=total, completed=suite.finished_tasks)
        elif not self._quiet and (not suite.state.is_finished or (self._until_released and suite.assigned_managers)):
            now, phase = time.monotonic(), _phase(suite)
            if phase != self._last_phase or now - self._last_line >= _LINE_SECONDS:
                self._console.print(f"{phase}: {counts(suite)}", soft_wrap=True)
                self._last_phase, self._last_line = phase, now

    def disconnected(self, error: Unavailable) -> None:
        """Says once that the coordinator is away, which nobody could tell from a wait that goes on."""
        if not self._is_disconnected and not self._quiet:
            self._console.print(f"The coordinator cannot be reached, trying again: {error.message}", soft_wrap=True)
        self._is_disconnected = True


def _phase(suite: Suite) -> str:
    if suite.state.is_finished and suite.assigned_managers:
        return "Cleaning up"
    return {"Queued": "Waiting for a manager", "Open": "Preparing"}.get(suite.state, suite.state)


def counts(suite: Suite) -> str:
    """Returns the suite's counters as a sentence, such as `990 of 1000 tasks completed, 10 failed`."""
    parts = [f"{suite.completed_tasks} of {suite.total_tasks} tasks completed"]
    parts += [
        f"{count} {name}"
        for count, name in ((suite.failed_tasks, "failed"), (suite.cancelled_tasks, "cancelled"))
        if count
    ]
    return ", ".join(parts)
