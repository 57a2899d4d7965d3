"""Groups and memberships in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mitosis_coordinator.domain.principal import GroupRole
from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all, fetch_one, fetch_value
from mitosis_coordinator.storage.users import role_from_name, role_name

_SQL = load_queries("groups")


@dataclass(frozen=True, slots=True)
class Group:
    """A group. `members` is the role by user name, in the order of the names; empty in lists."""

    id: UUID
    name: str
    created_at: datetime
    members: Mapping[str, GroupRole]


async def insert(connection: Connection, group_id: UUID, name: str) -> bool:
    """Create a group; False when the name is taken."""
    return await execute(connection, _SQL["insert_group"], {"group_id": group_id, "name": name}) == 1


async def by_name(connection: Connection, name: str) -> Group | None:
    """One group with its members."""
    return await fetch_one(connection, _group, _SQL["group_by_name"], {"name": name})


async def page(connection: Connection, after: str, limit: int, *, member: UUID | None) -> list[Group]:
    """The groups after a name, by name: all of them, or those that `member` is in."""
    return await fetch_all(connection, _group, _SQL["list_groups"], {"after": after, "limit": limit, "member": member})


async def set_member(connection: Connection, group_id: UUID, user_id: UUID, role: GroupRole) -> None:
    """Put a user into a group, or change the role."""
    await execute(connection, _SQL["set_member"], {"group_id": group_id, "user_id": user_id, "role": role_name(role)})


async def remove_member(connection: Connection, group_id: UUID, username: str) -> UUID | None:
    """Take a user out of a group, and tell who it was; None when there was no such member."""
    removed: UUID | None = await fetch_value(
        connection, _SQL["remove_member"], {"group_id": group_id, "username": username}
    )
    return removed


def _group(usernames: list[str], roles: list[str], **columns: Any) -> Group:
    return Group(**columns, members=dict(zip(usernames, map(role_from_name, roles), strict=True)))
