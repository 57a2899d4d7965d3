"""A Ctrl-C before the command is there, and after."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A shell starts its background jobs with the signal ignored, and tests may be one.
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from mitosis_common.launch import start; start('slow_to_import')"
)
INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
MAIN = "import os, signal\ndef main():\n    try:\n        os.kill(os.getpid(), signal.SIGINT)\n        signal.pause()\n"


@pytest.mark.parametrize(
    ("module", "code"),
    [
        (INTERRUPT + "def main(): raise SystemExit(7)\n", -signal.SIGINT),
        (MAIN + "    except KeyboardInterrupt:\n        raise SystemExit(130)\n", 130),
    ],
    ids=["while importing", "while running"],
)
def test_an_interrupt_leaves_no_traceback(tmp_path: Path, module: str, code: int) -> None:
    (tmp_path / "slow_to_import.py").write_text(module)
    done = subprocess.run(
        [sys.executable, "-c", START],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
