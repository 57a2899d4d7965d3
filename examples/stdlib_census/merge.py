"""The cleanup hook: `python -m stdlib_census.merge DIRECTORY` makes one report of all results, and checks them.

It ends with exit code 1 when a file of the manifest was not counted. One that was counted twice is no mistake: a task
runs again when its worker dies before the result is safe, and counting the same file again gives the same numbers.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from stdlib_census.census import FileCount

TOP = 10

Ranking: TypeAlias = "list[tuple[str, int]]"


@dataclass(frozen=True, slots=True)
class Report:
    """All results in one; rankings are pairs of a name and a number, highest first."""

    files: int
    bytes: int
    lines: int
    functions: int
    classes: int
    workers: int
    unparsable: list[str] = field(default_factory=list)
    most_imported: Ranking = field(default_factory=list)
    longest_functions: Ranking = field(default_factory=list)
    longest_files: Ranking = field(default_factory=list)
    not_counted: list[str] = field(default_factory=list)
    counted_again: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every file was counted."""
        return not self.not_counted


def read_results(directory: Path) -> tuple[list[FileCount], int]:
    """Returns all results, and the number of worker processes that wrote them."""
    paths = sorted((directory / "results").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()], len(paths)


def merge(manifest: dict[str, int], results: list[FileCount], workers: int) -> Report:
    """Returns the report of results that should cover a manifest."""
    times = Counter(result["file"] for result in results)
    by_file = {result["file"]: result for result in results}
    imports: Counter[str] = Counter()
    for result in by_file.values():
        # A module counts once for each file that needs it, however often the file says so.
        imports.update(result["imports"].keys())
    functions = [
        (f"{name}: {longest['name']}", longest["lines"])
        for name, result in by_file.items()
        if (longest := result["longest_function"]) is not None
    ]
    return Report(
        files=len(by_file),
        bytes=sum(result["bytes"] for result in by_file.values()),
        lines=sum(result["lines"] for result in by_file.values()),
        functions=sum(result["functions"] for result in by_file.values()),
        classes=sum(result["classes"] for result in by_file.values()),
        workers=workers,
        unparsable=sorted(name for name, result in by_file.items() if not result["parses"]),
        most_imported=_top(list(imports.items())),
        longest_functions=_top(functions),
        longest_files=_top([(name, result["lines"]) for name, result in by_file.items()]),
        not_counted=sorted(manifest.keys() - times.keys()),
        counted_again=sorted(name for name, count in times.items() if count > 1),
    )


def _top(pairs: Ranking) -> Ranking:
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:TOP]


def as_text(report: Report) -> str:
    """Returns the report for people."""
    lines = [
        "The standard library of this Python",
        f"{report.files} files, {report.lines} lines, {report.functions} functions, {report.classes} classes",
        f"{len(report.unparsable)} files do not parse; counted by {report.workers} worker processes",
    ]
    for title, ranking in (
        ("Imported by the most files", report.most_imported),
        ("Longest functions, in lines", report.longest_functions),
        ("Longest files, in lines", report.longest_files),
    ):
        lines += ["", title, *(f"{number:>8}  {name}" for name, number in ranking)]
    for title, names in (("Not counted", report.not_counted), ("Counted more than once", report.counted_again)):
        if names:
            lines += ["", title, *(f"          {name}" for name in names)]
    return "\n".join(lines) + "\n"


def main(directory: Path) -> int:
    """Writes `report.json` and `report.txt`; returns the exit code."""
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    report = merge(manifest, *read_results(directory))
    (directory / "report.json").write_text(json.dumps(asdict(report), indent=1), encoding="utf-8")
    (directory / "report.txt").write_text(as_text(report), encoding="utf-8")
    print(as_text(report), end="")
    return 0 if report.is_complete else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
