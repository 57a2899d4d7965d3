"""Page tokens fit the list and the filters they were made for, and nothing else."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.services import paging

FILTERS = {"group": "default", "tags": ["a", "b"]}


@given(st.lists(st.text() | st.integers() | st.none() | st.floats(allow_nan=False, allow_infinity=False)))
def test_a_token_brings_the_key_back(key: list[Any]) -> None:
    assert paging.decode("suites", FILTERS, paging.encode("suites", FILTERS, key)) == key


def test_no_token_is_the_first_page() -> None:
    assert paging.decode("suites", FILTERS, "") is None
    assert paging.decode_name("suites", FILTERS, "") == ""


@pytest.mark.parametrize(
    ("list_name", "filters"),
    [("tasks", FILTERS), ("suites", {}), ("suites", {**FILTERS, "tags": ["a"]}), ("suites", {**FILTERS, "state": 1})],
)
def test_a_token_of_another_list_or_filter_is_refused(list_name: str, filters: dict[str, object]) -> None:
    token = paging.encode("suites", FILTERS, ["x"])
    with pytest.raises(InvalidField) as caught:
        paging.decode(list_name, filters, token)
    assert caught.value.violations[0].field == "page_token"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_rubbish_is_refused(token: str) -> None:
    if not token:
        return
    with pytest.raises(InvalidField, match="page_token"):
        paging.decode("suites", {}, token)


def test_a_forged_key_of_the_wrong_shape_is_refused() -> None:
    genuine = paging.encode("users", {}, ["bob"])
    mark = json.loads(base64.urlsafe_b64decode(genuine + "==="))[0]
    for forged in ([mark], [mark, 5], [mark, "a", "b"], [mark, {"a": 1}], [mark, "a\0b"], {"0": mark}):
        token = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
        with pytest.raises(InvalidField):
            paging.decode_name("users", {}, token)


@pytest.mark.parametrize(("given_size", "used"), [(None, 100), (1, 1), (1000, 1000)])
def test_page_sizes(given_size: int | None, used: int) -> None:
    assert paging.page_size(given_size) == used


@pytest.mark.parametrize("size", [0, -1, 1001])
def test_page_sizes_out_of_bounds(size: int) -> None:
    with pytest.raises(InvalidField, match=r"page_size: given -?\d+; accepts 1 to 1000"):
        paging.page_size(size)
