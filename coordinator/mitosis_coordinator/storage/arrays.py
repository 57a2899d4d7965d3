"""Parameters that are whole columns, written in PostgreSQL's binary format in one go.

psycopg adapts the elements of a list one by one, which for the batches of the hot path costs more than the statement
that takes them. The format is that of the server's `array_send`: a header, then each element with its length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from psycopg.abc import AdaptContext
from psycopg.adapt import Buffer, Dumper
from psycopg.postgres import types
from psycopg.pq import Format
from psycopg.types import TypeInfo

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct("!i").pack
_16 = _LENGTH(16)
_INT4 = struct.Struct("!ii").pack
_INT8 = struct.Struct("!iq").pack
_FLOAT4 = struct.Struct("!if").pack


class Array(bytes):
    """One serialized array; the subclass says of what."""

    element: ClassVar[TypeInfo]


class UuidArray(Array):
    """A `uuid[]`."""

    element = types["uuid"]


class Int4Array(Array):
    """An `int4[]`."""

    element = types["int4"]


class Int8Array(Array):
    """An `int8[]`."""

    element = types["int8"]


class Float4Array(Array):
    """A `float4[]`."""

    element = types["float4"]


class TextArray(Array):
    """A `text[]`."""

    element = types["text"]


class ByteaArray(Array):
    """A `bytea[]`."""

    element = types["bytea"]


class TimestampArray(Array):
    """A `timestamptz[]`."""

    element = types["timestamptz"]


def register_arrays(context: AdaptContext) -> None:
    """Let a connection take the arrays of this module as parameters."""
    for array in Array.__subclasses__():
        dumper = type(f"{array.__name__}Dumper", (_ArrayDumper,), {"oid": array.element.array_oid})
        context.adapters.register_dumper(array, dumper)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        return obj


def uuids(values: Sequence[bytes]) -> UuidArray:
    """Serialize UUIDs, each given as its 16 bytes."""
    return UuidArray(_joined(UuidArray, len(values), (_16 + value for value in values)))


def text_uuids(values: Sequence[str]) -> UuidArray:
    """Serialize UUIDs that are written in the usual form."""
    return UuidArray(_joined(UuidArray, len(values), (_16 + bytes.fromhex(value.replace("-", "")) for value in values)))


def int4s(values: Sequence[int | None]) -> Int4Array:
    """Serialize numbers of 32 bits."""
    return Int4Array(_joined(Int4Array, len(values), (_NULL if v is None else _INT4(4, v) for v in values)))


def int8s(values: Sequence[int | None]) -> Int8Array:
    """Serialize numbers of 64 bits."""
    return Int8Array(_joined(Int8Array, len(values), (_NULL if v is None else _INT8(8, v) for v in values)))


def float4s(values: Sequence[float | None]) -> Float4Array:
    """Serialize numbers with a fraction, in 32 bits."""
    return Float4Array(_joined(Float4Array, len(values), (_NULL if v is None else _FLOAT4(4, v) for v in values)))


def texts(values: Sequence[str | None]) -> TextArray:
    """Serialize texts, none with NUL."""
    encoded = (None if value is None else value.encode() for value in values)
    return TextArray(_joined(TextArray, len(values), (_NULL if v is None else _LENGTH(len(v)) + v for v in encoded)))


def byteas(values: Sequence[bytes | None]) -> ByteaArray:
    """Serialize byte strings."""
    return ByteaArray(_joined(ByteaArray, len(values), (_NULL if v is None else _LENGTH(len(v)) + v for v in values)))


def timestamps(values: Sequence[datetime | None]) -> TimestampArray:
    """Serialize moments that know their time zone."""
    micros = (None if value is None else (value - _EPOCH) // _MICROSECOND for value in values)
    return TimestampArray(_joined(TimestampArray, len(values), (_NULL if v is None else _INT8(8, v) for v in micros)))


def _joined(array: type[Array], count: int, elements: Iterable[bytes]) -> bytes:
    # Dimensions, whether there may be NULLs, and of what; then, for the one dimension, its length and first index.
    header = struct.pack("!iii", 1 if count else 0, 1, array.element.oid)
    return b"".join((header, struct.pack("!ii", count, 1), *elements)) if count else header
