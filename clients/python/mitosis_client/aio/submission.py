"""Tasks by the million: arrays, and streams that outlive broken connections."""

from __future__ import annotations

import itertools
import re
import uuid as uuids
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from mitosis.v1 import task_service_pb2, task_service_pb2_grpc
from mitosis_client import convert
from mitosis_client.aio.batching import MAX_BATCH_BYTES, Batch, batches, in_submission
from mitosis_client.aio.calls import Calls
from mitosis_client.errors import DeadlineExceeded, FieldViolation, Internal, InvalidField, Unavailable
from mitosis_client.specs import NewTask, TaskSpecFields
from mitosis_client.task_ranges import StoredTasks, TaskRange, TaskUuids

# So much may have to be sent again.
MAX_PART_BATCHES = 50
MAX_PART_BYTES = 4 * MAX_BATCH_BYTES
# Leaves room for what parts and their batches add to it.
MAX_STREAM_REQUEST_ID = 80

_ARRAY_FIELD = re.compile(r"^(task_spec|range|list\.payloads)(?=[.\[]|$)")
_ARGUMENTS = {"task_spec": "task", "range": "payloads", "list.payloads": "payloads"}

StreamRequest = task_service_pb2.SubmitTaskStreamRequest


class SubmissionCalls(Calls):
    """The calls that store tasks without a message for each, or without an answer for each batch."""

    async def submit_array(
        self,
        *,
        suite_uuid: str,
        task: TaskSpecFields,
        payloads: range | Sequence[object],
        priority: int | None = None,
        request_id: str | None = None,
    ) -> TaskRange:
        """Submits tasks that differ in their payload only, in one call, and returns where their UUIDs are.

        `task` is what every task runs, without a payload. `payloads` is a `range`, which may be as long as a suite may
        be large and costs one row, or up to 10,000 JSON values. Without a `request_id` one is made up, so that a
        repeated call cannot store them twice. Raises `InvalidField`, `NotFound`, `PermissionDenied`, `WrongState`,
        `LimitExceeded`.
        """
        document = {
            "suite_uuid": suite_uuid,
            "task_spec": task,
            "priority": priority,
            "request_id": request_id or str(uuids.uuid4()),
            **_items(payloads),
        }
        stub = task_service_pb2_grpc.TaskServiceStub(self._transport.channel)
        try:
            request = convert.to_message(document, task_service_pb2.SubmitArrayRequest)
            answer = await self._transport.call(stub.SubmitArray, request, repeatable=True)
        except InvalidField as error:
            raise _of_arguments(error) from None
        return convert.decode(answer.tasks, TaskRange)

    async def submit_stream(
        self,
        tasks: Iterable[NewTask] | AsyncIterable[NewTask],
        *,
        suite_uuid: str | None = None,
        group_name: str | None = None,
        request_id: str | None = None,
        on_stored: Callable[[Sequence[str]], None] | None = None,
    ) -> StoredTasks:
        """Submits any number of tasks, in order, and returns where their UUIDs are: the fastest way for many.

        Tasks are stored in batches, each one transaction, and sent in parts of up to 100,000 tasks or 16 MiB. A part is
        kept until it is answered; when the connection breaks, its batches are sent again, and what was stored is not
        stored twice. `on_stored` is called with UUIDs, in order, once it is known that they are stored. A plain
        iterable is read on the event loop, so it should not wait for anything itself.

        After an error the batches before the one at fault stay stored, and a note of the error says of how many tasks
        that is known. The same tasks under the same `request_id` (at most 80 characters) store only what is missing.
        Raises `InvalidField` (a path such as `tasks[17].handler` counts from the first task of all), `NotFound`,
        `PermissionDenied`, `WrongState`, `LimitExceeded`, `Unavailable`.
        """
        if request_id is not None and not 1 <= len(request_id) <= MAX_STREAM_REQUEST_ID:
            described = f"given {len(request_id)} characters; accepts 1 to {MAX_STREAM_REQUEST_ID}"
            raise InvalidField([FieldViolation("request_id", described)])
        name = request_id or str(uuids.uuid4())
        stored: list[TaskRange] = []

        def keep(ranges: Sequence[TaskRange]) -> None:
            stored.extend(ranges)
            if on_stored is not None:
                on_stored(TaskUuids(ranges))

        def count() -> int:
            return sum(item.count for item in stored)

        async with aclosing(batches(tasks, StreamRequest)) as source:
            try:
                for number in itertools.count():
                    if (first := await anext(source, None)) is None:
                        break
                    first.request.suite_uuid = suite_uuid or ""
                    first.request.group_name = group_name or ""
                    first.request.request_id = f"{name}.{number}"
                    part = _Part(first, source)
                    await self._store(part, keep)
                    if part.problem is not None:
                        raise part.problem
            except Exception as error:
                error.add_note(f"{count()} tasks were stored for certain")
                raise
        return StoredTasks(count(), tuple(stored))

    async def _store(self, part: _Part, keep: Callable[[Sequence[TaskRange]], None]) -> None:
        stub = task_service_pb2_grpc.TaskServiceStub(self._transport.channel)
        try:
            async with aclosing(part.batches()) as whole:
                answer = await self._transport.upload(stub.SubmitTaskStream, (batch.request async for batch in whole))
        except InvalidField as error:
            raise in_submission(error, part.first.first) from None
        except (Unavailable, DeadlineExceeded, Internal):
            # What was stored is not known, and not always why it ended: gRPC may put an error of its own over the
            # coordinator's when a stream ends while it is written to. One call for each batch finds out both.
            number = 0
            async with aclosing(part.batches()) as whole:
                async for batch in whole:
                    keep([await self._store_again(batch, part.first.request, number)])
                    number += 1
        else:
            keep(convert.decode(answer, StoredTasks).ranges)

    async def _store_again(self, batch: Batch[StreamRequest], first: StreamRequest, number: int) -> TaskRange:
        request = task_service_pb2.SubmitTasksRequest(
            suite_uuid=first.suite_uuid,
            group_name=first.group_name,
            request_id=f"{first.request_id}/{number}",
            tasks=batch.request.tasks,
        )
        stub = task_service_pb2_grpc.TaskServiceStub(self._transport.channel)
        try:
            answer = await self._transport.call(stub.SubmitTasks, request, repeatable=True)
        except InvalidField as error:
            raise in_submission(error, batch.first) from None
        return TaskRange(answer.task_uuids[0], len(answer.task_uuids))


