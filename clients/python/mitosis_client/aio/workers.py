"""Independent workers: register, read, shut down."""

from __future__ import annotations

import uuid as uuids
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mitosis.v1 import worker_service_pb2, worker_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.calls import Calls, pages
from mitosis_client.worker_models import Worker


@dataclass(frozen=True, slots=True)
class WorkerRegistration:
    """A registered worker and its token, which is shown this once."""

    worker: Worker
    token: str = field(repr=False)
    token_expires_at: datetime


class WorkerCalls(Calls):
    """The calls of `WorkerService` that users make."""

    @property
    def _workers(self) -> worker_service_pb2_grpc.WorkerServiceAsyncStub:
        return worker_service_pb2_grpc.WorkerServiceStub(self._transport.channel)

    async def register_worker(
        self,
        name: str,
        *,
        group_names: Sequence[str],
        tags: Sequence[str] = (),
        request_id: str | None = None,
    ) -> WorkerRegistration:
        """Registers an independent worker for the tasks of some groups and returns it with its token.

        Raises `InvalidField`, `NotFound` (group), `AlreadyExists` (name), `PermissionDenied`.
        """
        request = worker_service_pb2.RegisterWorkerRequest(
            name=name, group_names=group_names, tags=tags, request_id=request_id or str(uuids.uuid4())
        )
        answer = await self._transport.call(self._workers.RegisterWorker, request, repeatable=True)
        expires = answer.token_expires_at.ToDatetime(tzinfo=UTC)
        return WorkerRegistration(convert.decode(answer.worker, Worker), answer.token, expires)

    async def get_worker(self, uuid: str) -> Worker:
        """Returns one worker. Raises `InvalidField`, `NotFound`."""
        request = worker_service_pb2.GetWorkerRequest(uuid=uuid)
        answer = await self._transport.call(self._workers.GetWorker, request, repeatable=True)
        return convert.decode(answer.worker, Worker)

    def list_workers(
        self,
        *,
        group_name: str | None = None,
        state: str | None = None,
        tags: Sequence[str] = (),
        page_size: int | None = None,
    ) -> AsyncIterator[Worker]:
        """Yields the workers that match all filters, by name, reading page after page. Raises `InvalidField`."""
        document = {"group_name": group_name, "state": state, "tags": tags, "page_size": page_size}
        request = convert.to_message(document, worker_service_pb2.ListWorkersRequest)
        return pages(self._transport, lambda: self._workers.ListWorkers, request, lambda page: page.workers, Worker)

    async def shutdown_worker(self, uuid: str, *, graceful: bool = True) -> Worker:
        """Asks a connected worker to end, after its running task if `graceful`. Raises `NotFound`, `WrongState`."""
        request = worker_service_pb2.ShutdownWorkerRequest(uuid=uuid, graceful=graceful)
        answer = await self._transport.call(self._workers.ShutdownWorker, request, repeatable=True)
        return convert.decode(answer.worker, Worker)

    async def revoke_worker_token(self, uuid: str) -> Worker:
        """Ends a worker's token and its stream now. Raises `InvalidField`, `NotFound`, `PermissionDenied`."""
        request = worker_service_pb2.RevokeWorkerTokenRequest(uuid=uuid)
        answer = await self._transport.call(self._workers.RevokeWorkerToken, request, repeatable=True)
        return convert.decode(answer.worker, Worker)

    async def renew_worker_token(self, uuid: str) -> WorkerRegistration:
        """Ends a worker's token and its stream now, and gives it a new token.

        Raises `InvalidField`, `NotFound`, `PermissionDenied`.
        """
        request = worker_service_pb2.RevokeWorkerTokenRequest(uuid=uuid, renew=True)
        answer = await self._transport.call(self._workers.RevokeWorkerToken, request, repeatable=True)
        expires = answer.token_expires_at.ToDatetime(tzinfo=UTC)
        return WorkerRegistration(convert.decode(answer.worker, Worker), answer.token, expires)
