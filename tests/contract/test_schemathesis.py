"""Schemathesis holds the OpenAPI document against the real server, all its checks on.

In the normal suite with few examples; `make test-schemathesis` asks for 200 of each operation and for every phase. Two
rounds: one in which no identifier leads anywhere, one in which each path names something that is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from mitosis_coordinator.gateway.routes import read_routes
from tests.contract.test_gateway_paths import new_suite
from tests.support.coordinator import RunningCoordinator
from tests.support.rest import Rest

EXAMPLES = int(os.environ.get("MITOSIS_SCHEMATHESIS_EXAMPLES", "0"))

# What no document can say. A page token is opaque: one that was made up is refused, as it should be. A task that names
# nothing to run is refused or not by what its suite's defaults say.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "413", "429"]

[[operations]]
include-operation-id = ["ListSuites", "ListTasks", "ListManagers", "ListUsers", "ListGroups", "ListWorkers",
                        "SubmitTask", "SubmitTasks"]
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
    names = "|".join(["GetHealth", "GetInfo", *(route.method.name for route in served)])
    arguments = ["--config-file", str(tmp_path / "schemathesis.toml"), "run", f"{coordinator.http_url}/openapi.json"]
    arguments += ["--header", f"Authorization: Bearer {coordinator.admin_token}"]
    arguments += ["--include-operation-id-regex", f"^({names})$", "--checks", "all", "--no-color"]
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
    assert (await rest.get("/auth"))["username"] == "admin"
