"""Tasks and hooks that misbehave end as the failure rules say, with the reason where a user looks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mitosis_client import Suite, Task
from mitosis_client.specs import NewTask
from tests.e2e.cluster import Cluster, alive, running_cluster
from tests.e2e.support import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB = 1024 * 1024
TAIL_BYTES = 64 * 1024
NEIGHBOURS = 40
_HANDLERS = "tests.e2e.hard_handlers"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(managers=2, workers=2) as running:
        yield running


def handler(name: str, payload: object = None, **fields: Any) -> NewTask:
    return {"handler": f"{_HANDLERS}:{name}", "payload": payload, **fields}  # type: ignore[typeddict-item]


def create(cluster: Cluster, *, managers: int = 1, **fields: Any) -> Suite:
    """Creates a suite for the first manager alone, or for both."""
    with cluster.client() as client:
        suite = client.create_suite(
            name="hard", group_name="default", worker_schedule={"worker_count": 2}, labels=["hard"], **fields
        )
        if managers < len(cluster.managers):
            client.add_suite_managers(suite.uuid, [part.uuid for part in cluster.managers[:managers]])
    return suite


def run(cluster: Cluster, tasks: Sequence[NewTask], *, managers: int = 1, **fields: Any) -> tuple[Suite, list[Task]]:
    """Runs a suite to its end: these tasks, and harmless ones beside them that must complete."""
    suite = create(cluster, managers=managers, **fields)
    with cluster.client() as client:
        uuids = [client.submit_task(task, suite_uuid=suite.uuid).uuid for task in tasks]
        neighbours: list[str] = []
        client.submit_many(
            (handler("good", number) for number in range(NEIGHBOURS)),
            suite_uuid=suite.uuid,
            on_batch=neighbours.extend,
        )
        client.close_suite(suite.uuid)
        suite = client.wait_for_suite(suite.uuid, timeout=60, until_released=True)
        ended = [client.get_task(uuid) for uuid in uuids]
        beside = [client.get_task(uuid) for uuid in neighbours]
    assert suite.state == "Complete"
    assert suite.pending_tasks == 0
    for number, task in enumerate(beside):
        assert (task.state, task.result and task.result.return_value) == ("Completed", number)
    return suite, ended


def shown(cluster: Cluster, task: Task) -> dict[str, Any]:
    """Returns what `mitosis tasks show --json` says."""
    document = cluster.box.json("tasks", "show", task.uuid)
    assert isinstance(document, dict)
    return document


def peak_bytes(pid: int) -> int:
    """Returns the most memory that a process has had resident so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")


