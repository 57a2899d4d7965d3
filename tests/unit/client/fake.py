"""A coordinator that keeps suites and tasks in memory and fails on request, in a thread with its own loop."""

from __future__ import annotations

import asyncio
import threading
import uuid as uuids
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from mitosis.v1 import (
    auth_service_pb2,
    auth_service_pb2_grpc,
    explain_pb2,
    manager_pb2,
    manager_service_pb2,
    manager_service_pb2_grpc,
    suite_pb2,
    suite_service_pb2,
    suite_service_pb2_grpc,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
)

CODES = {
    "INVALID_FIELD": code_pb2.INVALID_ARGUMENT,
    "NOT_FOUND": code_pb2.NOT_FOUND,
    "ALREADY_EXISTS": code_pb2.ALREADY_EXISTS,
    "WRONG_STATE": code_pb2.FAILED_PRECONDITION,
    "PERMISSION_DENIED": code_pb2.PERMISSION_DENIED,
    "INVALID_TOKEN": code_pb2.UNAUTHENTICATED,
    "WRONG_TOKEN_KIND": code_pb2.UNAUTHENTICATED,
    "INVALID_CREDENTIALS": code_pb2.UNAUTHENTICATED,
    "LIMIT_EXCEEDED": code_pb2.RESOURCE_EXHAUSTED,
    "STORAGE_UNAVAILABLE": code_pb2.UNAVAILABLE,
    "SHUTTING_DOWN": code_pb2.UNAVAILABLE,
    "SESSION_REPLACED": code_pb2.ABORTED,
    "REQUEST_ID_REUSED": code_pb2.ABORTED,
    "INTERNAL": code_pb2.INTERNAL,
    "DISABLED": code_pb2.UNIMPLEMENTED,
}


