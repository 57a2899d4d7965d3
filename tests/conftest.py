"""Fixtures for every ring of tests; the parts are in tests/support."""

# The parts are imported when a fixture is used: a test of the worker starts without loading the coordinator.

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mitosis_coordinator.storage.pool import Database
    from tests.support.coordinator import RunningCoordinator
    from tests.support.postgres import SessionPostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[SessionPostgres]:
    """The session's server."""
    from tests.support.postgres import session_postgres

    with session_postgres() as server:
        yield server


@pytest.fixture
def database_url(postgres: SessionPostgres) -> Iterator[str]:
    """A migrated database of the test's own."""
    with postgres.fresh() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open pool on a migrated database of the test's own."""
    from mitosis_coordinator.storage.pool import Database

    async with Database(database_url, min_size=1, max_size=5, checkout_timeout_seconds=10) as opened:
        yield opened


@pytest.fixture
async def coordinator(database_url: str, tmp_path: Path) -> AsyncIterator[RunningCoordinator]:
    """A coordinator in this process, on free ports, with an administrator's token."""
    from tests.support.coordinator import coordinator_config, running

    async with running(coordinator_config(database_url, tmp_path)) as served:
        yield served
