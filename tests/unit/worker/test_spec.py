"""Merging a task over its defaults."""

import pytest

from mitosis.v1 import task_pb2
from mitosis_worker.spec import SpecError, effective_spec, executor_of


def test_without_defaults_the_spec_is_used_as_it_is() -> None:
    spec = task_pb2.TaskSpec(command="true")
    assert effective_spec(spec, task_pb2.TaskSpec()) is spec


def test_the_task_wins_field_by_field_and_variable_by_variable() -> None:
    defaults = task_pb2.TaskSpec(
        handler="jobs:run",
        envs={"A": "default", "B": "default"},
        working_directory="/srv",
        timeout_seconds=5,
        payload="1",
    )
    spec = task_pb2.TaskSpec(envs={"B": "task"}, payload="2")
    before = task_pb2.TaskSpec.FromString(defaults.SerializeToString())
    merged = effective_spec(spec, defaults)
    assert merged == task_pb2.TaskSpec(
        handler="jobs:run", envs={"A": "default", "B": "task"}, working_directory="/srv", timeout_seconds=5, payload="2"
    )
    assert defaults == before


@pytest.mark.parametrize("own", [{"command": "ls"}, {"args": ["ls"]}, {"handler": "a:b"}])
@pytest.mark.parametrize("default", [{"command": "echo"}, {"args": ["echo", "1"]}, {"handler": "c:d"}])
def test_an_executor_of_the_task_replaces_that_of_the_defaults(
    own: dict[str, object], default: dict[str, object]
) -> None:
    spec, defaults = task_pb2.TaskSpec(**own), task_pb2.TaskSpec(**default)  # type: ignore[arg-type]
    merged = effective_spec(spec, defaults)
    assert merged == spec
    assert executor_of(merged) == next(iter(own))


def test_a_task_that_nothing_runs_is_refused_with_every_place_to_say_it() -> None:
    with pytest.raises(SpecError, match=r"command, args or handler.*task_defaults.*worker_defaults"):
        executor_of(task_pb2.TaskSpec(payload="{}"))


def test_two_executors_are_refused() -> None:
    with pytest.raises(SpecError, match="given command and handler; accepts exactly one"):
        executor_of(task_pb2.TaskSpec(command="ls", handler="a:b"))
