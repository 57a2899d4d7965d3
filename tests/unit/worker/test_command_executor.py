"""Commands: outputs, limits, cancellation, and what cannot be started."""

import ctypes
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis.v1 import task_pb2
from mitosis_common.reaping import PR_SET_CHILD_SUBREAPER, become_subreaper
from mitosis_worker.executors.command import CommandExecutor
from mitosis_worker.executors.ending import CANCELLED, COMPLETED, FAILED, TIMED_OUT, Ending


@pytest.fixture
def executor() -> Iterator[CommandExecutor]:
    executor = CommandExecutor(stop_grace_seconds=0.3)
    yield executor
    executor.close()


@pytest.fixture(autouse=True)
def _subreaper() -> Iterator[None]:
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def run(executor: CommandExecutor, **fields: object) -> Ending:
    executor.arm()
    return executor.run(task_pb2.TaskSpec(**fields), dict(os.environ))  # type: ignore[arg-type]


def test_a_command_line_and_an_argument_vector(executor: CommandExecutor) -> None:
    ending = run(executor, command="echo $((1 + 1)); echo oops >&2")
    assert ending.outcome == COMPLETED
    assert ending.result == task_pb2.TaskResult(exit_code=0, stdout_tail="2\n", stderr_tail="oops\n")
    ending = run(executor, args=["echo", "$HOME", "*"])
    assert ending.result.stdout_tail == "$HOME *\n"


def test_a_non_zero_exit_code_fails(executor: CommandExecutor) -> None:
    ending = run(executor, command="exit 3")
    assert (ending.outcome, ending.result.exit_code, ending.result.error) == (FAILED, 3, "exit code 3")


def test_an_end_by_a_signal_has_no_exit_code(executor: CommandExecutor) -> None:
    ending = run(executor, command="kill -TERM $$")
    assert (ending.outcome, ending.result.error) == (FAILED, "killed by SIGTERM")
    assert not ending.result.HasField("exit_code")


@pytest.mark.parametrize("size", [2, 1024, 100_000, 1024 * 1024])
def test_the_payload_is_on_standard_input_and_in_the_environment_as_far_as_it_fits(
    executor: CommandExecutor, size: int
) -> None:
    payload = '"' + "x" * (size - 2) + '"'
    ending = run(executor, command='wc -c; printf %s "${MITOSIS_TASK_PAYLOAD-unset}" | wc -c', payload=payload)
    in_environment = size if size <= 100_000 else len("unset")
    assert [int(word) for word in ending.result.stdout_tail.split()] == [size, in_environment]


def test_a_payload_that_nobody_reads_is_no_problem(executor: CommandExecutor) -> None:
    assert run(executor, command="true", payload='"' + "x" * 1_000_000 + '"').outcome == COMPLETED


def test_without_a_payload_standard_input_is_empty(executor: CommandExecutor) -> None:
    assert run(executor, command='cat; echo "${MITOSIS_TASK_PAYLOAD-unset}"').result.stdout_tail == "unset\n"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"args": ["no-such-program-here"]}, "task_spec.args: no program 'no-such-program-here'"),
        ({"args": ["/etc/passwd"]}, "task_spec.args: cannot start '/etc/passwd': Permission denied"),
        (
            {"command": "true", "working_directory": "/no/such"},
            "task_spec.working_directory: given '/no/such': No such file or directory; accepts a directory",
        ),
        ({"args": ["echo", "a\0b"]}, "task_spec.args: cannot be started: embedded null byte"),
        ({"args": ["echo", "x" * 200_000]}, "task_spec.args: cannot start 'echo': Argument list too long"),
    ],
)
def test_what_cannot_be_started_says_why(executor: CommandExecutor, fields: dict[str, object], error: str) -> None:
    before = len(_descriptors())
    ending = run(executor, **fields)
    assert (ending.outcome, ending.result.error) == (FAILED, error)
    assert len(_descriptors()) == before


def test_it_runs_in_the_working_directory(executor: CommandExecutor) -> None:
    assert run(executor, command="pwd", working_directory="/usr").result.stdout_tail == "/usr\n"


def test_a_limit_ends_it_with_sigterm(executor: CommandExecutor) -> None:
    ending = run(executor, command="echo begun; trap 'echo bye; exit 9' TERM; sleep 60 & wait", timeout_seconds=0.3)
    assert (ending.outcome, ending.result.error) == (TIMED_OUT, "ran longer than 0.3 s")
    assert ending.result.stdout_tail == "begun\nbye\n"
    assert ending.result.exit_code == 9


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(executor: CommandExecutor) -> None:
    started = time.monotonic()
    ending = run(executor, command="trap '' TERM; while :; do sleep 0.1; done", timeout_seconds=0.2)
    assert ending.outcome == TIMED_OUT
    assert 0.5 <= time.monotonic() - started < 3
    assert not ending.result.HasField("exit_code")


def test_those_a_stopped_command_waited_for_get_the_grace_too(executor: CommandExecutor) -> None:
    inner = "trap 'sleep 0.1; echo saved; exit' TERM; echo begun; while :; do sleep 0.02; done"
    ending = run(executor, command=f'(sh -c "{inner}"); true', timeout_seconds=0.2)
    assert ending.outcome == TIMED_OUT
    assert ending.result.stdout_tail == "begun\nsaved\n"


def test_cancel_ends_it(executor: CommandExecutor) -> None:
    timer = threading.Timer(0.2, executor.cancel)
    timer.start()
    ending = run(executor, command="sleep 60")
    timer.join()
    assert (ending.outcome, ending.result.error) == (CANCELLED, "cancelled")
    assert run(executor, command="true").outcome == COMPLETED


def test_a_cancellation_before_the_start_is_not_lost(executor: CommandExecutor) -> None:
    executor.arm()
    executor.cancel()
    assert executor.run(task_pb2.TaskSpec(command="sleep 60"), {}).outcome == CANCELLED


def test_a_process_left_in_the_background_is_killed_and_does_not_hold_the_task(executor: CommandExecutor) -> None:
    started = time.monotonic()
    ending = run(executor, command="sleep 60 & echo $!")
    assert time.monotonic() - started < 2
    assert ending.outcome == COMPLETED
    with pytest.raises(ProcessLookupError):
        _wait_gone(int(ending.result.stdout_tail))


def test_a_lot_of_output_is_drained_in_bounded_memory(executor: CommandExecutor) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ending = run(executor, command="head -c 1000000000 /dev/zero | tr '\\0' x; printf end")
    assert ending.outcome == COMPLETED
    assert len(ending.result.stdout_tail) == 64 * 1024
    assert ending.result.stdout_tail.endswith("xend")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


def test_no_descriptor_and_no_child_is_left(executor: CommandExecutor) -> None:
    run(executor, command="true")
    before = _descriptors()
    for _ in range(5):
        run(executor, command="sleep 60 & echo x", payload="{}", timeout_seconds=5)
    assert _descriptors() == before


def _descriptors() -> list[str]:
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


def _wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        time.sleep(0.01)
