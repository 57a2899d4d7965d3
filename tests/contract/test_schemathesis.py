"""Schemathesis holds the OpenAPI document against the real server, all its checks on.

In the normal suite with few examples; `make test-schemathesis` asks for 200 of each operation and for every phase, and
gives every few operations a process of their own, because one keeps what it has seen. Two rounds: one in which no
identifier leads anywhere, one in which each path names something that is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mitosis_coordinator.gateway.routes import read_routes
from tests.contract.test_gateway_paths import new_suite
from tests.support.coordinator import RunningCoordinator
from tests.support.rest import Rest

EXAMPLES = int(os.environ.get("MITOSIS_SCHEMATHESIS_EXAMPLES", "0"))
OPERATIONS_PER_PROCESS = 8 if EXAMPLES else 1000
# Longer texts have their limits tested elsewhere: a pattern and a length of 131072 together become a regular expression
# that takes a second and a hundred megabytes to compile, for every field.
LONGEST_TEXT = 4096

# What no document can say. A page token is opaque: one that was made up is refused, as it should be. A task that names
# nothing to run is refused or not by what its suite's defaults say. A range may hold no number.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "413", "429"]

[[operations]]
include-operation-id = ["ListSuites", "ListTasks", "ListManagers", "ListUsers", "ListGroups", "ListWorkers",
                        "SubmitTask", "SubmitTasks", "SubmitArray"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "413", "429"]
"""

REVOKING = """
[[operations]]
include-operation-id = "RevokeTokens"
headers = {{ Authorization = "Bearer {token}" }}
"""

# It learns names from answers, and would change the password of the administrator that it calls as.
NOTHING = {"/users/": {"username": "nobody"}}


async def things(rest: Rest) -> dict[str, dict[str, str]]:
    """Something that is there for the variables of each path, by the path's beginning."""
    suite = await new_suite(rest)
    task = await rest.post("/tasks", {"suite_uuid": suite["uuid"], "task_spec": {"command": "true"}})
    # A watched suite has an end: nobody runs it, so it is cancelled.
    await rest.post(f"/suites/{suite['uuid']}/cancel")
    membership = {"group_name": "default", "role": "Admin"}
    manager = await rest.post("/managers", {"name": "m", "group_memberships": [membership]})
    await rest.post("/users", {"username": "ada", "password": "correct horse"})
    await rest.post("/groups", {"group_name": "ml-team"})
    return {
        "/suites/": {"uuid": suite["uuid"]},
        "/tasks/": {"uuid": task["uuid"]},
        "/managers/": {"uuid": manager["manager"]["uuid"]},
        "/users/": {"username": "ada"},
        "/groups/": {"group_name": "ml-team", "username": "ada"},
    }


def without_long_texts(document: Any) -> Any:
    """The document without limits of length that are too long to be tried."""
    if isinstance(document, list):
        return [without_long_texts(item) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        key: without_long_texts(value)
        for key, value in document.items()
        if not (key == "maxLength" and isinstance(value, int) and value > LONGEST_TEXT)
    }


@pytest.mark.slow
@pytest.mark.timeout(7200 if EXAMPLES else 300)
@pytest.mark.parametrize("there", [False, True], ids=["nothing-there", "all-there"])
async def test_the_server_keeps_to_the_document(
    coordinator: RunningCoordinator, rest: Rest, tmp_path: Path, there: bool
) -> None:
    # One who may lose every token: the administrator's is for all the other calls.
    _, token = await coordinator.new_user()
    config = CONFIG + REVOKING.format(token=token)
    for prefix, values in (await things(rest) if there else NOTHING).items():
        config += f"\n[[operations]]\ninclude-path-regex = {json.dumps(f'^{prefix}')}\n"
        config += "".join(f"parameters.{json.dumps(f'path.{key}')} = {json.dumps(it)}\n" for key, it in values.items())
    (tmp_path / "schemathesis.toml").write_text(config)
    served = read_routes([service.descriptor for service in coordinator.inner.components.services])
    names = ["GetHealth", "GetInfo", *(route.method.name for route in served)]
    (tmp_path / "openapi.json").write_text(json.dumps(without_long_texts(await rest.get("/openapi.json"))))
    for first in range(0, len(names), OPERATIONS_PER_PROCESS):
        await hold(coordinator, tmp_path, names[first : first + OPERATIONS_PER_PROCESS])
    assert (await rest.get("/auth"))["username"] == "admin"


async def hold(coordinator: RunningCoordinator, tmp_path: Path, names: Sequence[str]) -> None:
    """Hold some operations against the server."""
    arguments = ["--config-file", str(tmp_path / "schemathesis.toml"), "run", str(tmp_path / "openapi.json")]
    arguments += ["--url", coordinator.http_url, "--header", f"Authorization: Bearer {coordinator.admin_token}"]
    arguments += ["--include-operation-id-regex", f"^({'|'.join(names)})$", "--checks", "all", "--no-color"]
    arguments += [
        "--max-examples",
        str(EXAMPLES or 4),
        "--phases",
        "examples,coverage,fuzzing" if EXAMPLES else "fuzzing",
    ]
    arguments += ["--request-timeout", "30", "--generation-database", "none", "--suppress-health-check", "all"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", *arguments),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    print(said)
    assert process.returncode == 0, said
