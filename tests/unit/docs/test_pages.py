"""Links lead somewhere, named files exist, and the commands are the ones there are."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mitosis_client.cli.app import app
from mitosis_client.cli.exits import ExitCode

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
# The longer names first: the first alternative that fits is taken.
GROUPS = ("suites managers", "groups members", "suites", "tasks", "managers", "workers", "users", "groups")
_COMMAND = re.compile(rf"\bmitosis ((?:(?:{'|'.join(GROUPS)}) )?[a-z][a-z-]*)\b")
_FENCE = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_INLINE = re.compile(r"`(mitosis [^`]+)`")


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, in GitHub's way."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target) if target else page
        assert file.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}: there are {sorted(anchors(file))}"


def test_the_table_of_the_architecture_names_files() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("| X | Y |")[2]
    named = re.findall(r"\]\(\.\./([^)]+)\)", table)

    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_table_of_the_architecture_names_what_is_in_the_files() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("| X | Y |")[2]
    migrations = (ROOT / "coordinator/mitosis_coordinator/storage/migrations").glob("*.sql")
    schema = "".join(file.read_text(encoding="utf-8") for file in migrations)
    missing = []
    for row in table.splitlines()[2:]:
        files = re.findall(r"\]\(\.\./([^)]+)\)", row)
        text = schema + "".join((ROOT / name).read_text(encoding="utf-8") for name in files)
        named = re.findall(r"`(?:[A-Z]\w+\.)?([A-Za-z_]+)`", row.rpartition(" | ")[2])
        missing += [(files, name) for name in named if name not in text]

    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make_has_the_targets_that_pages_name(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = "\n".join(re.findall(r"^ {4}.*$|`make [^`]+`", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    named = set(_MAKE.findall(code))

    assert named
    assert named <= targets


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^ {4}make (\S+)", text, re.MULTILINE) == ["demo", "test"]


def commands() -> set[str]:
    """Every command of the CLI, as it is typed."""
    return {" ".join(path) for path in _paths(typer.main.get_command(app))}


def _paths(command: Any) -> Iterator[tuple[str, ...]]:
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from ((name, *path) for path in _paths(inner))
        else:
            yield (name,)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_commands_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "\n".join([*_FENCE.findall(text), *_INLINE.findall(text)])

    assert set(_COMMAND.findall(code)) <= commands() | set(GROUPS)


def test_the_page_of_the_command_line_has_every_command_and_exit_code() -> None:
    text = (ROOT / "docs" / "user-guide" / "cli.md").read_text(encoding="utf-8")
    table = text.partition("| command |")[2].partition("\n\n")[0]
    named = {
        f"{group} {name}".strip()
        for row in table.splitlines()
        for group, names in re.findall(rf"`mitosis (?:({'|'.join(GROUPS)}) )?(.+?)` \|", row)
        for name in re.findall(r"[a-z-]+", names)
    }
    codes = re.findall(r"^\| (\d+) \|", text.partition("## Exit codes")[2], re.MULTILINE)

    assert named == commands()
    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_a_diagram_that_differs_from_the_code_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    diagrams = importlib.import_module("diagrams")
    page = tmp_path / "state-machines.md"
    text = diagrams.PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("[*] --> Queued", "[*] --> Open"), encoding="utf-8")

    diagrams.check()
    with pytest.raises(diagrams.DiagramsDiffer, match="Queued"):
        diagrams.check(page)
