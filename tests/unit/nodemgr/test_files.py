"""Configuration, lock, token and intent: everything that is read from or written to disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mitosis.v1 import hook_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common import dial
from mitosis_common.agent_config import Coordinator
from mitosis_common.config import ConfigError
from mitosis_common.lock import LockedError, hold
from mitosis_common.token_file import Token, TokenError, seconds_to_refresh
from mitosis_nodemgr import config
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.intents import Intent, IntentStore, kill_recorded

FLAT = """
coordinator_url: "https://api.example.com"
websocket_url: "wss://api.example.com/ws/managers"
manager:
  name: "gpu-node-01"
  tags: ["gpu", "linux", "cuda:12.0", "datacenter:us-west"]
  max_workers: 16
  heartbeat_interval_seconds: 30
groups:
  - name: "ml-team"
    role: "Worker"
logging:
  level: "info"
  file: "/var/log/mitosis-manager.log"
"""
SECTIONS = """
coordinator:
  url: "https://api.example.com"
  websocket_url: "wss://api.example.com/ws/managers"
  token_file: "/etc/mitosis/token.txt"
manager:
  name: "gpu-node-01"
  tags:
    - "gpu"
    - "linux"
  max_workers: 16
  heartbeat_interval_seconds: 30
worker_defaults:
  cpu_binding: "RoundRobin"
  restart_on_failure: true
  max_restarts: 3
ipc:
  service_prefix: "mitosis_mgr"
  cleanup_on_exit: true
hooks:
  timeout_seconds: 300
  env:
    PATH: "/usr/local/bin:/usr/bin:/bin"
logging:
  level: "info"
  format: "json"
  output: "/var/log/mitosis/manager.log"
