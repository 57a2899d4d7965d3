"""One PostgreSQL for a whole test session, and a fresh migrated database for each test that asks."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from mitosis_coordinator.storage.migrate import migrate_up

TEMPLATE = "mitosis_template"
# Nothing here has to survive a crash of the machine.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


class SessionPostgres:
    """Hands out databases of one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)

    def prepare_template(self) -> None:
        """Make the migrated database that the others are copied from."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate_up(self.url_of(TEMPLATE))

    @contextmanager
    def fresh(self, *, migrated: bool = True) -> Iterator[str]:
        """Lend a new database by its connection string."""
        name = f"test_{next(self._numbers)}"
        template = sql.Identifier(TEMPLATE if migrated else "template0")
        # Copying files is the faster strategy where nothing is synced.
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(name), template)
        )
        try:
            yield self.url_of(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url_of(self, database: str) -> str:
        """The connection string of one database."""
        return make_conninfo(self.url, dbname=database)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_directory() -> Iterator[Path]:
    """A directory for a server's data, outside of pytest's own.

    Run by root, the server is another user's process, and each start of pytest closes the folder above `tmp_path` to
    others: two test runs on one machine would take the data from under each other's servers.
    """
    with tempfile.TemporaryDirectory(prefix="mitosis-postgres-") as directory:
        yield Path(directory)


@contextmanager
def session_postgres() -> Iterator[SessionPostgres]:
    """Run a server with a prepared template.

    Tests have an event loop each, and the server is supervised by one: it gets its own, in a thread of its own.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="session-postgres", daemon=True)
    thread.start()
    try:
        with postgres_directory() as directory:
            server = EmbeddedPostgres(directory, settings=_SETTINGS)
            asyncio.run_coroutine_threadsafe(server.start(), loop).result()
            try:
                postgres = SessionPostgres(server.url)
                postgres.prepare_template()
                yield postgres
            finally:
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
