"""The guide's curl examples, as they are printed, against real processes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, running_cluster

SCRIPT = Path(__file__).with_name("guide_examples.sh")
# Where the guide says that its preparation runs.
TRAINING = Path("/opt/ml")
HANDLER = """
def train(payload):
    return {"batch": payload["batch"], "model": payload["model"]}
"""


@contextlib.contextmanager
def training_environment() -> Iterator[None]:
    """The guide's own preparation script in its own place, taken away again with what was made for it."""
    script = TRAINING / "scripts" / "setup_training_env.sh"
    if TRAINING.exists():
        pytest.skip(f"{TRAINING} is somebody's")
    try:
        script.parent.mkdir(parents=True)
    except PermissionError:
        pytest.skip(f"{TRAINING} cannot be made here")
    try:
        program(script)
        yield
    finally:
        shutil.rmtree(TRAINING)


def program(path: Path) -> None:
    """Writes a script that does nothing, successfully."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho ready\n")
    path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not all(map(shutil.which, ("curl", "jq"))), reason="the guide's examples need curl and jq")
def test_every_example_of_the_guide_does_what_it_says() -> None:
    with training_environment(), running_cluster(managers=0) as cluster:
        done = run_examples(cluster)
        print(done.stdout, done.stderr)
        assert done.returncode == 0
        assert "every example of the guide does what the guide says" in done.stdout
        log = cluster.box.root / "manager.log"
        assert "Traceback" not in log.read_text()


def run_examples(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    """Runs the script in the sandbox, beside the files that the guide expects there."""
    assert cluster.connection is not None
    root = cluster.box.root
    program(root / "scripts" / "cleanup.sh")
    (root / "guide_training.py").write_text(HANDLER)
    return subprocess.run(
        ["bash", SCRIPT],
        cwd=root,
        env={
            **cluster.box.environment,
            "API": cluster.connection.http,
            "METRICS": cluster.connection.metrics.removesuffix("/metrics"),
            "TOKEN": cluster.connection.token,
            "MANAGER": f"{sys.executable} -m mitosis_nodemgr",
            "MITOSIS_WORKER_DEFAULTS__HANDLER": "guide_training:train",
            "MITOSIS_WORKER_DEFAULTS__WORKING_DIRECTORY": str(root),
            # Beside the guide's own configuration: places that the test can look into and take away.
            "MITOSIS_LOGGING__OUTPUT": str(root / "manager.log"),
            "MITOSIS_MANAGER__DATA_DIR": str(cluster.box.data / "managers/1/state"),
            "MITOSIS_MANAGER__RUNTIME_DIR": str(cluster.box.data / "managers/1/run"),
            "MITOSIS_IPC__SERVICE_PREFIX": cluster.layout.ipc_prefix,
        },
        capture_output=True,
        text=True,
        check=False,
    )
