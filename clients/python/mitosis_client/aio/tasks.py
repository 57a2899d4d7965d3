"""Tasks: submit one, submit many, read, cancel."""

from __future__ import annotations

import asyncio
import uuid as uuids
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from mitosis.v1 import task_service_pb2, task_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.batching import Batch, batches, in_submission, new_task
from mitosis_client.aio.calls import pages
from mitosis_client.aio.submission import SubmissionCalls
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.explain_models import Explanation
from mitosis_client.models import Task
from mitosis_client.specs import NewTask

# Two calls keep the coordinator busy while the next batch is serialised; a third bridges an uneven one.
CALLS_IN_FLIGHT = 3


class TaskCalls(SubmissionCalls):
    """The calls of `TaskService`."""

    @property
    def _tasks(self) -> task_service_pb2_grpc.TaskServiceAsyncStub:
        return task_service_pb2_grpc.TaskServiceStub(self._transport.channel)

    async def submit_task(
        self,
        task: NewTask,
        *,
        suite_uuid: str | None = None,
        group_name: str | None = None,
        request_id: str | None = None,
    ) -> Task:
        """Submits one task, to a suite or independently to a group, and returns it.

        Without a `request_id` one is made up, so that a repeated call cannot submit it twice.
        Raises `InvalidField`, `NotFound`, `PermissionDenied`, `WrongState` (suite is over), `LimitExceeded`.
        """
        try:
            message = new_task(task, 0)
        except InvalidField as error:
            raise _without_index(error) from None
        request = task_service_pb2.SubmitTaskRequest(
            group_name=group_name or "",
            suite_uuid=suite_uuid or "",
            task_spec=message.task_spec,
            priority=message.priority if message.HasField("priority") else None,
            tags=message.tags,
            request_id=request_id or str(uuids.uuid4()),
        )
        return await self._submit(request)

    async def submit_document(self, document: Mapping[str, Any], *, suite_uuid: str | None = None) -> Task:
        """Submits one task in the form of `POST /tasks`, and returns it.

        Keys of its `task_spec` that are none of its fields are the payload. Raises as `submit_task` does.
        """
        given = {"request_id": str(uuids.uuid4()), **document, **({"suite_uuid": suite_uuid} if suite_uuid else {})}
        return await self._submit(convert.to_message(given, task_service_pb2.SubmitTaskRequest, as_rest=True))

    async def _submit(self, request: task_service_pb2.SubmitTaskRequest) -> Task:
        answer = await self._transport.call(self._tasks.SubmitTask, request, repeatable=True)
        return convert.decode(answer.task, Task)

    async def submit_many(
        self,
        tasks: Iterable[NewTask] | AsyncIterable[NewTask],
        *,
        suite_uuid: str | None = None,
        group_name: str | None = None,
        on_batch: Callable[[Sequence[str]], None] | None = None,
    ) -> int:
        """Submits any number of tasks in batches, and returns how many.

        Memory is bounded by the few batches in flight, however many tasks come; what a caller wants to keep of their
        UUIDs it takes from `on_batch`, which gets those of each batch, in order within the batch, once it is stored.
        A plain iterable is read on the event loop, so it should not wait for anything itself.

        Every batch is one transaction that a repeated call cannot store twice. After an error the batches that
        `on_batch` was called with stay submitted. Raises `InvalidField` (a path such as `tasks[17].handler` counts from
        the first task of all), `NotFound`, `PermissionDenied`, `WrongState`, `LimitExceeded`.
        """
        submitted = 0
        slots = asyncio.Semaphore(CALLS_IN_FLIGHT)
        calls: set[asyncio.Task[None]] = set()

        async def submit(batch: Batch[task_service_pb2.SubmitTasksRequest]) -> None:
            nonlocal submitted
            try:
                answer = await self._submit_batch(batch, suite_uuid or "", group_name or "")
                submitted += len(answer)
                if on_batch is not None:
                    on_batch(answer)
            finally:
                slots.release()

        def raise_first_error() -> None:
            for call in [call for call in calls if call.done()]:
                calls.discard(call)
                call.result()

        try:
            async with aclosing(batches(tasks, task_service_pb2.SubmitTasksRequest)) as stream:
                async for batch in stream:
                    await slots.acquire()
                    raise_first_error()
                    calls.add(asyncio.create_task(submit(batch)))
                    # Lets the call go out before the next batch is read: a plain iterable never yields to the loop.
                    await asyncio.sleep(0)
            await asyncio.gather(*calls)
        except asyncio.CancelledError:
            for call in calls:
                call.cancel()
            raise
        finally:
            # Calls under way are waited for: what `on_batch` was told is then all that was stored.
            await asyncio.gather(*calls, return_exceptions=True)
        return submitted

    async def _submit_batch(
        self, batch: Batch[task_service_pb2.SubmitTasksRequest], suite_uuid: str, group_name: str
    ) -> Sequence[str]:
        request = batch.request
        request.group_name, request.suite_uuid, request.request_id = group_name, suite_uuid, str(uuids.uuid4())
        try:
            answer = await self._transport.call(self._tasks.SubmitTasks, request, repeatable=True)
        except InvalidField as error:
            raise in_submission(error, batch.first) from None
        return answer.task_uuids

    async def get_task(self, uuid: str) -> Task:
        """Returns one task with its result and all its failures. Raises `InvalidField`, `NotFound`."""
        request = task_service_pb2.GetTaskRequest(uuid=uuid)
        answer = await self._transport.call(self._tasks.GetTask, request, repeatable=True)
        return convert.decode(answer.task, Task)

    async def explain_task(self, uuid: str) -> Explanation:
        """Says why a task does not run, or where it runs, or how it ended. Raises `InvalidField`, `NotFound`."""
        request = task_service_pb2.ExplainTaskRequest(uuid=uuid)
        answer = await self._transport.call(self._tasks.ExplainTask, request, repeatable=True)
        return convert.decode(answer.explanation, Explanation)

    def list_tasks(
        self,
        *,
        suite_uuid: str | None = None,
        group_name: str | None = None,
        state: str | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Task]:
        """Yields the tasks that match all filters, newest first, reading page after page. Raises `InvalidField`."""
        document = {"suite_uuid": suite_uuid, "group_name": group_name, "state": state, "page_size": page_size}
        request = convert.to_message(document, task_service_pb2.ListTasksRequest)
        return pages(self._transport, lambda: self._tasks.ListTasks, request, lambda page: page.tasks, Task)

    async def cancel_task(self, uuid: str, *, reason: str = "") -> Task:
        """Cancels one task, which may still be shown Running. Raises `NotFound`, `PermissionDenied`, `WrongState`."""
        request = task_service_pb2.CancelTaskRequest(uuid=uuid, reason=reason)
        answer = await self._transport.call(self._tasks.CancelTask, request, repeatable=False)
        return convert.decode(answer.task, Task)


def _without_index(error: InvalidField) -> InvalidField:
    return InvalidField(
        [
            FieldViolation(item.field.removeprefix("tasks[0]").lstrip(".") or "task", item.description)
            for item in error.violations
        ]
    )
