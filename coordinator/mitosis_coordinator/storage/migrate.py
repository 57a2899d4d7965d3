"""The database's schema, from the files in `storage/migrations`.

A migration is `NNNN_name.sql` and its way back, `NNNN_name.rollback.sql`. They are applied in the order of their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri

from mitosis_coordinator.domain.errors import StorageUnavailable

if TYPE_CHECKING:
    from yoyo.migrations import Migration, MigrationList

log = structlog.get_logger(__name__)

# Any constant will do, as long as every coordinator uses the same one.
MIGRATION_LOCK = 0x6D69_746F_7369_7301
_MIGRATION_TABLE = "schema_migrations"
_CONNECT_TIMEOUT_SECONDS = 10
_NAME = re.compile(r"\d{4}_[a-z0-9_]+")


class SchemaError(Exception):
    """The database's schema is not one that this version can work with; the message says what would help."""


_ADVICE = "or use another database (without DATABASE_URL: another server.data_dir; `mitosis up`: another --data-dir)"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One migration, and whether the database has it."""

    name: str
    applied: bool


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """The library's backend, made safe against a crash and against company.

    The library applies a migration and notes it in two transactions, on two connections, and guards both with a row
    that a killed process leaves behind. Here both are one transaction, under an advisory lock that ends with its
    session. Nor does it keep the library's log of who did it, which looks up host and user names and can hang in that.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        # The library takes addresses apart in its own way; libpq's forms (several hosts, sockets) need libpq.
        super().__init__(parse_uri("postgresql+psycopg:///"), _MIGRATION_TABLE)

    def connect(self, dburi: object) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            application_name="mitosis-migrate",
            # A NOTICE about something that exists already is no news.
            options="-c client_min_messages=warning",
        )

    @contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        self.connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            yield
        finally:
            self.connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        try:
            with self.transaction():
                migration.process_steps(self, "apply", force=force)
                self.mark_one(migration, log=False)
        except psycopg.ProgrammingError as error:
            raise SchemaError(
                f"migration {migration.id} cannot be applied to this database, which another version has made: "
                f"{error}; start that version, {_ADVICE}"
            ) from error
        log.info("migration_applied", migration=migration.id)

    def rollback_one(self, migration: Migration, force: bool = False) -> None:
        with self.transaction():
            migration.process_steps(self, "rollback", force=force)
            self.unmark_one(migration, log=False)
        log.info("migration_rolled_back", migration=migration.id)


def migrate_up(conninfo: str) -> list[str]:
    """Apply every migration that the database does not have, and return their names.

    Several processes may call this at once: one works, the others wait and find nothing to do. Blocks.

    Raises:
        SchemaError: another version made the schema, and this one cannot go on from there; nothing has changed.
        StorageUnavailable: the database does not answer.
    """
    with _opened(conninfo) as (backend, migrations):
        known = {migration.id for migration in migrations}
        rows = backend.execute(f"SELECT migration_id FROM {_MIGRATION_TABLE}").fetchall()  # noqa: S608 - a constant
        unknown = sorted(name for (name,) in rows if name not in known)
        if unknown:
            raise SchemaError(
                f"a newer version has made this database: it has {', '.join(unknown)}, which this version does not "
                f"know; start that version, take its migrations back with it (`mitosis-coordinator migrate down`), "
                f"{_ADVICE}"
            )
        todo = backend.to_apply(migrations)
        backend.apply_migrations(todo)
        return [migration.id for migration in todo]


def migrate_down(conninfo: str, *, to: str | None = None) -> list[str]:
    """Take back the newest migration, or every one after the migration `to` ("" for all). Blocks.

    Returns:
        The names of those taken back, newest first.

    Raises:
        ValueError: there is no migration `to`.
        StorageUnavailable: the database does not answer.
    """
    with _opened(conninfo) as (backend, migrations):
        names = [migration.id for migration in migrations]
        if to and to not in names:
            raise ValueError(f"given {to!r}; accepts one of {', '.join(names)}")
        applied = list(backend.to_rollback(migrations))
        doomed = applied[:1] if to is None else [migration for migration in applied if migration.id > to]
        backend.rollback_migrations(migrations.replace(doomed))
        return [migration.id for migration in doomed]


def migration_status(conninfo: str) -> list[MigrationStatus]:
    """Every migration this version knows, oldest first. Blocks.

    Raises:
        StorageUnavailable: the database does not answer.
    """
    with _opened(conninfo) as (backend, migrations):
        return [MigrationStatus(migration.id, backend.is_applied(migration)) for migration in migrations]


@contextmanager
def _opened(conninfo: str) -> Iterator[tuple[_Backend, MigrationList]]:
    try:
        with as_file(files("mitosis_coordinator.storage").joinpath("migrations")) as directory:
            migrations = _read(directory)
            with _Backend(conninfo) as backend, backend.lock():
                backend.ensure_internal_schema_updated()
                yield backend, migrations
    except psycopg.OperationalError as error:
        raise StorageUnavailable("the database does not answer") from error


def _read(directory: Path) -> MigrationList:
    """Read the files, which must keep the form: the library would take a misnamed way back for a migration."""
    for file in sorted(directory.glob("*.sql")):
        name = file.name.removesuffix(".rollback.sql").removesuffix(".sql")
        if not _NAME.fullmatch(name):
            raise ValueError(f"migrations: given {file.name}; accepts NNNN_name.sql and NNNN_name.rollback.sql")
        if not (directory / f"{name}.sql").exists() or not (directory / f"{name}.rollback.sql").exists():
            raise ValueError(f"migrations: {name} has no way up or no way back")
    return read_migrations(str(directory))
