"""From a Python function to the name by which a worker finds it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from mitosis_client.errors import FieldViolation, InvalidField

_ACCEPTS = "accepts a function or method of an importable module, which workers have too"


def handler_of(function: Callable[..., object]) -> str:
    """Returns `package.module:function` for a function.

    Raises `InvalidField` where a worker that imports the module would not find the same function under that name.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise _refused(f"a {type(function).__name__}, which has no name of its own")
    if "<lambda>" in name:
        raise _refused("a lambda")
    if "<locals>" in name:
        raise _refused(f"{name}, which is made while another function runs")
    if module == "__main__":
        raise _refused(f"{name} of the program that runs, which workers do not have under the name __main__")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found != function:
        raise _refused(f"{module}:{name}, under which something else is found")
    return f"{module}:{name}"


def _refused(given: str) -> InvalidField:
    return InvalidField([FieldViolation("function", f"given {given}; {_ACCEPTS}")])
