"""Page tokens: opaque, and good only for the list and the filters they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping

from mitosis_coordinator.domain.errors import InvalidField

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_MAX_TOKEN_LENGTH = 4096
_ACCEPTS = "empty, or the next_page_token of the page before, with the same filters"

Key = str | int | float | None


def page_size(given: int | None) -> int:
    """The size to use.

    Raises:
        InvalidField: it is out of bounds.
    """
    if given is None:
        return DEFAULT_PAGE_SIZE
    if not 1 <= given <= MAX_PAGE_SIZE:
        raise InvalidField.one("page_size", given, f"1 to {MAX_PAGE_SIZE}")
    return given


def encode(list_name: str, filters: Mapping[str, object], key: list[Key]) -> str:
    """Make the token for the page after `key`, the sort key of the last item shown.

    Args:
        filters: everything that narrows or orders the list, its page size excepted. Values that are not JSON count by
            their `str`; a collection whose order means nothing must come sorted.
    """
    document = json.dumps([_mark(list_name, filters), *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode(list_name: str, filters: Mapping[str, object], token: str) -> list[Key] | None:
    """Read a token back: the sort key to go on after, None for an empty token, which is the first page.

    The key holds what `encode` was given, but it came through the caller's hands: its length and types are theirs to
    forge, its meaning is bounded by the list's own permission checks.

    Raises:
        InvalidField: the token is malformed or belongs to another list or other filters.
    """
    if not token:
        return None
    try:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise ValueError("too long")
        padded = token + "=" * (-len(token) % 4)
        document = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
        if not isinstance(document, list) or not document or document[0] != _mark(list_name, filters):
            raise ValueError("of another list or other filters")
        if not all(value is None or isinstance(value, str | int | float) for value in document):
            raise ValueError("not a key")
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidField.one("page_token", token, _ACCEPTS) from error
    return document[1:]


def decode_name(list_name: str, filters: Mapping[str, object], token: str) -> str:
    """Read the token of a list that is sorted by one name; "" is before every name.

    Raises:
        InvalidField: as for `decode`.
    """
    key = decode(list_name, filters, token)
    if key is None:
        return ""
    match key:
        case [str(name)] if "\0" not in name:
            return name
        case _:
            raise InvalidField.one("page_token", token, _ACCEPTS)


def _mark(list_name: str, filters: Mapping[str, object]) -> str:
    described = json.dumps([list_name, filters], sort_keys=True, default=str)
    return hashlib.sha256(described.encode()).hexdigest()[:16]