"""


def write(place: Path, text: str) -> Path:
    path = place / "manager.yaml"
    path.write_text(text)
    return path


def test_both_documented_forms_are_accepted(tmp_path: Path) -> None:
    flat = config.load(write(tmp_path, FLAT), {}, tmp_path / "token")
    assert flat.coordinator.info_urls == ("https://api.example.com",)
    assert flat.coordinator.token_file == tmp_path / "token"
    assert flat.logging.path == Path("/var/log/mitosis-manager.log")
    assert flat.groups[0].name == "ml-team"
    sections = config.load(write(tmp_path, SECTIONS), {})
    assert sections.coordinator.token_file == Path("/etc/mitosis/token.txt")
    assert sections.hooks.env == {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    assert sections.logging.path == Path("/var/log/mitosis/manager.log")


def test_the_environment_wins(tmp_path: Path) -> None:
    environ = {"COORDINATOR_URL": "https://other:8080/", "MANAGER_TOKEN_FILE": "/t", "LOG_LEVEL": "debug"}
    for text in (FLAT, SECTIONS):
        loaded = config.load(write(tmp_path, text), environ)
        assert loaded.coordinator.info_urls == ("https://other:8080",)
        assert loaded.coordinator.token_file == Path("/t")
        assert loaded.logging.level == "debug"


def test_several_coordinators_may_be_named(tmp_path: Path) -> None:
    listed = write(tmp_path, "coordinator: {url: ['https://a:1/', 'https://b:2'], token_file: /t}")
    assert config.load(listed, {}).coordinator.addresses == ("https://a:1", "https://b:2")
    environ = {"COORDINATOR_URL": "https://c:3, https://d:4"}
    assert config.load(listed, environ).coordinator.addresses == ("https://c:3", "https://d:4")
    with pytest.raises(ConfigError, match="given http://b:2, where the token would go over plain text"):
        config.load(listed, {"COORDINATOR_URL": "https://a:1,http://b:2"})


def test_the_old_websocket_address_alone_names_the_coordinator(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, "websocket_url: wss://host:8443/ws/managers"), {}, Path("/t"))
    assert loaded.coordinator.info_urls == ("https://host:8443",)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("coordinator: {url: 'ftp://x'}", "coordinator.url"),
        ("coordinator: {url: 'http://x:99999'}", "coordinator.url"),
        ("coordinator: {url: 'http://user@x'}", "coordinator.url"),
        ("coordinator: {stream_url: 'http://x:1'}", "coordinator.stream_url"),
        (
            "coordinator: {url: 'http://other:8080'}",
            "https:// or grpcs:// for another machine, given http://other:8080",
        ),
        ("coordinator: {stream_url: 'grpc://192.0.2.1:1'}", "insecure: true allows that"),
        ("websocket_url: 'ws://coordinator/ws/managers'", "given http://coordinator"),
        ("coordinator: {url: 'https://x', certificate: /c}", "certificate and private_key, both or neither"),
        ("manager: {tags: ['a,b']}", "manager.tags"),
        ("manager: {max_workers: 0}", "manager.max_workers"),
        ("manager: {max_worker: 4}", "max_worker"),
        ("worker_defaults: {cpu_binding: Roundrobin}", "RoundRobin"),
        ("worker_defaults: {command: a, handler: 'b:c'}", "command and handler"),
        ("ipc: {service_prefix: 'a/b'}", "ipc.service_prefix"),
        ("hooks: {timeout_seconds: -1}", "hooks.timeout_seconds"),
        ("groups: [{name: g, role: Boss}]", "role"),
        ("unknown: 1", "unknown"),
    ],
)
def test_mistakes_name_the_field(tmp_path: Path, text: str, field: str) -> None:
    base = "" if "coordinator" in text else "coordinator: {url: 'http://localhost', token_file: /t}\n"
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, base + text), {})
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{url: 'http://127.0.0.1:8080'}",
        "{url: 'http://[::1]:8080'}",
        "{stream_url: 'grpc://localhost:7070', url: 'http://other'}",
        "{url: 'http://other:8080', insecure: true}",
        "{stream_url: 'grpc://other:7070', insecure: true}",
        "{stream_url: 'grpcs://other:7070'}",
    ],
)
def test_addresses_to_which_a_token_may_go(tmp_path: Path, text: str) -> None:
    assert config.load(write(tmp_path, f"coordinator: {text}"), {}, Path("/t")).coordinator.token_file == Path("/t")


async def test_no_token_goes_over_plain_text_to_another_machine() -> None:
    coordinator = Coordinator(url=("https://other",))
    with pytest.raises(dial.DialError, match=r"plain text at 192\.0\.2\.1:7070.*coordinator\.insecure"):
        await dial.open_channel(dial.Target("192.0.2.1:7070", tls=False), coordinator)
    for address in ("127.0.0.1:7070", "[::1]:7070", "localhost:7070"):
        await (await dial.open_channel(dial.Target(address, tls=False), coordinator)).close()
    allowed = Coordinator(url=("https://other",), insecure=True)
    await (await dial.open_channel(dial.Target("192.0.2.1:7070", tls=False), allowed)).close()


@pytest.mark.parametrize("key", ["ca_file", "certificate", "private_key"])
async def test_certificates_that_cannot_be_read_are_named(tmp_path: Path, key: str) -> None:
    files = dict.fromkeys(("ca_file", "certificate", "private_key"), tmp_path / "some.pem")
    (tmp_path / "some.pem").write_bytes(b"no certificate")
    document = {"url": "https://127.0.0.1:1", **files, key: tmp_path / "missing.pem"}
    coordinator = Coordinator.model_validate(document)
    with pytest.raises(dial.DialError, match=rf"coordinator\.{key} .*missing\.pem: No such file"):
        await dial.open_channel(dial.Target("127.0.0.1:1", tls=True), coordinator)
    with pytest.raises(dial.DialError, match=r"coordinator\.(ca_file|certificate)"):
        await dial.find(coordinator)


def test_a_manager_has_to_know_its_coordinator() -> None:
    with pytest.raises(ConfigError, match="COORDINATOR_URL"):
        config.load(None, {"MANAGER_TOKEN_FILE": "/t"})
    with pytest.raises(ConfigError, match="MANAGER_TOKEN_FILE"):
        config.load(None, {"COORDINATOR_URL": "http://localhost"})


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"grpc": "db.example.com:7000", "grpc_tls": True}, dial.Target("db.example.com:7000", tls=True)),
        ({"grpc": "0.0.0.0:7000"}, dial.Target("asked:7000", tls=False)),
        ({"grpc": "[::]:7000", "grpc_tls": False}, dial.Target("asked:7000", tls=False)),
        ({"grpc": "[2001:db8::1]:7000"}, dial.Target("[2001:db8::1]:7000", tls=False)),
    ],
)
def test_the_grpc_address_comes_from_info(info: object, expected: dial.Target) -> None:
    assert dial.target_from_info(info, "asked") == expected


@pytest.mark.parametrize("info", [None, [], {}, {"grpc": 7}, {"grpc": "host"}, {"grpc": "host:port"}])
def test_an_answer_that_is_not_a_coordinators_is_refused(info: object) -> None:
    with pytest.raises(dial.DialError, match="/info"):
        dial.target_from_info(info, "asked")


def test_stream_addresses() -> None:
    assert dial.target_from_url("grpc://h:1") == dial.Target("h:1", tls=False)
    assert dial.target_from_url("grpcs://h") == dial.Target("h:443", tls=True)


def test_one_holder_at_a_time_and_no_file_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    with hold(path, "one"):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(LockedError, match=f"one: .*lock is held by process {os.getpid()}"), hold(path, "one"):
            pass
    assert not path.exists()
    path.write_text("999999999\n")
    with hold(path, "a file that a dead process left"):
        pass
    assert not path.exists()


def test_it_holds_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    lock, refused = tmp_path / "lock", pytest.raises(LockedError, match="held by process unknown")
    with hold(lock, "one"), refused, hold(lock, "one"):
        pass
    assert not lock.exists()


def test_many_processes_never_hold_it_together(tmp_path: Path) -> None:
    program = f"""
