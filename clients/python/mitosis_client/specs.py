"""What a caller gives: plain dictionaries in the documented JSON form, with their types.

They are what a YAML file, a line of JSON or a Python literal holds; `convert.to_message` checks them completely, so a
caller without a type checker gets the same answers at run time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class HookSpec(TypedDict, total=False):
    """A hook: exactly one of `command` (a shell line) and `args` (program and arguments)."""

    command: str
    args: Sequence[str]
    timeout_seconds: float
    working_directory: str
    envs: Mapping[str, str]


class WorkerScheduleSpec(TypedDict, total=False):
    """A worker plan."""

    strategy: Literal["Fixed", "Proportional"]
    worker_count: int
    cpu_binding: Literal["RoundRobin", "Exclusive", "Shared"]
    cores: Sequence[int]
    task_prefetch_count: int


class TaskSpecFields(TypedDict, total=False):
    """What a task runs: at most one of `command`, `args` and `handler`; `payload` is any JSON value."""

    command: str
    args: Sequence[str]
    handler: str
    envs: Mapping[str, str]
    working_directory: str
    timeout_seconds: float
    # Whatever json.dumps accepts; a recursive type would refuse dict[str, int] where dict[str, JsonValue] is asked for.
    payload: object
    max_retries: int
    retry_backoff_seconds: float


class NewTask(TaskSpecFields, total=False):
    """A task to submit: the fields of its spec, its priority, and for a task of no suite the tags of its worker."""

    priority: int
    tags: Sequence[str]


class SuiteChanges(TypedDict, total=False):
    """The fields of a suite that can be changed; what is given replaces what was there."""

    name: str
    description: str
    labels: Sequence[str]
    tags: Sequence[str]
    priority: int
    worker_schedule: WorkerScheduleSpec
    env_preparation: HookSpec
    env_cleanup: HookSpec
    task_defaults: TaskSpecFields
    auto_close_timeout_seconds: int
    max_preparation_failures: int
    max_attempts: int


class SuiteSpec(SuiteChanges, total=False):
    """A suite to create; `name` and `group_name` are needed."""

    group_name: str
    request_id: str
