"""Every test here leaves tables that agree with each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, TypeAlias

import pytest

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.storage.pool import Connection, Database
from tests.support.api import Api
from tests.support.coordinator import RunningCoordinator
from tests.support.invariants import assert_counters_agree

Lose: TypeAlias = Callable[[ModuleType, str], None]


@pytest.fixture
def consistent(database_url: str) -> Iterator[None]:
    """Check the tables when the coordinator has stopped."""
    yield
    assert_counters_agree(database_url)


@pytest.fixture
async def api(consistent: None, coordinator: RunningCoordinator) -> AsyncIterator[Api]:
    """A coordinator as its administrator sees it."""
    served = Api(coordinator)
    yield served
    await served.close()


@pytest.fixture
def lose_answer(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Commits the first transaction in which a function of the storage is called, and reports it as failed."""
    doomed: set[asyncio.Task[Any] | None] = set()
    connection = Database.connection

    @asynccontextmanager
    async def deaf(self: Database) -> AsyncIterator[Connection]:
        async with connection(self) as lent:
            yield lent
        if asyncio.current_task() in doomed:
            doomed.clear()
            raise StorageUnavailable("the connection broke")

    monkeypatch.setattr(Database, "connection", deaf)

    def lose(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        async def called(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(module, name, function)
            doomed.add(asyncio.current_task())
            return await function(*arguments, **named)

        monkeypatch.setattr(module, name, called)

    return lose
