"""Hooks, with real processes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from mitosis.v1 import hook_pb2
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.hooks import Hook, HookContext

PREPARATION = hook_pb2.HOOK_TYPE_PREPARATION


def context(**fields: object) -> HookContext:
    values = {
        "assignment_id": 5,
        "suite_uuid": "suite-uuid",
        "suite_name": "a suite",
        "group_name": "group",
        "worker_count": 3,
        "manager_uuid": "manager-uuid",
        "environment": {"PATH": os.environ["PATH"], "FROM": "manager"},
        "timeout_seconds": 10.0,
        "stop_grace_seconds": 0.3,
        "open_files": 512,
        **fields,
    }
    return HookContext(**values)  # type: ignore[arg-type]


def gone(path: Path) -> bool:
    try:
        state = Path(f"/proc/{int(path.read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


async def written(path: Path) -> None:
    for _ in range(1000):
        if path.exists() and path.read_text():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{path} was not written")


async def vanished(path: Path) -> None:
    """Waits for a process that was sent SIGKILL, which the kernel delivers in its own time."""
    for _ in range(300):
        if gone(path):
            return
        await asyncio.sleep(0.01)
    pytest.fail("it is still there")


async def test_a_hook_knows_what_it_is_run_for(tmp_path: Path) -> None:
    started: list[ProcessId] = []
    spec = hook_pb2.EnvHookSpec(
        command="pwd; echo $FROM $MITOSIS_TASK_SUITE_UUID $MITOSIS_TASK_SUITE_NAME $MITOSIS_GROUP_NAME"
        " $MITOSIS_WORKER_COUNT $MITOSIS_NODE_MANAGER_ID $MITOSIS_HOOK_TYPE; echo to stderr >&2; cat",
        envs={"FROM": "suite", "MITOSIS_WORKER_COUNT": "99"},
        working_directory=str(tmp_path),
    )
    report = await Hook(spec, PREPARATION, context(), started.append).run()
    assert report.result == hook_pb2.HOOK_RESULT_SUCCESS
    assert (report.assignment_id, report.exit_code, report.error) == (5, 0, "")
    words = "suite suite-uuid a suite group 3 manager-uuid env_preparation"
    assert report.output_tail == f"{tmp_path}\n{words}\nto stderr\n"
    assert 0 < report.duration_seconds < 5
    assert abs(report.started_at.seconds - time.time()) < 5
    assert len(started) == 1


@pytest.mark.parametrize(
    ("spec", "exit_code", "error"),
    [
        (hook_pb2.EnvHookSpec(command="echo why; exit 3"), 3, "exit code 3"),
        (hook_pb2.EnvHookSpec(args=["/no/such/program"]), 127, "exit code 127"),
        (hook_pb2.EnvHookSpec(command="true", working_directory="/no/such/place"), None, "could not be started"),
        (hook_pb2.EnvHookSpec(command="kill -9 $$"), None, "killed by SIGKILL"),
    ],
)
async def test_a_hook_that_fails_says_how(spec: hook_pb2.EnvHookSpec, exit_code: int | None, error: str) -> None:
    report = await Hook(spec, PREPARATION, context()).run()
    assert report.result == hook_pb2.HOOK_RESULT_FAILURE
    assert (report.exit_code if report.HasField("exit_code") else None) == exit_code
    assert error in report.error


async def test_a_hook_that_hangs_is_killed_with_its_group(tmp_path: Path) -> None:
    command = (
        f"trap '' TERM; echo working; (trap '' TERM; echo $BASHPID; sleep 1000) & echo $! > {tmp_path}/child; wait"
    )
    spec = hook_pb2.EnvHookSpec(command=command, timeout_seconds=0.3)
    report = await Hook(spec, PREPARATION, context()).run()
    assert report.result == hook_pb2.HOOK_RESULT_TIMEOUT
    assert report.error == "ran longer than 0.3 s"
    assert report.output_tail.startswith("working\n")
    assert 0.6 <= report.duration_seconds < 10
    await vanished(tmp_path / "child")


async def test_a_stopped_hook_is_cancelled(tmp_path: Path) -> None:
    hook = Hook(hook_pb2.EnvHookSpec(command=f"echo $$ > {tmp_path}/child; sleep 1000"), PREPARATION, context())
    running = asyncio.create_task(hook.run())
    await written(tmp_path / "child")
    hook.stop()
    report = await running
    assert report.result == hook_pb2.HOOK_RESULT_CANCELLED
    await vanished(tmp_path / "child")


async def test_a_manager_that_ends_takes_its_hook_along(tmp_path: Path) -> None:
    hook = Hook(hook_pb2.EnvHookSpec(command=f"echo $$ > {tmp_path}/child; sleep 1000"), PREPARATION, context())
    running = asyncio.create_task(hook.run())
    await written(tmp_path / "child")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await vanished(tmp_path / "child")


async def test_what_a_preparation_starts_lives_on_and_does_not_hold_it_up(tmp_path: Path) -> None:
    spec = hook_pb2.EnvHookSpec(command=f"sleep 1000 & echo $! > {tmp_path}/service; echo ready")
    report = await Hook(spec, PREPARATION, context()).run()
    assert (report.result, report.output_tail) == (hook_pb2.HOOK_RESULT_SUCCESS, "ready\n")
    assert report.duration_seconds < 5
    assert not gone(tmp_path / "service")
    os.kill(int((tmp_path / "service").read_text()), 9)


async def test_much_output_costs_little_memory() -> None:
    report = await Hook(hook_pb2.EnvHookSpec(command="yes | head -c 20000000; echo end"), PREPARATION, context()).run()
    assert len(report.output_tail) <= 65536
    assert report.output_tail.endswith("y\nend\n")