def failure(
    reason: str,
    message: str = "no",
    *,
    violations: dict[str, str] | None = None,
    retry_seconds: float | None = None,
    **metadata: str,
) -> Any:
    """Builds the status that a coordinator sends for a reason."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="mitosis", metadata=metadata)]
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, description in violations.items():
            bad.field_violations.add(field=field, description=description)
        details.append(bad)
    if retry_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(retry_seconds * 1e9))
        details.append(retry)
    packed = []
    for detail in details:
        wrapped = AnyMessage()
        wrapped.Pack(detail)
        packed.append(wrapped)
    return rpc_status.to_status(status_pb2.Status(code=CODES[reason], message=message, details=packed))


class FakeCoordinator(
    suite_service_pb2_grpc.SuiteServiceServicer,
    task_service_pb2_grpc.TaskServiceServicer,
    manager_service_pb2_grpc.ManagerServiceServicer,
    auth_service_pb2_grpc.AuthServiceServicer,
):
    """`failures` are answered first, one a call; the first `lost_answers` get lost after their call was carried out.

    The first `unanswered` calls are heard and not answered.

    `stream_breaks` says after how many stored messages each stream of tasks breaks.
    """

    def __init__(self) -> None:
        self.suites: dict[str, suite_pb2.TaskSuite] = {}
        self.tasks: dict[str, task_pb2.Task] = {}
        self.managers: list[manager_pb2.NodeManager] = []
        self.failures: deque[Any] = deque()
        self.lost_answers = 0
        self.unanswered = 0
        self.calls: Counter[str] = Counter()
        self.requests: list[Message] = []
        self.metadata: dict[str, str] = {}
        self.batch_sizes: list[int] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.delay = 0.0
        self.stream_sizes: list[int] = []
        self.stream_breaks: deque[int] = deque()
        self.watch: Callable[[int], AsyncIterator[suite_pb2.TaskSuite]] | None = None
        self._answers: dict[str, Message] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self.address = ""

    def __enter__(self) -> FakeCoordinator:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._server = await self._listen(0)
        self._started.set()
        await self._stop.wait()
        await self._server.stop(None)

    async def _listen(self, port: int) -> grpc.aio.Server:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 32 * 1024 * 1024)])
        suite_service_pb2_grpc.add_SuiteServiceServicer_to_server(self, server)
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(self, server)
        manager_service_pb2_grpc.add_ManagerServiceServicer_to_server(self, server)
        auth_service_pb2_grpc.add_AuthServiceServicer_to_server(self, server)
        self.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
        await server.start()
        return server

    def break_connections(self) -> None:
        """Ends every stream as a killed process does, and comes back on the same port; called by a handler."""
        self._restart = asyncio.create_task(self._restart_server())

    async def _restart_server(self) -> None:
        await self._server.stop(None)
        self._server = await self._listen(int(self.address.rpartition(":")[2]))

    async def _enter(self, name: str, request: Message, context: Any) -> Message | None:
        """Counts a call, fails it when that was asked for, and returns the answer given to its request_id before."""
        self.calls[name] += 1
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        if self.unanswered:
            self.unanswered -= 1
            await asyncio.sleep(60)
        if self.failures:
            await context.abort_with_status(self.failures.popleft())
        return self._answers.get(getattr(request, "request_id", "")) or None

    async def _leave(self, request: Message | None, answer: Any, context: Any) -> Any:
        if request_id := getattr(request, "request_id", ""):
            self._answers[request_id] = answer
        if self.lost_answers:
            self.lost_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return answer

    async def _suite(self, uuid: str, context: Any) -> suite_pb2.TaskSuite:
        if uuid not in self.suites:
            await context.abort_with_status(failure("NOT_FOUND", f"there is no suite {uuid}"))
        return self.suites[uuid]

    async def CreateSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        if known := await self._enter("CreateSuite", request, context):
            return known
        uuid = str(uuids.uuid4())
        self.suites[uuid] = suite_pb2.TaskSuite(
            uuid=uuid,
            name=request.name,
            group_name=request.group_name,
            state=suite_pb2.TASK_SUITE_STATE_QUEUED,
            tags=request.tags,
            labels=request.labels,
            worker_schedule=request.worker_schedule if request.HasField("worker_schedule") else None,
            created_by="ada",
        )
        self.suites[uuid].created_at.GetCurrentTime()
        return await self._leave(request, suite_service_pb2.CreateSuiteResponse(suite=self.suites[uuid]), context)

    async def GetSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("GetSuite", request, context)
        return suite_service_pb2.GetSuiteResponse(suite=await self._suite(request.uuid, context))

    async def ExplainSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("ExplainSuite", request, context)
        await self._suite(request.uuid, context)
        waits = explain_pb2.Explanation(summary="The suite waits.")
        waits.obstacles.add(
            kind=explain_pb2.OBSTACLE_KIND_ENVIRONMENT_BACK_OFF,
            message="Manager a failed to prepare it.",
            detail="no such file\nat all",
        )
        waits.obstacles.add(kind=explain_pb2.OBSTACLE_KIND_OFFLINE, message="Manager b is offline.")
        waits.holders_left_out = 3
        return suite_service_pb2.ExplainSuiteResponse(explanation=waits)

    async def ListSuites(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("ListSuites", request, context)
        first, size = int(request.page_token or 0), request.page_size or 100
        chosen = [suite for suite in self.suites.values() if not request.state or suite.state == request.state]
        token = str(first + size) if first + size < len(chosen) else ""
        return suite_service_pb2.ListSuitesResponse(suites=chosen[first : first + size], next_page_token=token)

    async def UpdateSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("UpdateSuite", request, context)
        suite = await self._suite(request.uuid, context)
        if request.HasField("priority"):
            suite.priority = request.priority
        if request.HasField("labels"):
            del suite.labels[:]
            suite.labels.extend(request.labels.values)
        return suite_service_pb2.UpdateSuiteResponse(suite=suite)

    async def CancelSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("CancelSuite", request, context)
        suite = await self._suite(request.uuid, context)
        suite.state = suite_pb2.TASK_SUITE_STATE_CANCELLED
        return suite_service_pb2.CancelSuiteResponse(cancelled_task_count=3, suite_state=suite.state)

    async def CloseSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("CloseSuite", request, context)
        suite = await self._suite(request.uuid, context)
        suite.closed = True
        return suite_service_pb2.CloseSuiteResponse(suite=suite)

    async def RetrySuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("RetrySuite", request, context)
        suite = await self._suite(request.uuid, context)
        return suite_service_pb2.RetrySuiteResponse(suite=suite, retried_task_count=2)

    async def WatchSuite(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("WatchSuite", request, context)
        if self.watch is None:
            yield suite_service_pb2.WatchSuiteResponse(suite=await self._suite(request.uuid, context))
            return
        async for suite in self.watch(self.calls["WatchSuite"]):
            yield suite_service_pb2.WatchSuiteResponse(suite=suite)

    def _add(self, suite_uuid: str, spec: task_pb2.TaskSpec) -> task_pb2.Task:
        task = task_pb2.Task(
            uuid=str(uuids.uuid4()), suite_uuid=suite_uuid, state=task_pb2.TASK_STATE_READY, task_spec=spec
        )
        self.tasks[task.uuid] = task
        return task

    async def SubmitTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        if known := await self._enter("SubmitTask", request, context):
            return known
        task = self._add(request.suite_uuid, request.task_spec)
        return await self._leave(request, task_service_pb2.SubmitTaskResponse(task=task), context)

    async def SubmitTasks(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if known := await self._enter("SubmitTasks", request, context):
                return known
            await asyncio.sleep(self.delay)
            self.batch_sizes.append(len(request.tasks))
            made = self._add_all(request.suite_uuid, [task.task_spec for task in request.tasks])
            return await self._leave(request, task_service_pb2.SubmitTasksResponse(task_uuids=made), context)
        finally:
            self.in_flight -= 1

    def _add_all(self, suite_uuid: str, specs: list[task_pb2.TaskSpec]) -> list[str]:
        """Adds tasks whose UUIDs count up."""
        made = [str(uuids.UUID(int=len(self.tasks) + number)) for number in range(len(specs))]
        for uuid, spec in zip(made, specs, strict=True):
            self.tasks[uuid] = task_pb2.Task(uuid=uuid, suite_uuid=suite_uuid, task_spec=spec)
        return made

    async def SubmitTaskStream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        answer = task_service_pb2.SubmitTaskStreamResponse()
        breaks = self.stream_breaks.popleft() if self.stream_breaks else None
        first = None
        async for message in request_iterator:
            if first is None:
                first = message
                await self._enter("SubmitTaskStream", message, context)
            name = f"{first.request_id}/{len(answer.ranges)}"
            if name not in self._answers:
                self.stream_sizes.append(len(message.tasks))
                made = self._add_all(first.suite_uuid, [task.task_spec for task in message.tasks])
                self._answers[name] = task_service_pb2.SubmitTasksResponse(task_uuids=made)
            stored: Any = self._answers[name]
            answer.ranges.add(first_task_uuid=stored.task_uuids[0], count=len(message.tasks))
            answer.task_count += len(message.tasks)
            if len(answer.ranges) == breaks:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return await self._leave(None, answer, context)

    async def SubmitArray(self, request: Any, context: Any) -> Any:  # noqa: N802
        if known := await self._enter("SubmitArray", request, context):
            return known
        numbers = range(request.range.start, request.range.stop, request.range.step or 1)
        items = request.list.payloads if request.HasField("list") else numbers
        made = self._add_all(request.suite_uuid, [task_pb2.TaskSpec(payload=str(item)) for item in items])
        tasks = task_service_pb2.TaskRange(first_task_uuid=made[0], count=len(made))
        return await self._leave(request, task_service_pb2.SubmitArrayResponse(tasks=tasks), context)

    async def GetTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("GetTask", request, context)
        if request.uuid not in self.tasks:
            await context.abort_with_status(failure("NOT_FOUND", f"there is no task {request.uuid}"))
        return task_service_pb2.GetTaskResponse(task=self.tasks[request.uuid])

    async def ExplainTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("ExplainTask", request, context)
        if request.uuid not in self.tasks:
            await context.abort_with_status(failure("NOT_FOUND", f"there is no task {request.uuid}"))
        return task_service_pb2.ExplainTaskResponse(
            explanation=explain_pb2.Explanation(summary="The task waits.", position=7)
        )

    async def ListTasks(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("ListTasks", request, context)
        return task_service_pb2.ListTasksResponse(tasks=list(self.tasks.values()))

    async def CancelTask(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("CancelTask", request, context)
        task = self.tasks[request.uuid]
        task.state = task_pb2.TASK_STATE_CANCELLED
        return task_service_pb2.CancelTaskResponse(task=task)

    async def RegisterManager(self, request: Any, context: Any) -> Any:  # noqa: N802
        if known := await self._enter("RegisterManager", request, context):
            return known
        manager = manager_pb2.NodeManager(
            uuid=str(uuids.uuid4()),
            name=request.name,
            state=manager_pb2.NODE_MANAGER_STATE_OFFLINE,
            group_memberships=request.group_memberships,
        )
        self.managers.append(manager)
        answer = manager_service_pb2.RegisterManagerResponse(manager=manager, token="manager-token")
        answer.token_expires_at.GetCurrentTime()
        return await self._leave(request, answer, context)

    async def ListManagers(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("ListManagers", request, context)
        return manager_service_pb2.ListManagersResponse(managers=self.managers)

    async def Login(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._enter("Login", request, context)
        if request.password != "correct horse":
            await context.abort_with_status(failure("INVALID_CREDENTIALS", "user name and password do not match"))
        answer = auth_service_pb2.LoginResponse(token="user-token")
        answer.user.username = request.username
        answer.expires_at.GetCurrentTime()
        return answer
