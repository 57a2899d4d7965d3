"""SQL files: what is read, and what is refused."""

import pytest

from mitosis_coordinator.storage.queries import QueryFileError, load_queries, parse_queries

GOOD = """-- Comments may stand before the first statement.

-- name: first
-- Does one thing.
SELECT 1
-- with a reason in between
FROM a;

-- name: second
-- Does another.
UPDATE a SET b = %(b)s
"""


def test_statements_are_found_by_name() -> None:
    queries = parse_queries("things", GOOD)
    assert list(queries) == ["first", "second"]
    assert queries["first"] == "/* things.first */ SELECT 1\n-- with a reason in between\nFROM a"
    assert queries["second"].endswith("UPDATE a SET b = %(b)s")
    assert queries.purpose("first") == "Does one thing."


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"things\.sql has no statement 'third'; it has first, second"):
        parse_queries("things", GOOD)["third"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT 1", "before the first"),
        ("-- name:\n-- Purpose.\nSELECT 1", "is no name"),
        ("-- name: Two Words\n-- Purpose.\nSELECT 1", "before the first"),
        ("-- name: a\n-- Purpose.\nSELECT 1\n-- name: a\n-- Purpose.\nSELECT 2", "two statements are named a"),
        ("-- name: a\nSELECT 1", "does not say what it is for"),
        ("-- name: a\n-- \nSELECT 1", "does not say what it is for"),
        ("-- name: a\n-- Purpose.\n", "no statement"),
        ("-- name: a\n-- Purpose.\n-- only a comment\n;", "no statement"),
    ],
)
def test_a_file_that_does_not_keep_the_format_is_refused(text: str, problem: str) -> None:
    with pytest.raises(QueryFileError, match=problem):
        parse_queries("things", text)


@pytest.mark.parametrize("source", ["users", "groups", "keys"])
def test_our_own_files_load_once(source: str) -> None:
    assert load_queries(source) is load_queries(source)
