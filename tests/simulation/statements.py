"""Which statement is modelled by which function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mitosis_coordinator.storage.queries import load_queries
from tests.simulation.tables import Row, Tables

Parameters = Mapping[str, Any]
# Rows, each with its columns in the statement's order, or the number of rows touched where none are returned.
Answer = list[Row] | int
Handler = Callable[[Tables, Parameters], Answer]

_HANDLERS: dict[str, Handler] = {}
_used: set[str] = set()


def models(source: str, name: str) -> Callable[[Handler], Handler]:
    """Let a function stand for the statement `name` of `storage/sql/<source>.sql`."""
    text = load_queries(source)[name]

    def enter(handler: Handler) -> Handler:
        assert text not in _HANDLERS, f"two models of {source}.{name}"
        _HANDLERS[text] = handler
        return handler

    return enter


def handler_of(text: str) -> Handler:
    """The model of a statement, given its text."""
    _used.add(text)
    try:
        return _HANDLERS[text]
    except KeyError:
        raise NotImplementedError(
            f"the simulation has no model of this statement; write one in tests/simulation/model_*.py: {text[:80]}"
        ) from None


def never_used() -> list[str]:
    """The statements that are modelled and were not run in this process, by name."""
    return sorted(text.partition("/* ")[2].partition(" */")[0] for text in _HANDLERS.keys() - _used)
