"""Typed errors, end to end from a status on the wire."""

import pytest

from mitosis.v1 import errors_pb2
from mitosis_client import AsyncClient, Client, RetryPolicy, errors
from tests.unit.client.fake import CODES, FakeCoordinator, failure

KINDS = {
    kind.reason: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MitosisError)
}
REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name in dict(errors_pb2.ErrorReason.items())
    if not name.endswith("SPECIFIED")
]


@pytest.mark.parametrize("reason", REASONS)
async def test_every_documented_reason_has_its_class(
    reason: str, client: AsyncClient, coordinator: FakeCoordinator
) -> None:
    coordinator.failures.extend(failure(reason, f"why {reason}") for _ in range(9))
    with pytest.raises(KINDS[reason]) as caught:
        await client.get_suite("u")
    assert caught.value.reason == reason
    assert f"why {reason}" in caught.value.message
    assert type(caught.value) is KINDS[reason]


def test_the_fake_knows_all_reasons() -> None:
    assert set(CODES) == set(REASONS)


async def test_violations_name_the_fields(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.failures.append(
        failure("INVALID_FIELD", "2 fields", violations={"worker_schedule.worker_count": "given 0; accepts 1 to 4096"})
    )
    with pytest.raises(errors.InvalidField) as caught:
        await client.create_suite(name="x", group_name="g")
    assert [str(item) for item in caught.value.violations] == [
        "worker_schedule.worker_count: given 0; accepts 1 to 4096"
    ]


async def test_a_wrong_state_says_what_is_allowed(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    coordinator.failures.append(failure("WRONG_STATE", state="Cancelled", event="close", allowed="get, list"))
    with pytest.raises(errors.WrongState) as caught:
        await client.close_suite("u")
    assert (caught.value.state, caught.value.event, caught.value.allowed) == ("Cancelled", "close", ("get", "list"))
    assert caught.value.to_dict()["allowed"] == ["get", "list"]


async def test_a_coordinator_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient("127.0.0.1:1", retry=RetryPolicy(attempts=2, initial_wait=0.01)) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.get_suite("u")
    assert caught.value.reason == "UNAVAILABLE"


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "localhost"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(errors.InvalidField, match="accepts host:port"):
        AsyncClient(address)


async def test_a_call_without_an_answer_in_time_is_told_apart(coordinator: FakeCoordinator) -> None:
    coordinator.delay = 5
    async with AsyncClient(coordinator.address, timeout=0.1, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(errors.DeadlineExceeded):
            await client.submit_many([{"command": "true"}], suite_uuid="s")


async def test_the_token_travels_and_is_not_shown(client: AsyncClient, coordinator: FakeCoordinator) -> None:
    await client.create_suite(name="x", group_name="g")
    assert coordinator.metadata["authorization"] == "Bearer user-token"
    assert "user-token" not in repr(client)


def test_login_changes_the_token(coordinator: FakeCoordinator) -> None:
    with Client(coordinator.address) as client:
        granted = client.login("ada", "correct horse")
        assert granted.user.username == "ada"
        assert "user-token" not in repr(granted)
        client.create_suite(name="x", group_name="g")
        assert coordinator.metadata["authorization"] == "Bearer user-token"
        with pytest.raises(errors.InvalidCredentials):
            client.login("ada", "wrong")
