"""The whole manager as a process, with real workers, against a coordinator of a few lines."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mitosis.v1 import hook_pb2, suite_pb2, task_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from tests.unit.nodemgr.fake_coordinator import FakeCoordinator

HANDLERS = """
import ctypes, os, time

def nothing(payload):
    return None

def nap(payload):
    time.sleep(payload)

def crash(payload):
    ctypes.string_at(0)
"""


class ManagerProcess:
    """`mitosis-manager` with its files below a directory of its own."""

    def __init__(self, place: Path, coordinator: FakeCoordinator, **manager: object) -> None:
        self.place = place
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        (place / "handlers_of_test.py").write_text(HANDLERS)
        token = place / "token"
        token.write_text("the-token\n")
        token.chmod(0o600)
        settings = {"max_workers": 4, "drain_grace_seconds": 5, "stop_grace_seconds": 0.5, **manager}
        lines = [f"  {key}: {value}" for key, value in settings.items()]
        (place / "manager.yaml").write_text(
            f"coordinator:\n  stream_url: {coordinator.url}\n  token_file: {token}\n"
            f"manager:\n  runtime_dir: {place}/run\n  data_dir: {place}/data\n" + "\n".join(lines) + "\n"
            f"ipc:\n  service_prefix: {self.prefix}\nlogging:\n  level: debug\n"
        )
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.place / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "mitosis_nodemgr", "--config", str(self.place / "manager.yaml"),
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, timeout: float = 15.0) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    def log(self) -> str:
        return (self.place / "log").read_text()

    def workers(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"mitosis_worker" in line and self.prefix.encode() in line:
                    found.append(int(entry.name))
        return found

    def assert_nothing_is_left(self) -> None:
        assert self.workers() == []
        assert list(Path("/dev/shm").glob(f"{self.prefix}*")) == []
        assert not (self.place / "run").exists()
        assert list((self.place / "data").iterdir()) == []


@pytest.fixture
async def coordinator() -> AsyncIterator[FakeCoordinator]:
    async with FakeCoordinator() as fake:
        yield fake


@pytest.fixture
async def start(
    coordinator: FakeCoordinator, tmp_path: Path
) -> AsyncIterator[Callable[..., "asyncio.Future[ManagerProcess]"]]:
    started: list[ManagerProcess] = []

    async def begin(**settings: object) -> ManagerProcess:
        manager = ManagerProcess(tmp_path, coordinator, **settings)
        started.append(manager)
        await manager.start()
        await coordinator.until(lambda: coordinator.attaches)
        return manager

    yield begin  # type: ignore[misc]
    for manager in started:
        if manager.process is not None and manager.process.returncode is None:
            manager.process.kill()
            await manager.process.wait()
        print(manager.log())


def suite(place: Path, assignment_id: int = 1, **fields: object) -> stream.SuiteAssigned:
    return stream.SuiteAssigned(
        assignment_id=assignment_id,
        suite_uuid=str(uuid.uuid4()),
        suite_name="end to end",
        group_name="testers",
        worker_count=2,
        worker_schedule=suite_pb2.WorkerSchedulePlan(),
        task_defaults=task_pb2.TaskSpec(working_directory=str(place)),
        **fields,  # type: ignore[arg-type]
    )


def handler(name: str, payload: str = "null", **fields: object) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(handler=f"handlers_of_test:{name}", payload=payload, **fields)  # type: ignore[arg-type]


def ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


async def test_two_thousand_tasks_survive_the_death_of_a_worker(
    coordinator: FakeCoordinator, start: Callable[..., "asyncio.Future[ManagerProcess]"], tmp_path: Path
) -> None:
    manager = await start()
    coordinator.assign(
        suite(
            tmp_path,
            env_preparation=hook_pb2.EnvHookSpec(command=f"echo ready > {tmp_path}/prepared; sleep 1000 & echo bye"),
            env_cleanup=hook_pb2.EnvHookSpec(command=f"mv {tmp_path}/prepared {tmp_path}/cleaned"),
        )
    )
    await coordinator.until(lambda: coordinator.messages("task_credit"))
    names = ids(2000)
    began = time.monotonic()
    coordinator.submit([(name, handler("nothing")) for name in names])
    await coordinator.until(lambda: len(coordinator.reports) > 500)
    os.kill(manager.workers()[0], signal.SIGKILL)
    await coordinator.until(lambda: len(coordinator.reports) == 2000, 30)
    print("tasks/s", 2000 / (time.monotonic() - began))
    assert {reports[0].outcome for reports in coordinator.reports.values()} == {stream.TASK_OUTCOME_COMPLETED}
    assert all(len(reports) == 1 for reports in coordinator.reports.values())
    assert len(coordinator.messages("worker_failure")) == 1

    coordinator.send(suite_drained=stream.SuiteDrained(assignment_id=1))
    await coordinator.until(lambda: coordinator.messages("suite_finished"))
    assert coordinator.messages("suite_finished")[0].reason == stream.FINISH_REASON_RELEASED
    assert [report.result for report in coordinator.messages("hook_report")] == [hook_pb2.HOOK_RESULT_SUCCESS] * 2
    assert (tmp_path / "cleaned").exists()

    manager.signal(signal.SIGTERM)
    assert await manager.ended() == 0
    assert coordinator.messages("goodbye")
    manager.assert_nothing_is_left()
