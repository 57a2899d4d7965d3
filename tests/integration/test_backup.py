"""Backups hold everything, come back as a whole or not at all, and never into a database that is in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.storage import backup
from mitosis_coordinator.storage.backup import BackupError, restore_backup, write_backup
from mitosis_coordinator.storage.migrate import MIGRATION_LOCK, migrate_up, migration_status
from tests.support.postgres import SessionPostgres


@pytest.fixture
def full_url(postgres: SessionPostgres) -> Iterator[str]:
    """A database with a group in it, and an assignment that was given and is gone."""
    with postgres.fresh() as url:
        execute(url, "INSERT INTO groups (id, name) VALUES (%s, 'kept')", new_uuid())
        execute(url, "SELECT nextval('assignments_id_seq')")
        yield url


@pytest.fixture
def empty_url(postgres: SessionPostgres) -> Iterator[str]:
    with postgres.fresh(migrated=False) as url:
        yield url


def execute(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def group_names(url: str) -> list[object]:
    return [name for (name,) in execute(url, "SELECT name FROM groups ORDER BY name")]


def test_a_backup_comes_back_in_another_database(full_url: str, empty_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mitosis.dump"
    size = write_backup(full_url, file)
    restore_backup(empty_url, file)

    assert group_names(empty_url) == ["kept"]
    assert all(status.applied for status in migration_status(empty_url))
    assert migrate_up(empty_url) == []
    assert (size, file.stat().st_mode & 0o777) == (file.stat().st_size, 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_assignments_of_the_time_that_is_lost_do_not_come_again(full_url: str, empty_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    ((before,),) = execute(full_url, "SELECT nextval('assignments_id_seq')")
    restore_backup(empty_url, tmp_path / "mitosis.dump")
    ((after,),) = execute(empty_url, "SELECT nextval('assignments_id_seq')")

    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after > before + 100_000


def test_a_database_that_holds_something_is_replaced_only_when_that_is_said(full_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    execute(full_url, "UPDATE groups SET name = 'later'")

    with pytest.raises(BackupError, match="not empty; --replace"):
        restore_backup(full_url, tmp_path / "mitosis.dump")
    assert group_names(full_url) == ["later"]
    restore_backup(full_url, tmp_path / "mitosis.dump", replace=True)
    assert group_names(full_url) == ["kept"]


@pytest.mark.parametrize("damage", ["cut", "foreign", "text"])
def test_a_damaged_file_changes_nothing(full_url: str, empty_url: str, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "mitosis.dump"
    match damage:
        case "cut":
            # Enough to keep the list of contents and lose the contents.
            execute(
                full_url,
                "INSERT INTO groups (id, name) SELECT gen_random_uuid(), 'g' || n FROM generate_series(1, 20000) n",
            )
            write_backup(full_url, file)
            os.truncate(file, file.stat().st_size - 200_000)
        case "foreign":
            execute(empty_url, "CREATE TABLE somebody_elses (id int)")
            write_backup(empty_url, file)
        case _:
            file.write_text("not a backup")
    before = group_names(full_url)

    with pytest.raises(BackupError):
        restore_backup(full_url, file, replace=True)
    assert group_names(full_url) == before
    assert execute(full_url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", "replaced%") == []


def test_a_database_that_a_coordinator_uses_is_left_alone(full_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    with (
        psycopg.connect(full_url, application_name="mitosis-coordinator"),
        pytest.raises(BackupError, match="stop every coordinator"),
    ):
        restore_backup(full_url, tmp_path / "mitosis.dump", replace=True)

    assert group_names(full_url) == ["kept"]


def test_a_database_that_is_being_migrated_is_left_alone(full_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    with psycopg.connect(full_url) as migrating:
        migrating.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        with pytest.raises(BackupError, match="being migrated"):
            restore_backup(full_url, tmp_path / "mitosis.dump", replace=True)

    assert group_names(full_url) == ["kept"]


def test_what_an_interrupted_restore_left_is_not_lost(full_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    execute(full_url, "CREATE SCHEMA replaced_by_restore")
    with pytest.raises(BackupError, match="a restore was interrupted"):
        restore_backup(full_url, tmp_path / "mitosis.dump", replace=True)

    assert execute(full_url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'replaced_by_restore'") == [(1,)]


def test_a_file_that_is_there_is_not_written_over(full_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mitosis.dump"
    file.write_text("yesterday's")

    with pytest.raises(BackupError, match="exists"):
        write_backup(full_url, file)
    assert file.read_text() == "yesterday's"


def test_an_empty_database_is_no_backup(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="empty"):
        write_backup(empty_url, tmp_path / "mitosis.dump")

    assert list(tmp_path.iterdir()) == []


def test_a_role_that_does_not_own_the_database_is_told(full_url: str, tmp_path: Path) -> None:
    write_backup(full_url, tmp_path / "mitosis.dump")
    execute(full_url, "CREATE ROLE visitor LOGIN")
    try:
        with pytest.raises(BackupError, match="must be owner of schema public"):
            restore_backup(make_conninfo(full_url, user="visitor"), tmp_path / "mitosis.dump", replace=True)
    finally:
        execute(full_url, "DROP ROLE visitor")

    assert group_names(full_url) == ["kept"]


def test_a_password_is_no_argument(full_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    spy = programs / "pg_dump"
    spy.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho "$PGPASSWORD" > {tmp_path}/password\n')
    spy.chmod(0o700)
    monkeypatch.setattr(backup, "find_binaries", lambda: programs)

    write_backup(make_conninfo(full_url, password="hunter2"), tmp_path / "mitosis.dump")

    assert "hunter2" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "password").read_text() == "hunter2\n"
