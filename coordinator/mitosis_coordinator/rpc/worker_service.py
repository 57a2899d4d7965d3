"""WorkerService on the wire, the stream included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

import grpc.aio

from mitosis.v1 import worker_service_pb2 as pb
from mitosis.v1 import worker_service_pb2_grpc
from mitosis_coordinator.domain.principal import WorkerPrincipal
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.monitoring.streams import StreamMetrics
from mitosis_coordinator.rpc import enums, requests
from mitosis_coordinator.rpc.context import current_user, current_worker
from mitosis_coordinator.rpc.convert import optional_timestamp, worker_message
from mitosis_coordinator.rpc.worker_codec import decoded, encoded
from mitosis_coordinator.services import paging
from mitosis_coordinator.services.workers import WorkerService
from mitosis_coordinator.sessions.workers import WorkerRegistry, WorkerSession
from mitosis_coordinator.storage.workers import WorkerFilter

Context = grpc.aio.ServicerContext[Any, Any]


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """Decodes, calls `services.workers` or a session, encodes."""

    def __init__(
        self,
        service: WorkerService,
        registry: WorkerRegistry,
        new_session: Callable[[WorkerPrincipal], WorkerSession],
        metrics: StreamMetrics,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._registry = registry
        self._new_session = new_session

    async def RegisterWorker(  # noqa: N802
        self, request: pb.RegisterWorkerRequest, context: Context
    ) -> pb.RegisterWorkerResponse:
        worker, token = await self._service.register(
            current_user(), requests.new_worker(request), request.request_id, requests.fingerprint(request)
        )
        return pb.RegisterWorkerResponse(
            worker=worker_message(worker), token=token.token, token_expires_at=optional_timestamp(token.expires_at)
        )

    async def RefreshWorkerToken(  # noqa: N802
        self, request: pb.RefreshWorkerTokenRequest, context: Context
    ) -> pb.RefreshWorkerTokenResponse:
        token = await self._service.refresh_token(current_worker())
        return pb.RefreshWorkerTokenResponse(token=token.token, token_expires_at=optional_timestamp(token.expires_at))

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:  # noqa: N802
        rules = Rules()
        wanted = WorkerFilter(
            group_ids=None,
            state=enums.WORKER_STATE.accept(rules, "state", request.state),
            tags=rules.tags("tags", request.tags),
        )
        rules.raise_if_broken()
        filters = {"group_name": request.group_name, "state": request.state, "tags": sorted(request.tags)}
        size = paging.page_size(request.page_size if request.HasField("page_size") else None)
        after = paging.decode_name("workers", filters, request.page_token) or None
        found = await self._service.listed(current_user(), request.group_name, wanted, after, size + 1)
        following = paging.encode("workers", filters, [found[size - 1].name]) if len(found) > size else ""
        return pb.ListWorkersResponse(workers=map(worker_message, found[:size]), next_page_token=following)

    async def GetWorker(self, request: pb.GetWorkerRequest, context: Context) -> pb.GetWorkerResponse:  # noqa: N802
        rules = Rules()
        worker_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        return pb.GetWorkerResponse(worker=worker_message(await self._service.get(current_user(), worker_id)))

    async def ShutdownWorker(  # noqa: N802
        self, request: pb.ShutdownWorkerRequest, context: Context
    ) -> pb.ShutdownWorkerResponse:
        rules = Rules()
        worker_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        graceful = request.graceful if request.HasField("graceful") else True
        worker = await self._service.shut_down(current_user(), worker_id, graceful=graceful)
        return pb.ShutdownWorkerResponse(worker=worker_message(worker))

    async def RevokeWorkerToken(  # noqa: N802
        self, request: pb.RevokeWorkerTokenRequest, context: Context
    ) -> pb.RevokeWorkerTokenResponse:
        rules = Rules()
        worker_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        worker, token = await self._service.revoke_token(current_user(), worker_id, renew=request.renew)
        return pb.RevokeWorkerTokenResponse(
            worker=worker_message(worker),
            token=token.token if token else None,
            token_expires_at=optional_timestamp(token.expires_at if token else None),
        )

    async def ConnectWorker(  # noqa: N802
        self, request_iterator: AsyncIterable[pb.ConnectWorkerRequest], context: Context
    ) -> AsyncIterator[pb.ConnectWorkerResponse]:
        session = self._new_session(current_worker())
        self._registry.add(session)
        # The session reads on its own: a worker that sends must be heard while nothing is there to be sent to it.
        incoming = self._metrics.received(session.holder_id, decoded(request_iterator))
        running = asyncio.create_task(session.run(incoming), name="worker-session")
        try:
            async for message in self._metrics.sent(session.outbox):
                yield encoded(message)
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._registry.discard(session)
