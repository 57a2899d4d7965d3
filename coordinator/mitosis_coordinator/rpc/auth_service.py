"""AuthService on the wire."""

from __future__ import annotations

from typing import Any

import grpc.aio

from mitosis.v1 import auth_service_pb2, auth_service_pb2_grpc
from mitosis_coordinator.rpc.context import current_peer, current_user
from mitosis_coordinator.rpc.people import timestamp, user_message
from mitosis_coordinator.services.auth import AuthService

Context = grpc.aio.ServicerContext[Any, Any]


class AuthServicer(auth_service_pb2_grpc.AuthServiceServicer):
    """Decodes, calls `services.auth`, encodes."""

    def __init__(self, service: AuthService) -> None:
        self._service = service

    async def Login(  # noqa: N802
        self, request: auth_service_pb2.LoginRequest, context: Context
    ) -> auth_service_pb2.LoginResponse:
        login = await self._service.login(username=request.username, password=request.password, peer=current_peer())
        return auth_service_pb2.LoginResponse(
            token=login.token.token, expires_at=timestamp(login.token.expires_at), user=user_message(login.user)
        )

    async def GetCurrentUser(  # noqa: N802
        self, request: auth_service_pb2.GetCurrentUserRequest, context: Context
    ) -> auth_service_pb2.GetCurrentUserResponse:
        user = await self._service.current_user(current_user())
        return auth_service_pb2.GetCurrentUserResponse(user=user_message(user))

    async def ChangePassword(  # noqa: N802
        self, request: auth_service_pb2.ChangePasswordRequest, context: Context
    ) -> auth_service_pb2.ChangePasswordResponse:
        await self._service.change_password(
            current_user(),
            current_password=request.current_password,
            new_password=request.new_password,
            peer=current_peer(),
        )
        return auth_service_pb2.ChangePasswordResponse()

    async def RevokeTokens(  # noqa: N802
        self, request: auth_service_pb2.RevokeTokensRequest, context: Context
    ) -> auth_service_pb2.RevokeTokensResponse:
        await self._service.revoke_tokens(current_user())
        return auth_service_pb2.RevokeTokensResponse()
