"""What the pages for programmers and operators print: a Python program, the smoke test, a backup and its way back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis_client import NotFound
from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.support import MITOSIS

ROOT = Path(__file__).parents[2]
SMOKE_TEST = ROOT / "deploy" / "smoke-test.sh"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One for all, as a user has."""
    with running_cluster(managers=1) as running:
        yield running


def test_the_program_of_the_page_on_python_runs(cluster: Cluster) -> None:
    page = (ROOT / "docs" / "api" / "python.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    done = run(cluster, sys.executable, "-c", program)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "admin"
    assert "Complete 1101 1101" in lines
    assert "9" in lines
    assert any(line.startswith("worker_schedule.worker_count ") for line in lines)
    assert lines[-1] == "Complete 0"


@pytest.mark.skipif(not shutil.which("jq"), reason="the smoke test needs jq")
def test_a_restored_coordinator_goes_on_with_its_managers(cluster: Cluster) -> None:
    kept = smoke_test(cluster)
    backup = cluster.box.root / "mitosis.dump"
    assert f"{backup}: " in coordinator(cluster, "backup", str(backup))
    with cluster.client() as client:
        lost = client.create_suite(name="after the backup", group_name="default")
        client.submit_task({"command": "true"}, suite_uuid=lost.uuid)

    # The manager stays, holding a suite that will not exist.
    cluster.coordinator.stop()
    coordinator(cluster, "restore", str(backup), "--replace")
    cluster.start_coordinator()
    cluster.wait_attached(cluster.manager)

    with cluster.client() as client:
        assert client.get_suite(kept).completed_tasks == 20
        with pytest.raises(NotFound):
            client.get_suite(lost.uuid)
        after = client.create_suite(name="after the restore", group_name="default")
        client.submit_task({"command": "true"}, suite_uuid=after.uuid)
        client.close_suite(after.uuid)
        assert client.wait_for_suite(after.uuid, timeout=60).completed_tasks == 1


def coordinator(cluster: Cluster, *arguments: str) -> str:
    """Runs the coordinator's program for something else than serving."""
    config = str(cluster.layout.coordinator_config)
    done = run(cluster, sys.executable, "-m", "mitosis_coordinator", "--config", config, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def smoke_test(cluster: Cluster) -> str:
    """Runs the smoke test, and returns the UUID of its suite."""
    programs = cluster.box.root / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "mitosis").write_text(f'#!/bin/sh\nexec {shlex.join(MITOSIS)} "$@"\n')
    (programs / "mitosis").chmod(0o755)
    path = f"PATH={programs}:{cluster.box.environment['PATH']}"
    done = run(cluster, "env", path, "bash", str(SMOKE_TEST), "--tasks", "20", "--timeout", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


def run(cluster: Cluster, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a program where `mitosis` finds the coordinator by itself."""
    return subprocess.run(
        command,
        cwd=cluster.box.root,
        env=cluster.box.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
