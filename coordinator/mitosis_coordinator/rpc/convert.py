"""Things of the domain as messages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from mitosis.v1 import hook_pb2, manager_pb2, suite_pb2, task_pb2, worker_pb2
from mitosis_coordinator.domain.hook import HookRun, HookSpec
from mitosis_coordinator.domain.manager import Manager
from mitosis_coordinator.domain.plan import WorkerPlan
from mitosis_coordinator.domain.suite import EligibleManager, Suite, SuiteAssignment
from mitosis_coordinator.domain.task import Task, TaskFailure, TaskResult
from mitosis_coordinator.domain.worker import Worker
from mitosis_coordinator.rpc import enums


def optional_timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as a message; None stays None."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def text(identifier: UUID | None) -> str:
    """An identifier as text; empty for None."""
    return "" if identifier is None else str(identifier)


def plan_message(plan: WorkerPlan) -> suite_pb2.WorkerSchedulePlan:
    """A worker plan."""
    return suite_pb2.WorkerSchedulePlan(
        strategy=enums.STRATEGY.number(plan.strategy),
        worker_count=plan.worker_count,
        cpu_binding=enums.CPU_BINDING.number(plan.cpu_binding),
        cores=plan.cores,
        task_prefetch_count=plan.task_prefetch_count,
    )


def hook_message(hook: HookSpec | None) -> hook_pb2.EnvHookSpec | None:
    """A hook; None stays None."""
    if hook is None:
        return None
    return hook_pb2.EnvHookSpec(
        command=hook.command,
        args=hook.args,
        timeout_seconds=hook.timeout_seconds,
        working_directory=hook.working_directory,
        envs=hook.envs,
    )


def suite_message(suite: Suite) -> suite_pb2.TaskSuite:
    """A suite, with as much as was read of it."""
    spec = suite.spec
    return suite_pb2.TaskSuite(
        uuid=str(suite.id),
        name=spec.name,
        description=spec.description,
        group_name=suite.group_name,
        state=enums.SUITE_STATE.number(suite.state),
        labels=spec.labels,
        tags=spec.tags,
        priority=spec.priority,
        worker_schedule=plan_message(spec.plan),
        env_preparation=hook_message(spec.env_preparation),
        env_cleanup=hook_message(spec.env_cleanup),
        task_defaults=task_spec(spec.task_defaults) if spec.task_defaults else None,
        auto_close_timeout_seconds=spec.auto_close_timeout_seconds,
        max_preparation_failures=spec.max_preparation_failures,
        max_attempts=spec.max_attempts,
        closed=suite.closed,
        total_tasks=suite.counters.total,
        pending_tasks=suite.counters.pending,
        completed_tasks=suite.counters.completed,
        failed_tasks=suite.counters.failed,
        cancelled_tasks=suite.counters.cancelled,
        assigned_managers=suite.assigned_managers,
        created_by=suite.created_by,
        created_at=optional_timestamp(suite.created_at),
        updated_at=optional_timestamp(suite.updated_at),
        finished_at=optional_timestamp(suite.finished_at),
        reason=suite.reason,
        preparation_failures=suite.preparation_failures,
        hook_runs=[hook_run_message(run) for run in suite.hook_runs],
        eligible_managers=[eligible_message(eligible) for eligible in suite.eligible_managers],
        assignments=[_assignment_message(assignment) for assignment in suite.assignments],
    )


def _assignment_message(assignment: SuiteAssignment) -> suite_pb2.SuiteAssignment:
    return suite_pb2.SuiteAssignment(
        manager_uuid=str(assignment.manager_id),
        manager_name=assignment.manager_name,
        started_at=optional_timestamp(assignment.started_at),
        ended_at=optional_timestamp(assignment.ended_at),
        end_reason=assignment.end_reason,
        preparation_failed=assignment.preparation_failed,
    )


def hook_run_message(run: HookRun) -> hook_pb2.HookRun:
    """One run of a hook."""
    return hook_pb2.HookRun(
        hook_type=enums.HOOK_TYPE.number(run.hook_type),
        result=enums.HOOK_RESULT.number(run.result),
        manager_uuid=str(run.manager_id),
        manager_name=run.manager_name,
        exit_code=run.exit_code,
        error=run.error,
        output_tail=run.output_tail,
        started_at=optional_timestamp(run.started_at),
        duration_seconds=run.duration_seconds,
    )


def eligible_message(eligible: EligibleManager) -> suite_pb2.EligibleManager:
    """One manager that may run a suite."""
    return suite_pb2.EligibleManager(
        manager_uuid=str(eligible.manager_id),
        manager_name=eligible.manager_name,
        selection=enums.SELECTION.number(eligible.selection),
        assigned=eligible.assigned,
    )


def task_spec(stored: bytes) -> task_pb2.TaskSpec:
    """A task's spec, as it was submitted."""
    return task_pb2.TaskSpec.FromString(stored)


