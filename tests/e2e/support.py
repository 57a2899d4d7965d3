"""Runs `mitosis` as a user does, in a sandbox of its own, and finds what a run left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mitosis_client import Client
from mitosis_client.connection import Connection
from mitosis_client.local.layout import Layout

MITOSIS = [sys.executable, "-c", "from mitosis_common.launch import mitosis; mitosis()"]
_SHARED_MEMORY = (Path("/dev/shm"), Path("/tmp/iceoryx2"))


class Sandbox:
    """A home, a working directory and a temporary directory that nothing else uses.

    Processes are recognised by an environment variable that they inherit and by their working directory, so that runs
    of others on the same machine are not mistaken for ours.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = f"t{uuid.uuid4().hex[:8]}"
        self.data = root / ".mitosis"
        self.temporary = root / "t"
        self.temporary.mkdir()
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        self.environment = {
            **inherited,
            "HOME": str(root),
            "TMPDIR": str(self.temporary),
            "MITOSIS_SANDBOX": self.mark,
        }

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*MITOSIS, *arguments],
            cwd=self.root,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Runs a command that must succeed with `--json` and returns its one document."""
        result = self.run(*arguments, "--json", stdin=stdin)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def processes(self) -> list[str]:
        """Returns the command lines of all processes of this sandbox, zombies left out."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                        continue
                    ours = f"MITOSIS_SANDBOX={self.mark}".encode() in entry.joinpath("environ").read_bytes()
                    if ours or entry.joinpath("cwd").readlink().is_relative_to(self.root):
                        found.append(entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return found

    def leftovers(self) -> list[str]:
        """Returns everything that a run should have taken away: processes, shared memory, locks, temporary files."""
        found = [f"process {line}" for line in self.processes()]
        found += map(str, self.shared_memory())
        found += [str(path) for path in self.temporary.rglob("*")]
        # PostgreSQL's own directory keeps the coordinator's lock file, which is only ever taken, not removed.
        found += [str(path) for path in self.data.rglob("up.lock")]
        found += [str(path) for path in self.data.rglob("postmaster.pid")]
        found += [str(path) for path in self.data.rglob("managers/*/run/*")]
        found += [str(path) for name in ("connection.json", "coordinator.json") for path in self.data.rglob(name)]
        return found

    def shared_memory(self) -> list[Path]:
        """Returns the files of this sandbox's shared memory."""
        prefixes = [Layout(data).ipc_prefix for data in (self.data, self.data / "demo")]
        paths = [path for folder in _SHARED_MEMORY for path in folder.rglob("*")]
        return [path for path in paths if any(prefix in path.name for prefix in prefixes)]

    def kill_leftovers(self) -> None:
        """Ends what a failed test left running, and removes what it left in shared memory."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if f"MITOSIS_SANDBOX={self.mark}".encode() in entry.joinpath("environ").read_bytes():
                        os.kill(int(entry.name), signal.SIGKILL)
        for path in self.shared_memory():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """Makes a sandbox, and takes it away with everything that still runs in it."""
    # Not below pytest's directories: a path to PostgreSQL's socket must be short.
    root = Path(tempfile.mkdtemp(prefix="mit-", dir="/tmp"))
    box = Sandbox(root)
    try:
        yield box
    finally:
        box.kill_leftovers()
        shutil.rmtree(root, ignore_errors=True)


class Up:
    """A running `mitosis up`."""

    def __init__(self, box: Sandbox, *arguments: str) -> None:
        self.box = box
        self.log = box.root / "up.log"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*MITOSIS, "up", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0", *arguments],
                cwd=box.root,
                env=box.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self, timeout: float = 60) -> Connection:
        """Waits until everything is up and returns where."""
        path = self.box.data / "connection.json"
        until(lambda: path.exists() or self.process.poll() is not None, timeout, self.output)
        assert path.exists(), self.output()
        return Connection.read(path)

    def client(self) -> Client:
        """Returns a client of the running coordinator, as its administrator."""
        return self.ready().client()

    def output(self) -> str:
        """Returns what it printed so far."""
        return self.log.read_text(errors="replace")

    def pid(self, module: str) -> int:
        """Returns the process id of its child that runs a module."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and module.encode() in entry.joinpath("cmdline").read_bytes():
                    return int(entry.name)
        raise AssertionError(f"no child runs {module}")

    def stop(self, signum: int = signal.SIGINT, timeout: float = 15) -> int:
        """Sends a signal and returns the exit code. Fails after `timeout` seconds."""
        self.process.send_signal(signum)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {timeout} s:\n{self.output()}") from None


def until(condition: Callable[[], object], timeout: float, explain: Callable[[], object] = str) -> None:
    """Waits until a condition holds; the last resort where nothing tells that something has happened."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {explain()}")
        time.sleep(0.05)
