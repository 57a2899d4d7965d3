"""Suites: create, read, change, watch, wait."""

from __future__ import annotations

import asyncio
import inspect
import uuid as uuids
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Unpack

from mitosis.v1 import suite_pb2, suite_service_pb2, suite_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.calls import Calls, pages
from mitosis_client.errors import DeadlineExceeded, Unavailable
from mitosis_client.explain_models import Explanation
from mitosis_client.models import EligibleManager, Suite, SuiteState
from mitosis_client.specs import SuiteChanges, SuiteSpec

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

Progress = Callable[[Suite], Awaitable[None] | None]


class SuiteCalls(Calls):
    """The calls of `SuiteService`."""

    @property
    def _suites(self) -> suite_service_pb2_grpc.SuiteServiceAsyncStub:
        return suite_service_pb2_grpc.SuiteServiceStub(self._transport.channel)

    async def create_suite(self, spec: SuiteSpec | None = None, /, **fields: Unpack[SuiteSpec]) -> Suite:
        """Creates a suite and returns it; its fields come as a dictionary, as keywords, or as both.

        Without a `request_id` one is made up, so that a repeated call cannot create a second suite.
        Raises `InvalidField`, `NotFound` (group), `PermissionDenied`.
        """
        document = {"request_id": str(uuids.uuid4()), **(spec or {}), **fields}
        request = convert.to_message(document, suite_service_pb2.CreateSuiteRequest)
        answer = await self._transport.call(self._suites.CreateSuite, request, repeatable=True)
        return convert.decode(answer.suite, Suite)

    async def get_suite(self, uuid: str) -> Suite:
        """Returns a suite with its latest hook runs and eligible managers. Raises `InvalidField`, `NotFound`."""
        request = suite_service_pb2.GetSuiteRequest(uuid=uuid)
        answer = await self._transport.call(self._suites.GetSuite, request, repeatable=True)
        return convert.decode(answer.suite, Suite)

    async def explain_suite(self, uuid: str) -> Explanation:
        """Says why a suite does not run, or who runs it, or how it ended. Raises `InvalidField`, `NotFound`."""
        request = suite_service_pb2.ExplainSuiteRequest(uuid=uuid)
        answer = await self._transport.call(self._suites.ExplainSuite, request, repeatable=True)
        return convert.decode(answer.explanation, Explanation)

    def list_suites(
        self,
        *,
        group_name: str | None = None,
        state: str | None = None,
        labels: Sequence[str] = (),
        tags: Sequence[str] = (),
        name: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Suite]:
        """Yields the suites that match all filters, newest first, reading page after page. Raises `InvalidField`."""
        document = {
            "group_name": group_name,
            "state": state,
            "labels": labels,
            "tags": tags,
            "name": name,
            "page_size": page_size,
        }
        request = convert.to_message(document, suite_service_pb2.ListSuitesRequest)
        return pages(self._transport, lambda: self._suites.ListSuites, request, lambda page: page.suites, Suite)

    async def update_suite(
        self, uuid: str, changes: SuiteChanges | None = None, /, **fields: Unpack[SuiteChanges]
    ) -> Suite:
        """Changes the fields that are given, as a dictionary or as keywords, and returns the suite.

        Lists, plans and hooks are replaced as a whole.
        Raises `InvalidField`, `NotFound`, `PermissionDenied`, `WrongState`.
        """
        document = {**(changes or {}), **fields, "uuid": uuid}
        request = convert.to_message(document, suite_service_pb2.UpdateSuiteRequest)
        answer = await self._transport.call(self._suites.UpdateSuite, request, repeatable=True)
        return convert.decode(answer.suite, Suite)

    async def cancel_suite(
        self, uuid: str, *, reason: str = "", cancel_running_tasks: bool = False
    ) -> tuple[int, SuiteState]:
        """Cancels a suite; returns the number of tasks that this call cancelled, and the suite's state.

        Raises `NotFound`, `PermissionDenied`, `WrongState` (also when an answer was lost and the call is made again).
        """
        request = suite_service_pb2.CancelSuiteRequest(
            uuid=uuid, reason=reason, cancel_running_tasks=cancel_running_tasks
        )
        answer = await self._transport.call(self._suites.CancelSuite, request, repeatable=False)
        names = convert.enum_names(suite_pb2.TaskSuiteState.DESCRIPTOR)
        state = next(name for name, number in names.items() if number == answer.suite_state)
        return answer.cancelled_task_count, SuiteState(state)

    async def close_suite(self, uuid: str) -> Suite:
        """Says that no more tasks are coming, and returns the suite. Raises `NotFound`, `WrongState`."""
        request = suite_service_pb2.CloseSuiteRequest(uuid=uuid)
        answer = await self._transport.call(self._suites.CloseSuite, request, repeatable=True)
        return convert.decode(answer.suite, Suite)

    async def retry_suite(self, uuid: str) -> tuple[Suite, int]:
        """Makes failed tasks ready again; returns the suite and the number of them. Raises `NotFound`, `WrongState`."""
        request = suite_service_pb2.RetrySuiteRequest(uuid=uuid)
        answer = await self._transport.call(self._suites.RetrySuite, request, repeatable=True)
        return convert.decode(answer.suite, Suite), answer.retried_task_count

    async def refresh_suite_managers(self, uuid: str) -> list[EligibleManager]:
        """Matches the suite with managers by tags again and returns all that may run it."""
        request = suite_service_pb2.RefreshSuiteManagersRequest(uuid=uuid)
        answer = await self._transport.call(self._suites.RefreshSuiteManagers, request, repeatable=True)
        return _eligible(answer.managers)

    async def add_suite_managers(self, uuid: str, manager_uuids: Sequence[str]) -> list[EligibleManager]:
        """Adds managers by hand and returns all that may run the suite: from now on only those added by hand."""
        request = suite_service_pb2.AddSuiteManagersRequest(uuid=uuid, manager_uuids=manager_uuids)
        answer = await self._transport.call(self._suites.AddSuiteManagers, request, repeatable=True)
        return _eligible(answer.managers)

    async def remove_suite_managers(self, uuid: str, manager_uuids: Sequence[str]) -> list[EligibleManager]:
        """Makes managers ineligible and returns all that may still run the suite."""
        request = suite_service_pb2.RemoveSuiteManagersRequest(uuid=uuid, manager_uuids=manager_uuids)
        answer = await self._transport.call(self._suites.RemoveSuiteManagers, request, repeatable=True)
        return _eligible(answer.managers)

    async def watch_suite(
        self, uuid: str, *, on_disconnect: Callable[[Unavailable], None] | None = None
    ) -> AsyncGenerator[Suite, None]:
        """Yields the suite now and after every change until it has ended and no manager holds it.

        A broken connection is made again with back-off, for as long as the caller keeps listening; `on_disconnect` is
        called each time that it could not be, and a suite is yielded once it could. Raises `InvalidField`, `NotFound`.
        """
        request = suite_service_pb2.WatchSuiteRequest(uuid=uuid)
        delays = self._transport.retry.delays()
        while True:
            suite: Suite | None = None
            try:
                async with aclosing(self._transport.stream(self._suites.WatchSuite, request)) as answers:
                    async for answer in answers:
                        delays.reset()
                        suite = convert.decode(answer.suite, Suite)
                        yield suite
                if suite is not None and _is_released(suite):
                    return
                asked = 0.0
            except Unavailable as error:
                asked = error.retry_after_seconds or 0.0
                if on_disconnect is not None:
                    on_disconnect(error)
            # A stream that ended early, cleanly or not, is one to open again: its coordinator is going down.
            await asyncio.sleep(asked + next(delays))

    async def wait_for_suite(
        self,
        uuid: str,
        *,
        timeout: float | None = None,
        on_progress: Progress | None = None,
        on_disconnect: Callable[[Unavailable], None] | None = None,
        until_released: bool = False,
    ) -> Suite:
        """Waits until the suite is Complete, Cancelled or Failed, and returns it with its hook runs.

        `on_progress` is called with the suite after every change, at most ten times a second. `until_released` waits
        longer: until no manager holds the suite any more, that is until its cleanup hooks have ended. Broken
        connections are made again; `on_disconnect` is called each time that fails.

        Raises `DeadlineExceeded` after `timeout` seconds, `InvalidField`, `NotFound`.
        """
        try:
            async with asyncio.timeout(timeout):
                async with aclosing(self.watch_suite(uuid, on_disconnect=on_disconnect)) as changes:
                    async for suite in changes:
                        if on_progress is not None:
                            outcome = on_progress(suite)
                            if inspect.isawaitable(outcome):
                                await outcome
                        if suite.state.is_finished and (_is_released(suite) or not until_released):
                            return suite
                return await self.get_suite(uuid)
        except TimeoutError:
            raise DeadlineExceeded(f"suite {uuid} did not end within {timeout:g} s") from None


def _is_released(suite: Suite) -> bool:
    return suite.state.is_finished and suite.assigned_managers == 0


def _eligible(managers: RepeatedCompositeFieldContainer[Any]) -> list[EligibleManager]:
    return [convert.decode(manager, EligibleManager) for manager in managers]
