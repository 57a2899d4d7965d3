"""The command, run in process against a fake coordinator."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mitosis.v1 import suite_pb2, task_pb2
from mitosis.v1.task_service_pb2 import SubmitArrayRequest
from mitosis_client.cli import output
from mitosis_client.cli.app import app
from mitosis_client.cli.explain import show
from mitosis_client.cli.progress import counts
from mitosis_client.explain_models import Explanation, Obstacle
from mitosis_client.models import Suite
from tests.unit.client.fake import FakeCoordinator, failure

Run = Callable[..., Any]

COMPLETE = suite_pb2.TASK_SUITE_STATE_COMPLETE


@pytest.fixture
def run(coordinator: FakeCoordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".mitosis").mkdir()
    (tmp_path / ".mitosis" / "connection.json").write_text(
        json.dumps({"grpc": coordinator.address, "token": "t", "username": "admin", "http": "http://127.0.0.1:1"})
    )

    def invoke(*arguments: str, stdin: str | None = None) -> Any:
        return CliRunner().invoke(app, arguments, input=stdin)

    return invoke


@pytest.fixture
def suite(run: Run) -> str:
    return str(run("suites", "create", "--group", "g", "--name", "first").stdout.strip())


def test_a_suite_is_created_from_flags(run: Run, coordinator: FakeCoordinator) -> None:
    result = run(
        *(
            "suites",
            "create",
            "--group",
            "g",
            "--name",
            "n",
            "--tag",
            "a",
            "--tag",
            "b",
            "--label",
            "l",
            "--workers",
            "4",
        ),
        *("--strategy", "Proportional", "--cpu-binding", "Shared", "--prepare", "make env", "--auto-close", "0"),
    )
    assert result.exit_code == 0, result.output
    (suite,) = coordinator.suites.values()
    assert result.stdout == suite.uuid + "\n"
    assert list(suite.tags) == ["a", "b"]
    assert suite.worker_schedule.worker_count == 4
    request: Any = coordinator.requests[-1]
    assert request.env_preparation.command == "make env"
    assert request.auto_close_timeout_seconds == 0
    assert coordinator.metadata["authorization"] == "Bearer t"


def test_flags_win_over_the_file(run: Run, tmp_path: Path, coordinator: FakeCoordinator) -> None:
    (tmp_path / "suite.yaml").write_text("name: n\ngroup_name: g\nworker_schedule: {worker_count: 2}\n")
    result = run("suites", "create", "-f", "suite.yaml", "--name", "other", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["name"], document["state"], document["worker_schedule"]) == (
        "other",
        "Queued",
        {"worker_count": 2, "cores": []},
    )


def test_an_unknown_field_of_a_file_is_refused_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("name: n\ngroup_name: g\nenv_cleanup: {comand: x}\nworker_count: 2\n")
    result = run("suites", "create", "-f", "suite.yaml")
    assert result.exit_code == 2
    assert "suite.yaml: env_cleanup.comand: given an unknown field; accepts args, command," in result.stderr
    assert "suite.yaml: worker_count: given an unknown field" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [", "is not valid YAML"), ("- a", "accepts the fields of a suite as a mapping"), (None, "No such file")],
)
def test_a_file_that_is_none_is_refused(run: Run, tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "suite.yaml").write_text(text)
    result = run("suites", "create", "-f", "suite.yaml")
    assert result.exit_code == 2
    assert "suite.yaml" in result.stderr
    assert message in result.stderr


CODES = {
    "INVALID_FIELD": 2,
    "NOT_FOUND": 3,
    "PERMISSION_DENIED": 4,
    "INVALID_TOKEN": 4,
    "WRONG_TOKEN_KIND": 4,
    "SHUTTING_DOWN": 5,
    "WRONG_STATE": 1,
    "ALREADY_EXISTS": 1,
    "INTERNAL": 1,
}


@pytest.mark.parametrize(("reason", "code"), CODES.items())
def test_each_error_has_its_exit_code(run: Run, coordinator: FakeCoordinator, reason: str, code: int) -> None:
    coordinator.failures.append(failure(reason, "the message", state="Open", allowed="close, cancel"))
    result = run("suites", "cancel", "u", "--json")
    assert result.exit_code == code
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["reason"] == reason
    assert error["message"] == "the message"


def test_errors_for_people_have_no_traceback(run: Run, coordinator: FakeCoordinator) -> None:
    coordinator.failures.append(failure("WRONG_STATE", "suite is Open", state="Open", allowed="close, cancel"))
    result = run("suites", "cancel", "u")
    assert result.stderr == "mitosis: suite is Open\n"
    coordinator.failures.append(failure("INVALID_FIELD", "2", violations={"name": "given ''", "tags[0]": "given ','"}))
    result = run("suites", "create", "--name", "x", "--group", "g")
    assert result.stderr == "mitosis: the input was refused\n  name: given ''\n  tags[0]: given ','\n"


def test_without_a_connection_the_way_to_one_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".mitosis" / "connection.json").unlink()
    result = run("suites", "list")
    assert result.exit_code == 2
    assert "mitosis up" in result.stderr
    assert "mitosis login" in result.stderr


def test_a_coordinator_that_is_gone_is_named(run: Run) -> None:
    result = run("--address", "127.0.0.1:1", "suites", "cancel", "u")
    assert result.exit_code == 5
    assert "the coordinator at 127.0.0.1:1 (from " in result.stderr


def test_lists_are_plain_in_a_pipe_and_json_lines_for_programs(run: Run, suite: str) -> None:
    run("suites", "create", "--group", "g", "--name", "a name that is long enough to be cut anywhere else " * 3)
    plain = run("suites", "list").stdout.splitlines()
    assert plain[0].split() == ["UUID", "NAME", "GROUP", "STATE", "DONE", "FAILED", "PRIORITY", "AGE"]
    assert plain[1].startswith(suite)
    assert "to be cut anywhere else a name" in plain[2]
    lines = run("suites", "list", "--json").stdout.splitlines()
    assert json.loads(lines[0])["uuid"] == suite
    assert run("suites", "list", "--json", "--limit", "1").stdout.count("\n") == 1
    assert run("suites", "list", "--state", "Failed").stdout == "No suite matches.\n"
    assert run("suites", "list", "--state", "Nope").exit_code == 2


def test_one_task_is_submitted_from_the_command_line(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    result = run("suites", "submit", suite, "--close", "--", "echo", "-n", "a b")
    assert result.exit_code == 0, result.output
    (task,) = coordinator.tasks.values()
    assert list(task.task_spec.args) == ["echo", "-n", "a b"]
    assert result.stdout == task.uuid + "\n"
    assert coordinator.suites[suite].closed
    run("suites", "submit", suite, "--handler", "m:f", "--payload", '{"a": [1]}', "--timeout", "1.5")
    task = list(coordinator.tasks.values())[-1]
    assert (task.task_spec.payload, task.task_spec.timeout_seconds) == ('{"a":[1]}', 1.5)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--handler", "m:f", "--command", "x"], ["-f", "x", "--", "y"], ["-f", "x", "--payload", "1"]],
)
def test_what_to_submit_is_said_once(run: Run, suite: str, arguments: list[str]) -> None:
    assert run("suites", "submit", suite, *arguments).exit_code == 2


def test_a_range_is_submitted_as_one_array(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    array = ("suites", "submit", suite, "--range", "0:100000:5", "--timeout", "9", "--priority", "2", "--close")
    result = run(*array, "--handler", "m:f")
    assert (result.exit_code, result.stdout) == (0, "20000 tasks were submitted.\n"), result.output
    assert coordinator.suites[suite].closed
    assert (coordinator.calls["SubmitArray"], coordinator.calls["SubmitTasks"]) == (1, 0)
    result = run("suites", "submit", suite, "--range", "3:0:-1", "--json", "--", "echo")
    made = json.loads(result.stdout)
    assert made["submitted_tasks"] == 3
    assert made["first_task_uuid"] in coordinator.tasks
    requests: list[Any] = [item for item in coordinator.requests if isinstance(item, SubmitArrayRequest)]
    assert [(item.range.start, item.range.stop, item.range.step) for item in requests] == [(0, 100000, 5), (3, 0, -1)]
    assert (requests[0].task_spec.handler, requests[0].task_spec.timeout_seconds) == ("m:f", 9)
    assert (requests[0].priority, list(requests[1].task_spec.args)) == (2, ["echo"])


@pytest.mark.parametrize("numbers", ["5", "a:b", "1:2:0", "1:2:3:4", "1.5:2", ""])
def test_a_range_says_what_it_accepts(run: Run, suite: str, coordinator: FakeCoordinator, numbers: str) -> None:
    result = run("suites", "submit", suite, "--handler", "m:f", "--range", numbers)
    assert result.exit_code == 2
    told = " ".join(result.stderr.replace("│", "").split())
    assert "--range" in told
    assert f"given {numbers!r}; accepts START:STOP or START:STOP:STEP" in told
    assert not coordinator.tasks


@pytest.mark.parametrize("beside", [["--handler", "m:f", "--payload", "1"], ["-f", "x"], []])
def test_a_range_goes_with_what_to_run(run: Run, suite: str, beside: list[str]) -> None:
    assert run("suites", "submit", suite, "--range", "0:5", *beside).exit_code == 2


@pytest.mark.parametrize("payload", ["{", '{"a": 1, "a": 2}', "NaN", "[" * 100_000])
def test_a_payload_is_json(run: Run, suite: str, coordinator: FakeCoordinator, payload: str) -> None:
    result = run("suites", "submit", suite, "--handler", "m:f", "--payload", payload)
    assert result.exit_code == 2
    assert "is not a JSON document" in result.stderr
    assert not coordinator.tasks


def test_every_line_that_is_no_json_is_named(
    run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator
) -> None:
    lines = [
        '{"handler": "m:f"}',
        '{"handler": "m:f", "handler": "m:g"}',
        "[" * 100_000,
        '{"payload": %s}' % ("1" * 5_000),
    ]
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
    result = run("suites", "submit", suite, "-f", "tasks.jsonl")
    assert result.exit_code == 2
    assert 'tasks.jsonl:2: is not a JSON document: the key "handler" is there twice' in result.stderr
    assert "tasks.jsonl:3: is not a JSON document: it is nested too deep" in result.stderr
    assert "tasks.jsonl:4: is not a JSON document: it holds a number with too many digits" in result.stderr
    assert not coordinator.tasks


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["suites", "create", "--priority", "high"], "given 'high'; accepts a whole number"),
        (["suites", "wait", "x", "--timeout", "soon"], "given 'soon'; accepts a number"),
        (["suites", "list", "--limit", "0"], "given '0'; accepts at least 1"),
        (["up", "--grpc-port", "99999"], "given '99999'; accepts at most 65535"),
        (["tasks", "list", "--state", "Lost"], "'Lost' is not one of 'Ready', 'Dispatched'"),
        (["tasks", "show"], "Missing argument 'TASK'"),
        (["suites", "begin"], "No such command 'begin'"),
    ],
)
def test_wrong_usage_says_what_was_given_and_what_is_accepted(run: Run, arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", "").split())
    result = run(*arguments, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["reason"] == "USAGE"
    assert told in error["message"] or arguments[0] == "up"


def test_the_json_flag_of_a_task_is_its_own(run: Run, suite: str) -> None:
    result = run("suites", "submit", suite, "--range", "x", "--", "convert", "--json")
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage:")


def test_a_file_of_tasks_is_submitted(run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator) -> None:
    lines = [json.dumps({"handler": "m:f", "payload": index}) for index in range(3000)]
    (tmp_path / "tasks.jsonl").write_text("\n\n".join(lines))
    result = run("suites", "submit", suite, "-f", "tasks.jsonl", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"submitted_tasks": 3000}
    assert len(coordinator.tasks) == 3000


@pytest.mark.parametrize("text", ["- command: a\n- {args: [b], priority: 3}\n", "tasks: [{command: a}, {args: [b]}]"])
def test_tasks_in_yaml(run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator, text: str) -> None:
    (tmp_path / "tasks.yaml").write_text(text)
    assert run("suites", "submit", suite, "-f", "tasks.yaml").stdout == "2 tasks were submitted.\n"
    assert [task.task_spec.command for task in coordinator.tasks.values()] == ["a", ""]


def test_a_bad_file_submits_nothing_and_names_every_line(
    run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator
) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"command": "a"}\n\n{"command": 1}\n{nonsense\n[]\n{"x": 1}\n')
    result = run("suites", "submit", suite, "-f", "tasks.jsonl")
    assert result.exit_code == 2
    assert not coordinator.tasks
    places = [line.split(": ")[0].strip() for line in result.stderr.splitlines()[1:]]
    assert places == ["tasks.jsonl:3", "tasks.jsonl:4", "tasks.jsonl:5", "tasks.jsonl:6"]


def test_files_that_are_no_text_are_refused_and_a_byte_order_mark_is_no_content(
    run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator
) -> None:
    (tmp_path / "binary").write_bytes(b"\x89PNG\r\n")
    for arguments in (("suites", "create", "-f", "binary"), ("suites", "submit", suite, "-f", "binary")):
        result = run(*arguments)
        assert (result.exit_code, result.stderr) == (2, "mitosis: binary: is not text in UTF-8\n")
    (tmp_path / "tasks.jsonl").write_bytes(b'\xef\xbb\xbf{"command": "a"}\r\n')
    assert run("suites", "submit", suite, "-f", "tasks.jsonl").stdout == "1 task was submitted.\n"
    assert len(coordinator.tasks) == 1


def test_what_is_missing_is_named_by_its_flag(run: Run, tmp_path: Path) -> None:
    assert "give --name and --group" in run("suites", "create").stderr
    (tmp_path / "suite.yaml").write_text("name: a\n")
    result = run("suites", "create", "-f", "suite.yaml")
    assert (result.exit_code, "give --group" in result.stderr) == (2, True)
    result = run("login", "-u", "ada")
    assert (result.exit_code, "--password-stdin" in result.stderr) == (2, True)


def test_an_unknown_field_of_a_task_is_answered_with_all_that_there_are(run: Run, suite: str, tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"command": "a", "prio": 1}\n')
    assert "payload, priority, retry_backoff" in run("suites", "submit", suite, "-f", "tasks.jsonl").stderr


def test_standard_input_is_submitted_as_it_comes(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    lines = ['{"command": "a"}'] * 7000
    result = run("suites", "submit", suite, "-f", "-", stdin="\n".join(lines))
    assert result.stdout == "7000 tasks were submitted.\n"
    lines[6500] = '{"comand": "a"}'
    result = run("suites", "submit", suite, "-f", "-", stdin="\n".join(lines))
    assert result.exit_code == 2
    assert result.stderr.startswith("6500 tasks were submitted before this:\n")
    assert "standard input:6501: comand: given an unknown field" in result.stderr
    assert len(coordinator.tasks) == 13_500


def test_a_task_that_the_coordinator_refuses_is_named_by_its_line(
    run: Run, suite: str, tmp_path: Path, coordinator: FakeCoordinator
) -> None:
    (tmp_path / "tasks.jsonl").write_text('\n{"command": "a"}\n\n{"handler": "m:f"}\n')
    coordinator.failures.append(failure("INVALID_FIELD", violations={"tasks[1].task_spec.handler": "accepts another"}))
    result = run("suites", "submit", suite, "-f", "tasks.jsonl")
    assert result.exit_code == 2
    assert result.stderr == "mitosis: tasks.jsonl:4: handler: accepts another\n"


def _finish(coordinator: FakeCoordinator, uuid: str, **fields: Any) -> None:
    suite = coordinator.suites[uuid]
    suite.MergeFrom(suite_pb2.TaskSuite(state=COMPLETE, total_tasks=5, **fields))


def test_waiting_tells_how_it_ended(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    _finish(coordinator, suite, completed_tasks=5)
    result = run("suites", "wait", suite)
    assert (result.exit_code, result.stdout) == (0, "Complete: 5 of 5 tasks completed.\n")
    coordinator.suites[suite].failed_tasks = 1
    result = run("suites", "wait", suite, "--json", "--released")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed_tasks"] == 1


def test_waiting_tells_the_end_once(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    async def watch(_: int) -> AsyncIterator[suite_pb2.TaskSuite]:
        running = suite_pb2.TaskSuite()
        running.CopyFrom(coordinator.suites[suite])
        running.state, running.total_tasks = suite_pb2.TASK_SUITE_STATE_EXECUTING, 5
        yield running
        _finish(coordinator, suite, completed_tasks=5)
        coordinator.suites[suite].assigned_managers = 1
        yield coordinator.suites[suite]
        coordinator.suites[suite].assigned_managers = 0
        yield coordinator.suites[suite]

    coordinator.watch = watch
    result = run("suites", "wait", suite)
    assert result.stderr == "Executing: 0 of 5 tasks completed\n"
    assert result.stdout == "Complete: 5 of 5 tasks completed.\n"
    coordinator.suites[suite].ClearField("completed_tasks")
    result = run("suites", "wait", suite, "--released")
    assert "Cleaning up: 5 of 5 tasks completed\n" in result.stderr
    assert "Complete" not in result.stderr


def test_a_key_that_is_there_twice_is_refused(run: Run, suite: str, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("name: a\ngroup_name: g\nname: b\n")
    result = run("suites", "create", "-f", "suite.yaml")
    twice = 'mitosis: suite.yaml:3: is not valid YAML: the key "name" is there twice\n'
    assert (result.exit_code, result.stderr) == (2, twice)
    (tmp_path / "tasks.yaml").write_text("- command: a\n  command: b\n")
    assert "tasks.yaml:2: is not valid" in run("suites", "submit", suite, "-f", "tasks.yaml").stderr
    (tmp_path / "tasks.yaml").write_text("- command: a\n  priority: 1\n- comand: b\n")
    assert (
        "tasks.yaml: task 2: comand: given an unknown field"
        in run("suites", "submit", suite, "-f", "tasks.yaml").stderr
    )
    (tmp_path / "suite.yaml").write_text("task_defaults: &it {timeout_seconds: 1}\nname: a\ngroup_name: g\n")
    assert run("suites", "create", "-f", "suite.yaml").exit_code == 0


def test_waiting_runs_out_of_time(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    async def watch(_: int) -> AsyncIterator[suite_pb2.TaskSuite]:
        yield coordinator.suites[suite]
        await asyncio.sleep(60)

    coordinator.watch = watch
    result = run("suites", "wait", suite, "--timeout", "0.2")
    assert result.exit_code == 124
    assert "did not end within 0.2 s" in result.stderr


def test_a_suite_shows_its_hooks(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    message = coordinator.suites[suite]
    message.reason = "3 preparations failed"
    message.hook_runs.add(
        hook_type=1, result=2, manager_name="m1", exit_code=7, error="exit code 7", output_tail="no space\x1b[2J left\n"
    )
    message.eligible_managers.add(manager_uuid="uuid-of-m1", manager_name="m1", selection=1, assigned=True)
    shown = run("suites", "show", suite).stdout
    for text in (suite, "3 preparations failed", "Preparation on m1: Failure, exit code 7", "uuid-of-m1", "holds it"):
        assert text in shown
    assert "no space\\x1b[2J left" in shown
    assert json.loads(run("suites", "show", suite, "--json").stdout)["hook_runs"][0]["result"] == "Failure"


def test_a_task_shows_its_failures(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    run("suites", "submit", suite, "--handler", "m:f", "--payload", "[1]")
    (task,) = coordinator.tasks.values()
    task.state, task.attempt = task_pb2.TASK_STATE_FAILED, 1
    task.result.error = "killed by SIGSEGV"
    task.result.stderr_tail = "Traceback\n  boom\n"
    task.failures.add(kind=2, attempt=1, manager_name="m1", error="killed by SIGSEGV")
    shown = run("tasks", "show", task.uuid).stdout
    for text in ("attempt 1 on m1: killed by SIGSEGV (worker budget", "Traceback", "  boom", "Failed", "[1]", "m:f"):
        assert text in shown
    assert task.uuid in run("tasks", "list", "--suite", suite).stdout
    assert run("tasks", "cancel", task.uuid).stdout == f"Task {task.uuid} is Cancelled.\n"


def test_suites_are_changed_closed_cancelled_and_retried(run: Run, suite: str, coordinator: FakeCoordinator) -> None:
    assert run("suites", "update", suite, "--priority", "3", "--label", "x").exit_code == 0
    assert coordinator.suites[suite].priority == 3
    assert run("suites", "update", suite).exit_code == 2
    assert "is closed" in run("suites", "close", suite).stdout
    assert "2 tasks are ready again" in run("suites", "retry", suite).stdout
    assert json.loads(run("suites", "cancel", suite, "--json").stdout) == {
        "cancelled_task_count": 3,
        "suite_state": "Cancelled",
    }


def test_a_manager_is_registered(run: Run, tmp_path: Path, coordinator: FakeCoordinator) -> None:
    result = run("managers", "register", "m1", "--group", "a", "--group", "b:Admin", "--token-file", "token")
    assert result.exit_code == 0, result.output
    assert "manager-token" not in result.stdout
    assert (tmp_path / "token").read_text() == "manager-token\n"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    (manager,) = coordinator.managers
    assert [(item.group_name, item.role) for item in manager.group_memberships] == [("a", 1), ("b", 2)]
    assert manager.uuid in run("managers", "list").stdout
    assert run("managers", "register", "m2", "--group", "a:Boss").exit_code == 2


def test_login_keeps_the_token_for_later(run: Run, tmp_path: Path, coordinator: FakeCoordinator) -> None:
    (tmp_path / ".mitosis" / "connection.json").unlink()
    arguments = ("--address", coordinator.address, "login", "-u", "ada", "--password-stdin")
    assert run(*arguments, stdin="wrong\n").exit_code == 4
    result = run(*arguments, stdin="correct horse\n")
    assert result.exit_code == 0, result.output
    path = tmp_path / ".config" / "mitosis" / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("suites", "list").exit_code == 0
    assert coordinator.metadata["authorization"] == "Bearer user-token"


def test_help_tells_the_exit_codes(run: Run) -> None:
    assert "not found" in run("--help").stdout
    assert run("--version").stdout.startswith("mitosis ")


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_no_width_cuts_a_uuid(
    run: Run, suite: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("suites", "list").stdout
    assert suite in shown
    assert "Queued" in shown


def test_lengths_of_time_are_readable() -> None:
    seconds = [0.0004, 0.85, 4.2, 59.99, 200, 7500, 273_600]
    assert [output.duration(value) for value in seconds] == [
        *("0 ms", "850 ms", "4.2 s", "60.0 s", "3 min 20 s", "2 h 5 min", "3 d 4 h")
    ]


def test_counts_name_only_what_there_is() -> None:
    assert counts(Suite(total_tasks=3, completed_tasks=3)) == "3 of 3 tasks completed"
    assert counts(Suite(total_tasks=3, failed_tasks=2, cancelled_tasks=1)) == (
        "0 of 3 tasks completed, 2 failed, 1 cancelled"
    )


def test_what_the_summary_has_said_is_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    one = Obstacle(message="All tasks have ended.")
    show(output.Output(), Explanation(summary=one.message, obstacles=(one,)))
    assert capsys.readouterr().out == "All tasks have ended.\n"
    show(output.Output(), Explanation(summary=one.message, obstacles=(Obstacle(message=one.message, detail="why"),)))
    assert capsys.readouterr().out == "All tasks have ended.\n\n- All tasks have ended.\n  why\n"


def test_explain_finds_out_what_it_is_asked_about(run: Run, coordinator: FakeCoordinator, suite: str) -> None:
    coordinator.tasks["t"] = task_pb2.Task(uuid="t")
    assert run("explain", "t").stdout == "The task waits.\n"
    assert json.loads(run("explain", "t", "--json").stdout)["position"] == 7
    assert run("explain", suite).stdout.splitlines() == [
        "The suite waits.",
        "",
        "- Manager a failed to prepare it.",
        "  no such file",
        "  at all",
        "- Manager b is offline.",
        "- 3 more, further from running it, are not shown.",
    ]
    assert json.loads(run("explain", suite, "--json").stdout)["obstacles"][0]["kind"] == "EnvironmentBackOff"
    nothing = run("explain", "nothing")
    assert nothing.exit_code == 3
    assert "no task and no suite has the UUID nothing" in nothing.stderr


def test_a_task_shows_everybody_who_held_it(run: Run, coordinator: FakeCoordinator) -> None:
    task = task_pb2.Task(uuid="t", state=task_pb2.TASK_STATE_COMPLETED, attempt=3, manager_uuid="u2", manager_name="m2")
    task.started_at.FromSeconds(1_700_000_000)
    task.finished_at.FromSeconds(1_700_000_007)
    lost = task.failures.add(
        kind=task_pb2.FAILURE_KIND_NODE, attempt=1, manager_name="m1", error="its manager was lost"
    )
    lost.failed_at.FromSeconds(1_600_000_000)
    coordinator.tasks["t"] = task
    shown = run("tasks", "show", "t").stdout
    held = [line for line in shown.splitlines() if line.startswith("  attempt")]
    assert held[0].startswith("  attempt 1 on m1: its manager was lost (node budget, 2020-")
    assert held[1] == "  attempt 2: handed back, charged to no budget"
    assert held[2].startswith("  attempt 3 on m2: completed from 2023-")
    assert " until 2023-" in held[2]

    task.state, task.attempt = task_pb2.TASK_STATE_RUNNING, 150
    shown = run("tasks", "show", "t").stdout
    assert "attempts 1 to 50 are left out" in shown
    assert "attempt 150 on m2: running from 2023-" in shown


def test_a_suite_shows_who_held_it_and_its_budget(run: Run, coordinator: FakeCoordinator, suite: str) -> None:
    kept = coordinator.suites[suite]
    kept.preparation_failures, kept.max_preparation_failures = 2, 3
    now = kept.assignments.add(manager_name="m2")
    now.started_at.FromSeconds(1_700_000_000)
    before = kept.assignments.add(manager_name="m1", end_reason="PreparationFailed", preparation_failed=True)
    before.started_at.FromSeconds(1_600_000_000)
    before.ended_at.FromSeconds(1_600_000_009)
    shown = run("suites", "show", suite).stdout
    assert "failed preparations  2 of 3 in a row" in shown
    assert "  m2: since 2023-" in shown
    [line] = [line for line in shown.splitlines() if line.startswith("  m1: since 2020-")]
    assert line.endswith(", PreparationFailed (environment budget)")
