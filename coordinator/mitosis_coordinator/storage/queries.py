"""SQL statements by name, from the files in `storage/sql`.

A statement looks like this; the purpose line is required:

    -- name: claim_tasks
    -- Takes the next ready tasks of one suite for one holder.
    SELECT ... WHERE suite_uuid = %(suite_uuid)s;
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_HEADER = re.compile(r"^-- name:[ \t]*(?P<name>\S*)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class QueryFileError(ValueError):
    """A file of statements does not keep the format."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement, and what it is for."""

    purpose: str
    text: str


class Queries(Mapping[str, str]):
    """The statements of one file, by name, ready to be executed."""

    def __init__(self, source: str, queries: Mapping[str, Query]) -> None:
        self._source = source
        self._queries = MappingProxyType(dict(queries))

    def __getitem__(self, name: str) -> str:
        try:
            return self._queries[name].text
        except KeyError:
            known = ", ".join(self._queries)
            raise KeyError(f"{self._source}.sql has no statement {name!r}; it has {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def purpose(self, name: str) -> str:
        """The line that says what the statement is for."""
        return self._queries[name].purpose


@cache
def load_queries(source: str) -> Queries:
    """Read `storage/sql/<source>.sql`, once in the life of the process.

    Raises:
        QueryFileError: the file does not keep the format.
    """
    path = files("mitosis_coordinator.storage").joinpath("sql", f"{source}.sql")
    return parse_queries(source, path.read_text(encoding="utf-8"))


def parse_queries(source: str, text: str) -> Queries:
    """Split the text of one file into its statements.

    Raises:
        QueryFileError: a name is missing, malformed or used twice; a purpose or a statement is missing.
    """
    headers = list(_HEADER.finditer(text))
    _refuse_unnamed(source, text[: headers[0].start()] if headers else text)
    queries: dict[str, Query] = {}
    for header, after in zip(headers, [*headers[1:], None], strict=True):
        name = header["name"]
        if not _NAME.fullmatch(name):
            raise QueryFileError(f"{source}.sql: {name!r} is no name for a statement; accepts {_NAME.pattern}")
        if name in queries:
            raise QueryFileError(f"{source}.sql: two statements are named {name}")
        queries[name] = _parse_body(f"{source}.{name}", text[header.end() : after.start() if after else None])
    return Queries(source, queries)


def _refuse_unnamed(source: str, preamble: str) -> None:
    for line in preamble.splitlines():
        if line.strip() and not line.startswith("--"):
            raise QueryFileError(f"{source}.sql: {line.strip()!r} stands before the first '-- name:'")


def _parse_body(label: str, body: str) -> Query:
    lines = body.strip().splitlines()
    if not lines or not (purpose := lines[0].removeprefix("-- ").strip()) or not lines[0].startswith("-- "):
        raise QueryFileError(f"{label}: the line after its name does not say what it is for")
    statement = "\n".join(lines[1:]).strip().removesuffix(";").rstrip()
    if all(not line.strip() or line.lstrip().startswith("--") for line in statement.splitlines()):
        raise QueryFileError(f"{label}: there is no statement")
    # The label makes the statement recognisable in the server's logs and in pg_stat_activity.
    return Query(purpose, f"/* {label} */ {statement}")
