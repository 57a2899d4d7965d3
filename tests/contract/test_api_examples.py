"""What docs/api/examples.md prints works as it is printed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.coordinator import RunningCoordinator
from tests.support.rest import Rest

PAGE = (Path(__file__).parents[2] / "docs" / "api" / "examples.md").read_text()


def printed(language: str, coordinator: RunningCoordinator) -> list[str]:
    """The examples of a language, with host and token replaced."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [
        block.replace("https://api.example.com", coordinator.http_url).replace('"..."', f'"{coordinator.admin_token}"')
        for block in blocks
    ]


async def test_the_python_example(
    rest: Rest, coordinator: RunningCoordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    await rest.post("/groups", {"group_name": "ml-team"})
    definition, use, errors = printed("python", coordinator)
    # The tasks are not run here, so the suite ends when it is cancelled.
    use = use.replace("final_suite =", "submitted.set()\nfinal_suite =").replace(
        '["uuid"])\nprint', '["uuid"], 0.1)\nprint'
    )
    submitted = asyncio.Event()
    loop = asyncio.get_running_loop()
    names: dict[str, Any] = {"submitted": type("", (), {"set": lambda: loop.call_soon_threadsafe(submitted.set)})}
    exec(definition, names)
    running = asyncio.create_task(asyncio.to_thread(exec, use, names))
    await asyncio.wait({running, asyncio.create_task(submitted.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert (await rest.get(f"/suites/{names['suite']['uuid']}"))["pending_tasks"] == 1000
    await rest.post(f"/suites/{names['suite']['uuid']}/cancel")
    await running
    assert names["final_suite"]["state"] == "Cancelled"

    for spec, said in (
        ({"name": ""}, "Invalid request: {'error': {'code': 400"),
        ({"name": "x", "group_name": "ml-team", "request_id": "1"}, ""),
        ({"name": "y", "group_name": "ml-team", "request_id": "1"}, "Conflict"),
    ):
        capsys.readouterr()
        await asyncio.to_thread(exec, errors, {**names, "spec": spec})
        assert said in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_curl_examples(rest: Rest, coordinator: RunningCoordinator, tmp_path: Path) -> None:
    suite = await rest.post("/suites", {"name": "x", "group_name": "default"})
    variables = f"TOKEN={coordinator.admin_token}\nSUITE_UUID={suite['uuid']}\n"
    batch, array, watch = printed("sh", coordinator)

    async def run(script: str) -> str:
        command = ["bash", "-euc", variables + script]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    assert "task_uuids" in await run(batch)
    tasks = (await rest.get(f"/tasks?suite_uuid={suite['uuid']}"))["tasks"]
    assert [(task["task_spec"]["payload"], task["priority"]) for task in tasks] == [
        ({"batch": 2}, 10),
        ({"batch": 1}, 0),
    ]
    made = json.loads(await run(array))["tasks"]
    assert made["count"] == 100
    assert (await rest.get(f"/tasks/{made['first_task_uuid']}"))["task_spec"]["payload"] == 0
    await rest.post(f"/suites/{suite['uuid']}/cancel")
    assert (await run(watch)).startswith('data: {"suite":')


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("go"), reason="needs Go")
async def test_the_go_example(rest: Rest, coordinator: RunningCoordinator, tmp_path: Path) -> None:
    await rest.post("/groups", {"group_name": "ml-team"})
    (program,) = printed("go", coordinator)
    (tmp_path / "main.go").write_text(program)
    command = ["go", "run", "main.go"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True
    )
    assert re.fullmatch(r"[0-9a-f-]{36} <nil>\n", done.stdout)
