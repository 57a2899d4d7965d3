"""Cuts a stream of tasks into batches that fit one call, without holding more than one batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import cast

from mitosis.v1 import task_pb2, task_service_pb2
from mitosis_client import convert
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.specs import NewTask

MAX_BATCH_TASKS = 2_000
MAX_BATCH_BYTES = 4 * 1024 * 1024

# Fields of a task that are not part of its spec.
_BESIDE = frozenset({"priority", "tags"})
_SPEC_FIELDS = ", ".join(sorted(task_pb2.TaskSpec.DESCRIPTOR.fields_by_name))
_TASK_FIELDS = ", ".join(sorted([*task_pb2.TaskSpec.DESCRIPTOR.fields_by_name, *_BESIDE]))


@dataclass(slots=True)
class Batch:
    """Tasks `first`, `first + 1`, ... of a submission."""

    first: int
    tasks: list[task_service_pb2.NewTask] = field(default_factory=list)
    size_bytes: int = 0


def new_task(task: NewTask, index: int) -> task_service_pb2.NewTask:
    """Returns the message for one task, whose fields stand beside its priority and its tags.

    Raises `InvalidField` with paths under `tasks[index]`.
    """
    path = f"tasks[{index}]"
    if not isinstance(cast(object, task), dict) or not _BESIDE & task.keys():
        return task_service_pb2.NewTask(task_spec=_spec(task, path))
    fields = {name: value for name, value in task.items() if name not in _BESIDE}
    beside = {name: value for name, value in task.items() if name in _BESIDE}
    violations: list[FieldViolation] = []
    message = task_service_pb2.NewTask()
    try:
        message = convert.to_message(beside, task_service_pb2.NewTask, path)
    except InvalidField as error:
        violations.extend(error.violations)
    try:
        message.task_spec.CopyFrom(_spec(fields, path))
    except InvalidField as error:
        violations.extend(error.violations)
    if violations:
        raise InvalidField(violations)
    return message


def _spec(fields: object, path: str) -> task_pb2.TaskSpec:
    try:
        return convert.to_message(fields, task_pb2.TaskSpec, path)
    except InvalidField as error:
        # Here priority and tags are fields like the others.
        raise InvalidField(
            [
                FieldViolation(item.field, item.description.replace(_SPEC_FIELDS, _TASK_FIELDS))
                for item in error.violations
            ]
        ) from None


async def batches(
    tasks: Iterable[NewTask] | AsyncIterable[NewTask],
    *,
    max_tasks: int = MAX_BATCH_TASKS,
    max_bytes: int = MAX_BATCH_BYTES,
) -> AsyncGenerator[Batch, None]:
    """Yields full batches as the tasks come, and what is left at the end. Raises `InvalidField`."""
    batch = Batch(0)
    index = -1
    async for task in _asynchronous(tasks):
        index += 1
        message = new_task(task, index)
        size = message.ByteSize()
        if batch.tasks and (len(batch.tasks) >= max_tasks or batch.size_bytes + size > max_bytes):
            yield batch
            batch = Batch(index)
        batch.tasks.append(message)
        batch.size_bytes += size
    if batch.tasks:
        yield batch


async def _asynchronous(tasks: Iterable[NewTask] | AsyncIterable[NewTask]) -> AsyncIterator[NewTask]:
    if isinstance(tasks, AsyncIterable):
        async for task in tasks:
            yield task
    else:
        for task in tasks:
            yield task
