"""What users do with tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from mitosis_coordinator.domain.errors import (
    FieldViolation,
    InvalidField,
    LimitExceeded,
    NotFound,
    RequestIdReused,
    WrongState,
)
from mitosis_coordinator.domain.ids import UuidBlock, uuid_block
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.domain.suite import SUITE, Suite, SuiteEvent, SuiteState
from mitosis_coordinator.domain.task import TASK, AttemptRef, NewTask, Retries, Task, TaskEvent
from mitosis_coordinator.services.access import require_role
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import LiveSessions, LiveWorkers, Signals
from mitosis_coordinator.storage import suites, task_reads, tasks
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
        *,
        max_tasks_per_suite: int,
    ) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions
        self._workers = workers
        self._completion = completion
        self._max_tasks_per_suite = max_tasks_per_suite

    async def submit(
        self,
        principal: UserPrincipal,
        group_name: str,
        suite_id: UUID | None,
        new_tasks: Sequence[NewTask],
        request_id: str,
        fingerprint: bytes,
        *,
        field: str = "tasks[{index}].task_spec",
    ) -> UuidBlock:
        """Store tasks, all or none, or return what the same request stored before.

        Args:
            principal: Who asks; needs the role Member.
            group_name: The owner; may be empty with a suite.
            suite_id: The suite, or None for independent tasks.
            new_tasks: One or more, checked already.
            request_id: The caller's name for this request; empty for none.
            fingerprint: A digest of the request, to tell a repetition from a reuse of the id.
            field: How errors name a task's spec, with `{index}` for its place.

        Returns:
            The tasks' ids, in the order given.

        Raises:
            NotFound: Group or suite do not exist for the caller.
            PermissionDenied: The caller may only see it.
            InvalidField: The group is not the suite's, or a task says nothing of what to run.
            WrongState: The suite is Cancelled or Failed.
            LimitExceeded: The suite would have too many tasks.
            RequestIdReused: The id was used for another request.
        """
        ids = uuid_block(len(new_tasks))
        async with self._database.transaction() as connection:
            suite, group_id = await self._target(connection, principal, group_name, suite_id)
            if request_id:
                wanted = suites.RememberedRequest(fingerprint, ids[0], len(ids))
                known = await suites.remember_request(connection, principal.user_id, request_id, wanted)
                if known is not None:
                    if known.fingerprint != fingerprint:
                        raise RequestIdReused(f"request_id {request_id} was used for another request")
                    return UuidBlock(known.resource_id, known.resource_count)
            # After that: a repetition is answered as the first call was, whatever became of the suite meanwhile.
            if suite is not None:
                SUITE.after(suite.state, SuiteEvent.SUBMITTED, str(suite.id))
            _require_something_to_run(new_tasks, suite, field)
            defaults = suite.spec.retries if suite is not None else Retries()
            await tasks.insert(connection, ids, new_tasks, suite_id, group_id, principal.username, defaults)
            if suite is not None:
                await self._count_in(connection, suite, len(ids))
        if suite_id is None:
            self._signals.independent_tasks_ready(group_id)
        else:
            self._signals.tasks_ready(suite_id)
            self._signals.suite_changed(suite_id)
        return ids

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
            cancelled = await tasks.cancel(connection, task_id, error)
            task = await self._visible(connection, principal, task_id, GroupRole.MEMBER)
            if cancelled is None:
                allowed = TASK.allowed(task.state)
                raise WrongState("task", str(task_id), task.state, TaskEvent.CANCELLED, allowed)
            if task.suite_id is not None:
                await suites.count_cancelled(connection, task.suite_id, 1)
        ref = AttemptRef(str(task_id), cancelled.attempt)
        if cancelled.assignment_id is not None and cancelled.manager_id is not None:
            self._sessions.cancel_tasks(cancelled.manager_id, cancelled.assignment_id, [ref])
        elif cancelled.assignment_id is not None and cancelled.worker_id is not None:
            self._workers.cancel_tasks(cancelled.worker_id, cancelled.assignment_id, [ref])
        if task.suite_id is not None:
            self._signals.suite_changed(task.suite_id)
            await self._completion.complete_if_finished([task.suite_id])
        return task

    async def _target(
        self, connection: Connection, principal: UserPrincipal, group_name: str, suite_id: UUID | None
    ) -> tuple[Suite | None, UUID]:
        if suite_id is None:
            return None, await group_for(connection, principal, group_name, GroupRole.MEMBER)
        suite = await suites.get(connection, suite_id)
        if suite is None:
            raise NotFound("suite", str(suite_id))
        require_role(principal, suite.group_id, GroupRole.MEMBER, "suite", str(suite_id))
        if group_name and group_name != suite.group_name:
            raise InvalidField.one(
                "group_name", group_name, f'"{suite.group_name}", the group of the suite, or nothing'
            )
        return suite, suite.group_id

    async def _count_in(self, connection: Connection, suite: Suite, count: int) -> None:
        """Count tasks into their suite, last, so that its row is locked only for a moment."""
        before = await suites.count_submitted(connection, suite.id, count, self._max_tasks_per_suite)
        if before is SuiteState.COMPLETE:
            # Managers that came while it was at rest do not know it.
            await suites.match(connection, suite.id)
        if before is not None:
            return
        now = await suites.get(connection, suite.id)
        if now is None:
            raise NotFound("suite", str(suite.id))
        SUITE.after(now.state, SuiteEvent.SUBMITTED, str(suite.id))
        subject = f"tasks of suite {suite.id}"
        raise LimitExceeded(subject, str(now.counters.total + count), str(self._max_tasks_per_suite))

    async def _visible(self, connection: Connection, principal: UserPrincipal, task_id: UUID, role: GroupRole) -> Task:
        task = await task_reads.get(connection, task_id)
        if task is None:
            raise NotFound("task", str(task_id))
        require_role(principal, task.group_id, role, "task", str(task_id))
        return task


def _require_something_to_run(new_tasks: Sequence[NewTask], suite: Suite | None, field: str) -> None:
    if suite is not None and suite.spec.runs_by_default:
        return
    violations = [
        FieldViolation(
            field.format(index=index),
            "none of command, args, handler and payload",
            "one of command, args and handler; or a payload for what the suite's task_defaults or the manager's "
            "worker_defaults run",
        )
        for index, task in enumerate(new_tasks)
        if task.says_nothing
    ]
    if violations:
        raise InvalidField(violations[:100])
