"""Requests as things of the domain: checked field by field, all mistakes told at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import Message

from mitosis.v1 import (
    hook_pb2,
    manager_pb2,
    manager_service_pb2,
    suite_pb2,
    suite_service_pb2,
    task_pb2,
    worker_service_pb2,
)
from mitosis.v1 import task_service_pb2 as task_service
from mitosis_coordinator.domain.errors import LimitExceeded
from mitosis_coordinator.domain.hook import HookSpec
from mitosis_coordinator.domain.manager import ManagerRole
from mitosis_coordinator.domain.plan import MAX_WORKERS, Strategy, WorkerPlan
from mitosis_coordinator.domain.rules import MAX_AUTO_CLOSE_SECONDS, MAX_PRIORITY, Rules
from mitosis_coordinator.domain.suite import SuiteSpec
from mitosis_coordinator.domain.task import NO_RETRIES, NewArray, NewTask, Retries
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.services.managers import NewManager
from mitosis_coordinator.services.workers import NewWorker

MAX_HOOK_SECONDS = 86_400
MAX_TASK_SECONDS = 604_800
MAX_BACKOFF_SECONDS = 86_400
MAX_MANAGERS_PER_CALL = 1000
MAX_EXACT_INTEGER = 2**53
"""Beyond it many readers of JSON round."""
MAX_GROUPS_PER_MANAGER = 100
MAX_GROUPS_PER_WORKER = 100

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a request may be, from the configuration."""

    max_payload_bytes: int
    max_batch_tasks: int
    max_batch_bytes: int
    default_auto_close_timeout_seconds: int
    default_prefetch_count: int


def fingerprint(request: Message) -> bytes:
    """A digest of a request, to tell a repetition from another request under the same request_id."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def new_suite(request: suite_service_pb2.CreateSuiteRequest, limits: Limits) -> SuiteSpec:
    """What a user says of a suite.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    rules.request_id(request.request_id)
    auto_close = limits.default_auto_close_timeout_seconds
    if request.HasField("auto_close_timeout_seconds"):
        auto_close = request.auto_close_timeout_seconds
    spec = SuiteSpec(
        name=rules.name("name", request.name),
        description=rules.text("description", request.description),
        labels=rules.labels("labels", request.labels),
        tags=rules.tags("tags", request.tags),
        priority=rules.integer("priority", request.priority, -MAX_PRIORITY, MAX_PRIORITY),
        plan=worker_plan(rules, "worker_schedule", request.worker_schedule, limits),
        env_preparation=_hook(rules, request, "env_preparation"),
        env_cleanup=_hook(rules, request, "env_cleanup"),
        task_defaults=request.task_defaults.SerializeToString(),
        runs_by_default=_task_spec(rules, "task_defaults", request.task_defaults, limits),
        retries=_retries(request.task_defaults),
        auto_close_timeout_seconds=rules.integer("auto_close_timeout_seconds", auto_close, 0, MAX_AUTO_CLOSE_SECONDS),
        max_preparation_failures=_small_count(rules, request, "max_preparation_failures"),
        max_attempts=_small_count(rules, request, "max_attempts"),
    )
    rules.raise_if_broken()
    return spec


