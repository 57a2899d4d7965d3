"""Starts what a scenario measures, and says what came out."""

from __future__ import annotations

import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mitosis_client.specs import SuiteSpec

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is, how large, what it is held against, and what was promised."""

    figure: str
    value: str
    beside: str
    ratio: str
    target: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one scenario measured; `raw` holds every sample, for `--json`."""

    name: str
    rows: list[Row]
    raw: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mitosis:
    """A `mitosis up` of its own: where it listens, and its processes."""

    address: str
    token: str
    data_dir: Path
    process: psutil.Process

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The running processes by part; `up` itself is `supervisor`."""
        parts: dict[str, list[psutil.Process]] = {"supervisor": [self.process]}
        for process in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                parts.setdefault(_part_of(process), []).append(process)
        return parts

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of every part so far, user and system, of the processes that run."""
        seconds: dict[str, float] = {}
        for part, processes in self.processes().items():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    seconds[part] = seconds.get(part, 0.0) + times.user + times.system
        return seconds


@contextlib.contextmanager
def mitosis_up(*, workers: int, managers: int = 1) -> Iterator[Mitosis]:
    """Run `mitosis up` on free ports in an empty directory, and stop it.

    Raises:
        RuntimeError: It did not start, or it did not stop.
    """
    with tempfile.TemporaryDirectory(prefix="mitosis-bench-") as directory:
        data_dir = Path(directory)
        ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
        program = Path(sys.executable).with_name("mitosis")
        command = [str(program), "up", "--data-dir", directory, *ports]
        command += ["--workers", str(workers), "--managers", str(managers)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            connection = _await_connection(process, data_dir / "connection.json")
            yield Mitosis(connection["grpc"], connection["token"], data_dir, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise RuntimeError("mitosis up did not stop") from None


def suite_spec(name: str, auto_close_timeout_seconds: int = 180) -> SuiteSpec:
    """A suite whose workers find the measured handlers."""
    return {
        "name": name,
        "group_name": "default",
        "task_defaults": {"working_directory": str(REPOSITORY)},
        "auto_close_timeout_seconds": auto_close_timeout_seconds,
    }


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value below which that part of the samples lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def median(samples: Sequence[float]) -> float:
    """The middle of the samples."""
    return statistics.median(samples)


def _await_connection(process: subprocess.Popen[str], path: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if path.exists():
            document: dict[str, str] = json.loads(path.read_text())
            return document
        if process.poll() is not None:
            raise RuntimeError(f"mitosis up ended: {process.stdout.read() if process.stdout else ''}")
        time.sleep(0.05)
    raise RuntimeError("mitosis up did not start")


def _part_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    for module, part in (
        ("mitosis_coordinator", "coordinator"),
        ("mitosis_nodemgr", "manager"),
        ("mitosis_worker", "worker"),
        ("postgres", "postgres"),
    ):
        if module in command:
            return part
    return "other"
