"""Groups by name, for the services that own things in them."""

from __future__ import annotations

from uuid import UUID

from mitosis_coordinator.domain.errors import FieldViolation, InvalidField, NotFound
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.services.access import require_role
from mitosis_coordinator.storage import suites
from mitosis_coordinator.storage.pool import Connection


async def group_for(connection: Connection, principal: UserPrincipal, name: str, role: GroupRole) -> UUID:
    """The id of a group in which the caller has a role.

    Raises:
        InvalidField: No name was given.
        NotFound: The group does not exist, or the caller is not in it.
        PermissionDenied: The caller's role is not enough.
    """
    if not name:
        raise InvalidField([FieldViolation("group_name", "nothing", "the name of a group")])
    # PostgreSQL takes no text with NUL, not even to find nothing.
    group_id = None if "\x00" in name else await suites.group_id(connection, name)
    if group_id is None:
        raise NotFound("group", name)
    require_role(principal, group_id, role, "group", name)
    return group_id
