"""What monitoring reads now and then: a few statements, each with a bound on what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all, fetch_one, fetch_value

_SQL = load_queries("monitoring")

MAX_SUITES = 10_000
"""Active suites that are looked at."""

MAX_INDEPENDENT_TASKS = 10_000
"""Ready tasks of no suite that are counted."""


@dataclass(frozen=True, slots=True)
class GroupBacklog:
    """The active suites of a group in one state, and the tasks that wait or run in them."""

    group_name: str
    state: str
    suites: int
    pending_tasks: int


@dataclass(frozen=True, slots=True)
class SuiteBacklog:
    """The tasks of one active suite."""

    id: UUID
    pending_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int


@dataclass(frozen=True, slots=True)
class _Count:
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class DatabaseHealth:
    """The age of the oldest transaction in seconds, and how many dead rows the queue has."""

    oldest_seconds: float
    dead_rows: int


async def use_one_snapshot(connection: Connection) -> None:
    """Have all statements of a transaction that begins see the same moment."""
    await execute(connection, _SQL["use_one_snapshot"])


async def suites_by_group(connection: Connection) -> list[GroupBacklog]:
    """The active suites, by group and state."""
    return await fetch_all(connection, GroupBacklog, _SQL["suites_by_group"], {"limit": MAX_SUITES})


async def largest_suites(connection: Connection, most: int) -> list[SuiteBacklog]:
    """The active suites with most tasks to run, `most` of them."""
    return await fetch_all(connection, SuiteBacklog, _SQL["largest_suites"], {"limit": MAX_SUITES, "most": most})


async def managers_by_state(connection: Connection) -> dict[str, int]:
    """How many managers are in each state that any is in."""
    return {row.state: row.count for row in await fetch_all(connection, _Count, _SQL["managers_by_state"])}


async def workers_by_state(connection: Connection) -> dict[str, int]:
    """How many independent workers are in each state that any is in."""
    return {row.state: row.count for row in await fetch_all(connection, _Count, _SQL["workers_by_state"])}


async def independent_tasks(connection: Connection) -> int:
    """How many tasks of no suite are Ready, at most `MAX_INDEPENDENT_TASKS`."""
    count: int = await fetch_value(connection, _SQL["independent_tasks"], {"limit": MAX_INDEPENDENT_TASKS})
    return count


async def database_health(connection: Connection) -> DatabaseHealth:
    """Signs of a queue that is about to become slow."""
    health = await fetch_one(connection, DatabaseHealth, _SQL["database_health"])
    return health or DatabaseHealth(0.0, 0)
