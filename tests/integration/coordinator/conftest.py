"""Every test here leaves tables that agree with each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.api import Api
from tests.support.coordinator import RunningCoordinator
from tests.support.invariants import assert_counters_agree


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
