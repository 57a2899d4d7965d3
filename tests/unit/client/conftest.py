"""Fixtures of the client's tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from mitosis_client import AsyncClient, RetryPolicy
from tests.unit.client.fake import FakeCoordinator

FAST = RetryPolicy(attempts=4, initial_wait=0.01, max_wait=0.02, timeout=10)


@pytest.fixture
def coordinator() -> Iterator[FakeCoordinator]:
    # The calls that no test makes stay unimplemented.
    with FakeCoordinator() as running:  # type: ignore[abstract]
        yield running


@pytest.fixture
async def client(coordinator: FakeCoordinator) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(coordinator.address, token="user-token", retry=FAST) as client:
        yield client
