"""Functions as tasks, and what they return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from mitosis_client.aio.suites import SuiteCalls
from mitosis_client.aio.tasks import TaskCalls
from mitosis_client.errors import DeadlineExceeded, FieldViolation, InvalidField, TaskFailed
from mitosis_client.functions import handler_of
from mitosis_client.models import JsonValue, Suite, Task, TaskState
from mitosis_client.specs import NewTask
from mitosis_common.backoff import Backoff

# Between two looks at a task of no suite, in seconds: there is no stream that tells of it.
_FIRST_LOOK, _LAST_LOOK = 0.2, 2.0


class ResultCalls(SuiteCalls, TaskCalls):
    """What is made of several calls: a function goes in, and what it returned comes out."""

    async def submit(
        self, suite: Suite | str, function: Callable[..., object], options: NewTask | None = None, /, **payload: object
    ) -> Task:
        """Submits a call of a function to a suite and returns the task; `result` gives what the function returned.

        The worker imports the function's module and calls the function with one argument: the dictionary of all
        keywords. `options` are other fields of the task, such as `{"timeout_seconds": 60}`. Raises `InvalidField` for a
        function that workers cannot import, and whatever `submit_task` raises.
        """
        fields = options or {}
        taken = [name for name in ("handler", "payload") if name in fields]
        if taken:
            raise InvalidField(
                [FieldViolation(name, "given with a function; accepts no value of its own") for name in taken]
            )
        task: NewTask = {**fields, "handler": handler_of(function), "payload": payload}
        return await self.submit_task(task, suite_uuid=suite.uuid if isinstance(suite, Suite) else suite)

    async def wait_for_task(self, task: Task | str, *, timeout: float | None = None) -> Task:
        """Waits until a task is Completed, Failed or Cancelled, and returns it with its result.

        To wait for many tasks, wait for their suite. Raises `DeadlineExceeded` after `timeout` seconds, `NotFound`.
        """
        uuid = task.uuid if isinstance(task, Task) else task
        try:
            async with asyncio.timeout(timeout):
                return await self._finished(uuid)
        except TimeoutError:
            raise DeadlineExceeded(f"task {uuid} did not end within {timeout:g} s") from None

    async def result(self, task: Task | str, *, timeout: float | None = None) -> JsonValue:
        """Waits for a task and returns what its handler returned, nothing for a command.

        Raises `TaskFailed` when it did not complete, `DeadlineExceeded` after `timeout` seconds, `NotFound`.
        """
        finished = await self.wait_for_task(task, timeout=timeout)
        if finished.state is not TaskState.COMPLETED:
            raise TaskFailed(finished)
        return finished.result.return_value if finished.result else None

    async def _finished(self, uuid: str) -> Task:
        found = await self.get_task(uuid)
        if found.suite_uuid and not found.state.is_finished:
            async with aclosing(self.watch_suite(found.suite_uuid)) as changes:
                async for _ in changes:
                    found = await self.get_task(uuid)
                    if found.state.is_finished:
                        break
        delays = Backoff(_FIRST_LOOK, _LAST_LOOK)
        while not found.state.is_finished:
            await asyncio.sleep(next(delays))
            found = await self.get_task(uuid)
        return found
