"""The name by which a worker finds a function, and what has none."""

import functools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from mitosis_client import errors
from mitosis_client.functions import handler_of


class Shapes:
    @staticmethod
    def area(payload: Any) -> Any:
        return payload

    @classmethod
    def make(cls, payload: Any) -> Any:
        return payload

    def scaled(self, payload: Any) -> Any:
        return payload


def top(payload: Any) -> Any:
    return payload


def replaced(payload: Any) -> Any:
    return payload


original = replaced
replaced = functools.lru_cache(replaced)


def nested() -> Callable[..., Any]:
    def inner(payload: Any) -> Any:
        return payload

    return inner


def of_main(payload: Any) -> Any:
    return payload


of_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (top, f"{__name__}:top"),
        (Shapes.area, f"{__name__}:Shapes.area"),
        (Shapes.make, f"{__name__}:Shapes.make"),
        (replaced, f"{__name__}:replaced"),
        (math.sqrt, "math:sqrt"),
        (json.dumps, "json:dumps"),
    ],
)
def test_a_function_is_found_by_its_name(function: Callable[..., Any], name: str) -> None:
    assert handler_of(function) == name


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda payload: payload, "a lambda"),
        (nested(), "nested.<locals>.inner, which is made while another function runs"),
        (of_main, "of_main of the program that runs, which workers do not have under the name __main__"),
        (original, f"{__name__}:replaced, under which something else is found"),
        (Shapes().scaled, f"{__name__}:Shapes.scaled, under which something else is found"),
        (functools.partial(top, 1), "a partial, which has no name of its own"),
    ],
)
def test_what_a_worker_would_not_find_is_refused(function: Callable[..., Any], given: str) -> None:
    with pytest.raises(errors.InvalidField) as caught:
        handler_of(function)
    [violation] = caught.value.violations
    accepts = "accepts a function or method of an importable module, which workers have too"
    assert (violation.field, violation.description) == ("function", f"given {given}; {accepts}")