def task_message(task: Task) -> task_pb2.Task:
    """A task, with as much as was read of it."""
    return task_pb2.Task(
        uuid=str(task.id),
        suite_uuid=text(task.suite_id),
        group_name=task.group_name,
        state=enums.TASK_STATE.number(task.state),
        attempt=task.attempt,
        priority=task.priority,
        task_spec=task_spec(task.spec),
        created_by=task.created_by,
        manager_uuid=text(task.manager_id),
        manager_name=task.manager_name,
        created_at=optional_timestamp(task.created_at),
        started_at=optional_timestamp(task.started_at),
        finished_at=optional_timestamp(task.finished_at),
        retry_at=optional_timestamp(task.retry_at),
        result=result_message(task.result) if task.result else None,
        failures=[failure_message(failure) for failure in task.failures],
        tags=task.tags,
        worker_uuid=text(task.worker_id),
        worker_name=task.worker_name,
    )


def result_message(result: TaskResult) -> task_pb2.TaskResult:
    """What a run left behind."""
    return task_pb2.TaskResult(
        exit_code=result.exit_code,
        error=result.error,
        stdout_tail=result.stdout_tail,
        stderr_tail=result.stderr_tail,
        return_value=result.return_value,
    )


def failure_message(failure: TaskFailure) -> task_pb2.TaskFailure:
    """One failure."""
    return task_pb2.TaskFailure(
        kind=enums.FAILURE_KIND.number(failure.kind),
        attempt=failure.attempt,
        manager_uuid=text(failure.manager_id),
        manager_name=failure.manager_name,
        error=failure.error,
        failed_at=optional_timestamp(failure.failed_at),
        worker_uuid=text(failure.worker_id),
        worker_name=failure.worker_name,
    )


def manager_message(manager: Manager) -> manager_pb2.NodeManager:
    """A node manager."""
    metrics = manager.metrics
    return manager_pb2.NodeManager(
        uuid=str(manager.id),
        name=manager.name,
        state=enums.MANAGER_STATE.number(manager.state),
        tags=manager.tags,
        max_workers=manager.max_workers,
        group_memberships=[
            manager_pb2.GroupMembership(
                group_name=membership.group_name,
                role=enums.MANAGER_ROLE.number(membership.role),
            )
            for membership in manager.memberships
        ],
        assigned_suite_uuid=text(manager.assigned_suite_id),
        metrics=manager_pb2.ManagerMetrics(
            active_workers=metrics.active_workers,
            tasks_completed=metrics.tasks_completed,
            tasks_failed=metrics.tasks_failed,
            prefetch_buffer_size=metrics.prefetch_buffer_size,
            worker_restarts=metrics.worker_restarts,
            prefetch_hits=metrics.prefetch_hits,
            prefetch_misses=metrics.prefetch_misses,
        ),
        created_by=manager.created_by,
        created_at=optional_timestamp(manager.created_at),
        last_heartbeat=optional_timestamp(manager.last_heartbeat_at),
        draining=manager.draining,
        version=manager.version,
        hostname=manager.hostname,
        reason=manager.reason,
    )


def worker_message(worker: Worker) -> worker_pb2.Worker:
    """An independent worker."""
    return worker_pb2.Worker(
        uuid=str(worker.id),
        name=worker.name,
        state=enums.WORKER_STATE.number(worker.pulse.state),
        tags=worker.tags,
        group_names=[group.name for group in worker.groups],
        tasks_completed=worker.pulse.tasks_completed,
        tasks_failed=worker.pulse.tasks_failed,
        created_by=worker.created_by,
        created_at=optional_timestamp(worker.created_at),
        last_heartbeat=optional_timestamp(worker.last_heartbeat_at),
        version=worker.version,
        hostname=worker.hostname,
    )
