"""What a task can read about itself in its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from mitosis.ipc.v1 import worker_ipc_pb2

TASK_UUID = "MITOSIS_TASK_UUID"
TASK_ATTEMPT = "MITOSIS_TASK_ATTEMPT"
TASK_PAYLOAD = "MITOSIS_TASK_PAYLOAD"


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What is the same for every task of one worker process."""

    worker_index: int
    suite_uuid: str
    suite_name: str
    group_name: str
    manager_uuid: str
    stop_grace_seconds: float

    @classmethod
    def from_setup(cls, setup: worker_ipc_pb2.WorkerSetup, worker_index: int) -> "WorkerContext":
        """Take from the manager's setup message what tasks and executors need."""
        return cls(
            worker_index=worker_index,
            suite_uuid=setup.suite_uuid,
            suite_name=setup.suite_name,
            group_name=setup.group_name,
            manager_uuid=setup.manager_uuid,
            stop_grace_seconds=setup.stop_grace_seconds,
        )

    def variables(self) -> Mapping[str, str]:
        """The `MITOSIS_*` variables that do not change from task to task."""
        return {
            "MITOSIS_TASK_SUITE_UUID": self.suite_uuid,
            "MITOSIS_TASK_SUITE_NAME": self.suite_name,
            "MITOSIS_GROUP_NAME": self.group_name,
            "MITOSIS_NODE_MANAGER_ID": self.manager_uuid,
            "MITOSIS_WORKER_INDEX": str(self.worker_index),
        }
