"""Logging in; users, groups and memberships."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mitosis.v1 import admin_service_pb2, admin_service_pb2_grpc, auth_service_pb2, auth_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.calls import Calls, pages
from mitosis_client.models import Group, User


@dataclass(frozen=True, slots=True)
class Login:
    """A user's token and when it ends."""

    token: str = field(repr=False)
    expires_at: datetime
    user: User


class UserCalls(Calls):
    """The calls of `AuthService` and `AdminService`."""

    @property
    def _auth(self) -> auth_service_pb2_grpc.AuthServiceAsyncStub:
        return auth_service_pb2_grpc.AuthServiceStub(self._transport.channel)

    @property
    def _admin(self) -> admin_service_pb2_grpc.AdminServiceAsyncStub:
        return admin_service_pb2_grpc.AdminServiceStub(self._transport.channel)

    async def login(self, username: str, password: str) -> Login:
        """Gets a token for a user, which this client uses from now on. Raises `InvalidCredentials`, `LimitExceeded`."""
        request = auth_service_pb2.LoginRequest(username=username, password=password)
        # A second attempt is harmless to state but counts against the limit of attempts.
        answer = await self._transport.call(self._auth.Login, request, repeatable=False)
        self._transport.token = answer.token
        expires = answer.expires_at.ToDatetime(tzinfo=UTC)
        return Login(answer.token, expires, convert.decode(answer.user, User))

    async def whoami(self) -> User:
        """Returns the user of this client's token, with all memberships. Raises `InvalidToken`, `WrongTokenKind`."""
        request = auth_service_pb2.GetCurrentUserRequest()
        answer = await self._transport.call(self._auth.GetCurrentUser, request, repeatable=True)
        return convert.decode(answer.user, User)

    async def change_password(self, current_password: str, new_password: str) -> None:
        """Changes the caller's password and ends all its tokens, this one included. Raises `InvalidCredentials`."""
        request = auth_service_pb2.ChangePasswordRequest(current_password=current_password, new_password=new_password)
        await self._transport.call(self._auth.ChangePassword, request, repeatable=False)

    async def revoke_tokens(self) -> None:
        """Ends all tokens of the caller, this client's included. Raises `InvalidToken`, `WrongTokenKind`."""
        await self._transport.call(self._auth.RevokeTokens, auth_service_pb2.RevokeTokensRequest(), repeatable=False)

    async def create_user(self, username: str, password: str, *, is_admin: bool = False) -> User:
        """Creates a user. Raises `InvalidField`, `AlreadyExists`, `PermissionDenied`."""
        request = admin_service_pb2.CreateUserRequest(username=username, password=password, is_admin=is_admin)
        answer = await self._transport.call(self._admin.CreateUser, request, repeatable=False)
        return convert.decode(answer.user, User)

    def list_users(self, *, page_size: int | None = None) -> AsyncIterator[User]:
        """Yields all users by name, reading page after page. Raises `PermissionDenied`."""
        request = admin_service_pb2.ListUsersRequest(page_size=page_size)
        return pages(self._transport, lambda: self._admin.ListUsers, request, lambda page: page.users, User)

    async def update_user(
        self, username: str, *, password: str | None = None, disabled: bool | None = None, is_admin: bool | None = None
    ) -> User:
        """Changes what is given. Raises `InvalidField`, `NotFound`, `PermissionDenied`, `WrongState` (last admin)."""
        request = admin_service_pb2.UpdateUserRequest(
            username=username, password=password, disabled=disabled, is_admin=is_admin
        )
        answer = await self._transport.call(self._admin.UpdateUser, request, repeatable=True)
        return convert.decode(answer.user, User)

    async def revoke_user_tokens(self, username: str) -> User:
        """Ends all tokens of a user, who may log in again. Raises `NotFound`, `PermissionDenied`."""
        request = admin_service_pb2.RevokeUserTokensRequest(username=username)
        answer = await self._transport.call(self._admin.RevokeUserTokens, request, repeatable=True)
        return convert.decode(answer.user, User)

    async def create_group(self, group_name: str) -> Group:
        """Creates a group; the caller is its `Admin`. Raises `InvalidField`, `AlreadyExists`, `PermissionDenied`."""
        request = admin_service_pb2.CreateGroupRequest(group_name=group_name)
        answer = await self._transport.call(self._admin.CreateGroup, request, repeatable=False)
        return convert.decode(answer.group, Group)

    async def get_group(self, group_name: str) -> Group:
        """Returns one group with its members. Raises `NotFound`."""
        request = admin_service_pb2.GetGroupRequest(group_name=group_name)
        answer = await self._transport.call(self._admin.GetGroup, request, repeatable=True)
        return convert.decode(answer.group, Group)

    def list_groups(self, *, page_size: int | None = None) -> AsyncIterator[Group]:
        """Yields the groups that the caller may see, by name, reading page after page."""
        request = admin_service_pb2.ListGroupsRequest(page_size=page_size)
        return pages(self._transport, lambda: self._admin.ListGroups, request, lambda page: page.groups, Group)

    async def set_member(self, group_name: str, username: str, role: str) -> Group:
        """Puts a user into a group as `Viewer`, `Member` or `Admin`, or changes the role. Raises `NotFound`."""
        document = {"group_name": group_name, "username": username, "role": role}
        request = convert.to_message(document, admin_service_pb2.SetMemberRequest)
        answer = await self._transport.call(self._admin.SetMember, request, repeatable=True)
        return convert.decode(answer.group, Group)

    async def remove_member(self, group_name: str, username: str) -> Group:
        """Takes a user out of a group. Raises `NotFound` (group), `PermissionDenied`."""
        request = admin_service_pb2.RemoveMemberRequest(group_name=group_name, username=username)
        answer = await self._transport.call(self._admin.RemoveMember, request, repeatable=True)
        return convert.decode(answer.group, Group)
