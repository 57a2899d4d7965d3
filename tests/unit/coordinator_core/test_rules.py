"""What each field accepts, and what is said of what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis_coordinator.domain.errors import FieldViolation, InvalidField
from mitosis_coordinator.domain.rules import MAX_VIOLATIONS, Rules

A_UUID = "550e8400-e29b-41d4-a716-446655440000"
Check = Callable[[Rules], object]


def violations(check: Check) -> list[FieldViolation]:
    rules = Rules()
    check(rules)
    if not rules.broken:
        rules.raise_if_broken()
        return []
    with pytest.raises(InvalidField) as refused:
        rules.raise_if_broken()
    return list(refused.value.violations)


def name(value: str) -> Check:
    return lambda rules: rules.name("f", value)


def text(value: str) -> Check:
    return lambda rules: rules.text("f", value)


def tags(*values: str) -> Check:
    return lambda rules: rules.tags("f", values)


def labels(*values: str) -> Check:
    return lambda rules: rules.labels("f", values)


def seconds(value: float, *, zero: bool = False) -> Check:
    return lambda rules: rules.seconds("f", value, 60, zero=zero)


def uuid(value: str) -> Check:
    return lambda rules: rules.uuid("f", value)


def uuids(*values: str) -> Check:
    return lambda rules: rules.uuids("f", values, 2)


def executor(command: str = "", args: tuple[str, ...] = (), handler: str = "", *, required: bool = False) -> Check:
    return lambda rules: rules.executor("f", command, args, handler, required=required)


def envs(**values: str) -> Check:
    return lambda rules: rules.envs("f", values)


def directory(value: str) -> Check:
    return lambda rules: rules.directory("f", value)


def document(value: str, limit: int = 32) -> Check:
    return lambda rules: rules.json_document("f", value, limit)


def cores(*values: int) -> Check:
    return lambda rules: rules.cores("f", values)


GOOD: list[Check] = [
    name("x"),
    name("x" * 255),
    name("naïve, with spaces"),
    text(""),
    text("x" * 4096),
    tags(),
    tags("gpu", "linux:amd64", "x" * 255),
    tags(*map(str, range(64))),
    tags(*["same"] * 64),
    labels("with a space", "x" * 255),
    seconds(0.001),
    seconds(60),
    seconds(0, zero=True),
    uuid(A_UUID),
    uuid(A_UUID.upper()),
    uuids(A_UUID),
    uuids(A_UUID, A_UUID),
    executor(),
    executor("true"),
    executor(args=("true",)),
    executor(args=("printf", "")),
    executor(handler="module:function"),
    executor(handler="package.module:Class.method"),
    executor(handler="größe.maß:wert"),
    executor("true", required=True),
    envs(PATH="/bin", _x="", A1="a b"),
    directory(""),
    directory("/"),
    directory("/with space"),
    document("null"),
    document('{"a": [1, 2.5, "x"]}'),
    document('"' + "x" * 30 + '"'),
    document('"' + "ä" * 15 + '"'),
    cores(),
    cores(0, 65_535),
]


@pytest.mark.parametrize("check", GOOD)
def test_good_values_are_accepted(check: Check) -> None:
    assert violations(check) == []


BAD: list[tuple[Check, str, str, str]] = [
    (name(""), "f", '""', "1 to 255 characters"),
    (name("x" * 256), "f", '"xxx', "1 to 255 characters"),
    (name("a\0b"), "f", '"a\0b"', "1 to 255 characters"),
    (text("x" * 4097), "f", "(4099 characters)", "at most 4096 characters, none of them NUL"),
    (text("\0"), "f", '"\0"', "at most 4096 characters, none of them NUL"),
    (tags("a,b"), "f[0]", '"a,b"', "1 to 255 characters without a comma or white space"),
    (tags("ok", "a b"), "f[1]", '"a b"', "1 to 255 characters without a comma or white space"),
    (tags("ok", "ok", "a\tb"), "f[2]", '"a\tb"', "1 to 255 characters without a comma or white space"),
    (tags(""), "f[0]", '""', "1 to 255 characters without a comma or white space"),
    (tags("x" * 256), "f[0]", '"xxx', "1 to 255 characters without a comma or white space"),
    (tags(*map(str, range(65))), "f", "65 of them", "at most 64"),
    (tags(*["same"] * 65), "f", "65 of them", "at most 64"),
    (labels("a,b"), "f[0]", '"a,b"', "1 to 255 characters without a comma"),
    (seconds(-1), "f", "-1", "above 0 to 60 seconds"),
    (seconds(0), "f", "0", "above 0 to 60 seconds"),
    (seconds(-1, zero=True), "f", "-1", "0 to 60 seconds"),
    (seconds(60.5), "f", "60.5", "above 0 to 60 seconds"),
    (seconds(float("nan")), "f", "nan", "above 0 to 60 seconds"),
    (seconds(float("inf")), "f", "inf", "above 0 to 60 seconds"),
    (uuid(""), "f", '""', "a UUID, as in"),
    (uuid("nonsense"), "f", '"nonsense"', "a UUID, as in"),
    (uuid(A_UUID.replace("-", "")), "f", '"550e8400e29b', "a UUID, as in"),
    (uuid("{" + A_UUID[:34] + "}"), "f", '"{550e8400', "a UUID, as in"),
    # Python reads these as UUIDs; PostgreSQL does not.
    (uuid("----" + A_UUID.replace("-", "")), "f", '"----550e', "a UUID, as in"),
    (uuid(A_UUID.replace("5", "٥")), "f", '"٥٥0e', "a UUID, as in"),
    (uuids(), "f", "0 of them", "1 to 2"),
    (uuids(A_UUID, A_UUID, A_UUID), "f", "3 of them", "1 to 2"),
    (uuids(A_UUID, "x"), "f[1]", '"x"', "a UUID, as in"),
    (executor(required=True), "f", "none", "exactly one of command, args and handler"),
    (executor("true", ("true",)), "f", "command and args", "at most one of command, args and handler"),
    (executor("true", handler="a:b", required=True), "f", "command and handler", "exactly one of"),
    (executor(handler="no_colon"), "f.handler", '"no_colon"', "package.module:function"),
    (executor(handler="a.b:"), "f.handler", '"a.b:"', "package.module:function"),
    (executor(handler="a..b:c"), "f.handler", '"a..b:c"', "package.module:function"),
    (executor(handler="1a:b"), "f.handler", '"1a:b"', "package.module:function"),
    (executor(handler="a:b\n"), "f.handler", '"a:b\n"', "package.module:function"),
    (executor("a\0b"), "f.command", '"a\0b"', "at most 131072 characters, none of them NUL"),
    (executor("x" * 131_073), "f.command", '"xxx', "at most 131072 characters"),
    (executor(args=("", "x")), "f.args[0]", '""', "the name of a program"),
    (executor(args=("x", "a\0b")), "f.args[1]", '"a\0b"', "at most 131072 characters"),
    (executor(args=("x",) * 4097), "f.args", "4097 of them", "at most 4096"),
    (envs(**{"1A": "x"}), "f.1A", '"1A"', "letters, digits and _, not starting with MITOSIS_"),
    (envs(**{"A-B": "x"}), "f.A-B", '"A-B"', "letters, digits and _, not starting with MITOSIS_"),
    (envs(MITOSIS_TASK_PAYLOAD="x"), "f.MITOSIS_TASK_PAYLOAD", '"MITOSIS_', "not starting with MITOSIS_"),
    (envs(A="x\0"), "f.A", '"x\0"', "at most 131072 characters, none of them NUL"),
    (envs(**{f"A{number}": "" for number in range(257)}), "f", "257 of them", "at most 256"),
    (directory("relative/path"), "f", '"relative/path"', "an absolute path"),
    (directory("/a\0b"), "f", '"/a\0b"', "an absolute path"),
    (document(""), "f", '""', "one JSON document"),
    (document("{"), "f", '"{"', "one JSON document"),
    (document("1 2"), "f", '"1 2"', "one JSON document"),
    (document("NaN"), "f", '"NaN"', "one JSON document"),
    (document("-Infinity"), "f", '"-Infinity"', "one JSON document"),
    (document("[" * 100_000, 1_000_000), "f", '"[[[', "one JSON document"),
    (document('"' + "x" * 31 + '"'), "f", "33 bytes", "at most 32 bytes"),
    (document('"' + "ä" * 16 + '"'), "f", "34 bytes", "at most 32 bytes"),
    (cores(-1), "f[0]", "-1", "0 to 65535"),
    (cores(0, 65_536), "f[1]", "65536", "0 to 65535"),
    (cores(*range(4097)), "f", "4097 of them", "at most 4096"),
]


@pytest.mark.parametrize(("check", "field", "given_", "accepts"), BAD)
def test_a_bad_value_is_told_with_its_field_and_what_is_accepted(
    check: Check, field: str, given_: str, accepts: str
) -> None:
    [violation] = violations(check)
    assert violation.field == field
    assert given_ in violation.given
    assert accepts in violation.accepts
    assert len(violation.given) < 100


def test_everything_that_is_wrong_is_told_at_once() -> None:
    rules = Rules()
    rules.name("name", "")
    rules.integer("count", 0, 1, 4096)
    rules.request_id("x" * 129)
    with pytest.raises(InvalidField) as refused:
        rules.raise_if_broken()
    assert [violation.field for violation in refused.value.violations] == ["name", "count", "request_id"]
    assert "count: given 0; accepts 1 to 4096" in str(refused.value)


def test_no_more_is_told_than_somebody_reads() -> None:
    assert len(violations(lambda rules: [rules.name("f", "") for _ in range(MAX_VIOLATIONS + 50)])) == MAX_VIOLATIONS


def test_what_is_good_comes_back_as_it_is_stored() -> None:
    rules = Rules()
    assert rules.tags("f", ["b", "a", "b"]) == ("b", "a")
    assert rules.cores("f", [3, 1, 3]) == (3, 1)
    assert rules.uuid("f", A_UUID) == UUID(A_UUID)
    assert rules.optional_uuid("f", "") is None
    assert rules.executor("f", "", (), "", required=False) is False
    assert rules.executor("f", "true", (), "", required=False) is True
    assert not rules.broken


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(value=JSON)
def test_whatever_json_writes_is_a_document_up_to_the_limit_in_bytes(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    size = len(written.encode())
    assert violations(document(written, size)) == []
    assert len(violations(document(written, size - 1))) == 1


@given(count=st.integers())
def test_an_integer_is_held_to_its_range(count: int) -> None:
    found = violations(lambda rules: rules.integer("f", count, 1, 4096))
    assert (found == []) == (1 <= count <= 4096)
