"""AdminService on the wire."""

from __future__ import annotations

from typing import Any

import grpc.aio

from mitosis.v1 import admin_service_pb2 as pb
from mitosis.v1 import admin_service_pb2_grpc
from mitosis_coordinator.rpc.context import current_user
from mitosis_coordinator.rpc.people import group_message, role_from_message, user_message
from mitosis_coordinator.services.admin import AdminService

Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Decodes, calls `services.admin`, encodes."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:  # noqa: N802
        user = await self._service.create_user(
            username=request.username, password=request.password, is_admin=request.is_admin
        )
        return pb.CreateUserResponse(user=user_message(user))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:  # noqa: N802
        page = await self._service.list_users(
            page_size=request.page_size if request.HasField("page_size") else None,
            page_token=request.page_token,
        )
        return pb.ListUsersResponse(
            users=[user_message(user) for user in page.users], next_page_token=page.next_page_token
        )

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:  # noqa: N802
        user = await self._service.update_user(
            username=request.username,
            password=request.password if request.HasField("password") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
            is_admin=request.is_admin if request.HasField("is_admin") else None,
        )
        return pb.UpdateUserResponse(user=user_message(user))

    async def RevokeUserTokens(  # noqa: N802
        self, request: pb.RevokeUserTokensRequest, context: Context
    ) -> pb.RevokeUserTokensResponse:
        user = await self._service.revoke_user_tokens(username=request.username)
        return pb.RevokeUserTokensResponse(user=user_message(user))

    async def CreateGroup(  # noqa: N802
        self, request: pb.CreateGroupRequest, context: Context
    ) -> pb.CreateGroupResponse:
        group = await self._service.create_group(current_user(), name=request.group_name)
        return pb.CreateGroupResponse(group=group_message(group))

    async def GetGroup(self, request: pb.GetGroupRequest, context: Context) -> pb.GetGroupResponse:  # noqa: N802
        group = await self._service.get_group(current_user(), name=request.group_name)
        return pb.GetGroupResponse(group=group_message(group))

    async def ListGroups(self, request: pb.ListGroupsRequest, context: Context) -> pb.ListGroupsResponse:  # noqa: N802
        page = await self._service.list_groups(
            current_user(),
            page_size=request.page_size if request.HasField("page_size") else None,
            page_token=request.page_token,
        )
        return pb.ListGroupsResponse(
            groups=[group_message(group) for group in page.groups], next_page_token=page.next_page_token
        )

    async def SetMember(self, request: pb.SetMemberRequest, context: Context) -> pb.SetMemberResponse:  # noqa: N802
        group = await self._service.set_member(
            current_user(),
            group_name=request.group_name,
            username=request.username,
            role=role_from_message("role", request.role),
        )
        return pb.SetMemberResponse(group=group_message(group))

    async def RemoveMember(  # noqa: N802
        self, request: pb.RemoveMemberRequest, context: Context
    ) -> pb.RemoveMemberResponse:
        group = await self._service.remove_member(
            current_user(), group_name=request.group_name, username=request.username
        )
        return pb.RemoveMemberResponse(group=group_message(group))
