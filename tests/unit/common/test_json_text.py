"""JSON of users: what is refused, and how that is said."""

from __future__ import annotations

import pytest

from mitosis_common.json_text import JsonTextError, load_json


@pytest.mark.parametrize(("text", "value"), [('{"a": {"a": [1, null]}}\n', {"a": {"a": [1, None]}}), ("1.5", 1.5)])
def test_a_document_is_read(text: str, value: object) -> None:
    assert load_json(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "b": 2, "a": 1}', 'the key "a" is there twice'),
        ('[{"x": {"é": 1, "é": 2}}]', 'the key "é" is there twice'),
        ("[NaN]", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("", "Expecting value at character 1"),
        ("{", "Expecting property name enclosed in double quotes at character 2"),
        ("{}\n{}", "Extra data at line 2, character 1"),
        ("[" * 100_000, "it is nested too deep"),
        ("1" * 5_000, "it holds a number with too many digits"),
    ],
)
def test_what_is_no_document_says_why(text: str, problem: str) -> None:
    with pytest.raises(JsonTextError) as refusal:
        load_json(text)
    assert str(refusal.value) == problem
