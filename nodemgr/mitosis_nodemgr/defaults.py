"""What a task's spec takes when it does not say: the suite's defaults over the manager's. Pure."""

from __future__ import annotations

from mitosis.v1 import suite_pb2, task_pb2
from mitosis_nodemgr.binding import CpuBinding
from mitosis_nodemgr.config import WorkerDefaults

_BINDINGS = {
    suite_pb2.CPU_BINDING_ROUND_ROBIN: CpuBinding.ROUND_ROBIN,
    suite_pb2.CPU_BINDING_EXCLUSIVE: CpuBinding.EXCLUSIVE,
    suite_pb2.CPU_BINDING_SHARED: CpuBinding.SHARED,
}


def merge(suite: task_pb2.TaskSpec, manager: WorkerDefaults) -> task_pb2.TaskSpec:
    """Returns the suite's defaults, completed by the manager's. An executor is taken as a whole or not at all."""
    merged = task_pb2.TaskSpec()
    merged.CopyFrom(suite)
    if not (suite.command or suite.args or suite.handler):
        merged.command = manager.command or ""
        merged.args.extend(manager.args)
        merged.handler = manager.handler or ""
    for name, value in manager.envs.items():
        if name not in suite.envs:
            merged.envs[name] = value
    if not suite.working_directory and manager.working_directory is not None:
        merged.working_directory = str(manager.working_directory)
    if not suite.HasField("timeout_seconds") and manager.timeout_seconds is not None:
        merged.timeout_seconds = manager.timeout_seconds
    return merged


def cpu_binding(plan: suite_pb2.WorkerSchedulePlan, manager: WorkerDefaults) -> CpuBinding:
    """Returns the plan's binding, or the manager's when the plan has none."""
    return _BINDINGS.get(plan.cpu_binding, manager.cpu_binding)
