"""What users do with tasks."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from mitosis_coordinator.domain.errors import (
    NotFound,
    WrongState,
)
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.domain.task import TASK, AttemptRef, Task, TaskEvent
from mitosis_coordinator.services.access import require_role
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import LiveSessions, LiveWorkers, Signals
from mitosis_coordinator.storage import suites, task_arrays, task_reads, tasks
from mitosis_coordinator.storage.pool import Connection, Database


class TaskService:
    """Use cases of tasks; each is one transaction."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        sessions: LiveSessions,
        workers: LiveWorkers,
        completion: Completion,
    ) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions
        self._workers = workers
        self._completion = completion

    async def get(self, principal: UserPrincipal, task_id: UUID) -> Task:
        """Read a task with its failures.

        Raises:
            NotFound: There is none that the caller may see.
        """
        async with self._database.connection() as connection:
            task = await self._visible(connection, principal, task_id, GroupRole.VIEWER)
            return replace(task, failures=tuple(await task_reads.failures(connection, task_id)))

    async def listed(
        self, principal: UserPrincipal, group_name: str, wanted: task_reads.TaskFilter, before: UUID | None, limit: int
    ) -> list[Task]:
        """Read one page of the tasks that the caller may see, newest first.

        Raises:
            NotFound: Group or suite do not exist for the caller.
        """
        async with self._database.connection() as connection:
            group_ids = principal.visible_groups()
            if group_name:
                group_ids = [await group_for(connection, principal, group_name, GroupRole.VIEWER)]
            if wanted.suite_id is not None:
                suite = await suites.get(connection, wanted.suite_id)
                if suite is None:
                    raise NotFound("suite", str(wanted.suite_id))
                require_role(principal, suite.group_id, GroupRole.VIEWER, "suite", str(wanted.suite_id))
                if group_name and group_ids != [suite.group_id]:
                    return []
            return await task_reads.listed(connection, replace(wanted, group_ids=group_ids), before, limit)

    async def cancel(self, principal: UserPrincipal, task_id: UUID, reason: str) -> Task:
        """Cancel a task that is not finished, and have its process stopped.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is finished.
        """
        error = f"cancelled: {reason}" if reason else "cancelled"
        async with self._database.transaction() as connection:
            task = await self._visible(connection, principal, task_id, GroupRole.MEMBER)
            if task.suite_id is not None:
                await suites.lock(connection, task.suite_id)
            # First what is not made yet: once its array is locked, it is there or it is made.
            unmade = await task_arrays.cancel(connection, task_id, error)
            cancelled = None if unmade else await tasks.cancel(connection, task_id, error)
            task = await self._visible(connection, principal, task_id, GroupRole.MEMBER)
            if cancelled is None and not unmade:
                allowed = TASK.allowed(task.state)
                raise WrongState("task", str(task_id), task.state, TaskEvent.CANCELLED, allowed)
            if task.suite_id is not None:
                await suites.count_cancelled(connection, task.suite_id, 1)
        if cancelled is not None and cancelled.assignment_id is not None:
            ref = AttemptRef(str(task_id), cancelled.attempt)
            if cancelled.manager_id is not None:
                self._sessions.cancel_tasks(cancelled.manager_id, cancelled.assignment_id, [ref])
            elif cancelled.worker_id is not None:
                self._workers.cancel_tasks(cancelled.worker_id, cancelled.assignment_id, [ref])
        if task.suite_id is not None:
            self._signals.suite_changed(task.suite_id)
            await self._completion.complete_if_finished([task.suite_id])
        return task

    async def _visible(self, connection: Connection, principal: UserPrincipal, task_id: UUID, role: GroupRole) -> Task:
        task = await task_reads.get(connection, task_id)
        if task is None:
            raise NotFound("task", str(task_id))
        require_role(principal, task.group_id, role, "task", str(task_id))
        return task
