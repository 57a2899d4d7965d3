"""What operators do: try a deployment out, back it up, and take it back to where it was."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mitosis_client import NotFound
from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.support import MITOSIS

SMOKE_TEST = Path(__file__).parents[2] / "deploy" / "smoke-test.sh"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("jq"), reason="the smoke test needs jq")
def test_a_restored_coordinator_goes_on_with_its_managers() -> None:
    with running_cluster(managers=1) as cluster:
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
        assert smoke_test(cluster) != kept


def coordinator(cluster: Cluster, *arguments: str) -> str:
    """Runs the coordinator's program for something else than serving."""
    done = subprocess.run(
        [sys.executable, "-m", "mitosis_coordinator", "--config", cluster.layout.coordinator_config, *arguments],
        cwd=cluster.box.root,
        env=cluster.box.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def smoke_test(cluster: Cluster) -> str:
    """Runs the smoke test, and returns the UUID of its suite."""
    programs = cluster.box.root / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "mitosis").write_text(f'#!/bin/sh\nexec {shlex.join(MITOSIS)} "$@"\n')
    (programs / "mitosis").chmod(0o755)
    done = subprocess.run(
        ["bash", SMOKE_TEST, "--tasks", "20", "--timeout", "40"],
        cwd=cluster.box.root,
        env={**cluster.box.environment, "PATH": f"{programs}:{cluster.box.environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]
