"""Cuts a stream of tasks into batches that fit one call, without holding more than one batch."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from mitosis.v1 import task_pb2, task_service_pb2
from mitosis_client import convert
from mitosis_client.errors import FieldViolation, InvalidField
from mitosis_client.specs import NewTask
from mitosis_common.json_reader import json_text

MAX_BATCH_TASKS = 2_000
MAX_BATCH_BYTES = 4 * 1024 * 1024

# Fields of a task that are not part of its spec.
_BESIDE = frozenset({"priority", "tags"})
_SPEC_FIELDS = ", ".join(sorted(task_pb2.TaskSpec.DESCRIPTOR.fields_by_name))
_TASK_FIELDS = ", ".join(sorted([*task_pb2.TaskSpec.DESCRIPTOR.fields_by_name, *_BESIDE]))
# Fields of a spec that hold text, in the JSON form as in the message.
_TEXTS = frozenset({"command", "handler", "working_directory"})
_TASK_PATH = re.compile(r"^tasks\[(\d+)\](?:\.task_spec(?=\.|$))?")

Request = TypeVar("Request", task_service_pb2.SubmitTasksRequest, task_service_pb2.SubmitTaskStreamRequest)


@dataclass(slots=True)
class Batch(Generic[Request]):
    """A request with tasks `first`, `first + 1`, ... of a submission."""

    first: int
    request: Request
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


def in_submission(error: InvalidField, first: int) -> InvalidField:
    """Returns the refusal of a batch that began with task `first`, with the places and fields of the whole submission.

    There a task's fields stand by themselves, and places count from the first task of all.
    """

    def named(path: str) -> str:
        return _TASK_PATH.sub(lambda match: f"tasks[{first + int(match[1])}]", path)

    violations = [FieldViolation(named(item.field), item.description) for item in error.violations]
    return InvalidField(violations, "" if violations else error.message)


async def batches(
    tasks: Iterable[NewTask] | AsyncIterable[NewTask],
    kind: type[Request],
    *,
    max_tasks: int = MAX_BATCH_TASKS,
    max_bytes: int = MAX_BATCH_BYTES,
) -> AsyncGenerator[Batch[Request], None]:
    """Yields full batches as the tasks come, and what is left at the end; the same tasks are cut in the same places.

    Raises `InvalidField` with a path such as `tasks[17].handler`.
    """
    cutter = _Cutter(kind, max_tasks, max_bytes)
    if isinstance(tasks, AsyncIterable):
        async for task in tasks:
            if (full := cutter.add(task)) is not None:
                yield full
    else:
        for task in tasks:
            if (full := cutter.add(task)) is not None:
                yield full
    if cutter.batch.request.tasks:
        yield cutter.batch


class _Cutter(Generic[Request]):
    """Fills one batch after the other."""

    def __init__(self, kind: type[Request], max_tasks: int, max_bytes: int) -> None:
        self._kind: type[Request] = kind
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._index = 0
        self.batch: Batch[Request] = Batch(0, kind())

    def add(self, task: NewTask) -> Batch[Request] | None:
        """Adds a task, and returns the batch before it when that is full."""
        batch, full = self.batch, None
        message = batch.request.tasks.add()
        _fill(message, task, self._index)
        size = message.ByteSize()
        count = len(batch.request.tasks)
        if count > self._max_tasks or (count > 1 and batch.size_bytes + size > self._max_bytes):
            full = batch
            self.batch = batch = Batch(self._index, self._kind())
            batch.request.tasks.append(message)
            del full.request.tasks[-1]
        batch.size_bytes += size
        self._index += 1
        return full


def _fill(message: task_service_pb2.NewTask, task: NewTask, index: int) -> None:
    """Fills in a task. Raises `InvalidField` with paths under `tasks[index]`."""
    # Most tasks are a handler or a command and a payload; to read any task, or to say what is wrong, costs much more.
    if type(task) is dict:
        spec = message.task_spec
        try:
            for name, value in task.items():
                if name == "payload":
                    spec.payload = json_text(value)
                elif type(value) is str and name in _TEXTS:
                    setattr(spec, name, value)
                else:
                    break
            else:
                spec.SetInParent()
                return
        except (TypeError, ValueError, RecursionError):
            pass
        message.Clear()
    message.CopyFrom(new_task(task, index))
