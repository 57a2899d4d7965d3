"""Users in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all, fetch_one, fetch_value

_SQL = load_queries("users")


@dataclass(frozen=True, slots=True)
class User:
    """A user as others see it. `memberships` is the role by group name, in the order of the names."""

    id: UUID
    username: str
    is_admin: bool
    disabled: bool
    created_at: datetime
    memberships: Mapping[str, GroupRole]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is checked against. `now` is the database's clock."""

    id: UUID
    username: str
    password_hash: str
    disabled: bool
    now: datetime

    def __repr__(self) -> str:
        return f"Credentials(id={self.id}, username={self.username!r})"


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """What a user's token is checked against."""

    principal: UserPrincipal
    disabled: bool
    tokens_valid_after: datetime


async def insert(connection: Connection, user_id: UUID, username: str, password_hash: str, *, is_admin: bool) -> bool:
    """Create a user; False when the name is taken."""
    return (
        await execute(
            connection,
            _SQL["insert_user"],
            {"user_id": user_id, "username": username, "password_hash": password_hash, "is_admin": is_admin},
        )
        == 1
    )


async def any_exists(connection: Connection) -> bool:
    """Whether there is any user at all."""
    return bool(await fetch_value(connection, _SQL["any_user"]))


async def credentials(connection: Connection, username: str) -> Credentials | None:
    """What a login is checked against."""
    return await fetch_one(connection, Credentials, _SQL["credentials"], {"username": username})


async def credentials_by_id(connection: Connection, user_id: UUID) -> Credentials | None:
    """What the password of someone who is logged in is checked against."""
    return await fetch_one(connection, Credentials, _SQL["credentials_by_id"], {"user_id": user_id})


async def token_holder(connection: Connection, user_id: UUID) -> TokenHolder | None:
    """The user behind a token, with the role in every group."""
    return await fetch_one(connection, _token_holder, _SQL["principal"], {"user_id": user_id})


async def by_name(connection: Connection, username: str) -> User | None:
    """One user with all memberships."""
    return await fetch_one(connection, _user, _SQL["user_by_name"], {"username": username})


async def page(connection: Connection, after: str, limit: int) -> list[User]:
    """The users after a name, by name."""
    return await fetch_all(connection, _user, _SQL["list_users"], {"after": after, "limit": limit})


async def lock_administrators(connection: Connection) -> set[UUID]:
    """The administrators who can log in; nobody else changes them until the transaction ends."""
    cursor = await connection.execute(_SQL["lock_administrators"])
    return {row[0] for row in await cursor.fetchall()}


async def update(
    connection: Connection,
    user_id: UUID,
    *,
    password_hash: str | None = None,
    is_admin: bool | None = None,
    disabled: bool | None = None,
) -> None:
    """Change what is given. Disabling, or another password, revokes every token issued before."""
    await execute(
        connection,
        _SQL["update_user"],
        {"user_id": user_id, "password_hash": password_hash, "is_admin": is_admin, "disabled": disabled},
    )


async def revoke_tokens(connection: Connection, user_id: UUID) -> None:
    """Revoke every token issued before."""
    await execute(connection, _SQL["revoke_tokens"], {"user_id": user_id})


async def rehash(connection: Connection, user_id: UUID, old_hash: str, new_hash: str) -> None:
    """Store the same password under today's hashing parameters, unless it was changed meanwhile."""
    await execute(
        connection, _SQL["rehash_password"], {"user_id": user_id, "old_hash": old_hash, "password_hash": new_hash}
    )


def _user(group_names: list[str], roles: list[str], **columns: Any) -> User:
    return User(**columns, memberships=dict(zip(group_names, map(role_from_name, roles), strict=True)))


def _token_holder(
    group_ids: list[UUID], roles: list[str], disabled: bool, tokens_valid_after: datetime, **columns: Any
) -> TokenHolder:
    principal = UserPrincipal(
        user_id=columns["id"],
        username=columns["username"],
        is_admin=columns["is_admin"],
        roles=dict(zip(group_ids, map(role_from_name, roles), strict=True)),
    )
    return TokenHolder(principal, disabled, tokens_valid_after)


def role_from_name(name: str) -> GroupRole:
    """The role that the database calls `Viewer`, `Member` or `Admin`."""
    return GroupRole[name.upper()]


def role_name(role: GroupRole) -> str:
    """What the database calls a role."""
    return role.name.capitalize()
