"""SuiteService on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import grpc.aio

from mitosis.v1 import suite_service_pb2 as pb
from mitosis.v1 import suite_service_pb2_grpc
from mitosis_coordinator.domain.errors import InvalidField, ShuttingDown
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.domain.suite import FINAL_STATES, Suite
from mitosis_coordinator.rpc import enums, requests
from mitosis_coordinator.rpc.context import current_user, renewed_user
from mitosis_coordinator.rpc.convert import eligible_message, suite_message
from mitosis_coordinator.rpc.explain_codec import explanation_message
from mitosis_coordinator.rpc.requests import Limits
from mitosis_coordinator.services import paging
from mitosis_coordinator.services.explain import ExplainService
from mitosis_coordinator.services.suites import SuiteService
from mitosis_coordinator.sessions.signals import SignalHub
from mitosis_coordinator.storage.suites import SuiteFilter

Context = grpc.aio.ServicerContext[Any, Any]

WATCH_PAUSE_SECONDS = 0.1
WATCH_SWEEP_SECONDS = 2.0


class SuiteServicer(suite_service_pb2_grpc.SuiteServiceServicer):
    """Decodes, calls `services.suites`, encodes."""

    def __init__(self, service: SuiteService, explain: ExplainService, signals: SignalHub, limits: Limits) -> None:
        self._service = service
        self._explain = explain
        self._signals = signals
        self._limits = limits

    async def CreateSuite(self, request: pb.CreateSuiteRequest, context: Context) -> pb.CreateSuiteResponse:  # noqa: N802
        suite = await self._service.create(
            current_user(),
            request.group_name,
            requests.new_suite(request, self._limits),
            request.request_id,
            requests.fingerprint(request),
        )
        return pb.CreateSuiteResponse(suite=suite_message(suite))

    async def GetSuite(self, request: pb.GetSuiteRequest, context: Context) -> pb.GetSuiteResponse:  # noqa: N802
        suite = await self._service.get(current_user(), _uuid(request.uuid))
        return pb.GetSuiteResponse(suite=suite_message(suite))

    async def ExplainSuite(self, request: pb.ExplainSuiteRequest, context: Context) -> pb.ExplainSuiteResponse:  # noqa: N802
        explanation = await self._explain.suite(current_user(), _uuid(request.uuid))
        return pb.ExplainSuiteResponse(explanation=explanation_message(explanation))

    async def ListSuites(self, request: pb.ListSuitesRequest, context: Context) -> pb.ListSuitesResponse:  # noqa: N802
        rules = Rules()
        wanted = SuiteFilter(
            group_ids=None,
            state=enums.SUITE_STATE.accept(rules, "state", request.state),
            labels=rules.labels("labels", request.labels),
            tags=rules.tags("tags", request.tags),
            name=rules.text("name", request.name) or None,
        )
        rules.raise_if_broken()
        filters = {
            "group_name": request.group_name,
            "state": request.state,
            "labels": sorted(request.labels),
            "tags": sorted(request.tags),
            "name": request.name,
        }
        size = paging.page_size(request.page_size if request.HasField("page_size") else None)
        before = page_start("suites", filters, request.page_token)
        found = await self._service.listed(current_user(), request.group_name, wanted, before, size + 1)
        following = paging.encode("suites", filters, [str(found[size - 1].id)]) if len(found) > size else ""
        return pb.ListSuitesResponse(suites=map(suite_message, found[:size]), next_page_token=following)

    async def UpdateSuite(self, request: pb.UpdateSuiteRequest, context: Context) -> pb.UpdateSuiteResponse:  # noqa: N802
        change = requests.suite_change(request, self._limits)
        suite = await self._service.update(current_user(), _uuid(request.uuid), change)
        return pb.UpdateSuiteResponse(suite=suite_message(suite))

    async def CancelSuite(self, request: pb.CancelSuiteRequest, context: Context) -> pb.CancelSuiteResponse:  # noqa: N802
        rules = Rules()
        suite_id = rules.uuid("uuid", request.uuid)
        reason = rules.text("reason", request.reason)
        rules.raise_if_broken()
        count, state = await self._service.cancel(
            current_user(), suite_id, reason, running_too=request.cancel_running_tasks
        )
        return pb.CancelSuiteResponse(cancelled_task_count=count, suite_state=enums.SUITE_STATE.number(state))

    async def CloseSuite(self, request: pb.CloseSuiteRequest, context: Context) -> pb.CloseSuiteResponse:  # noqa: N802
        suite = await self._service.close(current_user(), _uuid(request.uuid))
        return pb.CloseSuiteResponse(suite=suite_message(suite))

    async def RetrySuite(self, request: pb.RetrySuiteRequest, context: Context) -> pb.RetrySuiteResponse:  # noqa: N802
        suite, count = await self._service.retry(current_user(), _uuid(request.uuid))
        return pb.RetrySuiteResponse(suite=suite_message(suite), retried_task_count=count)

    async def RefreshSuiteManagers(  # noqa: N802
        self, request: pb.RefreshSuiteManagersRequest, context: Context
    ) -> pb.RefreshSuiteManagersResponse:
        eligible = await self._service.refresh_managers(current_user(), _uuid(request.uuid))
        return pb.RefreshSuiteManagersResponse(managers=map(eligible_message, eligible))

    async def AddSuiteManagers(  # noqa: N802
        self, request: pb.AddSuiteManagersRequest, context: Context
    ) -> pb.AddSuiteManagersResponse:
        suite_id, manager_ids = _suite_and_managers(request)
        eligible = await self._service.add_managers(current_user(), suite_id, manager_ids)
        return pb.AddSuiteManagersResponse(managers=map(eligible_message, eligible))

    async def RemoveSuiteManagers(  # noqa: N802
        self, request: pb.RemoveSuiteManagersRequest, context: Context
    ) -> pb.RemoveSuiteManagersResponse:
        suite_id, manager_ids = _suite_and_managers(request)
        eligible = await self._service.remove_managers(current_user(), suite_id, manager_ids)
        return pb.RemoveSuiteManagersResponse(managers=map(eligible_message, eligible))

    async def WatchSuite(  # noqa: N802
        self, request: pb.WatchSuiteRequest, context: Context
    ) -> AsyncIterator[pb.WatchSuiteResponse]:
        suite_id = _uuid(request.uuid)
        # Subscribed before the first read, so that no change falls between.
        with self._signals.watching(suite_id) as watch:
            before: Suite | None = None
            while True:
                watch.changed.clear()
                if self._signals.closing:
                    raise ShuttingDown("the coordinator is going down")
                user = await renewed_user()
                suite = await self._service.peek(user, suite_id)
                if suite.state in FINAL_STATES and suite != before:
                    # With everything, so that who waited need not ask again.
                    yield pb.WatchSuiteResponse(suite=suite_message(await self._service.get(user, suite_id)))
                elif suite != before:
                    yield pb.WatchSuiteResponse(suite=suite_message(suite))
                if suite.settled:
                    return
                before = suite
                try:
                    async with asyncio.timeout(WATCH_SWEEP_SECONDS):
                        await watch.changed.wait()
                except TimeoutError:
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_PAUSE_SECONDS):
                        await watch.ended.wait()
                watch.ended.clear()


def page_start(list_name: str, filters: dict[str, object], token: str) -> UUID | None:
    """Where a page of a list that is sorted by identifiers starts; None for the first.

    Raises:
        InvalidField: The token is malformed, or of another list.
    """
    key = paging.decode(list_name, filters, token)
    if key is None:
        return None
    try:
        return UUID(str(key[0]))
    except (ValueError, IndexError) as error:
        accepts = "empty, or the next_page_token of the page before, with the same filters"
        raise InvalidField.one("page_token", token, accepts) from error


def _uuid(given: str) -> UUID:
    rules = Rules()
    identifier = rules.uuid("uuid", given)
    rules.raise_if_broken()
    return identifier


def _suite_and_managers(
    request: pb.AddSuiteManagersRequest | pb.RemoveSuiteManagersRequest,
) -> tuple[UUID, list[UUID]]:
    rules = Rules()
    suite_id = rules.uuid("uuid", request.uuid)
    manager_ids = rules.uuids("manager_uuids", request.manager_uuids, requests.MAX_MANAGERS_PER_CALL)
    rules.raise_if_broken()
    return suite_id, manager_ids
