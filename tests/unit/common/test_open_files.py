"""The limit of open files, in a process of its own because it cannot be raised again once it was lowered."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
from structlog.testing import capture_logs
from mitosis_common.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048))
with capture_logs() as logs:
    allow_open_files(int(sys.argv[1]), "some.setting")
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], [(entry["event"], entry["setting"]) for entry in logs])
"""


def after(wanted: int) -> str:
    command = [sys.executable, "-c", PROGRAM, str(wanted)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_the_limit_is_raised_to_what_the_system_allows() -> None:
    assert after(2048) == "2048 []"


def test_a_limit_that_will_not_do_is_told() -> None:
    assert after(2049) == "2048 [('open_files_limit_is_low', 'some.setting')]"