class _Part:
    """Consecutive batches of a stream, which one call stores; they are kept until it is answered."""

    def __init__(self, first: Batch[StreamRequest], source: AsyncGenerator[Batch[StreamRequest], None]) -> None:
        self.first = first
        self.problem: Exception | None = None
        self._kept = [first]
        self._bytes = first.size_bytes
        self._source = source
        self._is_read = False

    async def batches(self) -> AsyncGenerator[Batch[StreamRequest], None]:
        """Yields those that were read before, and then the rest as it comes: a part ends in the same place every time.

        When the source fails, the part ends there: what came before is stored, and `problem` holds why.
        """
        for batch in self._kept.copy():
            yield batch
        while (
            not self._is_read and len(self._kept) < MAX_PART_BATCHES and self._bytes + MAX_BATCH_BYTES <= MAX_PART_BYTES
        ):
            try:
                read = await anext(self._source, None)
            except Exception as error:
                self.problem = error
                read = None
            if read is None:
                self._is_read = True
                return
            self._kept.append(read)
            self._bytes += read.size_bytes
            yield read


def _items(payloads: range | Sequence[object]) -> Mapping[str, object]:
    """Returns payloads as the document of a request has them."""
    if isinstance(payloads, range):
        return {"range": {"start": payloads.start, "stop": payloads.stop, "step": payloads.step}}
    if isinstance(cast(object, payloads), str | bytes | bytearray) or not isinstance(cast(object, payloads), Sequence):
        accepts = "a range, or a list of JSON values"
        raise InvalidField([FieldViolation("payloads", f"given a {type(payloads).__name__}; accepts {accepts}")])
    return {"list": {"payloads": payloads}}


def _of_arguments(error: InvalidField) -> InvalidField:
    """Returns the refusal of an array, with the names of the arguments."""
    violations = [
        FieldViolation(_ARRAY_FIELD.sub(lambda match: _ARGUMENTS[match[1]], item.field), item.description)
        for item in error.violations
    ]
    return InvalidField(violations, "" if violations else error.message)
