"""The whole database as one file, written while coordinators serve, and back again while none does.

Both ways are PostgreSQL's own, `pg_dump` and `pg_restore`, of the version that comes with the embedded server: they
read every older one.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.storage.embedded import find_binaries
from mitosis_coordinator.storage.migrate import MIGRATION_LOCK

_CONNECT_TIMEOUT_SECONDS = 10
# For a migration that holds what the dump has to read.
_LOCK_WAIT_MILLISECONDS = 60_000
_WITHOUT_ROLES = ("--no-owner", "--no-privileges")
_DUMP = ("pg_dump", "--format=custom", *_WITHOUT_ROLES, f"--lock-wait-timeout={_LOCK_WAIT_MILLISECONDS}")
_RESTORE = ("pg_restore", "--single-transaction", "--exit-on-error", *_WITHOUT_ROLES)
_OLD_SCHEMA = "replaced_by_restore"
# Assignments are fences: those of the time that is lost must not come again while a manager may still name them.
_SKIPPED_ASSIGNMENTS = 1_000_000


class BackupError(Exception):
    """A backup cannot be written or taken back; the message says why. The database is as it was."""


def write_backup(conninfo: str, file: Path) -> int:
    """Write the database to a new file, which its owner alone can read, and return its size in bytes. Blocks.

    The file is there when it is complete and on disk. It holds what is committed at one moment.

    Raises:
        BackupError: the file exists, it could not be written, or the database holds nothing.
        StorageUnavailable: the database does not answer.
    """
    if file.exists():
        raise BackupError(f"{file} exists; a backup is written to a new file")
    with _connected(conninfo) as connection:
        # A wrong data directory is an empty database, and its backup would be worth nothing when it is needed.
        if not _holds_tables(connection):
            raise BackupError("the database is empty; is the configuration the one that the coordinator runs with?")
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _run(_DUMP, conninfo, stdout=stream.fileno())
            os.fsync(stream.fileno())
        size = unfinished.stat().st_size
        os.link(unfinished, file)
    except FileExistsError:
        raise BackupError(f"{file} exists; a backup is written to a new file") from None
    finally:
        unfinished.unlink()
    return size


def restore_backup(conninfo: str, file: Path, *, replace: bool = False) -> None:
    """Make the database what a backup says. Blocks.

    What was there is set aside until the backup is in, so a file that turns out to be damaged changes nothing.

    Args:
        replace: gives up what the database holds; without it the database must be empty.

    Raises:
        BackupError: the file is no backup, the database is not empty, or a coordinator uses it.
        StorageUnavailable: the database does not answer.
    """
    with file.open("rb") as stream:
        _run(("pg_restore", "--list"), None, stdin=stream.fileno())
    with _connected(conninfo) as connection:
        _keep_others_out(connection)
        if _exists(connection, _OLD_SCHEMA):
            raise BackupError(
                f"the schema {_OLD_SCHEMA} is there: a restore was interrupted. Drop public, which is half restored, "
                f"and rename {_OLD_SCHEMA} to public"
            )
        if not replace and _holds_tables(connection):
            raise BackupError("the database is not empty; --replace gives up what it holds")
        with connection.transaction():
            connection.execute(f"ALTER SCHEMA public RENAME TO {_OLD_SCHEMA}")
            connection.execute("CREATE SCHEMA public")
        try:
            with file.open("rb") as stream:
                _run(_RESTORE, conninfo, stdin=stream.fileno())
            with connection.transaction():
                connection.execute(
                    "SELECT setval('assignments_id_seq', (SELECT last_value FROM assignments_id_seq) + %s)",
                    [_SKIPPED_ASSIGNMENTS],
                )
                connection.execute("DELETE FROM coordinators")
                connection.execute(f"DROP SCHEMA {_OLD_SCHEMA} CASCADE")
        except BaseException as error:
            with connection.transaction():
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute(f"ALTER SCHEMA {_OLD_SCHEMA} RENAME TO public")
            if isinstance(error, psycopg.ProgrammingError):
                raise BackupError(f"{file} is not a backup of Mitosis: {error}") from error
            raise


@contextmanager
def _connected(conninfo: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    try:
        with psycopg.connect(
            conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            application_name="mitosis-backup",
            options="-c client_min_messages=warning",
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise StorageUnavailable("the database does not answer") from error
    except psycopg.Error as error:
        raise BackupError(str(error)) from error


def _keep_others_out(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Refuse a database that is in use. A coordinator that starts from here on waits until this connection ends."""
    taken = connection.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK]).fetchone()
    if taken != (True,):
        raise BackupError("the database is being migrated or restored: stop every coordinator first")
    others = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND application_name LIKE 'mitosis-%'"
    ).fetchone()
    if others is not None and others[0]:
        raise BackupError(f"{others[0]} connections of Mitosis use the database: stop every coordinator first")


def _exists(connection: psycopg.Connection[tuple[object, ...]], schema: LiteralString) -> bool:
    return connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None


def _holds_tables(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone() is not None


def _run(command: Sequence[str], conninfo: str | None, *, stdin: int | None = None, stdout: int | None = None) -> None:
    """Run one of PostgreSQL's programs. A password goes by the environment, because anybody can read arguments."""
    program, *arguments = command
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if conninfo is not None:
        parameters = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
        if "password" in parameters:
            environment["PGPASSWORD"] = parameters.pop("password")
        arguments.append(f"--dbname={make_conninfo('', **parameters)}")
    done = subprocess.run(
        [find_binaries() / program, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(done.stderr.strip() or f"{program} ended with exit code {done.returncode}")
