"""Processes that a task leaves behind are found and killed, wherever they went. Each test is a process of its own."""

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from mitosis_common.reaping import kill_marked

# A daemon as it is done by the book: fork, a new session, fork again; it writes its process id to a file.
DAEMON = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""

PRELUDE = f"""
import os, signal, subprocess, sys, time
from mitosis_common.reaping import *
path = sys.argv[1]
def daemonize(env=None):
    subprocess.run([sys.executable, "-c", {DAEMON!r}, path], check=True, env=env)
    while not os.path.exists(path):
        time.sleep(0.01)
    return int(open(path).read())
become_subreaper()
"""


def script(body: str, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + body, str(path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_a_daemon_is_killed_and_reaped(tmp_path: Path) -> None:
    script(
        """
pid = daemonize()
assert has_descendants_running()
assert kill_orphans() == 1
assert not has_children()
assert not os.path.exists(f"/proc/{pid}")
assert kill_orphans() == 0
""",
        tmp_path / "pid",
    )


def test_a_tree_of_processes_is_killed_to_the_last(tmp_path: Path) -> None:
    script(
        """
subprocess.Popen(["sh", "-c", "(setsid sh -c 'sleep 600 & sleep 600 & wait' & sleep 600) & sleep 600 & wait"])
time.sleep(0.3)
assert kill_orphans() >= 4
assert not has_children()
""",
        tmp_path / "pid",
    )


def test_kept_and_unmarked_children_live(tmp_path: Path) -> None:
    script(
        """
kept = subprocess.Popen(["sleep", "600"], env={**os.environ, "MARK_OF_A_TEST": "1"})
unmarked = subprocess.Popen(["sleep", "600"])
pid = daemonize({**os.environ, "MARK_OF_A_TEST": "1"})
assert kill_orphans(keep=[kept.pid], mark=b"MARK_OF_A_TEST=") == 1
assert not os.path.exists(f"/proc/{pid}")
assert kept.poll() is None and unmarked.poll() is None
kept.kill(), unmarked.kill()
kept.wait(), unmarked.wait()
""",
        tmp_path / "pid",
    )


def test_strays_are_those_in_another_session(tmp_path: Path) -> None:
    script(
        """
own = subprocess.Popen(["sleep", "600"])
pid = daemonize()
assert kill_strays() == 1
assert not os.path.exists(f"/proc/{pid}")
assert own.poll() is None
own.kill()
own.wait()
""",
        tmp_path / "pid",
    )


def test_marked_processes_are_found_anywhere(tmp_path: Path) -> None:
    mark, path = f"MARK_OF_A_TEST_{uuid.uuid4().hex}", tmp_path / "pid"
    subprocess.run([sys.executable, "-c", DAEMON, str(path)], check=True, env={**os.environ, mark: "yes"})
    while not path.exists():
        time.sleep(0.01)
    pid = int(path.read_text())
    assert kill_marked(f"{mark}=no".encode()) == 0
    assert kill_marked(f"{mark}=yes".encode()) == 1
    assert gone(pid)
