"""What a task runs, once the defaults of its suite and of its manager are applied. Pure functions."""

from typing import Literal

from mitosis.v1 import task_pb2

ExecutorKind = Literal["command", "args", "handler"]


class SpecError(Exception):
    """Raised for a task that cannot be started; its text is the task's error."""


def effective_spec(spec: task_pb2.TaskSpec, defaults: task_pb2.TaskSpec) -> task_pb2.TaskSpec:
    """Merge a task's spec over the defaults, field by field and variable by variable.

    What runs the task comes from the defaults only when the task itself names nothing. Neither argument is changed; the
    result may be `spec` itself.
    """
    if not defaults.ByteSize():
        return spec
    merged = task_pb2.TaskSpec()
    merged.CopyFrom(defaults)
    if spec.command or spec.args or spec.handler:
        merged.ClearField("command")
        merged.ClearField("args")
        merged.ClearField("handler")
    merged.MergeFrom(spec)
    return merged


def executor_of(spec: task_pb2.TaskSpec) -> ExecutorKind:
    """Name the one field of an effective spec that says what to run. Raises SpecError for none and for several."""
    named: list[ExecutorKind] = []
    if spec.command:
        named.append("command")
    if spec.args:
        named.append("args")
    if spec.handler:
        named.append("handler")
    if len(named) == 1:
        return named[0]
    if named:
        raise SpecError(f"task_spec: given {' and '.join(named)}; accepts exactly one of command, args and handler")
    raise SpecError(
        "nothing says what runs this task: task_spec has no command, args or handler, "
        "and neither have the suite's task_defaults and the manager's worker_defaults"
    )
