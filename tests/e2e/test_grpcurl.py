"""The real grpcurl against a running Mitosis: what somebody sees who brings nothing but a token.

Needs Go to build it. Without it the ring is left out, and says so; with MITOSIS_REQUIRE_GO=1 it fails instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.support import Up, sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERSION = "v1.9.4"
MODULE = f"github.com/fullstorydev/grpcurl/cmd/grpcurl@{VERSION}"
BUILD = Path(__file__).parents[2] / "build" / f"grpcurl-{VERSION}"
LEFT_OUT = "the grpcurl ring was left out: there is no go on PATH"
SUITES = "mitosis.v1.SuiteService"


@dataclass(frozen=True)
class Grpcurl:
    """grpcurl, pointed at a coordinator."""

    program: Path
    target: str
    token: str

    def __call__(self, *arguments: str, token: str | None = None, data: str = "") -> subprocess.CompletedProcess[str]:
        """Run it on a verb, or on a method with a request."""
        with_token = ["-H", f"Authorization: Bearer {token}"] if token else []
        with_data = ["-d", data] if data else []
        return subprocess.run(
            [self.program, "-plaintext", "-max-time", "30", *with_token, *with_data, self.target, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def told(self, *arguments: str, token: str | None = None, data: str = "") -> str:
        """What it prints, when it must succeed."""
        result = self(*arguments, token=token, data=data)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def program() -> Path:
    """The program, built once for all runs of the tests."""
    go = shutil.which("go")
    if go is None:
        if os.environ.get("MITOSIS_REQUIRE_GO") == "1":
            pytest.fail(LEFT_OUT)
        pytest.skip(LEFT_OUT)
    if not (BUILD / "grpcurl").exists():
        built = subprocess.run(
            [go, "install", MODULE],
            env={**os.environ, "GOBIN": str(BUILD)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
    return BUILD / "grpcurl"


@pytest.fixture(scope="module")
def grpcurl(program: Path) -> Iterator[Grpcurl]:
    """The program and a running Mitosis; asked for in this order, so that nothing is started without Go."""
    with sandbox() as box:
        up = Up(box, "--workers", "1")
        connection = up.ready()
        assert connection.token
        yield Grpcurl(program, connection.grpc, connection.token)
        assert up.stop() == 0, up.output()
        assert box.leftovers() == []


def test_the_services_are_listed(grpcurl: Grpcurl) -> None:
    listed = grpcurl.told("list").split()
    assert {SUITES, "mitosis.v1.TaskService", "mitosis.v1.ManagerService", "grpc.health.v1.Health"} <= set(listed)
    assert f"{SUITES}.CreateSuite" in grpcurl.told("list", SUITES).split()
    for service in listed:
        assert grpcurl.told("describe", service).startswith(f"{service} is a service:")


def test_descriptions_show_the_comments(grpcurl: Grpcurl) -> None:
    service = grpcurl.told("describe", SUITES)
    assert "// Suites: sets of tasks that share an environment." in service
    assert "// Creates a suite in state Queued and matches it with managers by tags." in service
    assert "option (.google.api.http) = {" in service
    assert "// Returns one suite with its latest hook runs" in grpcurl.told("describe", f"{SUITES}.GetSuite")
    assert "// 1 to 255 characters. Not unique." in grpcurl.told("describe", "mitosis.v1.CreateSuiteRequest")
    for imported in ("google.api.HttpRule", "google.protobuf.Timestamp", "google.rpc.BadRequest"):
        assert f"message {imported.rpartition('.')[2]} {{" in grpcurl.told("describe", imported)


def test_a_call_with_a_token(grpcurl: Grpcurl) -> None:
    request = json.dumps({"name": "by grpcurl", "group_name": "default"})
    suite = json.loads(grpcurl.told(f"{SUITES}/CreateSuite", token=grpcurl.token, data=request))["suite"]
    assert (suite["name"], suite["state"]) == ("by grpcurl", "TASK_SUITE_STATE_QUEUED")
    again = grpcurl.told(f"{SUITES}/GetSuite", token=grpcurl.token, data=json.dumps({"uuid": suite["uuid"]}))
    assert json.loads(again)["suite"]["uuid"] == suite["uuid"]


def test_health_needs_no_token(grpcurl: Grpcurl) -> None:
    assert json.loads(grpcurl.told("grpc.health.v1.Health/Check")) == {"status": "SERVING"}


def test_errors_come_with_their_details(grpcurl: Grpcurl) -> None:
    result = grpcurl(f"{SUITES}/GetSuite", token=grpcurl.token, data='{"uuid": "not one"}')
    assert result.returncode == 64 + 3
    assert "Code: InvalidArgument" in result.stderr
    assert '"@type": "type.googleapis.com/google.rpc.BadRequest"' in result.stderr
    assert '"field": "uuid"' in result.stderr
    assert '"reason": "INVALID_FIELD"' in result.stderr


def test_without_a_token_it_is_refused(grpcurl: Grpcurl) -> None:
    result = grpcurl(f"{SUITES}/ListSuites")
    assert result.returncode == 64 + 16
    assert "Code: Unauthenticated" in result.stderr
    assert "authorization: Bearer <token>" in result.stderr
