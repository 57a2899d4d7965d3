"""Command lines, configurations and curl examples in the pages are ones that the programs take."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mitosis.v1 import suite_service_pb2
from mitosis_client.cli.app import app
from mitosis_client.cli.files import TaskFile
from mitosis_client.convert import to_message
from mitosis_coordinator import __main__ as coordinator_main
from mitosis_coordinator import config as coordinator
from mitosis_nodemgr import __main__ as manager_main
from mitosis_nodemgr import config as manager
from mitosis_worker import __main__ as worker_main
from mitosis_worker import config as worker
from tests.unit.docs.shell import fences, simple_commands

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
# Prometheus, Alertmanager and Grafana are configured there, not Mitosis.
_OTHERS_YAML = {"docs/monitoring.md"}
_DAEMONS: Mapping[str, Callable[[list[str]], object]] = {
    "mitosis-coordinator": lambda arguments: coordinator_main._parser().parse_args(arguments),
    "mitosis-manager": lambda arguments: manager_main._parser().parse_args(arguments),
    "mitosis-worker": worker_main._parse,
}
# What an example leaves out because its page is about something else.
_NEEDED = {
    "COORDINATOR_URL": "https://coordinator.example.com:8080",
    "MANAGER_TOKEN_FILE": "/token",
    "WORKER_TOKEN_FILE": "/token",
}


def examples(page: Path) -> list[list[str]]:
    """The commands of ours that a page shows in its shell examples."""
    blocks = fences(page.read_text(encoding="utf-8"), "sh", "bash")
    commands = [words for block in blocks for words in simple_commands(block)]
    return [words for words in commands if re.fullmatch(r"(?:.*/)?mitosis(?:-\w+)?", words[0])]


def check(words: list[str]) -> None:
    """Parses a command as its program does, and runs nothing. Fails when the program would refuse it."""
    program, arguments = Path(words[0]).name, words[1:]
    if program != "mitosis":
        _DAEMONS[program](arguments)
        return
    command, path = _root(), program
    while hasattr(command, "commands"):
        name, *arguments = _after_options(command, arguments)
        assert name in command.commands, f"{path} has no command {name}"
        command, path = command.commands[name], f"{path} {name}"
    command.make_context(path, arguments)


@functools.cache
def _root() -> Any:
    return typer.main.get_command(app)


def _after_options(group: Any, arguments: list[str]) -> list[str]:
    """What is left of a group's arguments after its own options."""
    known = {name: option for option in group.params for name in option.opts}
    while arguments and arguments[0].startswith("-"):
        assert arguments[0] in known, f"there is no option {arguments[0]}"
        flag = known[arguments[0]].display_type(typer.Context(group)) == "<bool>"
        arguments = arguments[1:] if flag else arguments[2:]
    return arguments


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_in_an_example_is_one_that_the_program_takes(page: Path) -> None:
    for words in examples(page):
        try:
            check(words)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{' '.join(words)}: {error!r}")


@pytest.mark.parametrize(
    "line",
    [
        "mitosis suites submit $SUITE --clos",
        "mitosis suites list --state Done",
        "mitosis-manager --config manager.yaml --tokens file",
        "mitosis-coordinator migrate sideways",
        "mitosis managers forget UUID",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    (words, _) = simple_commands(f"A=1 nice {line} > out | sort")
    with pytest.raises((Exception, SystemExit)):
        check(words)


def test_commands_are_found_wherever_they_stand() -> None:
    script = r"""
S=$(mitosis suites create --name 'a b')  # not this: mitosis x
for i in 1 2; do echo "{\"n\": $i}"; done | mitosis suites submit $S \
  --file - > /dev/null && mitosis suites wait $S
cat > f <<STOP
mitosis neither
STOP
"""
    found = [words for words in simple_commands(script) if words[0] == "mitosis"]

    assert found == [
        ["mitosis", "suites", "create", "--name", "a b"],
        ["mitosis", "suites", "submit", "$S", "--file", "-"],
        ["mitosis", "suites", "wait", "$S"],
    ]


def _configurations() -> list[tuple[str, str]]:
    return [
        (name, block)
        for page in PAGES
        if (name := str(page.relative_to(ROOT))) not in _OTHERS_YAML
        for block in fences(page.read_text(encoding="utf-8"), "yaml")
    ]


def _read_suite(file: Path) -> None:
    to_message(yaml.safe_load(file.read_text(encoding="utf-8")), suite_service_pb2.CreateSuiteRequest)


_READERS: Mapping[str, Callable[[Path], object]] = {
    "coordinator": lambda file: coordinator.load(file, {}),
    "manager": lambda file: manager.load(file, _NEEDED),
    "worker": lambda file: worker.load(file, _NEEDED),
    "suite": _read_suite,
    "tasks": lambda file: TaskFile(str(file)).check(),
}


@pytest.mark.parametrize(("page", "block"), _configurations(), ids=[page for page, _ in _configurations()])
def test_every_yaml_example_is_accepted_by_what_reads_it(page: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(block, encoding="utf-8")
    refused = {}
    for name, read in _READERS.items():
        try:
            read(file)
        except Exception as error:
            refused[name] = str(error)

    assert len(refused) < len(_READERS), refused


def test_curl_examples_of_the_user_guide_are_run() -> None:
    run = " ".join((ROOT / "tests" / "e2e" / "guide_examples.sh").read_text(encoding="utf-8").split())
    shown = [
        " ".join(command.replace("https://api.example.com", "$API").split())
        for page in (ROOT / "docs" / "user-guide").glob("*.md")
        for block in fences(page.read_text(encoding="utf-8"), "bash")
        for command in re.findall(r"^curl .*?[^\\]$(?!\n {2})", block, re.DOTALL | re.MULTILINE)
    ]
    calls = [command for command in shown if "$API" in command]

    assert len(calls) > 5
    assert [command for command in calls if command not in run] == []


def test_a_reference_page_that_differs_from_the_code_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    reference = importlib.import_module("reference")
    monkeypatch.setattr(reference.gen, "ROOT", tmp_path)
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    monkeypatch.setattr(reference, "PAGES", {page: lambda: "now", other: lambda: "same"})
    page.write_text("before")
    other.write_text("same")

    assert reference.stale() == ["page.md"]
