"""Everything by mutual TLS: the command line, a manager, and a task that runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import yaml

from mitosis_coordinator.app import serving
from tests.e2e.support import sandbox
from tests.support.certificates import Authority
from tests.support.coordinator import ADMIN_PASSWORD, coordinator_config, quick_passwords


@pytest.mark.slow
async def test_the_command_and_a_manager_work_by_mutual_tls(database_url: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client, node = (authority.issue(name) for name in ("server", "client", "node"))
    tls = {
        "certificate": server.certificate,
        "private_key": server.private_key,
        "client_ca": authority.certificate,
    }
    config = coordinator_config(database_url, tmp_path / "data", tls=tls)
    with sandbox() as box:
        async with serving(config, quick_passwords()) as coordinator:
            address = f"127.0.0.1:{coordinator.grpc_port}"
            trusting = ["--address", address, "--ca", str(authority.certificate)]
            proving = [*trusting, "--cert", str(client.certificate), "--key", str(client.private_key)]
            login = ["login", "--username", "admin", "--password-stdin"]
            for flags, how in ((["--address", address], "plain text"), (trusting, "TLS")):
                refused = await asyncio.to_thread(box.run, *flags, *login, stdin=ADMIN_PASSWORD)
                assert refused.returncode == 5
                assert f"cannot be reached by {how}" in refused.stderr
            logged_in = await asyncio.to_thread(box.run, *proving, *login, stdin=ADMIN_PASSWORD)
            assert logged_in.returncode == 0, logged_in.stderr

            # From here on the flags are those that `login` kept.
            token = box.root / "token"
            register = ["managers", "register", "box", "--group", "default", "--token-file", str(token)]
            registered = await asyncio.to_thread(box.run, *register)
            assert registered.returncode == 0, registered.stderr
            manager_yaml = box.root / "manager.yaml"
            manager_yaml.write_text(
                yaml.safe_dump(
                    {
                        "coordinator": {
                            "url": f"https://127.0.0.1:{coordinator.http_port}",
                            "token_file": str(token),
                            "ca_file": str(authority.certificate),
                            "certificate": str(node.certificate),
                            "private_key": str(node.private_key),
                        },
                        "manager": {
                            "max_workers": 1,
                            "runtime_dir": str(box.root / "run"),
                            "data_dir": str(box.root / "state"),
                        },
                        "ipc": {"service_prefix": box.mark},
                    }
                )
            )
            log = box.root / "manager.log"
            with log.open("wb") as stream:
                manager = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "mitosis_nodemgr", "--config", str(manager_yaml)),
                    cwd=box.root,
                    env=box.environment,
                    stderr=stream,
                )
            try:
                create = ["suites", "create", "--group", "default", "--name", "sealed"]
                suite = (await asyncio.to_thread(box.run, *create)).stdout.strip()
                submit = ["suites", "submit", suite, "--close", "--", "true"]
                submitted = await asyncio.to_thread(box.run, *submit)
                assert submitted.returncode == 0, submitted.stderr
                waited = await asyncio.to_thread(box.run, "suites", "wait", suite, "--timeout", "60")
                assert waited.returncode == 0, waited.stderr + log.read_text()
            finally:
                manager.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(manager.wait(), 30) == 0