def suite_change(request: suite_service_pb2.UpdateSuiteRequest, limits: Limits) -> Callable[[SuiteSpec], SuiteSpec]:
    """What a user changes of a suite: the fields that are present.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    changes: dict[str, object] = {}

    def change(field: str, value: Callable[[], object]) -> None:
        if request.HasField(field):
            changes[field] = value()

    change("name", lambda: rules.name("name", request.name))
    change("description", lambda: rules.text("description", request.description))
    change("labels", lambda: rules.labels("labels.values", request.labels.values))
    change("tags", lambda: rules.tags("tags.values", request.tags.values))
    change("priority", lambda: rules.integer("priority", request.priority, -MAX_PRIORITY, MAX_PRIORITY))
    change("env_preparation", lambda: _hook(rules, request, "env_preparation"))
    change("env_cleanup", lambda: _hook(rules, request, "env_cleanup"))
    change("max_preparation_failures", lambda: _small_count(rules, request, "max_preparation_failures"))
    change("max_attempts", lambda: _small_count(rules, request, "max_attempts"))
    change(
        "auto_close_timeout_seconds",
        lambda: rules.integer(
            "auto_close_timeout_seconds", request.auto_close_timeout_seconds, 0, MAX_AUTO_CLOSE_SECONDS
        ),
    )
    if request.HasField("worker_schedule"):
        changes["plan"] = worker_plan(rules, "worker_schedule", request.worker_schedule, limits)
    if request.HasField("task_defaults"):
        changes["runs_by_default"] = _task_spec(rules, "task_defaults", request.task_defaults, limits)
        changes["task_defaults"] = request.task_defaults.SerializeToString()
        changes["retries"] = _retries(request.task_defaults)
    rules.raise_if_broken()
    return lambda spec: replace(spec, **changes)  # type: ignore[arg-type]


def worker_plan(rules: Rules, field: str, plan: suite_pb2.WorkerSchedulePlan, limits: Limits) -> WorkerPlan:
    """A worker plan."""
    worker_count = plan.worker_count if plan.HasField("worker_count") else None
    if worker_count is not None:
        rules.integer(f"{field}.worker_count", worker_count, 1, MAX_WORKERS)
    prefetch = plan.task_prefetch_count if plan.HasField("task_prefetch_count") else limits.default_prefetch_count
    return WorkerPlan(
        strategy=enums.STRATEGY.accept(rules, f"{field}.strategy", plan.strategy) or Strategy.FIXED,
        worker_count=worker_count,
        cpu_binding=enums.CPU_BINDING.accept(rules, f"{field}.cpu_binding", plan.cpu_binding),
        cores=rules.cores(f"{field}.cores", plan.cores),
        task_prefetch_count=rules.integer(f"{field}.task_prefetch_count", prefetch, 0, MAX_WORKERS),
    )


def new_task(request: task_service.SubmitTaskRequest, limits: Limits) -> NewTask:
    """One task to store.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    rules.request_id(request.request_id)
    task = _new_task(rules, "", request, limits, in_suite=bool(request.suite_uuid))
    rules.raise_if_broken()
    return task


def new_tasks(
    request: task_service.SubmitTasksRequest | task_service.SubmitTaskStreamRequest, limits: Limits, before: int = 0
) -> list[NewTask]:
    """Tasks to store; `before` of them came earlier in the same stream.

    Raises:
        InvalidField: Something is wrong with them.
        LimitExceeded: They are too many, or too large together.
    """
    rules = Rules()
    rules.request_id(request.request_id)
    if not request.tasks:
        rules.tell("tasks", "none", f"1 to {limits.max_batch_tasks} tasks")
    if len(request.tasks) > limits.max_batch_tasks:
        raise LimitExceeded("tasks of one request", str(len(request.tasks)), str(limits.max_batch_tasks))
    in_suite = bool(request.suite_uuid)
    tasks = [
        _new_task(rules, f"tasks[{index}].", task, limits, in_suite=in_suite)
        for index, task in enumerate(request.tasks, before)
    ]
    rules.raise_if_broken()
    _limit_size(tasks, limits)
    return tasks


