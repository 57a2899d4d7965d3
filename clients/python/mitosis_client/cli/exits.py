"""Exit codes that scripts can rely on, and how errors are shown."""

from __future__ import annotations

import json
import sys
from enum import IntEnum

from mitosis_client.errors import (
    DeadlineExceeded,
    InvalidCredentials,
    InvalidField,
    MitosisError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from mitosis_client.models import JsonValue


class ExitCode(IntEnum):
    """What the command's exit code means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    UNAVAILABLE = 5
    TIMED_OUT = 124
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 success; 1 the work failed (a suite with failed tasks, a refused state, an internal error); "
    "2 wrong usage or input; 3 not found; 4 not logged in or not permitted; 5 coordinator unavailable; "
    "124 `suites wait --timeout` ran out; 130 interrupted."
)

_CODES: tuple[tuple[type[MitosisError], ExitCode], ...] = (
    (InvalidField, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (PermissionDenied, ExitCode.DENIED),
    (Unauthenticated, ExitCode.DENIED),
    (Unavailable, ExitCode.UNAVAILABLE),
    (DeadlineExceeded, ExitCode.UNAVAILABLE),
)

# A file of a million bad lines is told apart from one with a few, not listed.
MAX_VIOLATIONS_SHOWN = 50


def exit_code(error: MitosisError) -> ExitCode:
    """Returns the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def show_error(error: MitosisError, *, as_json: bool) -> None:
    """Writes an error to standard error: for people with a line per violation, or as one JSON document."""
    document = error.to_dict()
    if as_json:
        sys.stderr.write(json.dumps({"error": document}, ensure_ascii=False) + "\n")
        return
    sys.stderr.write("\n".join(_lines(error)) + "\n")


def show_message(message: str, *, reason: str, as_json: bool) -> None:
    """Writes an error that no call raised, in the shape of those that did."""
    document: dict[str, JsonValue] = {"reason": reason, "message": message}
    sys.stderr.write(json.dumps({"error": document}, ensure_ascii=False) + "\n" if as_json else f"mitosis: {message}\n")


def _lines(error: MitosisError) -> list[str]:
    if isinstance(error, InvalidField) and error.violations:
        shown = error.violations[:MAX_VIOLATIONS_SHOWN]
        lines = [f"mitosis: {shown[0]}"] if len(error.violations) == 1 else ["mitosis: the input was refused"]
        if len(error.violations) > 1:
            lines += [f"  {violation}" for violation in shown]
        if len(error.violations) > len(shown):
            lines.append(f"  and {len(error.violations) - len(shown)} more")
        return lines
    lines = [f"mitosis: {error.message}"]
    if isinstance(error, Unauthenticated) and not isinstance(error, InvalidCredentials):
        lines.append("  Log in with `mitosis login`.")
    return lines
