"""How wrong usage is told: what was given and what is accepted, in one shape for people and one for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

# typer has no public name for what it raises of a command line that cannot be read.
UsageError: Any = typer.BadParameter.__mro__[1]

_ACCEPTED = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
}


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command line has `--json` as a flag, not as a word of the task's own command."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def say_what_was_given(error: Any) -> None:
    """Rewords an error of typer's own conversions, which tell neither the value nor, of a number, what it may be."""
    # A ValidationError of pydantic, which is not imported for it: every start of the command would pay.
    errors = getattr(error.__cause__, "errors", None)
    if errors is None:
        return
    details = errors()[0]
    accepted = _ACCEPTED.get(details["type"])
    if accepted is None:
        error.message = details["msg"].removeprefix("Value error, ")
    else:
        error.message = f"given {str(details['input'])!r}; accepts {accepted.format(**details.get('ctx', {}))}"