@pytest.mark.parametrize("managers", [1, 2])
def test_a_handler_that_segfaults(cluster: Cluster, managers: int) -> None:
    suite, (task,) = run(cluster, [handler("segfault")], managers=managers)
    assert suite.failed_tasks == 1

    document = shown(cluster, task)
    assert document["state"] == "Failed"
    assert "its worker died 2 times (killed by SIGSEGV)" in document["result"]["error"]
    # Where it happened: the interpreter's last words.
    assert "in segfault" in document["result"]["stderr_tail"]
    deaths = [(failure["kind"], failure["attempt"], failure["error"]) for failure in document["failures"]]
    # Two on each manager: a third try would only cost a core dump.
    assert deaths == [("Worker", 1 + number // 2, "killed by SIGSEGV") for number in range(2 * managers)]
    assert len({failure["manager_uuid"] for failure in document["failures"]}) == managers


def test_a_handler_that_segfaults_alone_in_its_suite(cluster: Cluster) -> None:
    suite = create(cluster, managers=2)
    with cluster.client() as client:
        task = client.submit_task(handler("segfault"), suite_uuid=suite.uuid)
        client.close_suite(suite.uuid)
        client.wait_for_suite(suite.uuid, timeout=30, until_released=True)
        task = client.get_task(task.uuid)
    assert task.state == "Failed"
    assert {failure.manager_uuid for failure in task.failures} == {part.uuid for part in cluster.managers}


def test_a_handler_that_exits(cluster: Cluster) -> None:
    _, (task,) = run(cluster, [handler("leave", 3)])
    document = shown(cluster, task)
    assert document["state"] == "Failed"
    assert "its worker died 3 times (exit code 3)" in document["result"]["error"]
    assert [failure["error"] for failure in document["failures"]] == ["exit code 3"] * 3


def test_a_handler_that_is_stuck_in_c_code(cluster: Cluster) -> None:
    _, (task,) = run(cluster, [handler("stuck", timeout_seconds=0.5)])
    document = shown(cluster, task)
    assert document["state"] == "Failed"
    assert document["attempt"] == 1
    assert "ran longer than its limit and did not stop when asked" in document["result"]["error"]


def test_a_command_that_ignores_sigterm(cluster: Cluster) -> None:
    stubborn: NewTask = {
        "command": "trap '' TERM; echo $$; echo holding on >&2; while :; do sleep 0.05; done",
        "timeout_seconds": 0.5,
    }
    _, (task,) = run(cluster, [stubborn])
    document = shown(cluster, task)
    assert document["state"] == "Failed"
    assert document["result"]["error"] == "ran longer than 0.5 s"
    assert document["result"]["stderr_tail"] == "holding on\n"
    assert not alive(int(document["result"]["stdout_tail"]))


@pytest.mark.parametrize(
    ("task", "end"),
    [
        ({"command": f"yes mitosis | head -c {1024 * MIB}; echo; echo the last line"}, "\nthe last line\n"),
        (handler("write", 256), "\nthe last line\n"),
    ],
    ids=["a command's gigabyte", "a handler's quarter of it"],
)
def test_output_without_end_takes_no_memory(cluster: Cluster, task: NewTask, end: str) -> None:
    suite = create(cluster)
    with cluster.client() as client:
        # Everything that is loaded lazily is there before the measurement.
        warm = [client.submit_task(handler("good"), suite_uuid=suite.uuid).uuid for _ in range(20)]
        until(lambda: all(client.get_task(uuid).state == "Completed" for uuid in warm), 30)
        pids = [cluster.manager.pid, *cluster.worker_pids(cluster.manager)]
        assert len(pids) == 3
        before = {pid: peak_bytes(pid) for pid in pids}

        uuid = client.submit_task(task, suite_uuid=suite.uuid).uuid
        until(lambda: client.get_task(uuid).state in ("Completed", "Failed"), 60)
        grown = [peak_bytes(pid) - before[pid] for pid in pids]
        assert max(grown) < 100 * MIB, grown
        client.close_suite(suite.uuid)
        client.wait_for_suite(suite.uuid, timeout=30, until_released=True)
        document = shown(cluster, client.get_task(uuid))
    assert document["state"] == "Completed"
    tail = document["result"]["stdout_tail"]
    assert tail.endswith(end)
    assert TAIL_BYTES - 4 <= len(tail.encode()) <= TAIL_BYTES


def test_a_task_that_leaves_a_daemon(cluster: Cluster) -> None:
    # It ends as soon as the daemon is in a session of its own, and says so.
    command = "setsid sh -c 'echo $$ > daemon; exec sleep 4322' & until [ -s daemon ]; do :; done; cat daemon"
    _, (by_command, by_handler) = run(
        cluster, [{"command": command, "working_directory": str(cluster.box.root)}, handler("daemonize", 4322)]
    )
    assert (by_command.state, by_handler.state) == ("Completed", "Completed")
    assert by_command.result is not None
    assert not alive(int(by_command.result.stdout_tail))
    assert by_handler.result is not None
    assert isinstance(by_handler.result.return_value, int)
    assert not alive(by_handler.result.return_value)


def test_a_megabyte_in_and_a_megabyte_out(cluster: Cluster) -> None:
    # A JSON text of exactly the limit: two of its bytes are quotes.
    largest = "x" * (MIB - 2)
    tasks: list[NewTask] = [handler("good", largest) for _ in range(4)]
    tasks += [
        {"command": "wc -c", "payload": largest},
        # One byte more than the payload, by the handler's own doing.
        {"handler": "json:dumps", "payload": largest},
    ]
    _, (*same, counted, escaped) = run(cluster, tasks)
    for task in same:
        assert task.state == "Completed"
        assert task.result is not None
        assert task.result.return_value == largest
    assert counted.result is not None
    assert counted.result.stdout_tail.strip() == str(MIB)
    assert escaped.state == "Failed"
    document = shown(cluster, escaped)
    assert f"accepts at most {MIB}" in document["result"]["error"]


def test_output_that_is_no_text(cluster: Cluster) -> None:
    command: NewTask = {"command": r"printf 'before\377\000after'; printf '\360\237' >&2; exit 7"}
    _, (by_command, by_handler, by_error) = run(cluster, [command, handler("odd_output"), handler("odd_error")])
    document = shown(cluster, by_command)
    assert (document["state"], document["result"]["exit_code"]) == ("Failed", 7)
    assert document["result"]["error"] == "exit code 7"
    assert document["result"]["stdout_tail"] == "before\ufffd\ufffdafter"
    assert document["result"]["stderr_tail"] == "\ufffd"
    document = shown(cluster, by_handler)
    assert document["state"] == "Completed"
    assert document["result"]["return_value"] == "a\0b"
    assert document["result"]["stdout_tail"] == "before\ufffd\ufffdafter"
    assert document["result"]["stderr_tail"] == "\\ud800\n"
    document = shown(cluster, by_error)
    assert document["state"] == "Failed"
    assert document["result"]["error"] == "ValueError: a\ufffdb\\ud800c"


@pytest.mark.parametrize(
    ("hook", "result", "reason"),
    [
        (
            {"command": "echo no licence >&2; sleep 4323", "timeout_seconds": 0.5},
            "Timeout",
            "2 preparations in a row failed; the last: ran longer than 0.5 s",
        ),
        (
            {"command": "echo no licence >&2; exit 4"},
            "Failure",
            "2 preparations in a row failed; the last: exit code 4",
        ),
    ],
    ids=["hangs", "fails"],
)
def test_a_preparation_that(cluster: Cluster, hook: dict[str, Any], result: str, reason: str) -> None:
    suite = create(cluster, managers=2, env_preparation=hook, max_preparation_failures=2)
    with cluster.client() as client:
        client.submit_many([handler("good"), handler("good")], suite_uuid=suite.uuid)
        client.wait_for_suite(suite.uuid, timeout=30, until_released=True)
        document = cluster.box.json("suites", "show", suite.uuid)
        assert (document["state"], document["reason"]) == ("Failed", reason)
        assert document["preparation_failures"] == 2
        # The tasks stay, for a retry.
        assert (document["pending_tasks"], document["failed_tasks"]) == (2, 0)
        for hook_run in document["hook_runs"]:
            assert (hook_run["hook_type"], hook_run["result"]) == ("Preparation", result)
            assert hook_run["output_tail"] == "no licence\n"
        assert "sleep 4323" not in cluster.box.processes()
        assert {client.get_manager(part.uuid).state for part in cluster.managers} == {"Idle"}
    # A success forgives the managers.
    run(cluster, [], managers=2, env_preparation={"command": "true"})


@pytest.mark.parametrize(
    ("hook", "result", "error"),
    [
        ({"command": "echo stuck; sleep 4324", "timeout_seconds": 0.5}, "Timeout", "ran longer than 0.5 s"),
        ({"command": "echo stuck; exit 5"}, "Failure", "exit code 5"),
    ],
    ids=["hangs", "fails"],
)
def test_a_cleanup_that(cluster: Cluster, hook: dict[str, Any], result: str, error: str) -> None:
    suite, _ = run(cluster, [], env_cleanup=hook)
    document = cluster.box.json("suites", "show", suite.uuid)
    assert document["state"] == "Complete"
    (hook_run,) = document["hook_runs"]
    assert (hook_run["hook_type"], hook_run["result"], hook_run["error"]) == ("Cleanup", result, error)
    assert hook_run["output_tail"] == "stuck\n"
    with cluster.client() as client:
        assert client.get_manager(cluster.manager.uuid).state == "Idle"
    assert "sleep 4324" not in cluster.box.processes()
