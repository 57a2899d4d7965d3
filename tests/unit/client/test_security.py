"""What goes over plain text, and what never does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from typer.testing import CliRunner

from mitosis_client import AsyncClient, Client, RetryPolicy, Tls, errors
from mitosis_client.cli.app import app
from mitosis_client.cli.session import Session
from mitosis_client.connection import Connection

ELSEWHERE = "coordinator.example.com:7070"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of channels that were opened."""
    kinds: list[str] = []
    for kind in ("insecure_channel", "secure_channel"):
        real: Callable[..., Any] = getattr(grpc.aio, kind)

        def record(*arguments: Any, kind: str = kind, real: Callable[..., Any] = real, **options: Any) -> Any:
            kinds.append(kind)
            return real(*arguments, **options)

        monkeypatch.setattr(grpc.aio, kind, record)
    return kinds


@pytest.mark.parametrize(
    ("address", "options", "encrypted"),
    [
        ("127.0.0.1:1", {}, False),
        ("localhost:1", {}, False),
        ("[::1]:1", {}, False),
        ("127.0.0.1:1", {"insecure": True}, False),
        ("127.0.0.1:1", {"tls": Tls()}, True),
        (ELSEWHERE, {}, True),
        ("192.0.2.1:1", {}, True),
        ("[2001:db8::1]:1", {}, True),
        ("0.0.0.0:1", {}, True),
        (ELSEWHERE, {"tls": Tls()}, True),
        (ELSEWHERE, {"insecure": True}, False),
    ],
)
async def test_other_machines_are_spoken_to_by_tls(
    opened: list[str], address: str, options: dict[str, Any], encrypted: bool
) -> None:
    # The channel is made with the first call, and the call has no time to connect.
    async with AsyncClient(address, token="t", timeout=0.01, retry=RetryPolicy(attempts=1), **options) as client:
        with pytest.raises(errors.MitosisError):
            await client.whoami()
    assert opened == ["secure_channel" if encrypted else "insecure_channel"]
    connection = Connection(address, tls="tls" in options, insecure="insecure" in options)
    assert connection.encrypted is encrypted


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_what_does_not_go_together_is_refused(kind: Callable[..., Any]) -> None:
    with pytest.raises(errors.InvalidField, match="insecure: given together with TLS"):
        kind(ELSEWHERE, tls=Tls(), insecure=True)
    with pytest.raises(errors.InvalidField, match="accepts both or neither"):
        kind(ELSEWHERE, tls=Tls(certificate_chain=b"c"))


def test_a_connection_file_keeps_what_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "connection.json"
    for chosen in (
        Connection(ELSEWHERE, insecure=True),
        Connection(ELSEWHERE, tls=True),
        Connection("h:1", root_certificates_file="/ca", certificate_file="/c", private_key_file="/k"),
    ):
        chosen.write(path)
        assert Connection.read(path) == chosen


def test_flags_undo_what_a_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "connection.json"
    Connection("h:1", root_certificates_file="/ca", tls=True).write(path)
    assert Session(path).connection().root_certificates_file == "/ca"
    plain = Session(path, insecure=True).connection()
    assert (plain.encrypted, plain.root_certificates_file) == (False, "")
    plain.write(path)
    trusting = Session(path, root_certificates_file=Path("own.pem")).connection()
    assert (trusting.encrypted, trusting.insecure) == (True, False)
    assert trusting.root_certificates_file == str(tmp_path / "own.pem")


def test_the_command_refuses_both(tmp_path: Path) -> None:
    flags = ["--address", ELSEWHERE, "--insecure", "--ca", str(tmp_path / "ca.pem")]
    result = CliRunner().invoke(app, [*flags, "suites", "list"])
    assert result.exit_code == 2
    assert "--insecure goes with none of" in result.output


def test_a_certificate_without_its_key_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(b"c")
    flags = ["--address", ELSEWHERE, "--cert", str(tmp_path / "c.pem")]
    result = CliRunner().invoke(app, [*flags, "suites", "list", "--json"])
    assert result.exit_code == 2
    assert "both or neither" in json.loads(result.stderr)["error"]["message"]
