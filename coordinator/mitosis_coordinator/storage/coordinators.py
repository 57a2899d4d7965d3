"""The coordinators of one database: who lives, who leads, and what they tell each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.storage.pool import Database
from mitosis_coordinator.storage.queries import load_queries

_SQL = load_queries("coordinators")

# Any constants will do, as long as every coordinator uses the same ones.
_LOCK = {"class": 0x6D69_746F, "key": 1}

ALIVE_SECONDS = 10.0
"""How long a coordinator that was not heard of is believed to live."""

_FORGET_SECONDS = 60.0
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What a coordinator says of itself; `id` is drawn at each start."""

    id: UUID
    hostname: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Company:
    """What a beat found out: whether others live, and whether this one leads."""

    others: int
    leads: bool


async def notify(database: Database, payload: str) -> None:
    """Send one payload of hints; at most 7999 bytes.

    Raises:
        StorageUnavailable: nobody heard it, or perhaps everybody.
    """
    async with database.connection() as connection:
        await connection.execute(_SQL["notify"], {"payload": payload})


def connections_allowed(conninfo: str) -> int:
    """How many connections the server allows to whoever connects so, others of the same role included. Blocks.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(_SQL["connections_allowed"]).fetchone()
    except psycopg.OperationalError as error:
        raise StorageUnavailable("the database does not answer") from error
    if row is None:
        raise RuntimeError("the database knows neither its own name nor that of its user")
    allowed: int = row[0]
    return allowed


class Ear:
    """A connection of its own, outside the pool, that listens, says that this coordinator lives, and may lead.

    Raises:
        StorageUnavailable: from every method, when the connection is lost; the lock is then gone too.
    """

    def __init__(self, connection: psycopg.AsyncConnection, identity: Identity) -> None:
        self._connection = connection
        self._identity = identity
        self._leads = False

    @classmethod
    async def open(cls, conninfo: str, identity: Identity) -> Ear:
        """Connect and listen."""
        connection: psycopg.AsyncConnection | None = None
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
                await connection.execute(_SQL["settle_in"])
                await connection.execute(_SQL["listen"])
        except (psycopg.Error, TimeoutError) as error:
            if connection is not None:
                await connection.close()
            raise StorageUnavailable("the database does not answer") from error
        return cls(connection, identity)

    async def beat(self) -> Company:
        """Say that this coordinator lives, try to lead, and look who else is there."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._connection.execute(_SQL["beat"], _parameters(self._identity))
                if not self._leads:
                    self._leads = await self._value("try_lead", _LOCK)
                if self._leads:
                    await self._connection.execute(_SQL["forget_dead"], {"forget_seconds": _FORGET_SECONDS})
                else:
                    await self._connection.execute(_SQL["depose_silent"], {**_LOCK, "alive_seconds": ALIVE_SECONDS})
                others = await self._value("count_others", {"id": self._identity.id, "alive_seconds": ALIVE_SECONDS})
        except (psycopg.Error, TimeoutError) as error:
            raise StorageUnavailable("the listening connection is lost") from error
        return Company(others, self._leads)

    async def heard(self, seconds: float) -> list[str]:
        """What came, as soon as there is something; nothing after some time of silence."""
        try:
            return [heard.payload async for heard in self._connection.notifies(timeout=seconds, stop_after=1)]
        except psycopg.Error as error:
            raise StorageUnavailable("the listening connection is lost") from error

    async def leave(self, farewell: str) -> None:
        """Say that this coordinator goes, and give up the lock with the connection."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._connection.execute(_SQL["leave"], {"id": self._identity.id})
                # The lock first: whoever hears the farewell tries to lead at once.
                await self._connection.execute(_SQL["stop_leading"])
                await self._connection.execute(_SQL["notify"], {"payload": farewell})
        except (psycopg.Error, TimeoutError) as error:
            raise StorageUnavailable("the listening connection is lost") from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection, without a word."""
        await self._connection.close()

    async def _value(self, name: str, parameters: dict[str, Any]) -> Any:
        cursor = await self._connection.execute(_SQL[name], parameters)
        row = await cursor.fetchone()
        return None if row is None else row[0]


def _parameters(identity: Identity) -> dict[str, Any]:
    return {"id": identity.id, "hostname": identity.hostname, "pid": identity.pid, "version": identity.version}
