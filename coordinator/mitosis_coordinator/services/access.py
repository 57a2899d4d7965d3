"""Who may do what with a group's things."""

from __future__ import annotations

from uuid import UUID

from mitosis_coordinator.domain.errors import NotFound, PermissionDenied
from mitosis_coordinator.domain.manager import Manager
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal


def require_role(principal: UserPrincipal, group_id: UUID, role: GroupRole, kind: str, name: str) -> None:
    """Check a user's role in the group that owns a thing.

    Raises:
        NotFound: The user may not even know of the thing.
        PermissionDenied: The user may see it, and no more.
    """
    if principal.has_role(group_id, role):
        return
    if not principal.has_role(group_id, GroupRole.VIEWER):
        raise NotFound(kind, name)
    raise PermissionDenied(f"{kind} {name}: needs the role {role.name.title()} in its group")


def may_see(principal: UserPrincipal, manager: Manager) -> bool:
    """Whether a manager is in one of the user's groups."""
    return principal.is_admin or any(
        principal.has_role(membership.group_id, GroupRole.VIEWER) for membership in manager.memberships
    )
