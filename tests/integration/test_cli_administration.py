"""Users, groups, tokens and the managers of suites from the command line, against a real coordinator."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from mitosis_client.cli.app import app
from tests.support.api import WORKER, Api
from tests.support.coordinator import ADMIN_PASSWORD, USER_PASSWORD, RunningCoordinator

Run = Callable[..., Awaitable[Any]]


@pytest.fixture
def run(coordinator: RunningCoordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command as the administrator, unless a token is given."""
    # The coordinator of this process would write its log among the answers.
    before = structlog.get_config()
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("MITOSIS_ADDRESS", coordinator.grpc_address)

    async def invoke(*arguments: str, stdin: str | None = None, token: str | None = None) -> Any:
        environment = {"MITOSIS_TOKEN": coordinator.admin_token if token is None else token}
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, input=stdin, env=environment)

    yield invoke
    structlog.configure(**before)


async def test_an_administrator_makes_users_and_groups(run: Run, coordinator: RunningCoordinator) -> None:
    made = await run("users", "create", "ada", "--password-stdin", stdin=f"{USER_PASSWORD}\n")
    assert (made.exit_code, made.stdout) == (0, "User ada is there.\n"), made.output
    assert (await run("groups", "create", "ml-team")).stdout == "Group ml-team is there.\n"
    assert (await run("groups", "members", "set", "ml-team", "ada", "Member")).exit_code == 0
    group = json.loads((await run("groups", "show", "ml-team", "--json")).stdout)
    assert {"username": "ada", "role": "Member"} in group["members"]
    assert "ada" in (await run("groups", "show", "ml-team")).stdout

    token = await coordinator.log_in("ada", USER_PASSWORD)
    assert (await run("groups", "list", token=token)).stdout.split()[3:4] == ["ml-team"]
    assert (await run("users", "list", token=token)).exit_code == 4
    assert "ml-team (Member)" in (await run("users", "list")).stdout
    assert (await run("groups", "members", "remove", "ml-team", "ada")).exit_code == 0
    assert (await run("groups", "list", token=token)).stdout == "You are in no group.\n"

    await run("users", "promote", "ada")
    assert (await run("users", "list", token=token)).exit_code == 0
    await run("users", "demote", "ada")
    assert (await run("users", "list", token=token)).exit_code == 4


async def test_a_user_is_kept_out_and_let_in_again(run: Run, coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    for command, stdin in (("revoke", None), ("disable", None), ("set-password", "another password\n")):
        assert (await run("groups", "list", token=token)).exit_code == 0
        options = () if stdin is None else ("--password-stdin",)
        done = await run("users", command, username, *options, stdin=stdin)
        assert done.exit_code == 0, done.output
        assert (await run("groups", "list", token=token)).exit_code == 4
        await run("users", "enable", username)
        token = await coordinator.log_in(username, "another password" if stdin else USER_PASSWORD)
    assert (await run("users", "disable", "admin")).exit_code == 1


async def test_a_password_is_never_an_argument(run: Run) -> None:
    refused = await run("users", "create", "ada")
    assert (refused.exit_code, "--password-stdin" in refused.stderr) == (2, True)
    assert "standard input has no line" in (await run("users", "create", "ada", "--password-stdin", stdin="")).stderr
    assert (await run("users", "create", "ada", "--password", "correct horse")).exit_code == 2
    short = await run("users", "create", "ada", "--password-stdin", stdin="short\n")
    assert (short.exit_code, "password" in short.stderr) == (2, True)


async def test_logging_out_forgets_a_token_and_everywhere_ends_all(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "mitosis" / "credentials.json"
    login = ("login", "-u", "admin", "--password-stdin")
    await run(*login, stdin=f"{ADMIN_PASSWORD}\n")
    token = json.loads(kept.read_text())["token"]
    assert f"{kept} is removed" in (await run("logout")).stdout
    assert not kept.exists()
    assert (await run("groups", "list", token=token)).exit_code == 0
    assert "There was no token" in (await run("logout")).stdout

    await run(*login, stdin=f"{ADMIN_PASSWORD}\n")
    token = json.loads(kept.read_text())["token"]
    out = await run("logout", "--everywhere", token=token)
    assert (out.exit_code, kept.exists()) == (0, False), out.output
    assert (await run("groups", "list", token=token)).exit_code == 4
    assert (await run("groups", "list")).exit_code == 4


async def test_ones_own_password_is_changed(run: Run, coordinator: RunningCoordinator) -> None:
    username, token = await coordinator.new_user()
    change = ("change-password", "--password-stdin")
    assert (await run(*change, stdin="wrong\nanother password\n", token=token)).exit_code == 4
    assert (await run(*change, stdin=f"{USER_PASSWORD}\nanother password\n", token=token)).exit_code == 0
    assert (await run("groups", "list", token=token)).exit_code == 4
    await coordinator.log_in(username, "another password")


async def test_managers_are_added_to_a_suite_and_taken_away(run: Run, coordinator: RunningCoordinator) -> None:
    api = Api(coordinator)
    suite = await api.create(tags=["gpu"])
    manager = await api.register(memberships=[WORKER])
    assert (await run("suites", "managers", "list", suite.uuid)).stdout == "No manager may run it.\n"
    added = await run("suites", "managers", "add", suite.uuid, manager.uuid)
    assert (added.exit_code, "UserSpecified" in added.stdout) == (0, True), added.output
    listed = json.loads((await run("suites", "managers", "list", suite.uuid, "--json")).stdout)
    assert listed["manager_uuid"] == manager.uuid
    removed = await run("suites", "managers", "remove", suite.uuid, manager.uuid)
    assert removed.stdout == "No manager may run it.\n"
    assert (await run("suites", "managers", "refresh", suite.uuid)).exit_code == 0


@pytest.mark.parametrize("kind", ["managers", "workers"])
async def test_a_bearers_token_is_revoked_and_renewed(run: Run, kind: str, tmp_path: Path) -> None:
    registered = json.loads((await run(kind, "register", "m", "--group", "default", "--json")).stdout)
    uuid = registered[kind.rstrip("s")]["uuid"]
    revoked = await run(kind, "revoke", uuid)
    assert revoked.stdout == f"{kind.rstrip('s').title()} m has no token any more.\n"
    renewed = await run(kind, "revoke", uuid, "--renew", "--token-file", "token", "--json")
    assert json.loads(renewed.stdout)["token_file"] == "token"
    assert (tmp_path / "token").read_text().strip() not in ("", registered["token"])
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert (await run(kind, "revoke", uuid, "--token-file", "token")).exit_code == 2


async def test_a_table_that_is_cut_says_so(run: Run, coordinator: RunningCoordinator) -> None:
    for _ in range(2):
        await coordinator.new_user()
    cut = await run("users", "list", "--limit", "2")
    assert len(cut.stdout.splitlines()) == 3
    assert cut.stderr == "These are the first 2; there are more: --limit\n"
    assert (await run("users", "list", "--limit", "3")).stderr == ""
    assert (await run("users", "list", "--limit", "2", "--json")).stderr == ""
