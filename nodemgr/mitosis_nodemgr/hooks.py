"""Runs a suite's hooks: a process group with a time limit, an environment, and a tail of its output."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mitosis.v1 import hook_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.processes import DEFAULT_TAIL_BYTES, describe_exit
from mitosis_nodemgr import bound_exec
from mitosis_nodemgr.child import Child, ProcessId, spawn
from mitosis_nodemgr.task_book import timestamp

_NAMES = {
    hook_pb2.HOOK_TYPE_PREPARATION: "env_preparation",
    hook_pb2.HOOK_TYPE_CLEANUP: "env_cleanup",
}


@dataclass(frozen=True, slots=True)
class HookContext:
    """What every hook of an assignment has in common."""

    assignment_id: int
    suite_uuid: str
    suite_name: str
    group_name: str
    worker_count: int
    manager_uuid: str
    # The manager's own environment, `hooks.env`, and the mark by which leftovers are found.
    environment: Mapping[str, str]
    timeout_seconds: float
    stop_grace_seconds: float
    # The soft limit of open files.
    open_files: int

    def variables(self, hook_type: hook_pb2.HookType) -> dict[str, str]:
        """Returns the variables that tell a hook what it is run for."""
        return {
            "MITOSIS_TASK_SUITE_UUID": self.suite_uuid,
            "MITOSIS_TASK_SUITE_NAME": self.suite_name,
            "MITOSIS_GROUP_NAME": self.group_name,
            "MITOSIS_WORKER_COUNT": str(self.worker_count),
            "MITOSIS_NODE_MANAGER_ID": self.manager_uuid,
            "MITOSIS_HOOK_TYPE": _NAMES[hook_type],
        }


class Hook:
    """One run of one hook.

    What it leaves running after a success may serve the tasks, so it lives on; it is killed with the suite. After a
    failure, a timeout or a stop the whole process group is killed at once.
    """

    def __init__(
        self,
        spec: hook_pb2.EnvHookSpec,
        hook_type: hook_pb2.HookType,
        context: HookContext,
        on_start: Callable[[ProcessId], None] = lambda _: None,
    ) -> None:
        self._spec = spec
        self._type = hook_type
        self._context = context
        self._on_start = on_start
        self._stop = asyncio.Event()
        self._child: Child | None = None

    def stop(self) -> None:
        """Ends the hook; its run reports CANCELLED."""
        self._stop.set()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    async def run(self) -> stream.HookReport:
        """Runs the hook to its end, whatever that is. When cancelled it kills the process group."""
        began, started_at = time.monotonic(), time.time()
        report = stream.HookReport(
            assignment_id=self._context.assignment_id, hook_type=self._type, started_at=timestamp(started_at)
        )
        try:
            self._child = self._start()
        except OSError as error:
            report.result = hook_pb2.HOOK_RESULT_FAILURE
            report.error = f"could not be started: {error.strerror}: {error.filename}"
        else:
            await self._see_through(self._child, report)
            report.output_tail = self._child.tail.text()
        report.duration_seconds = time.monotonic() - began
        return report

    def _start(self) -> Child:
        spec = self._spec
        argv = ["/bin/sh", "-c", spec.command] if spec.command else list(spec.args)
        # -I and -S: the hook's own PYTHONPATH is for the hook, and site-packages would only cost time.
        child = spawn(
            [sys.executable, "-I", "-S", bound_exec.__file__, str(os.getpid()), str(self._context.open_files), *argv],
            env={**self._context.environment, **spec.envs, **self._context.variables(self._type)},
            cwd=spec.working_directory or None,
            tail_bytes=DEFAULT_TAIL_BYTES,
        )
        self._on_start(child.id)
        return child

    async def _see_through(self, child: Child, report: stream.HookReport) -> None:
        limit = self._spec.timeout_seconds if self._spec.HasField("timeout_seconds") else self._context.timeout_seconds
        stopped = asyncio.ensure_future(self._stop.wait())
        either: set[asyncio.Future[Any]] = {child.exited, stopped}
        try:
            await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            grace = self._context.stop_grace_seconds
            if child.exited.done():
                returncode = child.exited.result()
                report.result = hook_pb2.HOOK_RESULT_FAILURE if returncode else hook_pb2.HOOK_RESULT_SUCCESS
                report.error = describe_exit(returncode) if returncode else ""
                if returncode:
                    await child.end(0)
            elif self._stop.is_set():
                returncode = await child.end(grace)
                report.result = hook_pb2.HOOK_RESULT_CANCELLED
                report.error = "stopped, because the suite is being let go"
            else:
                returncode = await child.end(grace)
                report.result = hook_pb2.HOOK_RESULT_TIMEOUT
                report.error = f"ran longer than {limit:g} s"
            if returncode >= 0:
                report.exit_code = returncode
        except asyncio.CancelledError:
            await child.end(0)
            raise
        finally:
            stopped.cancel()


def failed_preparation(assignment_id: int, error: str, output_tail: str = "") -> stream.HookReport:
    """Reports, in place of the preparation, that the environment is not fit to run tasks."""
    return stream.HookReport(
        assignment_id=assignment_id,
        hook_type=hook_pb2.HOOK_TYPE_PREPARATION,
        result=hook_pb2.HOOK_RESULT_FAILURE,
        error=error,
        output_tail=output_tail,
        started_at=timestamp(time.time()),
    )
