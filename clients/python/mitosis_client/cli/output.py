"""Answers for people at a terminal, for pipes, and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Generic, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mitosis_client.models import JsonValue, Model

D = TypeVar("D")
M = TypeVar("M", bound=Model)

_GAP = 2
_STYLES = {
    "Complete": "green",
    "Completed": "green",
    "Success": "green",
    "Executing": "cyan",
    "Running": "cyan",
    "Idle": "cyan",
    "Failed": "bold red",
    "Failure": "bold red",
    "Timeout": "bold red",
    "Cancelled": "yellow",
    "Offline": "dim",
}


@dataclass(frozen=True)
class Column(Generic[D]):
    """One column of a list; where the terminal is narrow, those of the lowest `rank` are left out first."""

    title: str
    value: Callable[[D], str]
    rank: int = 0
    right: bool = False


@dataclass(slots=True)
class Output:
    """How one command answers."""

    as_json: bool = False

    @property
    def console(self) -> Console:
        """Standard output, made anew because tests replace it."""
        return Console(highlight=False, markup=False)

    def line(self, text: str = "", style: str | None = None) -> None:
        """Writes one line for people; with `--json` it is left out."""
        if not self.as_json:
            self.console.print(Text(text, style or ""), soft_wrap=True)

    def document(self, value: JsonValue) -> None:
        """Writes one JSON document."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def json_line(self, value: JsonValue) -> None:
        """Writes one JSON document on one line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")

    def items(self, items: Iterable[M], limit: int, columns: Sequence[Column[M]], nothing: str) -> None:
        """Writes a list up to a limit: JSON lines as the items come, or a table, and whether it leaves anything out."""
        coming = iter(items)
        if self.as_json:
            for item in islice(coming, limit):
                self.json_line(item.to_dict())
            return
        rows = list(islice(coming, limit))
        if not rows:
            self.line(nothing)
            return
        self.table(rows, columns)
        if next(coming, None) is not None:
            # Not among the rows, which another program may count.
            sys.stderr.write(f"These are the first {limit}; there are more: --limit\n")

    def table(self, rows: Sequence[D], columns: Sequence[Column[D]]) -> None:
        """Writes a table that cuts no cell: it has fewer columns, or becomes a list, where the terminal is narrow."""
        console = self.console
        if not console.is_terminal:
            for line in _aligned([[column.title for column in columns], *_cells(rows, columns)]):
                sys.stdout.write(line + "\n")
            return
        # An empty column tells nothing and would take the place of one that does.
        chosen = [column for column in columns if any(column.value(row) for row in rows)]
        while len(chosen) > 1 and _width(rows, chosen) > console.width:
            chosen.remove(min(chosen, key=lambda column: column.rank))
        if len(chosen) < min(3, len(columns)):
            self._records(rows, columns)
            return
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for column in chosen:
            table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
        for cells in _cells(rows, chosen):
            table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in cells))
        console.print(table)

    def _records(self, rows: Sequence[D], columns: Sequence[Column[D]]) -> None:
        for cells in _cells(rows, columns):
            self.fields([(column.title, cell) for column, cell in zip(columns, cells, strict=True)])
            self.line()

    def fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Writes names and values, one a line; empty values are left out."""
        shown = [(name, value) for name, value in fields if value]
        indent = max((len(name) for name, _ in shown), default=0) + _GAP
        console = self.console
        for name, value in shown:
            first, *rest = value.splitlines() or [""]
            line = Text(f"{name:<{indent}}", "bold").append(Text(first, _STYLES.get(first, "not bold")))
            console.print(line, soft_wrap=True)
            for text in rest:
                console.print(" " * indent + text, soft_wrap=True)

    def block(self, title: str, text: str) -> None:
        """Writes a text as it is under a title; nothing for an empty text."""
        if text.strip():
            self.line(title, "bold")
            self.indented(text)

    def indented(self, text: str) -> None:
        """Writes a text as it is, under what was written before; nothing for an empty text."""
        for line in text.rstrip("\n").splitlines():
            self.line(f"  {_printable(line)}")


def _printable(line: str) -> str:
    """Shows control characters that would act on the terminal; what a task wrote is not to be trusted with it."""
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in line)


def _cells(rows: Sequence[D], columns: Sequence[Column[D]]) -> list[list[str]]:
    return [[_printable(column.value(row)) for column in columns] for row in rows]


def _width(rows: Sequence[D], columns: Sequence[Column[D]]) -> int:
    cells = [[column.title for column in columns], *_cells(rows, columns)]
    widths = [max(Text(line[index]).cell_len for line in cells) for index in range(len(columns))]
    return sum(widths) + _GAP * (len(widths) - 1)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return [
        (" " * _GAP).join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """Returns how long ago something was, such as `3 min`; empty for never."""
    if moment is None:
        return ""
    return duration(((now or datetime.now(UTC)) - moment).total_seconds())


def duration(seconds: float) -> str:
    """Returns a length of time in its two largest units: `850 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for name, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("a minute or more has a unit")


def moment(time: datetime | None) -> str:
    """Returns a time in the local zone, to the second; empty for none."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if time else ""
