"""Migrations go up and down, with data, in company, and wholly or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.storage import migrate
from mitosis_coordinator.storage.migrate import SchemaError, migrate_down, migrate_up, migration_status
from tests.support.postgres import SessionPostgres

INITIAL = "0001_initial"


@pytest.fixture
def empty_url(postgres: SessionPostgres) -> Iterator[str]:
    with postgres.fresh(migrated=False) as url:
        yield url


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def schema(url: str) -> list[tuple[object, ...]]:
    """Everything that migrations make: tables, columns, constraints, indexes."""
    return query(
        url,
        """
        SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name !~ 'yoyo|schema_migrations'
        UNION ALL
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ 'yoyo|schema_migrations'
        UNION ALL
        SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
        WHERE schemaname = 'public' AND tablename !~ 'yoyo|schema_migrations'
        ORDER BY 1, 2, 3
        """,
    )


def test_up_down_and_up_again(empty_url: str) -> None:
    applied = migrate_up(empty_url)
    assert applied[0] == INITIAL
    assert migrate_up(empty_url) == []
    complete = schema(empty_url)
    assert migrate_down(empty_url, to="") == applied[::-1]
    assert schema(empty_url) == []
    assert [status.applied for status in migration_status(empty_url)] == [False] * len(applied)
    assert migrate_up(empty_url) == applied
    assert schema(empty_url) == complete


def test_each_step_down_leaves_what_came_before_it(empty_url: str) -> None:
    names = migrate_up(empty_url)
    shapes = {}
    for count in range(len(names), 0, -1):
        shapes[count] = schema(empty_url)
        assert migrate_down(empty_url) == [names[count - 1]]
    for count in range(1, len(names) + 1):
        migrate_up(empty_url)
        if count < len(names):
            migrate_down(empty_url, to=names[count - 1])
        assert schema(empty_url) == shapes[count]


def test_users_survive_the_other_migrations_going_down_and_up(empty_url: str) -> None:
    migrate_up(empty_url)
    query(empty_url, f"INSERT INTO users (id, username, password_hash) VALUES ('{new_uuid()}', 'ada', 'x')")
    query(empty_url, f"INSERT INTO groups (id, name) VALUES ('{new_uuid()}', 'physics')")
    query(empty_url, "INSERT INTO user_group SELECT users.id, groups.id, 'Admin' FROM users, groups")
    migrate_down(empty_url, to=INITIAL)
    migrate_up(empty_url)
    members = "SELECT username, name, role FROM user_group JOIN users u ON u.id = user_id JOIN groups ON true"
    assert query(empty_url, members) == [("ada", "physics", "Admin")]


def test_several_at_once_apply_each_migration_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate_up(empty_url), range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, max(map(len, applied))]


def test_a_migration_that_fails_leaves_nothing_and_can_be_repeated(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (a int);")
    (tmp_path / "0001_first.rollback.sql").write_text("DROP TABLE first;")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (a int); CREATE TABLE second (a int);")
    (tmp_path / "0002_second.rollback.sql").write_text("DROP TABLE second;")
    ours = migrate._read
    monkeypatch.setattr(migrate, "_read", lambda _directory: ours(tmp_path))
    with pytest.raises(SchemaError, match=r"0002_second cannot be applied.*already exists.*another server\.data_dir"):
        migrate_up(empty_url)
    tables = "SELECT tablename FROM pg_tables WHERE tablename IN ('first', 'second')"
    assert query(empty_url, tables) == [("first",)]
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (a int);")
    assert migrate_up(empty_url) == ["0002_second"]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty_url: str) -> None:
    migrate_up(empty_url)
    migrate_down(empty_url)
    query(empty_url, "INSERT INTO schema_migrations (migration_hash, migration_id) VALUES ('x', '9999_future')")
    before = schema(empty_url)
    with pytest.raises(SchemaError, match="a newer version has made this database: it has 9999_future"):
        migrate_up(empty_url)
    assert schema(empty_url) == before


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["0001_first.up.sql"], "accepts NNNN_name.sql"),
        (["first.sql", "first.rollback.sql"], "accepts NNNN_name.sql"),
        (["0001_first.sql"], "no way back"),
        (["0001_first.rollback.sql"], "no way up"),
    ],
)
def test_files_that_do_not_keep_the_form_are_refused(tmp_path: Path, files: list[str], problem: str) -> None:
    for file in files:
        (tmp_path / file).write_text("SELECT 1;")
    with pytest.raises(ValueError, match=problem):
        migrate._read(tmp_path)


def test_an_unknown_target_is_refused(empty_url: str) -> None:
    migrate_up(empty_url)
    with pytest.raises(ValueError, match="given '9999_future'; accepts one of 0001_initial"):
        migrate_down(empty_url, to="9999_future")


def test_a_database_that_is_not_there() -> None:
    with pytest.raises(StorageUnavailable):
        migrate_up("postgresql://u@/d?host=/nonexistent")
