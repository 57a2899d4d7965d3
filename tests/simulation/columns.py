"""Reads the parameters that `storage.arrays` writes, by PostgreSQL's `array_recv`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any
from uuid import UUID

from mitosis_coordinator.storage import arrays
from tests.simulation.statements import Parameters

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_READERS: dict[type[arrays.Array], Callable[[bytes], Any]] = {
    arrays.UuidArray: lambda element: UUID(bytes=element),
    arrays.Int4Array: lambda element: struct.unpack("!i", element)[0],
    arrays.Int8Array: lambda element: struct.unpack("!q", element)[0],
    arrays.Float4Array: lambda element: struct.unpack("!f", element)[0],
    arrays.TextArray: bytes.decode,
    arrays.ByteaArray: bytes,
    arrays.TimestampArray: lambda element: _EPOCH + timedelta(microseconds=struct.unpack("!q", element)[0]),
}


def unnest(given: Parameters, *names: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `unnest(...)`: a column that is too short reads as NULL."""
    return zip_longest(*(_column(given[name]) for name in names))


def _column(value: Any) -> list[Any]:
    if not isinstance(value, arrays.Array):
        return list(value)
    read = _READERS[type(value)]
    dimensions, _, _ = struct.unpack_from("!iii", value)
    count = struct.unpack_from("!i", value, 12)[0] if dimensions else 0
    elements: list[Any] = []
    place = 20
    for _ in range(count):
        (length,) = struct.unpack_from("!i", value, place)
        place += 4
        elements.append(None if length < 0 else read(value[place : place + length]))
        place += max(length, 0)
    return elements
