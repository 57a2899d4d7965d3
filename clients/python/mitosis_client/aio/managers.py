"""Node managers: register, read, drain, shut down."""

from __future__ import annotations

import uuid as uuids
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mitosis.v1 import manager_service_pb2, manager_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.calls import Calls, pages
from mitosis_client.models import Manager


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered manager and its token, which is shown this once."""

    manager: Manager
    token: str = field(repr=False)
    token_expires_at: datetime


class ManagerCalls(Calls):
    """The calls of `ManagerService` that users make."""

    @property
    def _managers(self) -> manager_service_pb2_grpc.ManagerServiceAsyncStub:
        return manager_service_pb2_grpc.ManagerServiceStub(self._transport.channel)

    async def register_manager(
        self,
        name: str,
        *,
        group_memberships: Sequence[Mapping[str, str]],
        tags: Sequence[str] = (),
        max_workers: int | None = None,
        request_id: str | None = None,
    ) -> Registration:
        """Registers a manager and returns it with its token.

        Each membership is `{"group_name": ..., "role": "Worker"}`, with role `Worker` or `Admin`.
        Raises `InvalidField`, `NotFound` (group), `AlreadyExists` (name), `PermissionDenied`.
        """
        document = {
            "name": name,
            "group_memberships": group_memberships,
            "tags": tags,
            "max_workers": max_workers,
            "request_id": request_id or str(uuids.uuid4()),
        }
        request = convert.to_message(document, manager_service_pb2.RegisterManagerRequest)
        answer = await self._transport.call(self._managers.RegisterManager, request, repeatable=True)
        expires = answer.token_expires_at.ToDatetime(tzinfo=UTC)
        return Registration(convert.decode(answer.manager, Manager), answer.token, expires)

    async def get_manager(self, uuid: str) -> Manager:
        """Returns one manager. Raises `InvalidField`, `NotFound`."""
        request = manager_service_pb2.GetManagerRequest(uuid=uuid)
        answer = await self._transport.call(self._managers.GetManager, request, repeatable=True)
        return convert.decode(answer.manager, Manager)

    def list_managers(
        self,
        *,
        group_name: str | None = None,
        state: str | None = None,
        tags: Sequence[str] = (),
        page_size: int | None = None,
    ) -> AsyncIterator[Manager]:
        """Yields the managers that match all filters, by name, reading page after page. Raises `InvalidField`."""
        document = {"group_name": group_name, "state": state, "tags": tags, "page_size": page_size}
        request = convert.to_message(document, manager_service_pb2.ListManagersRequest)
        return pages(self._transport, lambda: self._managers.ListManagers, request, lambda page: page.managers, Manager)

    async def shutdown_manager(self, uuid: str, *, graceful: bool = True) -> Manager:
        """Asks a connected manager to end, after its running tasks if `graceful`. Raises `NotFound`, `WrongState`."""
        request = manager_service_pb2.ShutdownManagerRequest(uuid=uuid, graceful=graceful)
        answer = await self._transport.call(self._managers.ShutdownManager, request, repeatable=True)
        return convert.decode(answer.manager, Manager)

    async def drain_manager(self, uuid: str) -> Manager:
        """Takes a manager out of service: it finishes what it runs, hands back the rest, and gets no suite.

        Raises `InvalidField`, `NotFound`, `PermissionDenied`.
        """
        request = manager_service_pb2.DrainManagerRequest(uuid=uuid)
        answer = await self._transport.call(self._managers.DrainManager, request, repeatable=True)
        return convert.decode(answer.manager, Manager)

    async def resume_manager(self, uuid: str) -> Manager:
        """Puts a manager back into service. Raises `InvalidField`, `NotFound`, `PermissionDenied`."""
        request = manager_service_pb2.ResumeManagerRequest(uuid=uuid)
        answer = await self._transport.call(self._managers.ResumeManager, request, repeatable=True)
        return convert.decode(answer.manager, Manager)

    async def revoke_manager_token(self, uuid: str) -> Manager:
        """Ends a manager's token and its stream now. Raises `InvalidField`, `NotFound`, `PermissionDenied`."""
        request = manager_service_pb2.RevokeManagerTokenRequest(uuid=uuid)
        answer = await self._transport.call(self._managers.RevokeManagerToken, request, repeatable=True)
        return convert.decode(answer.manager, Manager)

    async def renew_manager_token(self, uuid: str) -> Registration:
        """Ends a manager's token and its stream now, and gives it a new token.

        Raises `InvalidField`, `NotFound`, `PermissionDenied`.
        """
        request = manager_service_pb2.RevokeManagerTokenRequest(uuid=uuid, renew=True)
        answer = await self._transport.call(self._managers.RevokeManagerToken, request, repeatable=True)
        expires = answer.token_expires_at.ToDatetime(tzinfo=UTC)
        return Registration(convert.decode(answer.manager, Manager), answer.token, expires)
