"""The command against a real coordinator: what a script relies on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Sandbox, Up, sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with sandbox() as box:
        up = Up(box, "--workers", "2")
        up.ready()
        yield box
        assert up.stop() == 0
        assert box.leftovers() == []


def test_a_suite_from_a_file_with_tasks_from_a_pipe(running: Sandbox) -> None:
    (running.root / "suite.yaml").write_text(
        "name: from a file\n"
        "group_name: default\n"
        "worker_schedule: {strategy: Fixed, worker_count: 2}\n"
        "env_preparation: {command: echo prepared}\n"
        "env_cleanup: {command: echo cleaned}\n"
    )
    suite = running.run("suites", "create", "-f", "suite.yaml").stdout.strip()
    tasks = [{"handler": "math:sqrt", "payload": value} for value in range(50)]
    tasks.append({"command": 'read line; echo "$line" >&2; echo $MITOSIS_TASK_PAYLOAD', "payload": {"x": 1}})
    lines = "\n".join(json.dumps(task) for task in tasks)
    assert running.json("suites", "submit", suite, "-f", "-", "--close", stdin=lines) == {"submitted_tasks": 51}

    done = running.run("suites", "wait", suite, "--released", "--timeout", "60")
    assert (done.returncode, done.stdout) == (0, "Complete: 51 of 51 tasks completed.\n"), done.stderr
    shown = running.json("suites", "show", suite)
    assert [(run["hook_type"], run["result"], run["output_tail"].strip()) for run in shown["hook_runs"]] == [
        ("Cleanup", "Success", "cleaned"),
        ("Preparation", "Success", "prepared"),
    ]
    listed = [json.loads(line) for line in running.run("tasks", "list", "--suite", suite, "--json").stdout.splitlines()]
    assert {task["state"] for task in listed} == {"Completed"}
    newest = running.json("tasks", "show", listed[0]["uuid"])
    assert newest["task_spec"]["payload"] == {"x": 1}
    assert newest["result"]["exit_code"] == 0
    assert json.loads(newest["result"]["stdout_tail"]) == {"x": 1}
    assert running.json("tasks", "show", listed[-1]["uuid"])["result"]["return_value"] == 0.0


def test_a_failed_task_says_why_and_can_be_retried(running: Sandbox) -> None:
    suite = running.run("suites", "create", "--group", "default", "--name", "fails", "--auto-close", "0").stdout.strip()
    flag = running.root / "flag"
    task = running.run("suites", "submit", suite, "--close", "--", "cat", str(flag)).stdout.strip()
    waited = running.run("suites", "wait", suite, "--timeout", "60")
    assert (waited.returncode, waited.stdout) == (1, "Complete: 0 of 1 tasks completed, 1 failed.\n"), waited.stderr
    shown = running.run("tasks", "show", task).stdout
    for text in ("Failed", "exit code", "No such file or directory", "attempt 1 on local-1"):
        assert text in shown

    flag.write_text("now it is there")
    assert running.json("suites", "retry", suite)["retried_task_count"] == 1
    running.run("suites", "close", suite)
    assert running.run("suites", "wait", suite, "--timeout", "60").returncode == 0
    assert "now it is there" in running.run("tasks", "show", task).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["suites", "show", NOBODY], 3, NOBODY),
        (["tasks", "show", NOBODY], 3, NOBODY),
        (["suites", "show", "nonsense"], 2, "nonsense"),
        (["suites", "create", "--group", "nobody", "--name", "x"], 3, "nobody"),
        (
            ["suites", "create", "--group", "default", "--name", "x", "--workers", "0"],
            2,
            "worker_schedule.worker_count",
        ),
        (["suites", "create", "--group", "default", "--name", "x", "--workers", "100000"], 2, "worker_count"),
        (["suites", "create", "--group", "default", "--name", "x", "--tag", "a,b"], 2, "tags[0]"),
        (["suites", "create", "--group", "default", "--name", "x", "--tag", "a" * 300], 2, "tags[0]"),
        (["--token", "nonsense", "suites", "list"], 4, "mitosis login"),
        (["--address", "127.0.0.1:1", "suites", "list"], 5, "127.0.0.1:1"),
    ],
)
def test_exit_codes_and_messages(running: Sandbox, arguments: list[str], code: int, text: str) -> None:
    result = running.run(*arguments)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_managers_token_is_not_a_users(running: Sandbox) -> None:
    token = (running.data / "managers" / "1" / "token").read_text().strip()
    result = running.run("--token", token, "suites", "list", "--json")
    assert result.returncode == 4
    assert json.loads(result.stderr)["error"]["reason"] == "WRONG_TOKEN_KIND"


def test_a_cancelled_suite_takes_nothing(running: Sandbox) -> None:
    suite = running.run("suites", "create", "--group", "default", "--name", "x").stdout.strip()
    assert running.json("suites", "cancel", suite, "--reason", "no need") == {
        "cancelled_task_count": 0,
        "suite_state": "Cancelled",
    }
    result = running.run("suites", "submit", suite, "--", "true")
    assert (result.returncode, "Cancelled" in result.stderr) == (1, True)
    assert running.run("suites", "close", suite).returncode == 1
    assert "no need" in running.run("suites", "show", suite).stdout


def test_updates_and_filters(running: Sandbox) -> None:
    suite = running.run("suites", "create", "--group", "default", "--name", "x", "--tag", "nowhere").stdout.strip()
    assert running.run("suites", "update", suite, "--label", "l1", "--priority", "7").returncode == 0
    listed = running.run("suites", "list", "--label", "l1", "--json").stdout
    assert (json.loads(listed)["uuid"], json.loads(listed)["priority"]) == (suite, 7)
    assert "No manager may run it" in running.run("suites", "show", suite).stdout
    waited = running.run("suites", "wait", suite, "--timeout", "0.5", "--json")
    assert waited.returncode == 124
    assert running.run("suites", "cancel", suite).returncode == 0


def test_managers_are_registered_and_shown(running: Sandbox) -> None:
    (manager,) = [json.loads(line) for line in running.run("managers", "list", "--json").stdout.splitlines()]
    assert (manager["name"], manager["max_workers"]) == ("local-1", 2)
    assert manager["uuid"] in running.run("managers", "show", manager["uuid"]).stdout
    registered = running.json("managers", "register", "elsewhere", "--group", "default", "--token-file", "elsewhere")
    assert (running.root / "elsewhere").stat().st_mode & 0o777 == 0o600
    assert registered["manager"]["state"] == "Offline"
    assert running.run("managers", "register", "elsewhere", "--group", "default").returncode == 1
    assert running.run("managers", "shutdown", registered["manager"]["uuid"]).returncode == 1


def test_login_with_the_first_password(running: Sandbox, tmp_path: Path) -> None:
    connection = json.loads((running.data / "connection.json").read_text())
    password = (running.data / "coordinator" / "admin-password").read_text()
    arguments = ("--address", connection["grpc"], "login", "-u", "admin", "--password-stdin")
    assert running.run(*arguments, stdin="not it\n").returncode == 4
    assert running.run(*arguments, stdin=password).returncode == 0
    saved = running.root / ".config" / "mitosis" / "credentials.json"
    assert saved.stat().st_mode & 0o777 == 0o600
    environment = {**running.environment, "MITOSIS_DATA_DIR": str(tmp_path)}
    before, running.environment = running.environment, environment
    try:
        assert running.run("suites", "list").returncode == 0
    finally:
        running.environment = before
    assert os.fspath(saved) not in running.run("suites", "list").stdout
