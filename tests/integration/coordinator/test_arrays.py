"""Whole columns in PostgreSQL's binary format: what goes in comes out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from mitosis_coordinator.storage import arrays
from mitosis_coordinator.storage.pool import Database

IDS = [uuid4(), UUID(int=0), UUID(int=(1 << 128) - 1)]
MOMENTS = [datetime(2026, 11, 23, 1, 2, 3, 456789, UTC), None, datetime(1970, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("parameter", "element", "expected"),
    [
        (arrays.uuids([one.bytes for one in IDS]), "uuid", IDS),
        (arrays.text_uuids([str(one).upper() for one in IDS]), "uuid", IDS),
        (arrays.int4s([1, None, -(2**31), 2**31 - 1]), "int4", [1, None, -(2**31), 2**31 - 1]),
        (arrays.int8s([1, None, -(2**63), 2**63 - 1]), "int8", [1, None, -(2**63), 2**63 - 1]),
        (arrays.float4s([0.5, None, -1e20]), "float4", [0.5, None, pytest.approx(-1e20)]),
        (arrays.texts(["", None, "ä\n\"',{}\\", "x" * 70_000]), "text", ["", None, "ä\n\"',{}\\", "x" * 70_000]),
        (arrays.byteas([b"", None, bytes(range(256))]), "bytea", [b"", None, bytes(range(256))]),
        (arrays.timestamps(MOMENTS), "timestamptz", MOMENTS),
        (arrays.texts([]), "text", []),
        (arrays.uuids([]), "uuid", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_column_comes_out_as_it_went_in(
    database: Database, parameter: arrays.Array, element: str, expected: Sequence[Any]
) -> None:
    async with database.connection() as connection:
        # Twice: as a value, and unpacked as the hot path does.
        cursor = await connection.execute(f"SELECT %s::{element}[]", [parameter])
        assert await cursor.fetchone() == (list(expected),)
        cursor = await connection.execute(f"SELECT * FROM unnest(%s::{element}[])", [parameter])
        assert [row[0] for row in await cursor.fetchall()] == list(expected)


async def test_columns_of_different_lengths_are_filled_with_nothing(database: Database) -> None:
    async with database.connection() as connection:
        query = "SELECT * FROM unnest(%s::int4[], %s::text[]) AS r (number, text)"
        cursor = await connection.execute(query, [arrays.int4s([1, 2]), arrays.texts([])])
        assert await cursor.fetchall() == [(1, None), (2, None)]


def test_what_is_no_uuid_is_refused() -> None:
    with pytest.raises(ValueError, match="non-hexadecimal"):
        arrays.text_uuids(["not-a-uuid"])
