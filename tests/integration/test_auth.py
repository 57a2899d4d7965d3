"""Logging in and being believed, against a real server and a real database."""

from __future__ import annotations

import asyncio
import json
import stat
from functools import partial
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest

from mitosis.v1 import admin_service_pb2, auth_service_pb2
from mitosis_coordinator.domain.errors import InvalidToken, WrongTokenKind
from mitosis_coordinator.domain.principal import ManagerPrincipal, UserPrincipal
from mitosis_coordinator.services.bootstrap import bootstrap
from mitosis_coordinator.services.tokens import TokenKind
from mitosis_coordinator.services.workers import resolve_worker
from mitosis_coordinator.storage.pool import Database
from mitosis_coordinator.storage.rows import fetch_value
from tests.support.coordinator import (
    ADMIN_PASSWORD,
    USER_PASSWORD,
    RunningCoordinator,
    bearer,
    coordinator_config,
    quick_passwords,
    refusal,
    running,
)

WHO_AM_I = auth_service_pb2.GetCurrentUserRequest()


def login(username: str, password: str) -> auth_service_pb2.LoginRequest:
    return auth_service_pb2.LoginRequest(username=username, password=password)


async def test_login_gives_a_token_that_is_believed(coordinator: RunningCoordinator) -> None:
    response = await coordinator.auth.Login(login("ADMIN", ADMIN_PASSWORD))
    assert response.user.username == "admin"
    assert [(item.group_name, item.role) for item in response.user.memberships] == [("default", 3)]
    current = await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(response.token))
    assert current.user == response.user
    assert current.user.is_admin


