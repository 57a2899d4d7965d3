"""Every value of the domain has its value on the wire, and the other way round."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor

from mitosis.v1 import explain_pb2, hook_pb2, manager_pb2, manager_stream_pb2, suite_pb2, task_pb2
from mitosis_coordinator.domain.errors import InvalidField
from mitosis_coordinator.domain.explain import ObstacleKind
from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.manager import ManagerRole, ManagerState
from mitosis_coordinator.domain.plan import CpuBinding, Strategy
from mitosis_coordinator.domain.rules import Rules
from mitosis_coordinator.domain.suite import Selection, SuiteState
from mitosis_coordinator.domain.task import FailureKind, Outcome, TaskState
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.rpc.enums import WireEnum
from mitosis_coordinator.services.assignments import FinishReason
from mitosis_coordinator.services.attachment import Verdict

PAIRS: list[tuple[WireEnum[Any], type[Enum], EnumDescriptor]] = [
    (enums.SUITE_STATE, SuiteState, suite_pb2.TaskSuiteState.DESCRIPTOR),
    (enums.STRATEGY, Strategy, suite_pb2.WorkerScheduleStrategy.DESCRIPTOR),
    (enums.CPU_BINDING, CpuBinding, suite_pb2.CpuBinding.DESCRIPTOR),
    (enums.SELECTION, Selection, suite_pb2.ManagerSelection.DESCRIPTOR),
    (enums.TASK_STATE, TaskState, task_pb2.TaskState.DESCRIPTOR),
    (enums.FAILURE_KIND, FailureKind, task_pb2.FailureKind.DESCRIPTOR),
    (enums.OBSTACLE_KIND, ObstacleKind, explain_pb2.ObstacleKind.DESCRIPTOR),
    (enums.MANAGER_STATE, ManagerState, manager_pb2.NodeManagerState.DESCRIPTOR),
    (enums.MANAGER_ROLE, ManagerRole, manager_pb2.ManagerRole.DESCRIPTOR),
    (enums.HOOK_TYPE, HookType, hook_pb2.HookType.DESCRIPTOR),
    (enums.HOOK_RESULT, HookResult, hook_pb2.HookResult.DESCRIPTOR),
    (enums.OUTCOME, Outcome, manager_stream_pb2.TaskOutcome.DESCRIPTOR),
    (enums.VERDICT, Verdict, manager_stream_pb2.AttachVerdict.DESCRIPTOR),
    (enums.FINISH_REASON, FinishReason, manager_stream_pb2.FinishReason.DESCRIPTOR),
]
EVERY_PAIR = pytest.mark.parametrize(("wire", "domain", "descriptor"), PAIRS, ids=[pair[1].__name__ for pair in PAIRS])


@EVERY_PAIR
def test_the_values_correspond(wire: WireEnum[Any], domain: type[Enum], descriptor: EnumDescriptor) -> None:
    numbers = {wire.number(member) for member in domain}
    assert numbers | {0} == {value.number for value in descriptor.values}
    assert 0 not in numbers
    for member in domain:
        assert wire.member(wire.number(member)) is member
        # What users see in JSON is the value without its prefix, in camel case.
        name = descriptor.values_by_number[wire.number(member)].name
        assert name.endswith("_" + member.name)
        assert "".join(word.title() for word in member.name.split("_")) == member.value


@EVERY_PAIR
def test_what_is_not_known_is_refused_with_what_is(
    wire: WireEnum[Any], domain: type[Enum], descriptor: EnumDescriptor
) -> None:
    rules = Rules()
    assert wire.number(None) == 0
    assert wire.accept(rules, "field", 0) is None
    assert wire.member(99) is None
    assert not rules.broken
    wire.accept(rules, "field", 99)
    with pytest.raises(InvalidField) as refused:
        rules.raise_if_broken()
    [violation] = refused.value.violations
    assert (violation.field, violation.given) == ("field", "99")
    assert violation.accepts == ", ".join(str(member.value) for member in domain)


def test_a_value_can_be_required() -> None:
    rules = Rules()
    assert enums.HOOK_TYPE.require(rules, "hook_type", hook_pb2.HOOK_TYPE_CLEANUP) is HookType.CLEANUP
    assert not rules.broken
    for number in (0, 99):
        enums.HOOK_TYPE.require(rules, "hook_type", number)
    with pytest.raises(InvalidField) as refused:
        rules.raise_if_broken()
    assert [violation.given for violation in refused.value.violations] == ["nothing", "99"]
