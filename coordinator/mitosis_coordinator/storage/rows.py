"""Rows as objects, so that callers need not know the driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from psycopg.rows import kwargs_row

from mitosis_coordinator.domain.orders import ShutdownOrder, StandingOrders
from mitosis_coordinator.storage.pool import Connection

Row = TypeVar("Row")
Parameters = Mapping[str, Any]


async def fetch_all(
    connection: Connection, row_type: Callable[..., Row], query: str, parameters: Parameters | None = None
) -> list[Row]:
    """Run a statement and return its rows, each built by `row_type(**columns)`."""
    async with connection.cursor(row_factory=kwargs_row(row_type)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def fetch_one(
    connection: Connection, row_type: Callable[..., Row], query: str, parameters: Parameters | None = None
) -> Row | None:
    """Run a statement and return its first row, built by `row_type(**columns)`, or None."""
    async with connection.cursor(row_factory=kwargs_row(row_type)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()


async def fetch_value(connection: Connection, query: str, parameters: Parameters | None = None) -> Any:
    """Run a statement and return the first column of its first row, or None."""
    read = await send_for_value(connection, query, parameters)
    return await read()


async def send_for_value(
    connection: Connection, query: str, parameters: Parameters | None = None
) -> Callable[[], Awaitable[Any]]:
    """Send a statement, and return what reads the first column of its first row, or None.

    In a pipeline, what is sent before that is called travels together.
    """
    cursor = await connection.execute(query, parameters)

    async def read() -> Any:
        row = await cursor.fetchone()
        return None if row is None else row[0]

    return read


async def execute(connection: Connection, query: str, parameters: Parameters | None = None) -> int:
    """Run a statement and return how many rows it touched."""
    cursor = await connection.execute(query, parameters)
    return cursor.rowcount


def read_orders(session_epoch: int, state: str, shutdown_graceful: bool | None, shutdown_reason: str) -> StandingOrders:
    """Build what there is to say to a connected holder out of its row."""
    shutdown = None if shutdown_graceful is None else ShutdownOrder(shutdown_graceful, shutdown_reason)
    return StandingOrders(session_epoch, state == "Offline", shutdown)
