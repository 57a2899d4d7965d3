"""Fixtures of the ring that checks what is promised."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.coordinator import RunningCoordinator
from tests.support.rest import Rest, rest_of


@pytest.fixture
async def rest(coordinator: RunningCoordinator) -> AsyncIterator[Rest]:
    """REST as the administrator."""
    async with rest_of(coordinator) as opened:
        yield opened
