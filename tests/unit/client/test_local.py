"""The parts of `mitosis up` that need no process."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mitosis_client.connection import Connection, find_connection, write_private
from mitosis_client.errors import InvalidField
from mitosis_client.local import machine, tokens
from mitosis_client.local.child import Child
from mitosis_client.local.errors import LocalError
from mitosis_client.local.layout import (
    COORDINATOR_GRACE_SECONDS,
    MANAGER_DRAIN_SECONDS,
    MANAGER_GRACE_SECONDS,
    MANAGER_STOP_SECONDS,
    Layout,
    Options,
    Ports,
    coordinator_config,
    manager_config,
)
from mitosis_client.local.supervisor import Supervisor
from mitosis_common.backoff import Backoff


def test_everything_ends_within_fifteen_seconds() -> None:
    assert MANAGER_GRACE_SECONDS + COORDINATOR_GRACE_SECONDS < 15
    assert MANAGER_DRAIN_SECONDS + MANAGER_STOP_SECONDS < MANAGER_GRACE_SECONDS


def test_configurations_point_into_the_data_directory(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    document = coordinator_config(layout, Ports(1, 2, 3))
    assert document["server"] == {
        "host": "127.0.0.1",
        "port": 2,
        "grpc_port": 1,
        "workers": 1,
        "data_dir": str(tmp_path / "coordinator"),
        "ready_file": str(tmp_path / "coordinator.json"),
    }
    assert document["metrics"] == {"enabled": True, "port": 3}
    first, second = (manager_config(layout.manager(number), 4, "http://h:1", "h:2") for number in (1, 2))
    assert first["coordinator"] == {
        "url": "http://h:1",
        "stream_url": "grpc://h:2",
        "token_file": str(tmp_path / "managers" / "1" / "token"),
    }
    assert first["manager"] != second["manager"]
    assert Layout(tmp_path / "a").ipc_prefix != Layout(tmp_path / "b").ipc_prefix


def test_a_lock_names_its_holder_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    with machine.locked(path):
        with pytest.raises(LocalError, match=rf"process {os.getpid()}\) runs in") as refusal, machine.locked(path):
            pass
        assert refusal.value.exit_code == 2
        assert path.exists()
    assert not path.exists()
    path.write_text("123")
    with machine.locked(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_every_taken_port_is_named_by_its_flag() -> None:
    machine.require_free(Ports(0, 0, 0))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(LocalError) as refusal:
            machine.require_free(Ports(port, 0, port))
    assert f"--grpc-port {port} cannot be used" in str(refusal.value)
    assert f"--metrics-port {port} cannot be used" in str(refusal.value)
    assert "--http-port" not in str(refusal.value)


def _token(**claims: object) -> str:
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"


@pytest.mark.parametrize(
    ("token", "fresh"),
    [
        (_token(exp=10_000), True),
        (_token(exp=4_000), False),
        (_token(), False),
        (_token(exp="soon"), False),
        ("nonsense", False),
        ("a.!.b", False),
        ("", False),
    ],
)
def test_a_token_is_used_while_it_lasts(token: str, fresh: bool) -> None:
    assert tokens.is_fresh(token, now=1_000) is fresh


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells that another process got so far
            await asyncio.sleep(0.01)


def _running_in_group(group: int) -> list[str]:
    """Returns the processes of a group that are more than zombies, which only their parents can take away."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, member_of = path.read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and state != "Z":
                found.append(path.parent.name)
    return found


async def test_a_child_is_stopped_with_its_group(tmp_path: Path) -> None:
    child = Child("c", ["/bin/sh", "-c", "trap '' TERM; echo started; sleep 100 & wait; sleep 100"], tmp_path / "c.log")
    child.keep_old_log()
    await child.start()
    await _until(lambda: "started" in child.log_tail())
    pid = child.pid
    assert pid is not None
    assert os.getpgid(pid) == pid
    assert await child.stop(0.2) is False
    assert child.pid is None
    await _until(lambda: not _running_in_group(pid))


async def test_a_child_keeps_one_old_log_and_gets_no_address_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    program = "import os; print(os.environ.get('DATABASE_URL'), 'PATH' in os.environ)"
    child = Child("c", [sys.executable, "-c", program], tmp_path / "logs" / "c.log")
    for _ in range(2):
        child.keep_old_log()
        await child.start()
        assert await child.wait() == 0
    assert child.log.read_text() == "None True\n"
    assert sorted(path.name for path in child.log.parent.iterdir()) == ["c.log", "c.log.1"]
    assert await child.stop(1) is True


def test_a_connection_is_found_in_order(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "MITOSIS_DATA_DIR": str(tmp_path / "data")}
    assert find_connection(environment) is None
    Connection("login:1", token="secret").write(tmp_path / ".config" / "mitosis" / "credentials.json")
    found = find_connection(environment)
    assert found is not None
    assert (found.grpc, found.token) == ("login:1", "secret")
    assert "secret" not in repr(found)
    Connection("up:1").write(tmp_path / "data" / "connection.json")
    assert find_connection(environment) == Connection("up:1")
    Connection("named:1").write(tmp_path / "named.json")
    assert find_connection({**environment, "MITOSIS_CONNECTION": str(tmp_path / "named.json")}) == Connection("named:1")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"grpc": 3}'])
def test_a_file_that_is_no_connection_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "connection.json"
    path.write_text(text)
    with pytest.raises(InvalidField, match=r"connection\.json"):
        Connection.read(path)


def test_private_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_tls_options_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"roots")
    options = Connection("h:1", root_certificates_file=str(tmp_path / "ca.pem")).tls_options()
    assert options is not None
    assert (options.root_certificates, options.private_key) == (b"roots", None)
    assert Connection("h:1").tls_options() is None
    assert Connection("h:1", tls=True).tls_options() is not None


async def test_a_child_that_only_ends_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mitosis_client.local.supervisor.Backoff", lambda *_: Backoff(0.001, 0.001))
    said: list[str] = []
    supervisor = Supervisor(Options(tmp_path), said.append)
    child = Child("manager", ["/bin/sh", "-c", "echo no such token; exit 3"], tmp_path / "log")
    await child.start()
    async with asyncio.timeout(10):
        with pytest.raises(
            LocalError, match=r"(?s)manager ended 9 times in a row \(exit code 3\).*no such token"
        ) as caught:
            await supervisor._restart(child, child.start)
    assert (caught.value.exit_code, sum("starting it again" in line for line in said)) == (1, 8)
