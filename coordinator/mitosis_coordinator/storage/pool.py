"""The connections to PostgreSQL, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.storage.arrays import register_arrays
from mitosis_coordinator.storage.facts import Fact, Listener

log = structlog.get_logger(__name__)

# A server that is about to be replaced, or was, says so in these ways too.
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

# While the server is known to be away, callers learn it after this time instead of the whole checkout timeout.
_TIMEOUT_IN_TROUBLE_SECONDS = 2.0
_VERIFY_TIMEOUT_SECONDS = 5.0
# The pool doubles the time between attempts to connect; giving up early and starting afresh keeps that time short, so
# that a server that comes back is found within seconds even after an hour.
_RECONNECT_TIMEOUT_SECONDS = 5.0
# A peer that vanished without a FIN is noticed by the kernel after these; Unix sockets ignore them.
_NETWORK_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}


class PooledConnection(psycopg.AsyncConnection[TupleRow]):
    """A connection that knows up to which incident it was seen working, and what was done on it since it was lent."""

    seen_incident = 0
    facts: list[Fact]

    @asynccontextmanager
    async def pipelined_transaction(self) -> AsyncIterator[None]:
        """Make one transaction whose statements wait for the server only where a result is read.

        COMMIT travels with the statements after the last read; their results can be read once it is done. The error of
        a statement comes up at the next read, or at the end.
        """
        async with self.pipeline(), self.transaction():
            yield


Connection: TypeAlias = PooledConnection


class Database:
    """A pool of connections that discards broken ones and recovers when the server comes back.

    Every connection is in autocommit mode: a statement run on `connection()` is its own transaction and costs one
    round trip; `transaction()` makes one of many. The isolation is READ COMMITTED, the time zone UTC.

    Args:
        conninfo: a libpq connection string or URL.
        max_size: connections at most; `min_size` of them are kept open.
        checkout_timeout_seconds: how long a caller waits for a free connection.
        statement_timeout_seconds: how long a single statement may run.
        lock_timeout_seconds: how long a statement may wait for a lock.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        max_size: int = 10,
        min_size: int = 2,
        checkout_timeout_seconds: float = 30.0,
        statement_timeout_seconds: float = 30.0,
        lock_timeout_seconds: float = 10.0,
        application_name: str = "mitosis-coordinator",
    ) -> None:
        given = conninfo_to_dict(conninfo)
        defaults = {key: value for key, value in _NETWORK_DEFAULTS.items() if key not in given}
        self._conninfo = make_conninfo(conninfo, **defaults, application_name=application_name)
        self._checkout_timeout_seconds = checkout_timeout_seconds
        self._session_settings = {
            "statement_timeout": f"{statement_timeout_seconds * 1000:.0f}",
            "lock_timeout": f"{lock_timeout_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": "60000",
            "default_transaction_isolation": "read committed",
            "timezone": "UTC",
            # A queue is in memory or on a solid disk; with the server's default, plans made while it was empty read all
            # of it. Compiling statements that take a millisecond takes ten.
            "random_page_cost": "1.1",
            "jit": "off",
        }
        self._incidents = 0
        self._in_trouble = False
        self._listeners: list[Listener] = []
        self._pool: AsyncConnectionPool[PooledConnection] = AsyncConnectionPool(
            self._conninfo,
            connection_class=PooledConnection,
            kwargs={"autocommit": True},
            configure=self._configure,
            min_size=min(min_size, max_size),
            max_size=max_size,
            timeout=checkout_timeout_seconds,
            reconnect_timeout=_RECONNECT_TIMEOUT_SECONDS,
            name="coordinator",
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def max_size(self) -> int:
        """Connections at most."""
        return self._pool.max_size

    @property
    def conninfo(self) -> str:
        """The connection string, with its password: for connections outside the pool, never for a log."""
        return self._conninfo

    @property
    def statistics(self) -> dict[str, int]:
        """What the pool counts, by the names of `psycopg_pool`."""
        return self._pool.get_stats()

    def on_facts(self, listener: Listener) -> None:
        """Tell somebody what transactions did, once they are committed."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Open the pool and prove that the server answers.

        Raises:
            StorageUnavailable: there was no connection within the checkout timeout.
        """
        await self._pool.open()
        try:
            await self.ping()
        except BaseException:
            await self._pool.close()
            raise

    async def close(self) -> None:
        """Close every connection; those in use when they are given back."""
        await self._pool.close()

    async def ping(self) -> None:
        """Make one round trip to the server.

        Raises:
            StorageUnavailable: it does not answer.
        """
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection on which every statement is its own transaction.

        Raises:
            StorageUnavailable: the server is away, a statement or a lock took too long, or two transactions met in a
                way that only one survives. The work may be repeated.
        """
        began = time.perf_counter()
        try:
            connection = await self._checkout()
            facts: list[Fact] = []
            connection.facts = facts
            try:
                yield connection
            finally:
                if connection.broken:
                    await self._note_incident()
                await self._pool.putconn(connection)
        except _UNAVAILABLE as error:
            raise StorageUnavailable("the database does not answer") from error
        if facts:
            seconds = time.perf_counter() - began
            for listener in self._listeners:
                listener(facts, seconds)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection for one transaction: committed at the end, rolled back on an exception.

        Raises:
            StorageUnavailable: as for `connection()`. When the connection broke during COMMIT nobody knows whether it
                happened, so what is repeated must be idempotent.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _checkout(self) -> PooledConnection:
        deadline = time.monotonic() + self._checkout_timeout_seconds
        while True:
            patience = deadline - time.monotonic()
            if self._in_trouble:
                patience = min(patience, _TIMEOUT_IN_TROUBLE_SECONDS)
            cancelled = _cancellations()
            connection = await self._pool.getconn(timeout=patience)
            try:
                if _cancellations() > cancelled:
                    # The pool loses a cancellation that comes after a connection was handed over, because `wait_for`
                    # does before Python 3.12. Whoever waits for the task to end would wait for ever.
                    raise asyncio.CancelledError
                if await self._works(connection):
                    break
            except BaseException:
                await self._pool.putconn(connection)
                raise
            await self._note_incident()
            await self._pool.putconn(connection)
        if self._in_trouble:
            self._in_trouble = False
            log.info("database_back")
        return connection

    async def _works(self, connection: PooledConnection) -> bool:
        """Whether the connection is alive: without a round trip unless something speaks against it."""
        if connection.seen_incident == self._incidents and not _has_unread_input(connection):
            return True
        try:
            async with asyncio.timeout(_VERIFY_TIMEOUT_SECONDS):
                await connection.execute("")
        except (psycopg.Error, TimeoutError):
            await connection.close()
            return False
        connection.seen_incident = self._incidents
        return True

    async def _note_incident(self) -> None:
        """Distrust every connection made before now."""
        self._incidents += 1
        if not self._in_trouble:
            self._in_trouble = True
            log.warning("database_lost")
            # One broken connection rarely comes alone. Replacing the idle ones at once spares each later caller
            # the discovery of one more.
            await self._pool.drain()

    async def _configure(self, connection: PooledConnection) -> None:
        connection.seen_incident = self._incidents
        register_arrays(connection)
        settings = ", ".join(f"set_config('{name}', %({name})s, false)" for name in self._session_settings)
        # The names are constants of this class; only the values are data.
        await connection.execute(f"SELECT {settings}", self._session_settings)


def _cancellations() -> int:
    """How often the running task was told to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _has_unread_input(connection: PooledConnection) -> bool:
    """Whether the server said something to an idle connection; mostly that is its end."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))
