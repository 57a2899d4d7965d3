"""The model beside a real PostgreSQL: each statement runs on both, and what they answer and store is compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from mitosis_coordinator.storage.arrays import register_arrays
from tests.simulation.clock import SimulatedLoop
from tests.simulation.statements import Answer, Parameters
from tests.simulation.store import ModelEngine
from tests.simulation.tables import Row, Tables

# The rows of one statement get their numbers in no order.
_UNORDERED_NUMBERS = {"task_execution_failures"}
_NOW = re.compile(r"\bnow\(\)")
_CLOCK = """
    CREATE SCHEMA IF NOT EXISTS simulation;
    CREATE OR REPLACE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('simulation.now')::timestamptz $$;
"""
_DEFAULTS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_default = 'now()'
"""


class Disagreement(AssertionError):
    """The model is wrong about PostgreSQL."""


class LockstepEngine:
    """Runs every statement twice. `database_url` names a migrated database, whose rows are removed."""

    def __init__(self, loop: SimulatedLoop, database_url: str) -> None:
        self._model = ModelEngine(loop)
        self._connection = psycopg.connect(database_url, autocommit=True, row_factory=dict_row)
        register_arrays(self._connection)
        self._prepare()

    @property
    def tables(self) -> Tables:
        return self._model.tables

    def register(self, table: str, key: Any, row: Row) -> None:
        self._model.register(table, key, row)
        values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        self._connection.execute(statement, values)

    def begin(self) -> None:
        self._model.begin()
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT set_config('simulation.now', %s, true)", [self.tables.now.isoformat()])

    def run(self, text: str, given: Parameters) -> Answer:
        ours = self._model.run(text, given)
        theirs = self._ask(text, given)
        if _comparable(ours) != _comparable(theirs):
            raise Disagreement(f"{text.split('*/')[0]}*/ {given}: the model says {ours}, PostgreSQL says {theirs}")
        return ours

    def commit(self) -> None:
        self._model.commit()
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        self._model.roll_back()
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Compare every row, and let go of the database."""
        self._connection.rollback()
        try:
            for name, table in self.tables.by_name.items():
                stored = self._connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))).fetchall()
                ours = [_numbered(name, row) for row in table.values()]
                theirs = [_numbered(name, row) for row in stored]
                if _comparable(ours) != _comparable(theirs):
                    raise Disagreement(f"{name}: the model has {ours}, PostgreSQL has {theirs}")
        finally:
            self._connection.close()

    def _ask(self, text: str, given: Parameters) -> Answer:
        # Placeholders are there in every statement that takes parameters; without any, a percent sign is one.
        cursor = self._connection.execute(_NOW.sub("simulation.now()", text).encode(), given or None)
        return list(cursor.fetchall()) if cursor.description is not None else cursor.rowcount

    def _prepare(self) -> None:
        self._connection.execute(_CLOCK)
        for column in self._connection.execute(_DEFAULTS).fetchall():
            statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT simulation.now()")
            names = map(sql.Identifier, (column["table_name"], column["column_name"]))
            self._connection.execute(statement.format(*names))
        tables = sql.SQL(", ").join(map(sql.Identifier, self.tables.by_name))
        self._connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))
        self._connection.execute("SELECT set_config('timezone', 'UTC', false)")


def _numbered(table: str, row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"} if table in _UNORDERED_NUMBERS else row


def _comparable(answer: Answer | list[Row]) -> object:
    """A form in which two answers are equal when they mean the same: rows and sets have no order."""
    return answer if isinstance(answer, int) else sorted((_plain(row) for row in answer), key=repr)


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return sorted((name, _plain(one)) for name, one in value.items())
        case list() | tuple():
            return sorted((_plain(one) for one in value), key=repr)
        case float():
            return round(value, 4)
        case str():
            return str(value)
        case _:
            return value
