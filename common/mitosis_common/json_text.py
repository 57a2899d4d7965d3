"""JSON as it is read from every user: strictly, with one kind of error for all that may be wrong with a text."""

from __future__ import annotations

import json
from collections import Counter
from typing import NoReturn


class JsonTextError(ValueError):
    """A text is not one JSON document; the message says why, and where if that is known."""


def load_json(text: str) -> object:
    """Returns the document of a text.

    A key that is there twice is refused: the standard leaves open which one counts, and whichever is dropped is missed
    by nobody. So are NaN and Infinity, which are not JSON.

    Raises:
        JsonTextError: The text is not one JSON document.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text.rstrip("\n") else ""
        raise JsonTextError(f"{error.msg} at {line}character {error.colno}") from None
    except JsonTextError:
        raise
    except RecursionError:
        raise JsonTextError("it is nested too deep") from None
    except ValueError:
        # Python bounds the digits that it converts.
        raise JsonTextError("it holds a number with too many digits") from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise JsonTextError(f"the key {json.dumps(twice, ensure_ascii=False)} is there twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise JsonTextError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant)
