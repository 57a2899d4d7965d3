"""What is in deploy/ is accepted by what reads it: the units by systemd, the configurations by the programs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mitosis_coordinator import config as coordinator
from mitosis_nodemgr import config as manager
from mitosis_worker import config as worker
from tests.unit.docs.test_commands import check

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def setting(unit: Path, name: str) -> str:
    """The value of a setting that a unit has once."""
    (value,) = re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return str(value)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    files = []
    for unit in UNITS:
        # An instance of a template; and programs that there are, as systemd looks for them.
        file = tmp_path / unit.name.replace("@", "@one")
        file.write_text(re.sub(r"/opt/mitosis/bin/\S+", "/bin/true", unit.read_text(encoding="utf-8")))
        files.append(file)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=60, check=False
    )

    assert len(files) == 3
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_program_in_the_way_it_takes(unit: Path) -> None:
    program, *arguments = setting(unit, "ExecStart").split()
    name = re.sub(r"mitosis-(\w+)@?\.service", r"\1", unit.name)

    check([program, *arguments])
    assert program == f"/opt/mitosis/bin/mitosis-{name}"
    assert arguments[:2] == ["--config", f"/etc/mitosis/{name}.yaml"]
    assert (DEPLOY / "etc" / f"{name}.yaml").exists()


def test_a_unit_gives_its_process_the_time_that_it_takes_to_end() -> None:
    shared = manager.load(DEPLOY / "etc" / "manager.yaml", {}, Path("/token"))
    graces = shared.manager.drain_grace_seconds + shared.manager.stop_grace_seconds
    serving = coordinator.load(DEPLOY / "etc" / "coordinator.yaml", {}).server.shutdown_grace_seconds
    limits = {unit.name: float(setting(unit, "TimeoutStopSec")) for unit in UNITS}

    assert limits["mitosis-manager.service"] > graces + shared.hooks.timeout_seconds
    assert limits["mitosis-coordinator.service"] > serving
    assert limits["mitosis-worker@.service"] > graces


def test_the_configurations_are_accepted_and_fit_the_units() -> None:
    units = {unit.name: unit for unit in UNITS}
    coordinating = coordinator.load(DEPLOY / "etc" / "coordinator.yaml", {})
    managing = manager.load(DEPLOY / "etc" / "manager.yaml", {}, Path("/token"))
    worker.load(DEPLOY / "etc" / "worker.yaml", {}, Path("/token"))

    state = Path("/var/lib", setting(units["mitosis-coordinator.service"], "StateDirectory"))
    assert coordinating.server.data_dir == state
    assert managing.manager.data_dir == Path("/var/lib", setting(units["mitosis-manager.service"], "StateDirectory"))
    assert managing.manager.runtime_dir == Path("/run", setting(units["mitosis-manager.service"], "RuntimeDirectory"))
