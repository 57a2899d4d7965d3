"""ManagerService on the wire, the stream included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import grpc.aio

from mitosis.v1 import manager_service_pb2 as pb
from mitosis.v1 import manager_service_pb2_grpc, manager_stream_pb2
from mitosis_coordinator.domain.principal import ManagerPrincipal
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.monitoring.streams import StreamMetrics
from mitosis_coordinator.rpc import enums, requests
from mitosis_coordinator.rpc.context import current_manager, current_user
from mitosis_coordinator.rpc.convert import manager_message, optional_timestamp
from mitosis_coordinator.rpc.stream_codec import decoded, encoded, manager_metrics
from mitosis_coordinator.services import paging
from mitosis_coordinator.services.managers import ManagerService
from mitosis_coordinator.sessions.registry import SessionRegistry
from mitosis_coordinator.sessions.session import Session
from mitosis_coordinator.storage.managers import ManagerFilter

Context = grpc.aio.ServicerContext[Any, Any]


class ManagerServicer(manager_service_pb2_grpc.ManagerServiceServicer):
    """Decodes, calls `services.managers` or a session, encodes."""

    def __init__(
        self,
        service: ManagerService,
        registry: SessionRegistry,
        new_session: Callable[[ManagerPrincipal], Session],
        heartbeat_interval_seconds: int,
        metrics: StreamMetrics,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._registry = registry
        self._new_session = new_session
        self._heartbeat_interval_seconds = heartbeat_interval_seconds

    async def RegisterManager(  # noqa: N802
        self, request: pb.RegisterManagerRequest, context: Context
    ) -> pb.RegisterManagerResponse:
        manager, token = await self._service.register(
            current_user(), requests.new_manager(request), request.request_id, requests.fingerprint(request)
        )
        return pb.RegisterManagerResponse(
            manager=manager_message(manager),
            token=token.token,
            token_expires_at=optional_timestamp(token.expires_at),
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:  # noqa: N802
        await self._service.heartbeat(current_manager(), manager_metrics(request.metrics))
        return pb.HeartbeatResponse(
            server_time=optional_timestamp(datetime.now(UTC)),
            heartbeat_interval_seconds=self._heartbeat_interval_seconds,
        )

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:  # noqa: N802
        token = await self._service.refresh_token(current_manager())
        return pb.RefreshTokenResponse(token=token.token, token_expires_at=optional_timestamp(token.expires_at))

    async def ListManagers(self, request: pb.ListManagersRequest, context: Context) -> pb.ListManagersResponse:  # noqa: N802
        rules = Rules()
        wanted = ManagerFilter(
            group_ids=None,
            state=enums.MANAGER_STATE.accept(rules, "state", request.state),
            tags=rules.tags("tags", request.tags),
        )
        rules.raise_if_broken()
        filters = {"group_name": request.group_name, "state": request.state, "tags": sorted(request.tags)}
        size = paging.page_size(request.page_size if request.HasField("page_size") else None)
        after = paging.decode_name("managers", filters, request.page_token) or None
        found = await self._service.listed(current_user(), request.group_name, wanted, after, size + 1)
        following = paging.encode("managers", filters, [found[size - 1].name]) if len(found) > size else ""
        return pb.ListManagersResponse(managers=map(manager_message, found[:size]), next_page_token=following)

    async def GetManager(self, request: pb.GetManagerRequest, context: Context) -> pb.GetManagerResponse:  # noqa: N802
        rules = Rules()
        manager_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        return pb.GetManagerResponse(manager=manager_message(await self._service.get(current_user(), manager_id)))

    async def ShutdownManager(  # noqa: N802
        self, request: pb.ShutdownManagerRequest, context: Context
    ) -> pb.ShutdownManagerResponse:
        rules = Rules()
        manager_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        graceful = request.graceful if request.HasField("graceful") else True
        manager = await self._service.shut_down(current_user(), manager_id, graceful=graceful)
        return pb.ShutdownManagerResponse(manager=manager_message(manager))

    async def DrainManager(self, request: pb.DrainManagerRequest, context: Context) -> pb.DrainManagerResponse:  # noqa: N802
        rules = Rules()
        manager_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        return pb.DrainManagerResponse(manager=manager_message(await self._service.drain(current_user(), manager_id)))

    async def ResumeManager(self, request: pb.ResumeManagerRequest, context: Context) -> pb.ResumeManagerResponse:  # noqa: N802
        rules = Rules()
        manager_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        return pb.ResumeManagerResponse(manager=manager_message(await self._service.resume(current_user(), manager_id)))

    async def RevokeManagerToken(  # noqa: N802
        self, request: pb.RevokeManagerTokenRequest, context: Context
    ) -> pb.RevokeManagerTokenResponse:
        rules = Rules()
        manager_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        manager, token = await self._service.revoke_token(current_user(), manager_id, renew=request.renew)
        return pb.RevokeManagerTokenResponse(
            manager=manager_message(manager),
            token=token.token if token else None,
            token_expires_at=optional_timestamp(token.expires_at if token else None),
        )

    async def Connect(  # noqa: N802
        self, request_iterator: AsyncIterable[manager_stream_pb2.ConnectRequest], context: Context
    ) -> AsyncIterator[manager_stream_pb2.ConnectResponse]:
        session = self._new_session(current_manager())
        self._registry.add(session)
        # The session reads on its own: a manager that sends must be heard while nothing is there to be sent to it.
        incoming = self._metrics.received(session.holder_id, decoded(request_iterator))
        running = asyncio.create_task(session.run(incoming), name="manager-session")
        try:
            async for message in self._metrics.sent(session.outbox):
                yield encoded(message)
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._registry.discard(session)
            self._metrics.left(session.holder_id)
