"""Suites and tasks from YAML and JSON-lines files; every mistake is named with its file, line and field."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import yaml

from mitosis_client.aio.batching import new_task
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.specs import NewTask, SuiteSpec
from mitosis_common.json_text import JsonTextError, load_json
from mitosis_common.yaml_loader import describe_yaml_error, load_yaml

STDIN = "-"


def read_suite(name: str) -> SuiteSpec:
    """Returns the suite that a YAML (or JSON) file describes. Raises `InvalidField`."""
    document = _parse_yaml(name)
    if not isinstance(document, dict):
        raise InvalidField([FieldViolation(name, "accepts the fields of a suite as a mapping")])
    # The fields themselves are checked when the request is made; `in_file` names the file then.
    return cast(SuiteSpec, document)


def in_file(error: InvalidField, name: str) -> InvalidField:
    """Returns the error with the file's name before every field."""
    return InvalidField([FieldViolation(f"{name}: {item.field}", item.description) for item in error.violations])


@dataclass(slots=True)
class TaskFile:
    """The tasks of a file or of standard input, and where each of them stands.

    Iterating yields tasks that are known to be good. A bad one ends that; iterating goes on to the end of the file
    nevertheless, so that `problems` names all bad ones, each with its line (its place in the list for YAML).
    """

    name: str
    problems: list[FieldViolation] = field(default_factory=list)
    # Lines of good tasks, by their place among them: empty lines make the two differ.
    _lines: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def repeatable(self) -> bool:
        """Whether the file can be read twice, once to check it."""
        return self.name != STDIN and Path(self.name).is_file()

    @property
    def _is_yaml(self) -> bool:
        return Path(self.name).suffix.lower() in (".yaml", ".yml")

    def __iter__(self) -> Iterator[NewTask]:
        self.problems.clear()
        del self._lines[:]
        for line, document in self._documents():
            try:
                new_task(cast(NewTask, document), 0)
            except InvalidField as error:
                self.problems += [
                    FieldViolation(self._place(line, item.field), item.description) for item in error.violations
                ]
                continue
            if not self.problems:
                self._lines.append(line)
                yield cast(NewTask, document)

    def check(self) -> None:
        """Reads everything and keeps nothing. Raises `InvalidField` with all problems."""
        for _ in self:
            pass
        self.raise_problems()

    def raise_problems(self) -> None:
        """Raises `InvalidField` when a task was bad."""
        if self.problems:
            raise InvalidField(self.problems)

    def located(self, error: InvalidField, first: int = 0) -> InvalidField:
        """Returns the coordinator's refusal of a submission that began with task `first`, with lines of the file."""
        return InvalidField(
            [FieldViolation(self._locate(item.field, first), item.description) for item in error.violations],
            error.message,
        )

    def _locate(self, path: str, first: int) -> str:
        index, bracket, rest = path.removeprefix("tasks[").partition("]")
        place = first + int(index) if bracket and index.isdigit() else len(self._lines)
        return self._place(self._lines[place], rest) if place < len(self._lines) else path

    def _place(self, line: int, path: str) -> str:
        shown = "standard input" if self.name == STDIN else self.name
        # A list in YAML is known by its items: their lines are gone when they are judged.
        place = f"{shown}: task {line}" if self._is_yaml else f"{shown}:{line}"
        inner = path.removeprefix("tasks[0]").lstrip(".")
        return f"{place}: {inner}" if inner else place

    def _documents(self) -> Iterator[tuple[int, object]]:
        if self._is_yaml:
            yield from enumerate(_yaml_tasks(self.name), start=1)
            return
        with _open(self.name) as stream, _as_text(self.name):
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    document = load_json(line)
                except JsonTextError as error:
                    self.problems.append(FieldViolation(self._place(number, ""), f"is not a JSON document: {error}"))
                    continue
                yield number, document


def _yaml_tasks(name: str) -> list[object]:
    document = _parse_yaml(name)
    if isinstance(document, dict) and set(document) == {"tasks"}:
        document = document["tasks"]
    if not isinstance(document, list):
        raise InvalidField([FieldViolation(name, "accepts a list of tasks, or a mapping with the one key tasks")])
    return document


def _open(name: str) -> AbstractContextManager[IO[str]]:
    if name == STDIN:
        return nullcontext(sys.stdin)
    try:
        # Editors of some systems begin a file with a byte order mark.
        return Path(name).open(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidField([FieldViolation(name, f"cannot be read: {error.strerror}")]) from None


@contextmanager
def _as_text(name: str) -> Iterator[None]:
    """Raises `InvalidField` when what is read inside is not text."""
    try:
        yield
    except UnicodeDecodeError:
        raise InvalidField([FieldViolation(name, "is not text in UTF-8")]) from None


def _parse_yaml(name: str) -> Any:
    with _open(name) as stream, _as_text(name):
        text = stream.read()
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        line, problem = describe_yaml_error(error)
        place = f"{name}:{line}" if line else name
        raise InvalidField([FieldViolation(place, f"is not valid YAML: {problem}")]) from None