def new_array(request: task_service.SubmitArrayRequest, limits: Limits) -> NewArray:
    """An array whose payloads are a range.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    template = _template(rules, request, limits)
    if not request.HasField("range"):
        rules.tell("items", "neither range nor list", "exactly one of range and list")
        rules.raise_if_broken()
    step = request.range.step if request.range.HasField("step") else 1
    if step == 0:
        rules.refuse("range.step", "0", "a whole number other than 0")
    payloads = range(request.range.start, request.range.stop, step or 1)
    if not payloads:
        given = f"{payloads.start} to {payloads.stop} in steps of {payloads.step}"
        rules.tell("range", given, "at least one number")
    elif max(abs(payloads[0]), abs(payloads[-1])) > MAX_EXACT_INTEGER:
        accepts = f"numbers from -{MAX_EXACT_INTEGER} to {MAX_EXACT_INTEGER}"
        rules.tell("range", f"{payloads[0]} to {payloads[-1]}", accepts)
    rules.raise_if_broken()
    return NewArray(template, payloads, request.priority, _retries(request.task_spec))


def new_tasks_of_array(request: task_service.SubmitArrayRequest, limits: Limits) -> list[NewTask]:
    """The tasks of an array whose payloads are listed.

    Raises:
        InvalidField: Something is wrong with them.
        LimitExceeded: They are too many, or too large together.
    """
    rules = Rules()
    template = _template(rules, request, limits)
    payloads = request.list.payloads
    if not payloads:
        rules.tell("list.payloads", "none", f"1 to {limits.max_batch_tasks} documents")
    if len(payloads) > limits.max_batch_tasks:
        raise LimitExceeded("tasks of one request", str(len(payloads)), str(limits.max_batch_tasks))
    for index, payload in enumerate(payloads):
        rules.json_document(f"list.payloads[{index}]", payload, limits.max_payload_bytes)
    rules.raise_if_broken()
    retries = _retries(request.task_spec)
    # Serialized messages can be put one after the other.
    tasks = [
        NewTask(
            template + task_pb2.TaskSpec(payload=payload).SerializeToString(),
            request.priority,
            retries,
            says_nothing=False,
        )
        for payload in payloads
    ]
    _limit_size(tasks, limits)
    return tasks


def _template(rules: Rules, request: task_service.SubmitArrayRequest, limits: Limits) -> bytes:
    rules.request_id(request.request_id)
    rules.integer("priority", request.priority, -MAX_PRIORITY, MAX_PRIORITY)
    if request.task_spec.HasField("payload"):
        rules.tell("task_spec.payload", "one", "none: the payloads come from range or list")
    _task_spec(rules, "task_spec", request.task_spec, limits)
    return request.task_spec.SerializeToString()


def _limit_size(tasks: Sequence[NewTask], limits: Limits) -> None:
    size = sum(len(task.spec) for task in tasks)
    if size > limits.max_batch_bytes:
        raise LimitExceeded("tasks of one request", f"{size} bytes", f"{limits.max_batch_bytes} bytes")


def new_manager(request: manager_service_pb2.RegisterManagerRequest) -> NewManager:
    """What a user says of a manager.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    rules.request_id(request.request_id)
    count = len(request.group_memberships)
    if not 1 <= count <= MAX_GROUPS_PER_MANAGER:
        rules.tell("group_memberships", f"{count} of them", f"1 to {MAX_GROUPS_PER_MANAGER}")
    new = NewManager(
        name=rules.name("name", request.name),
        tags=rules.tags("tags", request.tags),
        max_workers=rules.integer(
            "max_workers", request.max_workers if request.HasField("max_workers") else 1, 1, MAX_WORKERS
        ),
        memberships=tuple(
            _membership(rules, f"group_memberships[{index}]", membership)
            for index, membership in enumerate(request.group_memberships)
        ),
    )
    rules.raise_if_broken()
    return new


def new_worker(request: worker_service_pb2.RegisterWorkerRequest) -> NewWorker:
    """What a user says of an independent worker.

    Raises:
        InvalidField: Something is wrong with it.
    """
    rules = Rules()
    rules.request_id(request.request_id)
    count = len(request.group_names)
    if not 1 <= count <= MAX_GROUPS_PER_WORKER:
        rules.tell("group_names", f"{count} of them", f"1 to {MAX_GROUPS_PER_WORKER}")
    new = NewWorker(
        name=rules.name("name", request.name),
        tags=rules.tags("tags", request.tags),
        group_names=tuple(rules.name(f"group_names[{index}]", name) for index, name in enumerate(request.group_names)),
    )
    rules.raise_if_broken()
    return new


