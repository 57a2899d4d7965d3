"""Handlers: results, errors, limits, cancellation, and nothing that leaks into the next task."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis.v1 import task_pb2
from mitosis_worker.executors.capture import CapturedOutput
from mitosis_worker.executors.ending import CANCELLED, COMPLETED, FAILED, TIMED_OUT, Ending
from mitosis_worker.executors.handler import MAX_RETURN_BYTES, HandlerExecutor

# The default way to time tests out is the same timer and signal that stop a handler.
pytestmark = pytest.mark.timeout(30, method="thread")

HANDLERS = "tests.unit.worker.sample_handlers"


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerExecutor]:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGALRM)}
    home = Path.cwd()
    executor = HandlerExecutor(CapturedOutput())
    yield executor
    executor.close()
    os.chdir(home)
    for number, handler in before.items():
        signal.signal(number, handler)


def run(executor: HandlerExecutor, name: str, payload: object = None, **fields: object) -> Ending:
    executor.arm()
    handler = name if ":" in name or "." in name else f"{HANDLERS}:{name}"
    return executor.run(task_pb2.TaskSpec(handler=handler, payload=json.dumps(payload), **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, "ä€😀", [1, {"a": None}], {"b": 1.5}, True])
def test_what_it_returns_is_stored_as_json(executor: HandlerExecutor, value: object) -> None:
    ending = run(executor, "echo", value)
    assert ending.outcome == COMPLETED
    assert json.loads(ending.result.return_value) == value
    assert not ending.result.HasField("exit_code")


def test_none_is_no_value(executor: HandlerExecutor) -> None:
    ending = run(executor, "nothing")
    assert ending.outcome == COMPLETED
    assert ending.result == task_pb2.TaskResult()


def test_without_a_payload_the_argument_is_none(executor: HandlerExecutor) -> None:
    executor.arm()
    ending = executor.run(task_pb2.TaskSpec(handler=f"{HANDLERS}:talk"))
    assert ending.result.stdout_tail == "out None\n"


def test_what_it_prints_is_kept_for_its_own_task_only(executor: HandlerExecutor) -> None:
    result = run(executor, "talk", 1).result
    assert (result.stdout_tail, result.stderr_tail) == ("out 1\n", "err 1\n")
    assert run(executor, "nothing").result.stdout_tail == ""
    assert run(executor, "close_stdout").result.stdout_tail == "last words\n"
    assert run(executor, "talk", 2).result.stdout_tail == "out 2\n"


def test_an_exception_fails_with_its_traceback_from_the_handler_on(executor: HandlerExecutor) -> None:
    ending = run(executor, "fail", 5)
    assert (ending.outcome, ending.result.error) == (FAILED, "ValueError: bad 5")
    assert ending.result.stdout_tail == "before\n"
    assert ending.result.stderr_tail.startswith("Traceback")
    assert "in fail" in ending.result.stderr_tail
    assert "executors/handler.py" not in ending.result.stderr_tail


def test_sys_exit_ends_the_task_and_not_the_worker(executor: HandlerExecutor) -> None:
    ending = run(executor, "leave", 3)
    assert (ending.outcome, ending.result.error) == (FAILED, "SystemExit: the handler called sys.exit(3)")


def test_an_error_text_can_always_be_stored(executor: HandlerExecutor) -> None:
    ending = run(executor, "fail_strangely")
    assert ending.result.error.startswith("RuntimeError: \\udc80\N{REPLACEMENT CHARACTER}xxx")
    assert len(ending.result.error) < 5000
    assert "\0" not in ending.result.stderr_tail


@pytest.mark.parametrize(
    ("name", "payload", "error"),
    [
        ("unserialisable", None, "Object of type set is not JSON serializable"),
        ("not_a_number", None, "Out of range float values are not JSON compliant"),
        ("surrogate", None, "surrogates not allowed"),
        ("big", MAX_RETURN_BYTES - 1, f"is {MAX_RETURN_BYTES + 1} bytes of JSON; accepts at most {MAX_RETURN_BYTES}"),
    ],
)
def test_a_value_that_cannot_be_stored_fails(executor: HandlerExecutor, name: str, payload: object, error: str) -> None:
    ending = run(executor, name, payload)
    assert ending.outcome == FAILED
    assert error in ending.result.error
    assert "return value" in ending.result.error


def test_the_largest_value_is_stored(executor: HandlerExecutor) -> None:
    assert run(executor, "big", MAX_RETURN_BYTES - 2).outcome == COMPLETED


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no_colon.here", "given 'no_colon.here'; accepts package.module:function"),
        ("no_such_module:f", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{HANDLERS}:no_such_function", "has no attribute 'no_such_function'"),
        (f"{HANDLERS}:not_callable", "which is not callable but of type int"),
    ],
)
def test_a_handler_that_is_not_there_is_named_with_what_is_accepted(
    executor: HandlerExecutor, name: str, error: str
) -> None:
    ending = run(executor, name)
    assert ending.outcome == FAILED
    assert ending.result.error.startswith(f"task_spec.handler: given {name!r}")
    assert error in ending.result.error
    assert "accepts package.module:function" in ending.result.error


def test_a_module_that_breaks_at_its_import_shows_where(executor: HandlerExecutor, tmp_path: Path) -> None:
    (tmp_path / "broken_module_of_a_test.py").write_text("import sys\nsys.exit('not here')\n")
    ending = run(executor, "broken_module_of_a_test:f", working_directory=str(tmp_path))
    assert "SystemExit: not here" in ending.result.error
    assert "line 2" in ending.result.stderr_tail


@pytest.mark.parametrize("name", ["sleep", "spin", "wait", "stubborn"])
def test_a_limit_stops_it(executor: HandlerExecutor, name: str) -> None:
    started = time.monotonic()
    ending = run(executor, name, 20, timeout_seconds=0.1)
    assert time.monotonic() - started < 5
    assert (ending.outcome, ending.result.error) == (TIMED_OUT, "ran longer than 0.1 s")
    assert run(executor, "echo", 1, timeout_seconds=5).outcome == COMPLETED


@pytest.mark.parametrize("name", ["sleep", "spin", "wait"])
def test_cancel_stops_it(executor: HandlerExecutor, name: str) -> None:
    timer = threading.Timer(0.1, executor.cancel)
    timer.start()
    ending = run(executor, name, 20)
    timer.join()
    assert (ending.outcome, ending.result.error) == (CANCELLED, "cancelled")
    assert run(executor, "wait", 0).result.return_value == '"waited"'


def test_a_limit_is_announced_again_until_it_is_noticed(executor: HandlerExecutor) -> None:
    # As long as the signal is blocked, one is pending and all others are lost; it is taken away unseen.
    began = time.monotonic()
    ending = run(executor, "swallow_one_alarm", 20, timeout_seconds=0.1)
    assert ending.outcome == TIMED_OUT
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", ["echo", "wait"])
def test_a_cancellation_before_the_start_is_not_lost(executor: HandlerExecutor, name: str) -> None:
    executor.arm()
    executor.cancel()
    assert executor.run(task_pb2.TaskSpec(handler=f"{HANDLERS}:{name}", payload="1")).outcome == CANCELLED


def test_signals_between_tasks_and_at_their_ends_hit_nobody(executor: HandlerExecutor) -> None:
    stop = threading.Event()

    def pester() -> None:
        while not stop.is_set():
            executor.cancel()
            time.sleep(0.00005)

    pest = threading.Thread(target=pester)
    pest.start()
    outcomes = set()
    try:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            outcomes.add(run(executor, "echo", 1, timeout_seconds=0.001).outcome)
    finally:
        stop.set()
        pest.join()
    assert outcomes <= {COMPLETED, CANCELLED, TIMED_OUT}
    assert len(outcomes) >= 2


def test_a_coroutine_that_cancels_itself_has_failed(executor: HandlerExecutor) -> None:
    ending = run(executor, "cancel_itself")
    assert (ending.outcome, ending.result.error) == (FAILED, "CancelledError")


def test_variables_are_there_for_the_task_only(executor: HandlerExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANGED", "before")
    names = ["CHANGED", "ADDED"]
    ending = run(executor, "environment", names, envs={"CHANGED": "task", "ADDED": "task"})
    assert json.loads(ending.result.return_value) == {"CHANGED": "task", "ADDED": "task"}
    ending = run(executor, "environment", names)
    assert json.loads(ending.result.return_value) == {"CHANGED": "before", "ADDED": None}


def test_the_working_directory_is_entered_and_first_on_the_path(executor: HandlerExecutor, tmp_path: Path) -> None:
    (tmp_path / "module_of_a_test.py").write_text("def f(payload): return 'found'\n")
    home, first = Path.cwd(), sys.path[0]
    directory = str(tmp_path)
    assert run(executor, "module_of_a_test:f", working_directory=directory).result.return_value == '"found"'
    assert json.loads(run(executor, "place", working_directory=directory).result.return_value) == [directory] * 2
    assert json.loads(run(executor, "place").result.return_value) == [str(home), first]


def test_a_working_directory_that_is_not_there_fails(executor: HandlerExecutor) -> None:
    ending = run(executor, "echo", 1, working_directory="/no/such")
    assert ending.outcome == FAILED
    assert ending.result.error.startswith("task_spec.working_directory: given '/no/such'")
    assert run(executor, "echo", 1).outcome == COMPLETED