import sys; from pathlib import Path
from mitosis_common.lock import hold, LockedError
inside = Path({str(tmp_path)!r}, "inside")
for _ in range(200):
    try:
        with hold(Path({str(tmp_path)!r}, "lock"), "x"):
            inside.touch(exist_ok=False)
            inside.unlink()
    except LockedError:
        pass
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_holder_forked_does_not_hold_on(tmp_path: Path) -> None:
    program = f"""
import os, signal, time; from pathlib import Path
from mitosis_common.lock import hold
with hold(Path({str(tmp_path)!r}, "lock"), "x"):
    child = os.fork()
    if child == 0:
        print(flush=True)
        time.sleep(60)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    lines = [killed.stdout.readline().strip() for _ in range(2)]
    killed.wait()
    [child] = filter(None, lines)
    try:
        with hold(tmp_path / "lock", "the next one"):
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)
        killed.stdout.close()


def test_a_token_is_read_replaced_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    path.chmod(0o600)
    token = Token(path)
    assert token.metadata == (("authorization", "Bearer first"),)
    token.replace("second")
    assert path.read_text() == "second\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert "second" not in repr(token)
    path.write_text("two words")
    with pytest.raises(TokenError) as caught:
        token.reload()
    assert "two words" not in str(caught.value)
    with pytest.raises(TokenError, match="No such file"):
        Token(tmp_path / "missing")


@pytest.mark.parametrize(
    ("left", "expected"), [(30 * 86400, 29 * 86400), (86400, 43200), (600, 300), (1, 1), (0, 0), (-5, 0)]
)
def test_a_token_is_refreshed_a_day_before_its_end(left: float, expected: float) -> None:
    assert seconds_to_refresh(1000.0 + left, 1000.0) == expected


def intent(**fields: object) -> Intent:
    suite = stream.SuiteAssigned(
        assignment_id=2**60, suite_uuid="u", env_cleanup=hook_pb2.EnvHookSpec(command="rm -r x", envs={"A": "b"})
    )
    values = {"suite": suite, "manager_uuid": "m", "mark": "A=b", "ipc_domain": "d", **fields}
    return Intent(**values)  # type: ignore[arg-type]


def test_an_intent_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = IntentStore(tmp_path)
    assert store.read() is None
    written = intent(processes={ProcessId(3, 4), ProcessId(1, 2)})
    store.write(written)
    assert store.read() == written
    assert store.path.stat().st_mode & 0o777 == 0o600
    written.processes.clear()
    store.write(written, durable=False)
    assert store.read() == written
    store.erase()
    store.erase()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_record(tmp_path: Path) -> None:
    store = IntentStore(tmp_path)
    first = intent(processes={ProcessId(1, 2)})
    store.write(first)

    (tmp_path / "intent.new").symlink_to("/dev/full")
    with capture_logs() as logs:
        store.amend(intent(processes={ProcessId(3, 4)}))
    assert store.read() == first
    assert [(line["event"], line["problem"]) for line in logs] == [("intent_not_written", "No space left on device")]
    assert list(tmp_path.iterdir()) == [store.path]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1}'])
def test_an_unreadable_intent_is_set_aside(tmp_path: Path, text: str) -> None:
    store = IntentStore(tmp_path)
    store.path.write_text(text)
    assert store.read() is None
    assert [path.name for path in tmp_path.iterdir()] == ["intent.unreadable"]


def test_only_the_very_process_that_was_recorded_is_killed() -> None:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    known = ProcessId.of(process.pid)
    assert known.exists()
    assert kill_recorded([ProcessId(known.pid, known.start_ticks + 1), ProcessId(known.pid, 0)]) == 0
    assert process.poll() is None
    assert kill_recorded([known]) == 1
    assert process.wait() == -9
    assert not known.exists()