def _membership(rules: Rules, field: str, membership: manager_pb2.GroupMembership) -> tuple[str, ManagerRole]:
    role = enums.MANAGER_ROLE.accept(rules, f"{field}.role", membership.role) or ManagerRole.WORKER
    return rules.name(f"{field}.group_name", membership.group_name), role


def _new_task(
    rules: Rules,
    prefix: str,
    task: task_service.NewTask | task_service.SubmitTaskRequest,
    limits: Limits,
    *,
    in_suite: bool,
) -> NewTask:
    spec = task.task_spec
    if task.tags and in_suite:
        rules.tell(f"{prefix}tags", ", ".join(task.tags)[:80], "nothing for a task of a suite, which has tags itself")
    runs = _task_spec(rules, f"{prefix}task_spec", spec, limits)
    return NewTask(
        spec=spec.SerializeToString(),
        priority=rules.integer(f"{prefix}priority", task.priority, -MAX_PRIORITY, MAX_PRIORITY),
        retries=_retries(spec),
        says_nothing=not runs and not spec.HasField("payload"),
        tags=rules.tags(f"{prefix}tags", task.tags) if task.tags and not in_suite else (),
    )


def _task_spec(rules: Rules, field: str, spec: task_pb2.TaskSpec, limits: Limits) -> bool:
    """Check a task's spec; whether it names an executor."""
    runs = rules.executor(field, spec.command, spec.args, spec.handler, required=False)
    if spec.envs:
        rules.envs(f"{field}.envs", spec.envs)
    if spec.working_directory:
        rules.directory(f"{field}.working_directory", spec.working_directory)
    if spec.HasField("timeout_seconds"):
        rules.seconds(f"{field}.timeout_seconds", spec.timeout_seconds, MAX_TASK_SECONDS)
    if spec.HasField("payload"):
        rules.json_document(f"{field}.payload", spec.payload, limits.max_payload_bytes)
    if spec.max_retries:
        rules.integer(f"{field}.max_retries", spec.max_retries, 0, 100)
    if spec.HasField("retry_backoff_seconds"):
        backoff_field = f"{field}.retry_backoff_seconds"
        rules.seconds(backoff_field, spec.retry_backoff_seconds, MAX_BACKOFF_SECONDS, zero=True)
    return runs


def _retries(spec: task_pb2.TaskSpec) -> Retries:
    if not spec.HasField("max_retries") and not spec.HasField("retry_backoff_seconds"):
        return NO_RETRIES
    return Retries(
        spec.max_retries if spec.HasField("max_retries") else None,
        # To the microsecond: PostgreSQL refuses a number that its `real` can only show as 0.
        round(spec.retry_backoff_seconds, 6) if spec.HasField("retry_backoff_seconds") else None,
    )


def _hook(
    rules: Rules, request: suite_service_pb2.CreateSuiteRequest | suite_service_pb2.UpdateSuiteRequest, field: str
) -> HookSpec | None:
    if not request.HasField(field):
        return None
    hook: hook_pb2.EnvHookSpec = getattr(request, field)
    rules.executor(field, hook.command, hook.args, "", required=True)
    rules.envs(f"{field}.envs", hook.envs)
    rules.directory(f"{field}.working_directory", hook.working_directory)
    timeout = hook.timeout_seconds if hook.HasField("timeout_seconds") else None
    if timeout is not None:
        rules.seconds(f"{field}.timeout_seconds", timeout, MAX_HOOK_SECONDS)
    return HookSpec(
        command=hook.command,
        args=tuple(hook.args),
        timeout_seconds=timeout,
        working_directory=hook.working_directory,
        envs=dict(hook.envs),
    )


def _small_count(
    rules: Rules, request: suite_service_pb2.CreateSuiteRequest | suite_service_pb2.UpdateSuiteRequest, field: str
) -> int:
    given = getattr(request, field) if request.HasField(field) else 3
    return rules.integer(field, given, 1, 100)
