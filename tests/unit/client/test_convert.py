"""The documented JSON form, both ways."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mitosis.v1 import (
    explain_pb2,
    hook_pb2,
    manager_pb2,
    suite_pb2,
    suite_service_pb2,
    task_pb2,
    task_service_pb2,
    user_pb2,
    worker_pb2,
)
from mitosis_client import convert, explain_models, models, task_ranges, worker_models
from mitosis_client.errors import InvalidField

MIRRORS = [
    (models.Suite, suite_pb2.TaskSuite),
    (models.WorkerSchedulePlan, suite_pb2.WorkerSchedulePlan),
    (models.SuiteAssignment, suite_pb2.SuiteAssignment),
    (models.EligibleManager, suite_pb2.EligibleManager),
    (models.EnvHookSpec, hook_pb2.EnvHookSpec),
    (models.HookRun, hook_pb2.HookRun),
    (models.Task, task_pb2.Task),
    (models.TaskSpec, task_pb2.TaskSpec),
    (models.TaskResult, task_pb2.TaskResult),
    (models.TaskFailure, task_pb2.TaskFailure),
    (models.Manager, manager_pb2.NodeManager),
    (models.ManagerMetrics, manager_pb2.ManagerMetrics),
    (explain_models.Explanation, explain_pb2.Explanation),
    (explain_models.Obstacle, explain_pb2.Obstacle),
    (worker_models.Worker, worker_pb2.Worker),
    (task_ranges.TaskRange, task_service_pb2.TaskRange),
    (task_ranges.StoredTasks, task_service_pb2.SubmitTaskStreamResponse),
    (models.GroupMembership, manager_pb2.GroupMembership),
    (models.User, user_pb2.User),
    (models.UserMembership, user_pb2.UserMembership),
    (models.Group, user_pb2.Group),
    (models.GroupMember, user_pb2.GroupMember),
]

ENUMS = [
    (models.SuiteState, suite_pb2.TaskSuiteState),
    (models.TaskState, task_pb2.TaskState),
    (models.ManagerState, manager_pb2.NodeManagerState),
    (explain_models.ObstacleKind, explain_pb2.ObstacleKind),
    (worker_models.WorkerState, worker_pb2.WorkerState),
    (models.WorkerScheduleStrategy, suite_pb2.WorkerScheduleStrategy),
    (models.CpuBinding, suite_pb2.CpuBinding),
    (models.ManagerSelection, suite_pb2.ManagerSelection),
    (models.ManagerRole, manager_pb2.ManagerRole),
    (models.GroupRole, user_pb2.GroupRole),
    (models.HookType, hook_pb2.HookType),
    (models.HookResult, hook_pb2.HookResult),
    (models.FailureKind, task_pb2.FailureKind),
]


@pytest.mark.parametrize(("model", "message"), MIRRORS)
def test_dataclasses_mirror_the_contract(model: type[models.Model], message: Any) -> None:
    assert [item.name for item in dataclasses.fields(model)] == [field.name for field in message.DESCRIPTOR.fields]


@pytest.mark.parametrize(("enum", "wire"), ENUMS)
def test_enums_have_the_documented_names(enum: type[models.DocumentedEnum], wire: Any) -> None:
    assert [member.value for member in enum] == list(convert.enum_names(wire.DESCRIPTOR))


def test_a_task_becomes_what_the_documentation_shows() -> None:
    task = task_pb2.Task(uuid="u", state=task_pb2.TASK_STATE_COMPLETED, attempt=1)
    task.task_spec.handler = "m:f"
    task.task_spec.payload = '{"batch": 1}'
    task.result.return_value = "[1, null]"
    task.created_at.FromDatetime(datetime(2024, 10, 1, 12, 0, 0, 250_000, tzinfo=UTC))

    decoded = convert.decode(task, models.Task)

    assert decoded.state == "Completed"
    assert decoded.state is models.TaskState.COMPLETED
    assert decoded.task_spec is not None
    assert decoded.task_spec.payload == {"batch": 1}
    assert decoded.result is not None
    assert decoded.result.return_value == [1, None]
    assert decoded.created_at == datetime(2024, 10, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert decoded.started_at is None
    document = decoded.to_dict()
    assert document["state"] == "Completed"
    assert document["created_at"] == "2024-10-01T12:00:00.250000Z"
    assert "started_at" not in document
    assert json.loads(json.dumps(document)) == document


def test_a_state_that_this_version_does_not_know_is_kept() -> None:
    suite = convert.decode(suite_pb2.TaskSuite(state=99), models.Suite)  # type: ignore[arg-type]
    assert suite.state == "Unknown99"
    assert not suite.state.is_finished


def test_the_documented_suite_becomes_a_request() -> None:
    request = convert.to_message(
        {
            "name": "ML Training Campaign",
            "group_name": "ml-team",
            "tags": ["gpu", "cuda:12.0"],
            "worker_schedule": {"strategy": "Proportional", "worker_count": 16, "cpu_binding": "RoundRobin"},
            "env_preparation": {"command": "./setup.sh", "timeout_seconds": 300, "envs": {"A": "b"}},
            "auto_close_timeout_seconds": 0,
            "description": None,
        },
        suite_service_pb2.CreateSuiteRequest,
    )
    assert request.worker_schedule.strategy == suite_pb2.WORKER_SCHEDULE_STRATEGY_PROPORTIONAL
    assert request.worker_schedule.cpu_binding == suite_pb2.CPU_BINDING_ROUND_ROBIN
    assert request.env_preparation.timeout_seconds == 300.0
    assert dict(request.env_preparation.envs) == {"A": "b"}
    assert request.HasField("auto_close_timeout_seconds")
    assert not request.HasField("priority")
    assert not request.HasField("env_cleanup")


@pytest.mark.parametrize("payload", [None, False, 0, "", [], {"deep": [{"er": 1.5}]}, "ünï"])
def test_a_payload_is_any_json_value(payload: object) -> None:
    spec = convert.to_message({"payload": payload}, task_pb2.TaskSpec)
    assert spec.HasField("payload")
    assert json.loads(spec.payload) == payload


def test_a_list_that_replaces_is_told_apart_from_none() -> None:
    request = convert.to_message({"uuid": "u", "labels": []}, suite_service_pb2.UpdateSuiteRequest)
    assert request.HasField("labels")
    assert not request.HasField("tags")
    assert list(convert.to_message({"tags": ["a"]}, suite_service_pb2.UpdateSuiteRequest).tags.values) == ["a"]


REFUSED: list[tuple[object, str, str]] = [
    ({"nmae": "x"}, "nmae", "given an unknown field; accepts auto_close_timeout_seconds,"),
    ({"name": 3}, "name", "given 3; accepts a string"),
    ({"name": "\ud800"}, "name", "accepts a string that is valid Unicode"),
    ({"priority": "1"}, "priority", "given '1'; accepts a whole number from -2147483648 to 2147483647"),
    ({"priority": True}, "priority", "given True; accepts a whole number"),
    ({"priority": 2**31}, "priority", "accepts a whole number"),
    ({"priority": 1.5}, "priority", "accepts a whole number"),
    ({"tags": "gpu"}, "tags", "given 'gpu'; accepts a list"),
    ({"tags": ["gpu", 3]}, "tags[1]", "given 3; accepts a string"),
    ({"worker_schedule": []}, "worker_schedule", "given []; accepts an object"),
    ({"worker_schedule": {"strategy": "fixed"}}, "worker_schedule.strategy", "accepts one of Fixed, Proportional"),
    ({"worker_schedule": {"cores": [1, None]}}, "worker_schedule.cores[1]", "accepts a whole number"),
    ({"env_cleanup": {"timeout_seconds": float("nan")}}, "env_cleanup.timeout_seconds", "accepts a number"),
    ({"env_cleanup": {"envs": {"A": 1}}}, "env_cleanup.envs.A", "given 1; accepts a string"),
    ({"env_cleanup": {"envs": ["A"]}}, "env_cleanup.envs", "accepts an object of strings"),
    ({"task_defaults": {"payload": {1, 2}}}, "task_defaults.payload", "accepts a JSON value"),
    ({"task_defaults": {"payload": float("inf")}}, "task_defaults.payload", "accepts a JSON value"),
    (["name"], "document", "accepts an object"),
]


@pytest.mark.parametrize(("document", "field", "description"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_path(document: object, field: str, description: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        convert.to_message(document, suite_service_pb2.CreateSuiteRequest)
    (violation,) = refusal.value.violations
    assert violation.field == field
    assert description in violation.description


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(InvalidField) as refusal:
        convert.to_message(
            {"name": 1, "worker_schedule": {"x": 1, "strategy": 2}}, suite_service_pb2.CreateSuiteRequest, "suite"
        )
    assert [item.field for item in refusal.value.violations] == [
        "suite.name",
        "suite.worker_schedule.x",
        "suite.worker_schedule.strategy",
    ]


def test_what_was_decoded_can_be_sent_again() -> None:
    spec = task_pb2.TaskSpec(args=["a", "b"], envs={"A": "1"}, timeout_seconds=1.5, payload='{"x":[1]}', max_retries=0)
    document = convert.decode(spec, models.TaskSpec).to_dict()
    assert convert.to_message(document, task_pb2.TaskSpec) == spec


def test_lists_of_messages_are_read() -> None:
    request = convert.to_message({"tasks": [{"priority": 1}, {}]}, task_service_pb2.SubmitTasksRequest)
    assert [task.priority for task in request.tasks] == [1, 0]
