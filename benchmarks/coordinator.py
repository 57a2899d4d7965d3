"""A coordinator without managers, with a configuration of its own, and with a restart."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks.harness import Mitosis, await_file, stop
from mitosis_client.connection import write_private
from mitosis_client.local.layout import Layout, Ports, coordinator_config

Sections = Mapping[str, Mapping[str, str | int]]


@dataclass(slots=True)
class Coordinator:
    """A coordinator with its database; `restart` replaces the process by one that listens on the same ports."""

    layout: Layout
    sections: Sections
    ports: Ports
    process: subprocess.Popen[bytes]
    mitosis: Mitosis

    def restart(self) -> None:
        """Kill it, with the other processes of `server.workers`, and start it again."""
        self.process.kill()
        self.process.wait()
        self.process, self.mitosis = _start(self.layout, self.sections, self.ports)


@contextlib.contextmanager
def coordinator_up(sections: Sections) -> Iterator[Coordinator]:
    """Run a coordinator on free ports in an empty directory, configured as said, and stop it.

    Raises:
        RuntimeError: It did not start, or it did not stop.
    """
    with tempfile.TemporaryDirectory(prefix="mitosis-bench-") as directory:
        layout = Layout(Path(directory))
        process, mitosis = _start(layout, sections, Ports(0, 0, 0))
        ports = Ports(_port(mitosis.address), _port(mitosis.http), 0)
        coordinator = Coordinator(layout, sections, ports, process, mitosis)
        try:
            yield coordinator
        finally:
            stop(coordinator.process, signal.SIGTERM)


def _start(layout: Layout, sections: Sections, ports: Ports) -> tuple[subprocess.Popen[bytes], Mitosis]:
    config: dict[str, object] = dict(coordinator_config(layout, ports))
    for name, values in sections.items():
        section = config.get(name, {})
        assert isinstance(section, dict)
        config[name] = {**section, **values}
    write_private(layout.coordinator_config, yaml.safe_dump(config))
    layout.ready_file.unlink(missing_ok=True)
    log_path = layout.root / "coordinator.log"
    with log_path.open("w") as log:
        command = [sys.executable, "-m", "mitosis_coordinator", "--config", str(layout.coordinator_config)]
        process = subprocess.Popen([*command, "--die-with-parent"], stdout=log, stderr=log)
    try:
        ready = await_file(process, layout.ready_file, log_path)
    except RuntimeError:
        process.kill()
        process.wait()
        raise
    mitosis = Mitosis(ready["grpc"], ready["http"], ready["token"], layout.root, psutil.Process(process.pid))
    return process, mitosis


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
