"""Everything that a call can be refused for.

Services raise these; `rpc.errors` alone knows how they look on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class DomainError(Exception):
    """A call is refused for a reason that its caller may know."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: where it is, what was given, what is accepted."""

    field: str
    given: str
    accepts: str

    def __str__(self) -> str:
        return f"{self.field}: given {self.given}; accepts {self.accepts}"


class InvalidField(DomainError):
    """One or more fields of a request are wrong. Nothing was changed."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(str(violation) for violation in violations))
        self.violations = tuple(violations)

    @classmethod
    def one(cls, field: str, given: object, accepts: str) -> InvalidField:
        """An error about a single field."""
        return cls([FieldViolation(field, describe(given), accepts)])


class NotFound(DomainError):
    """The thing does not exist, or its existence is none of the caller's business."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {describe(name)} does not exist")
        self.kind = kind
        self.name = name


class AlreadyExists(DomainError):
    """The name is taken."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {describe(name)} exists already")
        self.kind = kind
        self.name = name


def spoken(event: str) -> str:
    """Returns what happened to a thing as a sentence about it says it."""
    # Tasks are submitted, and this is said of their suite.
    return "given tasks" if event == "submitted" else event.replace("_", " ")


class WrongState(DomainError):
    """The thing is in a state that does not allow the event; `said` is the state as the message has it."""

    def __init__(self, kind: str, name: str, state: str, event: str, allowed: Iterable[str], *, said: str = "") -> None:
        self.allowed = tuple(sorted(allowed))
        possible = f"; it can be {', '.join(map(spoken, self.allowed))}" if self.allowed else ""
        super().__init__(f"{kind} {name} is {said or state}, so it cannot be {spoken(event)}{possible}")
        self.kind = kind
        self.name = name
        self.state = state
        self.event = event


class PermissionDenied(DomainError):
    """The caller is known and may not do this."""


class InvalidToken(DomainError):
    """There is no token, or it is malformed, expired or revoked."""


class WrongTokenKind(DomainError):
    """The token is good but of another kind than the call needs."""


class InvalidCredentials(DomainError):
    """User name and password do not match, or the user is disabled."""


class LimitExceeded(DomainError):
    """A size, a count or a rate is over its limit."""

    def __init__(self, subject: str, given: str, limit: str) -> None:
        super().__init__(f"{subject}: {given} is over the limit of {limit}")
        self.subject = subject


class RequestIdReused(DomainError):
    """The request_id was used before with another request."""


class SessionReplaced(DomainError):
    """A newer session of the same manager took over."""


class StorageUnavailable(DomainError):
    """The database is away; the call may be repeated."""


class ShuttingDown(DomainError):
    """The coordinator is going down; the call may be repeated."""


class Disabled(DomainError):
    """The feature is switched off by configuration."""


def describe(value: object) -> str:
    """Show a value in an error: quoted when it is text, shortened when it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
