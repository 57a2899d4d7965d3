"""A lifecycle is a table: what is not in it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from mitosis_coordinator.domain.errors import WrongState

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Lifecycle(Generic[State, Event]):
    """The allowed moves of one kind of thing.

    Attributes:
        kind: What it is called in errors and diagrams.
        initial: The state at creation.
        transitions: (state, event) to new state.
    """

    kind: str
    initial: State
    transitions: Mapping[tuple[State, Event], State]

    def after(self, state: State, event: Event, name: str = "") -> State:
        """The state after an event.

        Raises:
            WrongState: The state does not allow the event.
        """
        new = self.transitions.get((state, event))
        if new is None:
            raise WrongState(self.kind, name, state, event, self.allowed(state))
        return new

    def allows(self, state: State, event: Event) -> bool:
        """Whether the state allows the event."""
        return (state, event) in self.transitions

    def allowed(self, state: State) -> list[Event]:
        """The events that a state allows."""
        return [event for (source, event) in self.transitions if source == state]

    def sources(self, event: Event) -> list[str]:
        """The states that allow an event, for the guard of an UPDATE."""
        return [str(source) for (source, allowed) in self.transitions if allowed == event]

    def mermaid(self) -> str:
        """The diagram of the table, as Mermaid source."""
        moves: dict[tuple[State, State], list[str]] = {}
        for (source, event), target in self.transitions.items():
            if source != target:
                moves.setdefault((source, target), []).append(str(event))
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in moves.items()]
        return "\n".join(lines)
