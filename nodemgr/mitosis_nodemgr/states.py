"""Where a manager can stand, and everything that decides what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mitosis.v1 import manager_pb2
from mitosis.v1 import manager_stream_pb2 as stream


class Stage(StrEnum):
    """Where a manager stands. `SETTLING` and `FINISHING` are inner steps that the coordinator does not tell apart."""

    OFFLINE = "Offline"
    IDLE = "Idle"
    ASSIGNED = "Assigned"
    PREPARING = "Preparing"
    EXECUTING = "Executing"
    SETTLING = "Settling"
    CLEANING = "Cleaning"
    FINISHING = "Finishing"
    GONE = "Gone"


_TOLD_AS = {
    Stage.OFFLINE: manager_pb2.NODE_MANAGER_STATE_OFFLINE,
    Stage.IDLE: manager_pb2.NODE_MANAGER_STATE_IDLE,
    Stage.ASSIGNED: manager_pb2.NODE_MANAGER_STATE_ASSIGNED,
    Stage.PREPARING: manager_pb2.NODE_MANAGER_STATE_PREPARING,
    Stage.EXECUTING: manager_pb2.NODE_MANAGER_STATE_EXECUTING,
    Stage.SETTLING: manager_pb2.NODE_MANAGER_STATE_EXECUTING,
    Stage.CLEANING: manager_pb2.NODE_MANAGER_STATE_CLEANING,
    Stage.FINISHING: manager_pb2.NODE_MANAGER_STATE_CLEANING,
    Stage.GONE: manager_pb2.NODE_MANAGER_STATE_OFFLINE,
}
HOLDING = frozenset({Stage.ASSIGNED, Stage.PREPARING, Stage.EXECUTING, Stage.SETTLING, Stage.CLEANING, Stage.FINISHING})
ALIVE = frozenset(Stage) - {Stage.GONE}


@dataclass(frozen=True, slots=True)
class ManagerState:
    """Everything that decides what comes next."""

    stage: Stage = Stage.OFFLINE
    connected: bool = False
    suite: stream.SuiteAssigned | None = None
    # Why the suite is being let go; None while it is wanted.
    finish: stream.FinishReason | None = None
    # The coordinator gave the assignment up: nothing about it is worth telling.
    abandoned: bool = False
    # No further suite is taken.
    draining: bool = False
    # The process ends as soon as it holds nothing.
    leaving: bool = False
    exit_code: int = 0
    reason: str = ""
    # Hook reports that the coordinator has not been sent, because the stream was down.
    unsent: tuple[stream.HookReport, ...] = ()

    @property
    def assignment_id(self) -> int:
        """The assignment held, 0 for none."""
        return self.suite.assignment_id if self.suite is not None else 0

    @property
    def told_as(self) -> manager_pb2.NodeManagerState:
        """The state that the coordinator is told."""
        return _TOLD_AS[self.stage]
