"""The documented JSON form as the gateway uses it; what the client makes of it is in tests/unit/client."""

from __future__ import annotations

import json

import pytest

from mitosis.v1 import auth_service_pb2, suite_pb2, suite_service_pb2, task_pb2, task_service_pb2
from mitosis_common.json_reader import JsonForm, JsonFormError
from mitosis_common.json_writer import to_json

FORM = JsonForm(json.dumps, payload_fields=("task_spec",))


def refused(document: object) -> dict[str, str]:
    with pytest.raises(JsonFormError) as caught:
        FORM.read(document, task_service_pb2.SubmitTaskRequest())
    return {item.field: f"given {item.given}; accepts {item.accepts}" for item in caught.value.violations}


def test_keys_that_are_no_fields_of_a_task_spec_are_its_payload() -> None:
    request = task_service_pb2.SubmitTaskRequest()
    FORM.read({"task_spec": {"model": "resnet50", "batch": 1, "max_retries": 2}}, request)
    assert json.loads(request.task_spec.payload) == {"model": "resnet50", "batch": 1}
    assert request.task_spec.max_retries == 2


def test_they_are_so_in_every_task_of_a_batch() -> None:
    request = task_service_pb2.SubmitTasksRequest()
    FORM.read({"tasks": [{"task_spec": {"batch": 1}}, {"task_spec": {"payload": [2]}}]}, request)
    assert [task.task_spec.payload for task in request.tasks] == ['{"batch":1}', "[2]"]


def test_a_payload_beside_such_keys_is_refused() -> None:
    found = refused({"task_spec": {"payload": {}, "modle": 1, "batch": 2}})
    assert set(found) == {"task_spec.modle", "task_spec.batch"}
    assert found["task_spec.modle"].startswith("given an unknown field beside payload; accepts args, command")


def test_other_specs_take_no_such_keys() -> None:
    with pytest.raises(JsonFormError, match=r"task_defaults\.model: given an unknown field"):
        FORM.read({"task_defaults": {"model": 1}}, suite_service_pb2.CreateSuiteRequest())


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_a_spec_that_is_no_object_is_refused(value: object) -> None:
    assert "accepts an object" in refused({"task_spec": value})["task_spec"]


def test_null_is_a_value_like_any_other() -> None:
    assert refused({"group_name": None}) == {"group_name": "given null; accepts a string"}
    request = task_service_pb2.SubmitTaskRequest()
    FORM.read({"task_spec": {"payload": None}}, request)
    assert request.task_spec.payload == "null"


def test_half_a_character_is_refused_wherever_it_is() -> None:
    document = {"group_name": "\ud800", "task_spec": {"payload": "\ud800", "envs": {"\ud800": "a", "b": "\ud800"}}}
    assert set(refused(document)) == {"group_name", "task_spec.payload", "task_spec.envs.?", "task_spec.envs.b"}


def test_secrets_are_not_shown() -> None:
    with pytest.raises(JsonFormError) as caught:
        FORM.read({"username": 1, "password": 12345678}, auth_service_pb2.LoginRequest())
    assert "username: given 1;" in str(caught.value)
    assert "12345678" not in str(caught.value)


def test_a_whole_number_is_whole_however_it_is_written() -> None:
    request = task_service_pb2.SubmitTaskRequest()
    FORM.read(json.loads('{"priority": 3.0, "task_spec": {"payload": 3.0}}'), request)
    assert (request.priority, request.task_spec.payload) == (3, "3.0")
    assert "accepts a whole number" in refused({"priority": 3.5})["priority"]


def test_a_number_beyond_floating_point_is_refused() -> None:
    assert "accepts a number" in refused({"task_spec": {"timeout_seconds": 10**400}})["task_spec.timeout_seconds"]


def test_texts_are_read_by_the_fields_types() -> None:
    request = suite_service_pb2.ListSuitesRequest()
    texts = {"state": ["Executing"], "labels": ["a:b"], "tags": ["gpu", "linux"], "page_size": ["5"], "name": ["7"]}
    FORM.read_texts(texts, request)
    assert request == suite_service_pb2.ListSuitesRequest(
        state=suite_pb2.TASK_SUITE_STATE_EXECUTING, labels=["a:b"], tags=["gpu", "linux"], page_size=5, name="7"
    )


@pytest.mark.parametrize(
    ("texts", "field", "said"),
    [
        ({"page_size": ["x"]}, "page_size", 'given "x"; accepts a whole number'),
        ({"page_size": ["1.5"]}, "page_size", "accepts a whole number"),
        ({"page_size": ["true"]}, "page_size", "accepts a whole number"),
        ({"page_size": ["9" * 5000]}, "page_size", "accepts a whole number"),
        ({"page_size": ["1", "2"]}, "page_size", "given 2 values; accepts one"),
        ({"state": ["executing"]}, "state", "accepts one of Queued, Open"),
        ({"limit": ["1"]}, "limit", "given an unknown field; accepts group_name, labels"),
    ],
)
def test_texts_that_do_not_fit_are_refused(texts: dict[str, list[str]], field: str, said: str) -> None:
    with pytest.raises(JsonFormError) as caught:
        FORM.read_texts(texts, suite_service_pb2.ListSuitesRequest())
    (violation,) = caught.value.violations
    assert violation.field == field
    assert said in f"given {violation.given}; accepts {violation.accepts}"


def test_plain_fields_are_shown_and_absent_ones_left_out() -> None:
    suite = suite_pb2.TaskSuite(uuid="u", state=suite_pb2.TASK_SUITE_STATE_QUEUED)
    suite.worker_schedule.SetInParent()
    document = json.loads(to_json(suite))
    assert document["pending_tasks"] == 0
    assert document["state"] == "Queued"
    assert document["tags"] == []
    assert document["worker_schedule"] == {"cores": []}
    assert not {"env_cleanup", "finished_at"} & document.keys()


def test_documents_inside_go_out_as_they_came_in() -> None:
    text = '{"big": 12345678901234567890123, "tiny": 1e-999, "half": "\\ud800"}'
    assert f'"payload":{text}' in to_json(task_pb2.TaskSpec(payload=text, envs={'"': "\n"}))


def test_lists_that_replace_are_shown_as_lists() -> None:
    request = suite_service_pb2.UpdateSuiteRequest()
    request.labels.values.append("a")
    assert json.loads(to_json(request))["labels"] == ["a"]


def test_a_state_of_a_newer_version_is_shown_by_its_number() -> None:
    assert json.loads(to_json(task_pb2.Task(state=99)))["state"] == "Unknown99"  # type: ignore[arg-type]
