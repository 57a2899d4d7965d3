"""Who makes a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID


class GroupRole(IntEnum):
    """What a user may do in a group; each role includes the ones before it."""

    VIEWER = 1
    MEMBER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class UserPrincipal:
    """A user, with the role in each group, by group id."""

    user_id: UUID
    username: str
    is_admin: bool
    roles: Mapping[UUID, GroupRole] = field(default_factory=dict)

    def has_role(self, group_id: UUID, role: GroupRole) -> bool:
        """Whether the user may do in the group what the role allows."""
        return self.is_admin or self.roles.get(group_id, 0) >= role

    def visible_groups(self) -> list[UUID] | None:
        """Groups whose things the user may see; None for all."""
        return None if self.is_admin else list(self.roles)


@dataclass(frozen=True, slots=True)
class ManagerPrincipal:
    """A node manager that came with its own token, which ends at `token_expires_at`."""

    manager_id: UUID
    name: str
    token_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkerPrincipal:
    """An independent worker that came with its own token, which ends at `token_expires_at`."""

    worker_id: UUID
    name: str
    token_expires_at: datetime | None = None


Principal = UserPrincipal | ManagerPrincipal | WorkerPrincipal
