"""Enums of the domain and of the wire, by the names that they share."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor

from mitosis.v1 import explain_pb2, hook_pb2, manager_pb2, manager_stream_pb2, suite_pb2, task_pb2, worker_pb2
from mitosis_coordinator.domain.explain import ObstacleKind
from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import ManagerRole, ManagerState
from mitosis_coordinator.domain.plan import CpuBinding, Strategy
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.domain.suite import Selection, SuiteState
from mitosis_coordinator.domain.task import FailureKind, Outcome, TaskState
from mitosis_coordinator.domain.worker import WorkerState
from mitosis_coordinator.services.assignments import FinishReason
from mitosis_coordinator.services.attachment import Verdict

Member = TypeVar("Member", bound=Enum)


class WireEnum(Generic[Member]):
    """Translates between an enum of the domain and one of the wire; 0 on the wire is None."""

    def __init__(self, members: Iterable[Member], descriptor: EnumDescriptor, prefix: str) -> None:
        self._numbers = {member: descriptor.values_by_name[f"{prefix}_{member.name}"].number for member in members}
        self._members = {number: member for member, number in self._numbers.items()}

    def number(self, member: Member | None) -> Any:
        """The number on the wire: Any, because each enum there is a type of its own."""
        return 0 if member is None else self._numbers[member]

    def member(self, number: int) -> Member | None:
        """The member of the domain; None for 0 and for a number that this version does not know."""
        return self._members.get(number)

    def require(self, rules: Rules, field: str, number: int) -> Member:
        """The member, where one must be given."""
        member = self.accept(rules, field, number)
        if member is None and number == 0:
            rules.tell(field, "nothing", self._accepted())
        return member if member is not None else next(iter(self._numbers))

    def accept(self, rules: Rules, field: str, number: int) -> Member | None:
        """The member, or None where none is given."""
        member = self._members.get(number)
        if member is None and number != 0:
            rules.refuse(field, number, self._accepted())
        return member

    def _accepted(self) -> str:
        return ", ".join(str(member.value) for member in self._numbers)


SUITE_STATE = WireEnum(SuiteState, suite_pb2.TaskSuiteState.DESCRIPTOR, "TASK_SUITE_STATE")
STRATEGY = WireEnum(Strategy, suite_pb2.WorkerScheduleStrategy.DESCRIPTOR, "WORKER_SCHEDULE_STRATEGY")
CPU_BINDING = WireEnum(CpuBinding, suite_pb2.CpuBinding.DESCRIPTOR, "CPU_BINDING")
SELECTION = WireEnum(Selection, suite_pb2.ManagerSelection.DESCRIPTOR, "MANAGER_SELECTION")
TASK_STATE = WireEnum(TaskState, task_pb2.TaskState.DESCRIPTOR, "TASK_STATE")
FAILURE_KIND = WireEnum(FailureKind, task_pb2.FailureKind.DESCRIPTOR, "FAILURE_KIND")
OBSTACLE_KIND = WireEnum(ObstacleKind, explain_pb2.ObstacleKind.DESCRIPTOR, "OBSTACLE_KIND")
MANAGER_STATE = WireEnum(ManagerState, manager_pb2.NodeManagerState.DESCRIPTOR, "NODE_MANAGER_STATE")
MANAGER_ROLE = WireEnum(ManagerRole, manager_pb2.ManagerRole.DESCRIPTOR, "MANAGER_ROLE")
WORKER_STATE = WireEnum(WorkerState, worker_pb2.WorkerState.DESCRIPTOR, "WORKER_STATE")
HOOK_TYPE = WireEnum(HookType, hook_pb2.HookType.DESCRIPTOR, "HOOK_TYPE")
HOOK_RESULT = WireEnum(HookResult, hook_pb2.HookResult.DESCRIPTOR, "HOOK_RESULT")
OUTCOME = WireEnum(Outcome, manager_stream_pb2.TaskOutcome.DESCRIPTOR, "TASK_OUTCOME")
VERDICT = WireEnum(Verdict, manager_stream_pb2.AttachVerdict.DESCRIPTOR, "ATTACH_VERDICT")
FINISH_REASON = WireEnum(FinishReason, manager_stream_pb2.FinishReason.DESCRIPTOR, "FINISH_REASON")