@pytest.mark.parametrize(
    ("username", "password"),
    [("admin", "wrong"), ("nobody", ADMIN_PASSWORD), ("", ""), ("admin\0", ADMIN_PASSWORD), ("admin", "x" * 5000)],
)
async def test_a_login_that_does_not_match(coordinator: RunningCoordinator, username: str, password: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.auth.Login(login(username, password))
    assert refusal(caught.value).reason == "INVALID_CREDENTIALS"
    assert caught.value.details() == "user name and password do not match, or the user is disabled"


async def test_guessing_is_slowed_down_for_the_guesser_alone(coordinator: RunningCoordinator) -> None:
    for _ in range(10):
        with pytest.raises(grpc.aio.AioRpcError):
            await coordinator.auth.Login(login("admin", "a wrong guess"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.auth.Login(login("admin", ADMIN_PASSWORD))
    assert refusal(caught.value).reason == "LIMIT_EXCEEDED"
    await coordinator.new_user()


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Basic YTpi"),), (("authorization", "Bearer"),), bearer("x"), bearer("a.b.c")],
    ids=["none", "basic", "empty", "short", "malformed"],
)
async def test_without_a_good_token_nothing_opens(
    coordinator: RunningCoordinator, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=metadata)
    assert refusal(caught.value).reason == "INVALID_TOKEN"


async def test_a_managers_token_is_no_users_token(coordinator: RunningCoordinator) -> None:
    token = coordinator.inner.components.authority.issue_manager_token(uuid4(), uuid4()).token
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    assert refusal(caught.value).reason == "WRONG_TOKEN_KIND"
    assert caught.value.details() == "given a manager's token; accepts a user's"


async def test_an_expired_token(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, auth={"user_token_lifetime_hours": 1 / 3_600_000})
    async with running(config) as coordinator:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=coordinator.as_admin)
    assert refusal(caught.value).reason == "INVALID_TOKEN"
    assert "expired" in (caught.value.details() or "")


async def test_a_new_password_ends_every_token(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    await coordinator.auth.ChangePassword(
        auth_service_pb2.ChangePasswordRequest(current_password=USER_PASSWORD, new_password="another password"),
        metadata=bearer(token),
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    assert "revoked" in (caught.value.details() or "")
    with pytest.raises(grpc.aio.AioRpcError):
        await coordinator.log_in(username, USER_PASSWORD)
    # Within the same second as the change, and good all the same.
    fresh = await coordinator.log_in(username, "another password")
    await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(fresh))


async def test_a_password_change_that_is_refused_changes_nothing(coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    for current, new, reason in [
        ("wrong", "long enough", "INVALID_CREDENTIALS"),
        (USER_PASSWORD, "short", "INVALID_FIELD"),
    ]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await coordinator.auth.ChangePassword(
                auth_service_pb2.ChangePasswordRequest(current_password=current, new_password=new),
                metadata=bearer(token),
            )
        assert refusal(caught.value).reason == reason
    await coordinator.auth.GetCurrentUser(WHO_AM_I, metadata=bearer(token))
    await coordinator.log_in(username, USER_PASSWORD)


async def test_a_token_of_one_coordinator_opens_another(database_url: str, tmp_path: Path) -> None:
    async with (
        running(coordinator_config(database_url, tmp_path / "a")) as first,
        running(coordinator_config(database_url, tmp_path / "b")) as second,
    ):
        await second.auth.GetCurrentUser(WHO_AM_I, metadata=first.as_admin)


async def test_answers_are_remembered_until_something_changes(coordinator: RunningCoordinator) -> None:
    authenticator = coordinator.inner.components.authenticator
    _, token = await coordinator.new_user()
    first = await authenticator.authenticate(token, TokenKind.USER)
    assert await authenticator.authenticate(token, TokenKind.USER) is first
    with pytest.raises(WrongTokenKind):
        await authenticator.authenticate(token, TokenKind.MANAGER)
    assert isinstance(first, UserPrincipal)
    await coordinator.admin.SetMember(
        admin_service_pb2.SetMemberRequest(group_name="default", username=first.username, role="GROUP_ROLE_VIEWER"),
        metadata=coordinator.as_admin,
    )
    changed = await authenticator.authenticate(token, TokenKind.USER)
    assert isinstance(changed, UserPrincipal)
    assert len(changed.roles) == 1


async def test_what_was_read_before_a_change_is_not_remembered_after_it(coordinator: RunningCoordinator) -> None:
    components = coordinator.inner.components
    manager_id, token_id = uuid4(), uuid4()
    token = components.authority.issue_manager_token(manager_id, token_id).token
    reading, go_on = asyncio.Event(), asyncio.Event()
    reads = 0

    async def resolve(manager_id: object, token_id: object) -> ManagerPrincipal:
        nonlocal reads
        reads += 1
        reading.set()
        await go_on.wait()
        return ManagerPrincipal(uuid4(), "node")

    authenticator = type(components.authenticator)(
        components.database, components.authority, resolve, partial(resolve_worker, components.database)
    )
    started = asyncio.create_task(authenticator.authenticate(token, TokenKind.MANAGER))
    await reading.wait()
    authenticator.forget(manager_id)
    go_on.set()
    await started
    await authenticator.authenticate(token, TokenKind.MANAGER)
    await authenticator.authenticate(token, TokenKind.MANAGER)
    assert reads == 2


async def test_an_unknown_managers_token_is_refused(coordinator: RunningCoordinator) -> None:
    components = coordinator.inner.components
    token = components.authority.issue_manager_token(uuid4(), uuid4()).token
    with pytest.raises(InvalidToken):
        await components.authenticator.authenticate(token, TokenKind.MANAGER)


async def test_the_first_start_is_made_once_however_many_start(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "data" / "admin-password"
    results = await asyncio.gather(
        *(bootstrap(database, quick_passwords(), admin_password=None, admin_password_file=file) for _ in range(4))
    )
    assert len({(made.signing_keys[0].kid, made.admin_id) for made in results}) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["admin-password"]
    async with database.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM users") == 1
        hashed = await fetch_value(connection, "SELECT password_hash FROM users")
    assert await quick_passwords().verify(hashed, file.read_text().strip())


async def test_a_password_that_cannot_be_written_makes_no_user(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        await bootstrap(
            database, quick_passwords(), admin_password=None, admin_password_file=tmp_path / "file" / "admin-password"
        )
    async with database.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM users") == 0


async def test_the_ready_file_tells_where_and_is_private(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path)
    async with running(config) as coordinator:
        file = tmp_path / "ready.json"
        document = json.loads(file.read_text())
        assert document["grpc"] == coordinator.grpc_address
        assert document["http"] == coordinator.http_url
        assert document["metrics"] == coordinator.metrics_url
        assert (document["username"], document["token"]) == ("admin", coordinator.admin_token)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()
