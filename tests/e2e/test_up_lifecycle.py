"""`mitosis up` starts everything, keeps it running, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from mitosis_client import Client
from tests.e2e.support import Sandbox, Up, sandbox, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TASKS = 600


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


def start_suite(client: Client) -> str:
    """Starts a suite of short tasks and returns when some of them are done."""
    suite = client.create_suite(
        name="busy",
        group_name="default",
        worker_schedule={"worker_count": 2},
        env_preparation={"command": "true"},
        env_cleanup={"command": "true"},
    )
    client.submit_many(({"handler": "time:sleep", "payload": 0.02} for _ in range(TASKS)), suite_uuid=suite.uuid)
    client.close_suite(suite.uuid)
    until(lambda: client.get_suite(suite.uuid).completed_tasks > 10, 30)
    assert client.get_suite(suite.uuid).pending_tasks > 100
    return suite.uuid


def completed(client: Client, uuid: str) -> None:
    """Waits for the suite and checks that each task was recorded exactly once."""
    suite = client.wait_for_suite(uuid, timeout=90, until_released=True)
    assert (suite.state, suite.completed_tasks, suite.total_tasks) == ("Complete", TASKS, TASKS)
    assert sum(task.state == "Completed" for task in client.list_tasks(suite_uuid=uuid, page_size=1000)) == TASKS


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_suite_leaves_nothing(box: Sandbox, signum: int) -> None:
    up = Up(box, "--workers", "2")
    with up.client() as client:
        uuid = start_suite(client)
    # What must be gone later is found now.
    assert len(box.processes()) >= 6
    assert len(box.shared_memory()) >= 6

    assert up.stop(signum) == 0, up.output()
    assert box.leftovers() == []

    # What was stored goes on where it was.
    up = Up(box, "--workers", "2")
    with up.client() as client:
        completed(client, uuid)
    assert up.stop(signum) == 0, up.output()
    assert box.leftovers() == []


def test_a_second_signal_kills_at_once(box: Sandbox) -> None:
    up = Up(box, "--workers", "2")
    with up.client() as client:
        start_suite(client)
    os.kill(up.pid("mitosis_nodemgr"), signal.SIGSTOP)
    up.process.send_signal(signal.SIGINT)
    until(lambda: "Stopping the managers" in up.output(), 5, up.output)
    started = time.monotonic()
    assert up.stop(signal.SIGINT) == 130
    assert time.monotonic() - started < 5
    until(lambda: not box.processes(), 10, box.processes)
    assert box.shared_memory() == []


def test_children_outlive_neither_a_killed_up_nor_its_next_start(box: Sandbox) -> None:
    up = Up(box, "--workers", "2")
    with up.client() as client:
        uuid = start_suite(client)
    up.process.kill()
    up.process.wait()
    until(lambda: not box.processes(), 30, box.processes)

    (box.data / "connection.json").unlink()
    up = Up(box, "--workers", "2")
    with up.client() as client:
        completed(client, uuid)
    assert up.stop() == 0
    assert box.leftovers() == []


@pytest.mark.parametrize("module", ["mitosis_coordinator", "mitosis_nodemgr"])
def test_a_killed_child_is_started_again(box: Sandbox, module: str) -> None:
    up = Up(box, "--workers", "2")
    with up.client() as client:
        uuid = start_suite(client)
        os.kill(up.pid(module), signal.SIGKILL)
        until(lambda: "starting it again" in up.output(), 10, up.output)
        completed(client, uuid)
    assert "runs again" in up.output()
    assert up.stop() == 0
    assert box.leftovers() == []


def test_several_managers_share_a_machine(box: Sandbox) -> None:
    up = Up(box, "--managers", "2", "--workers", "1")
    with up.client() as client:
        assert [(found.name, found.max_workers, found.state) for found in client.list_managers()] == [
            ("local-1", 1, "Idle"),
            ("local-2", 1, "Idle"),
        ]
    assert up.stop() == 0
    assert box.leftovers() == []


def test_what_is_in_the_way_is_named(box: Sandbox) -> None:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(2)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        grpc, metrics = (str(listener.getsockname()[1]) for listener in taken)
        result = box.run("up", "--grpc-port", grpc, "--http-port", "0", "--metrics-port", metrics)
    assert result.returncode == 2
    assert f"--grpc-port {grpc} cannot be used" in result.stderr
    assert f"--metrics-port {metrics} cannot be used" in result.stderr
    assert box.leftovers() == []

    (box.root / "file").write_text("")
    result = box.run("up", "--data-dir", "file/below")
    assert (result.returncode, "cannot be created" in result.stderr) == (2, True)


def test_a_data_directory_has_one_up(box: Sandbox) -> None:
    up = Up(box, "--workers", "1")
    up.ready()
    result = box.run("up", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    assert result.returncode == 2
    assert f"another `mitosis up` (process {up.process.pid}) runs in {box.data}" in result.stderr
    assert box.run("managers", "list").returncode == 0
    assert up.stop() == 0


def test_a_start_that_fails_shows_why_and_leaves_nothing(box: Sandbox) -> None:
    box.environment["MITOSIS_SERVER__WORKERS"] = "many"
    result = box.run("up", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    assert result.returncode == 1
    assert "coordinator did not start: exit code 2" in result.stderr
    assert "server.workers" in result.stderr
    assert box.leftovers() == []
