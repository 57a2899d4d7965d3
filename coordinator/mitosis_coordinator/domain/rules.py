"""What is accepted in a request, collected so that all mistakes are told at once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from mitosis_coordinator.domain.errors import FieldViolation, InvalidField, describe
from mitosis_coordinator.domain.plan import MAX_WORKERS

MAX_NAME = 255
MAX_TEXT = 4096
MAX_TAGS = 64
MAX_PRIORITY = 1_000_000
MAX_REQUEST_ID = 128
MAX_AUTO_CLOSE_SECONDS = 604_800
MAX_ENVS = 256
MAX_ENV_VALUE = 128 * 1024
MAX_ARGS = 4096
MAX_COMMAND = 128 * 1024
MAX_VIOLATIONS = 100

_HANDLER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPACE_OR_COMMA = re.compile(r"[\s,\x00]")
_RESERVED_PREFIX = "MITOSIS_"


class Rules:
    """Checks fields one by one and raises once, with everything that is wrong."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def raise_if_broken(self) -> None:
        """Raise what was collected.

        Raises:
            InvalidField: A field is wrong.
        """
        if self._violations:
            raise InvalidField(self._violations[:MAX_VIOLATIONS])

    @property
    def broken(self) -> bool:
        """Whether a field was wrong so far."""
        return bool(self._violations)

    def refuse(self, field: str, given: object, accepts: str) -> None:
        """A field is wrong, and its value shows it."""
        self.tell(field, describe(given), accepts)

    def tell(self, field: str, given: str, accepts: str) -> None:
        """A field is wrong in a way that a few words of ours tell better than its value."""
        self._violations.append(FieldViolation(field, given, accepts))

    def name(self, field: str, given: str) -> str:
        """1 to 255 characters."""
        if not 1 <= len(given) <= MAX_NAME or "\x00" in given:
            self.refuse(field, given, f"1 to {MAX_NAME} characters")
        return given

    def text(self, field: str, given: str, limit: int = MAX_TEXT) -> str:
        """Any text up to a limit, without NUL."""
        if len(given) > limit or "\x00" in given:
            self.refuse(field, given, f"at most {limit} characters, none of them NUL")
        return given

    def integer(self, field: str, given: int, low: int, high: int) -> int:
        """A whole number in a range."""
        if not low <= given <= high:
            self.refuse(field, given, f"{low} to {high}")
        return given

    def seconds(self, field: str, given: float, high: float, *, zero: bool = False) -> float:
        """A span of time in seconds, above 0 or, with `zero`, 0 too."""
        if not math.isfinite(given) or given > high or given < 0 or (given == 0 and not zero):
            self.refuse(field, given, f"{'0' if zero else 'above 0'} to {high:g} seconds")
        return given

    def labels(self, field: str, given: Collection[str]) -> tuple[str, ...]:
        """At most 64 labels of 1 to 255 characters, none with a comma; repetitions are kept once."""
        return self._marks(field, given, re.compile(r"[,\x00]"), "without a comma")

    def tags(self, field: str, given: Collection[str]) -> tuple[str, ...]:
        """At most 64 tags of 1 to 255 characters, none with a comma or white space; repetitions are kept once."""
        return self._marks(field, given, _SPACE_OR_COMMA, "without a comma or white space")

    def _marks(self, field: str, given: Collection[str], forbidden: re.Pattern[str], without: str) -> tuple[str, ...]:
        marks = tuple(dict.fromkeys(given))
        if len(given) > MAX_TAGS:
            self.tell(field, f"{len(given)} of them", f"at most {MAX_TAGS}")
        # Counted as they were given, so that the place named is the caller's.
        for index, mark in enumerate(given):
            if not 1 <= len(mark) <= MAX_NAME or forbidden.search(mark):
                self.refuse(f"{field}[{index}]", mark, f"1 to {MAX_NAME} characters {without}")
        return marks

    def request_id(self, given: str) -> str:
        """At most 128 characters; empty is none."""
        return self.text("request_id", given, MAX_REQUEST_ID)

    def uuid(self, field: str, given: str) -> UUID:
        """A UUID; the nil UUID stands in for one that is wrong."""
        # UUID() reads far more than PostgreSQL does: braces, underscores, hyphens anywhere, digits of any script.
        return UUID(given) if _UUID.fullmatch(given) else self._no_uuid(field, given)

    def optional_uuid(self, field: str, given: str) -> UUID | None:
        """A UUID, or None for nothing."""
        return self.uuid(field, given) if given else None

    def uuids(self, field: str, given: Sequence[str], limit: int) -> list[UUID]:
        """1 to `limit` UUIDs."""
        if not 1 <= len(given) <= limit:
            self.tell(field, f"{len(given)} of them", f"1 to {limit}")
        return [self.uuid(f"{field}[{index}]", one) for index, one in enumerate(given[:limit])]

    def _no_uuid(self, field: str, given: str) -> UUID:
        self.refuse(field, given, "a UUID, as in 550e8400-e29b-41d4-a716-446655440000")
        return UUID(int=0)

    def executor(self, field: str, command: str, args: Sequence[str], handler: str, *, required: bool) -> bool:
        """At most one of command, args and handler, exactly one when required; whether there is one."""
        count = bool(command) + bool(args) + bool(handler)
        if count > 1 or (required and not count):
            named = (("command", command), ("args", args), ("handler", handler))
            names = " and ".join(name for name, value in named if value)
            only = "exactly" if required else "at most"
            self.tell(field, names or "none", f"{only} one of command, args and handler")
        if command or args:
            self.command_line(field, command, args)
        if handler and not _HANDLER.fullmatch(handler):
            self.refuse(f"{field}.handler", handler, "package.module:function")
        return count > 0

    def command_line(self, field: str, command: str, args: Sequence[str]) -> None:
        """A command or arguments that a system takes: no NUL, not too long."""
        if command:
            self.text(f"{field}.command", command, MAX_COMMAND)
        if not args:
            return
        if len(args) > MAX_ARGS:
            self.tell(f"{field}.args", f"{len(args)} of them", f"at most {MAX_ARGS}")
        if not args[0]:
            self.refuse(f"{field}.args[0]", args[0], "the name of a program")
        for index, arg in enumerate(args[:MAX_ARGS]):
            self.text(f"{field}.args[{index}]", arg, MAX_COMMAND)

    def envs(self, field: str, given: Mapping[str, str]) -> None:
        """Environment variables: names that a shell accepts, not ours, values without NUL."""
        if len(given) > MAX_ENVS:
            self.tell(field, f"{len(given)} of them", f"at most {MAX_ENVS}")
            return
        for name, value in given.items():
            if not _ENV_NAME.fullmatch(name) or name.startswith(_RESERVED_PREFIX):
                self.refuse(f"{field}.{name[:80]}", name, "letters, digits and _, not starting with MITOSIS_")
            self.text(f"{field}.{name[:80]}", value, MAX_ENV_VALUE)

    def directory(self, field: str, given: str) -> None:
        """An absolute path, or nothing."""
        if given and (not given.startswith("/") or "\x00" in given or len(given) > MAX_TEXT):
            self.refuse(field, given, "an absolute path")

    def json_document(self, field: str, given: str, limit_bytes: int) -> None:
        """One JSON document up to a size in UTF-8 bytes."""
        # A character is at least one byte: most documents need no encoding to be measured.
        if len(given) > limit_bytes or (len(given) * 4 > limit_bytes and len(given.encode()) > limit_bytes):
            self.tell(field, f"{len(given.encode())} bytes", f"at most {limit_bytes} bytes")
            return
        try:
            json.loads(given, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            self.refuse(field, given, "one JSON document")

    def cores(self, field: str, given: Collection[int]) -> tuple[int, ...]:
        """Numbers of processor cores; repetitions count once."""
        if len(given) > MAX_WORKERS:
            self.tell(field, f"{len(given)} of them", f"at most {MAX_WORKERS}")
        for index, core in enumerate(given):
            self.integer(f"{field}[{index}]", core, 0, 65_535)
        return tuple(dict.fromkeys(given))


def is_uuid(given: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    return _UUID.fullmatch(given) is not None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
