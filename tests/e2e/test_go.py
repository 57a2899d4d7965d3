"""The Go client against a running Mitosis, and the example programs in both languages.

Needs Go. Without it the ring is left out, and says so; with MITOSIS_REQUIRE_GO=1 it fails instead.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Up, sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
IN_PYTHON = ROOT / "examples/submit_and_wait.py"
LEFT_OUT = "the Go ring was left out: there is no go on PATH"
COUNTS = "Complete: 1000 tasks, 990 completed, 10 failed, 0 cancelled\n"


@pytest.fixture(scope="module")
def go() -> str:
    """The Go command."""
    found = shutil.which("go")
    if found is None:
        if os.environ.get("MITOSIS_REQUIRE_GO") == "1":
            pytest.fail(LEFT_OUT)
        pytest.skip(LEFT_OUT)
    return found


@pytest.fixture(scope="module")
def submit(go: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go example program, built."""
    program = tmp_path_factory.mktemp("go") / "submit"
    built = subprocess.run(
        [go, "build", "-buildvcs=false", "-o", str(program), "./submit"],
        cwd=ROOT / "examples/go",
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def up(go: str) -> Iterator[Up]:
    """A running Mitosis; asked for after Go, so that nothing is started without it."""
    with sandbox() as box:
        running = Up(box, "--workers", "2")
        running.ready()
        yield running
        assert running.stop() == 0, running.output()
        assert box.leftovers() == []


def led_to(up: Up) -> dict[str, str]:
    """The environment of a program that is to find the running Mitosis as a user's would."""
    return {**os.environ, "MITOSIS_CONNECTION": str(up.box.data / "connection.json")}


def run(*command: str, folder: Path, up: Up) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(command, cwd=folder, env=led_to(up), capture_output=True, text=True, timeout=540, check=False)


def test_the_client_against_a_running_coordinator(go: str, up: Up) -> None:
    # Not from the cache: what is tested is on the other end of the connection.
    result = run(go, "test", "-count=1", "-tags", "live", "./...", folder=ROOT / "clients/go", up=up)
    assert result.returncode == 0, result.stdout + result.stderr


def test_both_example_programs_print_the_same_counts(submit: Path, up: Up, tmp_path: Path) -> None:
    in_go = run(str(submit), folder=tmp_path, up=up)
    in_python = run(sys.executable, str(IN_PYTHON), folder=tmp_path, up=up)
    assert (in_go.returncode, in_go.stdout) == (0, COUNTS), in_go.stderr
    assert (in_python.returncode, in_python.stdout) == (0, COUNTS), in_python.stderr


def test_waiting_outlives_the_coordinator(submit: Path, up: Up) -> None:
    with subprocess.Popen(
        [submit], env=led_to(up), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        seen = program.stderr.readline()
        assert "tasks have ended" in seen
        os.kill(up.pid("mitosis_coordinator"), signal.SIGKILL)
        stdout, stderr = program.communicate(timeout=120)
    assert (program.returncode, stdout) == (0, COUNTS), seen + stderr


def test_an_example_without_a_coordinator_says_how_to_start_one(submit: Path) -> None:
    with sandbox() as box:
        for command in ([str(submit)], [sys.executable, str(IN_PYTHON)]):
            result = subprocess.run(
                command, cwd=box.root, env=box.environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1), result.stderr
            assert "mitosis up" in result.stderr
