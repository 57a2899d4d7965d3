"""What coordinators of one database tell each other: what to read again, never what it says now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

MAX_PAYLOAD_BYTES = 7999
"""What one NOTIFY carries at most."""


class HintKind(StrEnum):
    """What a hint is about, and what its subject is."""

    # A suite: those who watch it.
    SUITE_CHANGED = "suite_changed"
    # A suite: its holders' feeders, and whoever finds managers for suites.
    TASKS_READY = "tasks_ready"
    # A group: the feeders of the workers that run its tasks of no suite.
    INDEPENDENT_TASKS_READY = "independent_tasks_ready"
    # A suite: its holders, which may have to let go of it, or of tasks.
    SUITE_HOLDERS = "suite_holders"
    # A manager or a worker: its session.
    HOLDER = "holder"
    # A suite: whoever levels tails, for the starving managers of each coordinator.
    TAIL_REACHED = "tail_reached"
    # A manager: it may hand back so many unstarted tasks.
    RECALL = "recall"
    # A suite: its holders, which leave what comes back to those that have nothing to run.
    GIVE_WAY = "give_way"
    # A user, a manager or a worker: what was remembered of its token and roles, and its session.
    PRINCIPAL = "principal"
    # Nothing: the duties that sleep until something falls due.
    DEADLINE_CHANGED = "deadline_changed"
    # Nothing: hints were lost, or are too many.
    EVERYTHING = "everything"


_WITHOUT_SUBJECT = frozenset({HintKind.DEADLINE_CHANGED, HintKind.EVERYTHING})


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to read again; `count` is of RECALL alone, the one wish that no table holds."""

    kind: HintKind
    subject: UUID | None = None
    count: int = 0


Tell = Callable[[Hint], None]
"""Passes a hint on to the other coordinators, some time soon or never."""


def tell_nobody(_hint: Hint) -> None:
    """There are no other coordinators."""


def encode(sender: UUID, hints: Iterable[Hint]) -> str:
    """Write hints as one payload; EVERYTHING in place of more than it can carry.

    The form is the sender, and for each kind its name and its subjects: `<sender> <kind>[:<subject>[=<count>],…] …`,
    identifiers in 32 hexadecimal digits.
    """
    subjects: dict[HintKind, list[str]] = {}
    for hint in hints:
        known = subjects.setdefault(hint.kind, [])
        if hint.subject is not None:
            known.append(f"{hint.subject.hex}={hint.count}" if hint.count else hint.subject.hex)
    words = [f"{kind}:{','.join(known)}" if known else str(kind) for kind, known in subjects.items()]
    payload = " ".join([sender.hex, *words])
    return payload if len(payload) <= MAX_PAYLOAD_BYTES else f"{sender.hex} {HintKind.EVERYTHING}"


def decode(payload: str) -> tuple[UUID | None, list[Hint]]:
    """Read a payload: who sent it, and the hints. What cannot be read means EVERYTHING: a newer version may speak."""
    first, *words = payload.split(" ")
    try:
        sender = UUID(hex=first)
        return sender, [hint for word in words for hint in _read(word)]
    except ValueError:
        return None, [Hint(HintKind.EVERYTHING)]


def _read(word: str) -> list[Hint]:
    name, _, subjects = word.partition(":")
    try:
        kind = HintKind(name)
        if kind in _WITHOUT_SUBJECT:
            return [Hint(kind)]
        parts = [subject.partition("=") for subject in subjects.split(",")]
        return [Hint(kind, UUID(hex=subject), int(count or 0)) for subject, _, count in parts]
    except ValueError:
        return [Hint(HintKind.EVERYTHING)]
