"""The standard library census, without a coordinator."""

import json
from pathlib import Path

import pytest

from stdlib_census import census, merge, prepare, suite
from stdlib_census.sources import library, source_files

SOURCE = b"""import os, sys
from collections.abc import Iterator
from . import sibling
class A:
    async def f(self):
        if self:
            import json.decoder
        return [lambda: 0 for _ in ()]
def g(): pass
match 1:
    case 1:
        def h(): pass
"""


def test_a_file_is_counted() -> None:
    counted = census.count("a.py", SOURCE)
    assert counted == {
        "file": "a.py",
        "bytes": len(SOURCE),
        "lines": 12,
        "parses": True,
        "functions": 3,
        "classes": 1,
        "imports": {"os": 1, "sys": 1, "collections": 1, "json": 1},
        "longest_function": {"name": "f", "lines": 4},
    }


@pytest.mark.parametrize("source", [b"def", b"\0", b"# coding: nonsense\n", b"(" * 1000])
def test_a_file_that_does_not_parse_is_a_result(source: bytes) -> None:
    counted = census.count("a.py", source)
    assert (counted["parses"], counted["functions"]) == (False, 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "lib"
    for name in ("a.py", "p/__init__.py", "site-packages/x.py", "p/__pycache__/y.py"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SOURCE)
    shared = tmp_path / "shared"
    assert prepare.prepare(shared, root) == 2
    return shared


def _count(directory: Path, *names: str) -> None:
    for name in names:
        census.count_file({"library": str(directory.parent / "lib"), "file": name, "directory": str(directory)})


def test_every_file_once_makes_a_report(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _count(directory, "a.py", "p/__init__.py")
    assert merge.main(directory) == 0
    report = json.loads((directory / "report.json").read_text())
    assert (report["files"], report["functions"], report["workers"]) == (2, 6, 1)
    assert report["most_imported"][0] == ["collections", 2]
    assert report["longest_functions"][0] == ["a.py: f", 4]
    assert capsys.readouterr().out == (directory / "report.txt").read_text()


@pytest.mark.parametrize(
    ("names", "field", "exit_code"),
    [(["a.py"], "not_counted", 1), (["a.py", "p/__init__.py", "p/__init__.py"], "counted_again", 0)],
)
def test_a_file_not_counted_fails_the_hook_and_one_counted_twice_does_not(
    directory: Path, names: list[str], field: str, exit_code: int
) -> None:
    _count(directory, *names)
    assert merge.main(directory) == exit_code
    report = json.loads((directory / "report.json").read_text())
    assert report[field] == ["p/__init__.py"]
    assert "p/__init__.py" in (directory / "report.txt").read_text()


def test_there_is_a_task_for_each_file_of_the_library(tmp_path: Path) -> None:
    tasks = list(suite.tasks(tmp_path))
    files = source_files(library())
    assert len(tasks) == len(files) > 500
    assert "json/decoder.py" in files
    spec = suite.suite_spec(tmp_path, "g", 3)
    assert spec["worker_schedule"]["worker_count"] == 3
