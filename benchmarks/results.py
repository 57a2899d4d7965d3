"""What a run says: figures in rows, bars for the plot, and the document that `--json` writes."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is, how large, what it is held against, and what was promised.

    `reached` is None where nothing was promised or nothing could be measured.
    """

    figure: str
    value: str
    beside: str = ""
    ratio: str = ""
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Values to draw beside each other, by label, all in one unit."""

    title: str
    unit: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """What one scenario measured; `raw` holds every sample, for `--json`."""

    name: str
    rows: list[Row]
    raw: dict[str, object] = field(default_factory=dict)
    bars: list[Bars] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a benchmark command: when and where it measured, and what."""

    measured_at: str
    command: str
    machine: str
    scale: float
    reports: list[Report]

    @classmethod
    def of(cls, target: str, names: Sequence[str], scale: float, reports: list[Report]) -> Run:
        """The run that was just made of a target of the Makefile, with the names and the scale that it was given."""
        arguments = [*names, *(["--scale", f"{scale:g}"] if scale != 1 else [])]
        command = f"make {target} ARGS={shlex.quote(shlex.join(arguments))}" if arguments else f"make {target}"
        return cls(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), command, _machine(), scale, reports)

    @classmethod
    def read(cls, path: Path) -> Run:
        """The run that `write` wrote."""
        document = json.loads(path.read_text())
        reports = [
            Report(
                report["name"],
                [Row(**row) for row in report["rows"]],
                report["raw"],
                [Bars(**bars) for bars in report["bars"]],
            )
            for report in document.pop("reports")
        ]
        return cls(**document, reports=reports)

    def write(self, path: Path) -> None:
        """Write everything, every sample too, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def at_least(figure: str, value: float, unit: str, least: float, *, beside: str = "", ratio: str = "") -> Row:
    """A row for a value that should be large."""
    return Row(figure, amount(value, unit), beside, ratio, f"at least {amount(least, unit)}", value >= least)


def below(figure: str, value: float, unit: str, limit: float, *, beside: str = "", ratio: str = "") -> Row:
    """A row for a value that should be small."""
    return Row(figure, amount(value, unit), beside, ratio, f"under {amount(limit, unit)}", value < limit)


def amount(value: float, unit: str) -> str:
    """A value with about three digits and its unit."""
    decimals = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f} {unit}".rstrip()


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value below which that part of the samples lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def median(samples: Sequence[float]) -> float:
    """The middle of the samples."""
    return statistics.median(samples)


def scaled(count: int, scale: float, least: int = 1) -> int:
    """A size of a scenario for `--scale`: in proportion, and no less than it needs to make sense."""
    return max(least, round(count * scale))


def _machine() -> str:
    gigabytes = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores, {gigabytes:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, load at the end {load:.1f}"
    )
