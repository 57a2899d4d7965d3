"""The database of the simulation: the tables, the ways in which it fails, and what `storage` sees of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self, cast

from psycopg.pq import ExecStatus

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.storage.facts import Fact
from mitosis_coordinator.storage.pool import Connection, Database
from tests.simulation import model_managers, model_suites, model_tasks
from tests.simulation.clock import SimulatedLoop
from tests.simulation.statements import Answer, Parameters, handler_of
from tests.simulation.tables import Row, Tables

__all__ = ["Engine", "ModelEngine", "Store", "model_managers", "model_suites", "model_tasks"]

# Virtual seconds from a caller to the database, and back.
_ROUND_TRIP_SECONDS = 0.001
_CHECKOUT_TIMEOUT_SECONDS = 2.0
# Not each time: a loop turn for each way costs more than the statements.
_OTHERS_GO_FIRST = 0.5


class Engine(Protocol):
    """What runs statements. Nothing here awaits, so transactions are serial."""

    @property
    def tables(self) -> Tables:
        """The rows."""

    def register(self, table: str, key: Any, row: Row) -> None:
        """Put a row there before anything begins."""

    def begin(self) -> None:
        """Begin a transaction, at the present time."""

    def run(self, text: str, given: Parameters) -> Answer:
        """Run a statement inside a transaction."""

    def commit(self) -> None:
        """End a transaction."""

    def roll_back(self) -> None:
        """Undo a transaction."""

    def close(self) -> None:
        """Let go of everything."""


class ModelEngine:
    """The model alone."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._tables = Tables(loop.wall_clock)

    @property
    def tables(self) -> Tables:
        return self._tables

    def register(self, table: str, key: Any, row: Row) -> None:
        self.tables.by_name[table][key] = row
        self.tables.settle()

    def begin(self) -> None:
        self.tables.now = self._loop.wall_clock

    def run(self, text: str, given: Parameters) -> Answer:
        return handler_of(text)(self.tables, given)

    def commit(self) -> None:
        """Nothing can go wrong here."""

    def roll_back(self) -> None:
        self.tables.undo()

    def close(self) -> None:
        """There is nothing to let go of."""


class Store:
    """One database server. `outage` makes it unreachable, `answers_lost` loses answers with that probability.

    `on_commit` is called after each transaction, while the tables still know what they held before it.
    """

    def __init__(self, loop: SimulatedLoop, engine: Engine, rng: random.Random, on_commit: Callable[[], None]) -> None:
        self.engine = engine
        self.outage = False
        self.answers_lost = 0.0
        self._loop = loop
        self._rng = rng
        self._on_commit = on_commit
        self._open = False

    @property
    def tables(self) -> Tables:
        """The rows, for those who check them."""
        return self.engine.tables

    def client(self, is_dead: Callable[[], bool]) -> Database:
        """The pool of one process, which is of no use once the process is dead."""
        return cast(Database, _Client(self, is_dead))

    async def arrive(self, is_dead: Callable[[], bool]) -> None:
        """A request travels to the server. Raises StorageUnavailable."""
        await self._let_others_go_first()
        if self.outage:
            await asyncio.sleep(self._rng.uniform(0, _CHECKOUT_TIMEOUT_SECONDS))
        if self.outage or is_dead() or self._is_lost():
            raise StorageUnavailable("the simulated database does not answer")

    async def answer(self) -> None:
        """The answer travels back, or is lost. Raises StorageUnavailable."""
        await self._let_others_go_first()
        if self._is_lost():
            raise StorageUnavailable("the simulated database's answer was lost")

    def begin(self) -> None:
        """Begin a transaction."""
        # A real transaction would hold its locks, and its connection, for as long as it waits for something else.
        assert not self._open, "a transaction waits for something other than its own statements"
        self._open = True
        self.engine.begin()

    def commit(self) -> None:
        """Make a transaction permanent, and have it looked at."""
        self._open = False
        self.engine.commit()
        self._on_commit()
        self.tables.settle()

    def roll_back(self) -> None:
        """Forget a transaction."""
        self._open = False
        self.engine.roll_back()

    async def _let_others_go_first(self) -> None:
        if self._rng.random() < _OTHERS_GO_FIRST:
            await asyncio.sleep(self._rng.uniform(0, _ROUND_TRIP_SECONDS))

    def _is_lost(self) -> bool:
        return self.answers_lost > 0 and self._rng.random() < self.answers_lost


class _Client:
    """The two methods of `Database` that services use."""

    def __init__(self, store: Store, is_dead: Callable[[], bool]) -> None:
        self._store = store
        self._is_dead = is_dead

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        yield cast(Connection, _Session(self._store, self._is_dead))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        session = _Session(self._store, self._is_dead)
        async with session.pipelined_transaction():
            yield cast(Connection, session)


class _Session:
    """A connection."""

    def __init__(self, store: Store, is_dead: Callable[[], bool]) -> None:
        self._store = store
        self._is_dead = is_dead
        self._in_transaction = False
        # Nobody counts here.
        self.facts: list[Fact] = []

    def cursor(self, *, binary: bool = False, row_factory: Any = None) -> _Cursor:
        return _Cursor(self, row_factory)

    async def execute(self, text: str, given: Parameters | None = None) -> _Cursor:
        return await _Cursor(self, None).execute(text, given)

    @asynccontextmanager
    async def pipelined_transaction(self) -> AsyncIterator[None]:
        await self._store.arrive(self._is_dead)
        self._store.begin()
        self._in_transaction = True
        try:
            yield
        except BaseException:
            self._store.roll_back()
            raise
        finally:
            self._in_transaction = False
        self._store.commit()
        await self._store.answer()

    async def run(self, text: str, given: Parameters) -> Answer:
        """Run a statement, in a transaction of its own unless there is one."""
        if self._in_transaction:
            return self._store.engine.run(text, given)
        async with self.pipelined_transaction():
            return self._store.engine.run(text, given)


class _Cursor:
    """The rows of one statement, made by psycopg's own row factories."""

    _encoding = "utf-8"

    def __init__(self, session: _Session, row_factory: Any) -> None:
        self._session = session
        self._row_factory = row_factory
        self._rows: list[Row] = []
        self._next = 0
        self.rowcount = -1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @property
    def pgresult(self) -> _Columns:
        """What a row factory asks for the names of the columns."""
        return _Columns(tuple(self._rows[0]) if self._rows else ())

    async def execute(self, text: str, given: Parameters | None = None) -> Self:
        answer = await self._session.run(text, given or {})
        self._rows = answer if isinstance(answer, list) else []
        self.rowcount = answer if isinstance(answer, int) else len(answer)
        return self

    async def fetchone(self) -> Any:
        made = self._made(self._rows[self._next : self._next + 1])
        self._next += 1
        return made[0] if made else None

    async def fetchall(self) -> list[Any]:
        return self._made(self._rows)

    def _made(self, rows: Sequence[Row]) -> list[Any]:
        make = tuple if self._row_factory is None else self._row_factory(self)
        return [make(row.values()) for row in rows]


class _Columns:
    """The names of a result's columns, as libpq tells them."""

    status = ExecStatus.TUPLES_OK

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    @property
    def nfields(self) -> int:
        return len(self._names)

    def fname(self, index: int) -> bytes:
        return self._names[index].encode()
