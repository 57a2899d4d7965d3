"""TaskService on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from mitosis.v1 import task_service_pb2 as pb
from mitosis.v1 import task_service_pb2_grpc
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.rpc import enums, requests
from mitosis_coordinator.rpc.context import current_user
from mitosis_coordinator.rpc.convert import task_message
from mitosis_coordinator.rpc.explain_codec import explanation_message
from mitosis_coordinator.rpc.requests import Limits
from mitosis_coordinator.rpc.suite_service import page_start
from mitosis_coordinator.rpc.task_stream import TaskStream, task_range
from mitosis_coordinator.services import paging
from mitosis_coordinator.services.explain import ExplainService
from mitosis_coordinator.services.submission import SubmissionService
from mitosis_coordinator.services.tasks import TaskService
from mitosis_coordinator.storage.task_reads import TaskFilter

Context = grpc.aio.ServicerContext[Any, Any]


class TaskServicer(task_service_pb2_grpc.TaskServiceServicer):
    """Decodes, calls `services.tasks` and `services.submission`, encodes."""

    def __init__(
        self, service: TaskService, submission: SubmissionService, explain: ExplainService, limits: Limits
    ) -> None:
        self._service = service
        self._submission = submission
        self._explain = explain
        self._limits = limits

    async def SubmitTask(self, request: pb.SubmitTaskRequest, context: Context) -> pb.SubmitTaskResponse:  # noqa: N802
        rules = Rules()
        suite_id = rules.optional_uuid("suite_uuid", request.suite_uuid)
        rules.raise_if_broken()
        [task_id] = await self._submission.submit(
            current_user(),
            request.group_name,
            suite_id,
            [requests.new_task(request, self._limits)],
            request.request_id,
            requests.fingerprint(request),
            field="task_spec",
        )
        return pb.SubmitTaskResponse(task=task_message(await self._service.get(current_user(), task_id)))

    async def SubmitTasks(self, request: pb.SubmitTasksRequest, context: Context) -> pb.SubmitTasksResponse:  # noqa: N802
        rules = Rules()
        suite_id = rules.optional_uuid("suite_uuid", request.suite_uuid)
        rules.raise_if_broken()
        task_ids = await self._submission.submit(
            current_user(),
            request.group_name,
            suite_id,
            requests.new_tasks(request, self._limits),
            request.request_id,
            requests.fingerprint(request) if request.request_id else b"",
        )
        return pb.SubmitTasksResponse(task_uuids=task_ids.texts())

    async def SubmitTaskStream(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitTaskStreamRequest], context: Context
    ) -> pb.SubmitTaskStreamResponse:
        return await TaskStream(self._submission, self._limits).stored(request_iterator)

    async def SubmitArray(self, request: pb.SubmitArrayRequest, context: Context) -> pb.SubmitArrayResponse:  # noqa: N802
        rules = Rules()
        suite_id = rules.uuid("suite_uuid", request.suite_uuid)
        rules.raise_if_broken()
        fingerprint = requests.fingerprint(request) if request.request_id else b""
        if request.WhichOneof("items") == "list":
            ids = await self._submission.submit(
                current_user(),
                "",
                suite_id,
                requests.new_tasks_of_array(request, self._limits),
                request.request_id,
                fingerprint,
            )
        else:
            array = requests.new_array(request, self._limits)
            ids = await self._submission.submit_array(current_user(), suite_id, array, request.request_id, fingerprint)
        return pb.SubmitArrayResponse(tasks=task_range(ids))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:  # noqa: N802
        rules = Rules()
        task_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        return pb.GetTaskResponse(task=task_message(await self._service.get(current_user(), task_id)))

    async def ExplainTask(self, request: pb.ExplainTaskRequest, context: Context) -> pb.ExplainTaskResponse:  # noqa: N802
        rules = Rules()
        task_id = rules.uuid("uuid", request.uuid)
        rules.raise_if_broken()
        explanation = await self._explain.task(current_user(), task_id)
        return pb.ExplainTaskResponse(explanation=explanation_message(explanation))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:  # noqa: N802
        rules = Rules()
        wanted = TaskFilter(
            group_ids=None,
            suite_id=rules.optional_uuid("suite_uuid", request.suite_uuid),
            state=enums.TASK_STATE.accept(rules, "state", request.state),
        )
        rules.raise_if_broken()
        filters = {"group_name": request.group_name, "suite_uuid": request.suite_uuid, "state": request.state}
        size = paging.page_size(request.page_size if request.HasField("page_size") else None)
        before = page_start("tasks", filters, request.page_token)
        found = await self._service.listed(current_user(), request.group_name, wanted, before, size + 1)
        following = paging.encode("tasks", filters, [str(found[size - 1].id)]) if len(found) > size else ""
        return pb.ListTasksResponse(tasks=map(task_message, found[:size]), next_page_token=following)

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:  # noqa: N802
        rules = Rules()
        task_id = rules.uuid("uuid", request.uuid)
        reason = rules.text("reason", request.reason)
        rules.raise_if_broken()
        task = await self._service.cancel(current_user(), task_id, reason)
        return pb.CancelTaskResponse(task=task_message(task))
