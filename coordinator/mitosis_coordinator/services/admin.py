"""Users, groups and memberships, and who may change them."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from mitosis_coordinator.domain.errors import AlreadyExists, NotFound, PermissionDenied, WrongState
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.services import paging
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.names import check_name
from mitosis_coordinator.services.passwords import Passwords, check_password
from mitosis_coordinator.storage import groups, users
from mitosis_coordinator.storage.groups import Group
from mitosis_coordinator.storage.pool import Connection, Database
from mitosis_coordinator.storage.users import User

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some users, and the token for more; empty on the last page."""

    users: list[User]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups, and the token for more; empty on the last page."""

    groups: list[Group]
    next_page_token: str


class AdminService:
    """Makes and changes users, groups and memberships.

    What takes no caller is for administrators alone, which `rpc.access` has checked.
    """

    def __init__(self, database: Database, authenticator: Authenticator, passwords: Passwords) -> None:
        self._database = database
        self._authenticator = authenticator
        self._passwords = passwords

    async def create_user(self, *, username: str, password: str, is_admin: bool) -> User:
        """Create a user who is in no group.

        Raises:
            InvalidField: name or password is not fit.
            AlreadyExists: the name is taken, in whatever case.
        """
        check_name("username", username)
        check_password("password", password)
        password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            if not await users.insert(connection, new_uuid(), username, password_hash, is_admin=is_admin):
                raise AlreadyExists("user", username)
            user = await _existing_user(connection, username)
        log.info("user_created", created=username, is_admin=is_admin)
        return user

    async def list_users(self, *, page_size: int | None, page_token: str) -> UserPage:
        """List users by name.

        Raises:
            InvalidField: page size or token.
        """
        size = paging.page_size(page_size)
        after = paging.decode_name("users", {}, page_token)
        async with self._database.connection() as connection:
            found = await users.page(connection, after, size + 1)
        shown = found[:size]
        return UserPage(shown, paging.encode("users", {}, [shown[-1].username]) if len(found) > size else "")

    async def update_user(
        self,
        *,
        username: str,
        password: str | None = None,
        disabled: bool | None = None,
        is_admin: bool | None = None,
    ) -> User:
        """Change what is given. Disabling, or a new password, revokes every token given before.

        Raises:
            InvalidField: the password is not fit.
            NotFound: there is no such user.
            WrongState: it is the last administrator who could log in.
        """
        if password is not None:
            check_password("password", password)
        password_hash = None if password is None else await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            administrators = await users.lock_administrators(connection)
            user = await _existing_user(connection, username)
            if administrators == {user.id} and (disabled or is_admin is False):
                event = "disabled" if disabled else "demoted"
                raise WrongState("user", user.username, "LastAdministrator", event, (), said="the last administrator")
            await users.update(connection, user.id, password_hash=password_hash, disabled=disabled, is_admin=is_admin)
            user = await _existing_user(connection, username)
        self._authenticator.forget(user.id)
        log.info(
            "user_updated",
            updated=user.username,
            new_credentials=password is not None,
            disabled=disabled,
            is_admin=is_admin,
        )
        return user

    async def revoke_user_tokens(self, *, username: str) -> User:
        """Revoke every token that a user was given before.

        Raises:
            NotFound: there is no such user.
        """
        async with self._database.transaction() as connection:
            user = await _existing_user(connection, username)
            await users.revoke_tokens(connection, user.id)
        self._authenticator.forget(user.id)
        log.info("tokens_revoked", user=user.username)
        return user

    async def create_group(self, caller: UserPrincipal, *, name: str) -> Group:
        """Create a group with the caller as its `Admin`.

        Raises:
            InvalidField: the name is not fit.
            AlreadyExists: the name is taken.
        """
        check_name("group_name", name)
        async with self._database.transaction() as connection:
            group_id = new_uuid()
            if not await groups.insert(connection, group_id, name):
                raise AlreadyExists("group", name)
            await groups.set_member(connection, group_id, caller.user_id, GroupRole.ADMIN)
            group = await _visible_group(connection, caller, name)
        self._authenticator.forget(caller.user_id)
        log.info("group_created", group=name)
        return group

    async def get_group(self, caller: UserPrincipal, *, name: str) -> Group:
        """Return one group with its members.

        Raises:
            NotFound: there is no such group, or the caller is not in it.
        """
        async with self._database.connection() as connection:
            return await _visible_group(connection, caller, name)

    async def list_groups(self, caller: UserPrincipal, *, page_size: int | None, page_token: str) -> GroupPage:
        """List the groups that the caller is in, all of them for an administrator, by name.

        Raises:
            InvalidField: page size or token.
        """
        size = paging.page_size(page_size)
        after = paging.decode_name("groups", {}, page_token)
        member = None if caller.is_admin else caller.user_id
        async with self._database.connection() as connection:
            found = await groups.page(connection, after, size + 1, member=member)
        shown = found[:size]
        return GroupPage(shown, paging.encode("groups", {}, [shown[-1].name]) if len(found) > size else "")

    async def set_member(self, caller: UserPrincipal, *, group_name: str, username: str, role: GroupRole) -> Group:
        """Put a user into a group, or change the role.

        Raises:
            NotFound: there is no such group or user, or the caller is not in the group.
            PermissionDenied: the caller is not `Admin` of the group.
        """
        async with self._database.transaction() as connection:
            group = await _controlled_group(connection, caller, group_name)
            user = await _existing_user(connection, username)
            await groups.set_member(connection, group.id, user.id, role)
            group = await _visible_group(connection, caller, group_name)
        self._authenticator.forget(user.id)
        log.info("member_set", group=group_name, member=user.username, role=role.name)
        return group

    async def remove_member(self, caller: UserPrincipal, *, group_name: str, username: str) -> Group:
        """Take a user out of a group; no error when there is no such member.

        Raises:
            NotFound: there is no such group, or the caller is not in it.
            PermissionDenied: the caller is not `Admin` of the group.
        """
        async with self._database.transaction() as connection:
            group = await _controlled_group(connection, caller, group_name)
            removed = await groups.remove_member(connection, group.id, _searchable(username))
            group = await _existing_group(connection, group_name)
        if removed is not None:
            self._authenticator.forget(removed)
            log.info("member_removed", group=group_name, member=username)
        return group


async def _existing_user(connection: Connection, username: str) -> User:
    user = await users.by_name(connection, _searchable(username))
    if user is None:
        raise NotFound("user", username)
    return user


async def _existing_group(connection: Connection, name: str) -> Group:
    group = await groups.by_name(connection, _searchable(name))
    if group is None:
        raise NotFound("group", name)
    return group


async def _visible_group(connection: Connection, caller: UserPrincipal, name: str) -> Group:
    group = await _existing_group(connection, name)
    # The list of members is fresh, the caller's roles may be seconds old.
    if not caller.is_admin and caller.username not in group.members:
        raise NotFound("group", name)
    return group


async def _controlled_group(connection: Connection, caller: UserPrincipal, name: str) -> Group:
    group = await _visible_group(connection, caller, name)
    if not caller.is_admin and group.members[caller.username] < GroupRole.ADMIN:
        raise PermissionDenied(f"only an Admin of the group {name} may do this")
    return group


def _searchable(name: str) -> str:
    """The name, or one that nobody has: PostgreSQL's text cannot hold NUL."""
    return name if "\0" not in name else ""
