"""The main job, as a newcomer sees it."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e.support import Sandbox, Up, sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


def test_the_demo_runs_a_whole_suite_and_leaves_nothing(box: Sandbox) -> None:
    started = time.monotonic()
    result = box.run("demo", timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - started < 60
    report = json.loads((box.data / "demo" / "census" / "report.json").read_text())
    assert report["files"] > 500
    assert report["workers"] >= 2
    assert (report["not_counted"], report["counted_again"]) == ([], [])
    for text in ("tasks/s end to end", "Preparation hook: Success", "Cleanup hook: Success", "imported by the most"):
        assert text in " ".join(result.stdout.split())
    assert box.leftovers() == []


def test_the_demo_uses_a_running_mitosis(box: Sandbox) -> None:
    up = Up(box, "--workers", "2")
    up.ready()
    result = box.run("--connection", str(box.data / "connection.json"), "demo", timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    (suite,) = [json.loads(line) for line in box.run("suites", "list", "--json").stdout.splitlines()]
    assert (suite["state"], suite["pending_tasks"], suite["failed_tasks"]) == ("Complete", 0, 0)
    assert suite["uuid"] in result.stdout
    assert up.stop() == 0
    assert box.leftovers() == []
