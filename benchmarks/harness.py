"""Starts what a scenario measures, and looks at its processes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from mitosis_client.specs import SuiteSpec
from mitosis_coordinator.storage.embedded import EmbeddedPostgres

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Mitosis:
    """A whole Mitosis of its own: where it listens, and the process that all others descend from."""

    address: str
    http: str
    token: str
    data_dir: Path
    process: psutil.Process

    @property
    def database_url(self) -> str:
        """Where its database is, for whoever runs as the user that started it."""
        return EmbeddedPostgres(self.data_dir / "coordinator" / "postgres").url

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The running processes by part; `mitosis up` itself is `supervisor`."""
        parts: dict[str, list[psutil.Process]] = {}
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                parts.setdefault(_part_of(process), []).append(process)
        return parts

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of every part so far, user and system, of the processes that run."""
        return {part: sum(times.values()) for part, times in self.cpu_seconds_each().items()}

    def cpu_seconds_each(self) -> dict[str, dict[int, float]]:
        """Processor time of every process so far, user and system, by part and process id."""
        seconds: dict[str, dict[int, float]] = {}
        for part, processes in self.processes().items():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds.setdefault(part, {})[process.pid] = times.user + times.system
        return seconds

    def memory(self) -> dict[str, dict[int, int]]:
        """Bytes that each process has for itself, by part and process id; shared buffers do not count."""
        sizes: dict[str, dict[int, int]] = {}
        for part, processes in self.processes().items():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    sizes.setdefault(part, {})[process.pid] = process.memory_full_info().uss
        return sizes


@contextlib.contextmanager
def mitosis_up(*, workers: int, managers: int = 1, coordinators: int = 1) -> Iterator[Mitosis]:
    """Run `mitosis up` on free ports in an empty directory, and stop it.

    Args:
        workers: Of each manager.
        managers: How many.
        coordinators: Processes of the coordinator.

    Raises:
        RuntimeError: It did not start, or it did not stop.
    """
    with tempfile.TemporaryDirectory(prefix="mitosis-bench-") as directory:
        data_dir = Path(directory)
        ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
        program = Path(sys.executable).with_name("mitosis")
        command = [str(program), "up", "--data-dir", directory, *ports]
        command += ["--workers", str(workers), "--managers", str(managers), "--coordinators", str(coordinators)]
        with (data_dir / "up.log").open("w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                connection = await_file(process, data_dir / "connection.json", data_dir / "up.log")
                yield Mitosis(
                    connection["grpc"], connection["http"], connection["token"], data_dir, psutil.Process(process.pid)
                )
            finally:
                stop(process, signal.SIGINT)


def suite_spec(name: str, auto_close_timeout_seconds: int = 180) -> SuiteSpec:
    """A suite whose workers find the measured handlers."""
    return {
        "name": name,
        "group_name": "default",
        "task_defaults": {"working_directory": str(REPOSITORY)},
        "auto_close_timeout_seconds": auto_close_timeout_seconds,
    }


def await_file(process: subprocess.Popen[bytes], path: Path, log: Path) -> dict[str, str]:
    """The JSON that a process writes when it is ready.

    Raises:
        RuntimeError: It ended, or took too long; the message holds its log.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if path.exists():
            document: dict[str, str] = json.loads(path.read_text())
            return document
        if process.poll() is not None:
            break
        time.sleep(0.05)
    ended = "was not ready" if process.poll() is None else f"ended with {process.returncode}"
    raise RuntimeError(f"{process.args!r} {ended}: {log.read_text()}")


def stop(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Ask a process to end, and see that it does.

    Raises:
        RuntimeError: It had to be killed.
    """
    process.send_signal(signum)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RuntimeError(f"{process.args!r} did not stop") from None


def _part_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    for module, part in (
        ("mitosis_coordinator", "coordinator"),
        ("mitosis_nodemgr", "manager"),
        ("mitosis_worker", "worker"),
        ("postgres", "postgres"),
        ("mitosis up", "supervisor"),
    ):
        if module in command:
            return part
    return "other"
