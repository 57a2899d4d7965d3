"""Finding and ending the processes that a task leaves behind.

A process that double-forks and starts a session of its own escapes every process group. It cannot escape a child
subreaper: when its parent ends, the kernel makes the nearest subreaper above it the new parent. Workers and node
managers are subreapers, so whatever their tasks started is below them in the process tree until it has ended.
"""

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make the kernel give the orphans among this process's descendants to this process.

    Raises OSError where the kernel refuses.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def has_children() -> bool:
    """Tell whether this process has any child, zombies included, for the price of one system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children(pid: int) -> list[int]:
    """List the children of a process, zombies included; empty when the process is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names only, and called often while a task is stopped
    except OSError:
        return []
    for thread in threads:
        try:
            # The kernel lists children by the thread that started them.
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
        except FileNotFoundError:
            if Path(f"/proc/{pid}/task/{thread}/stat").exists():
                return _children_by_scan(pid)  # a kernel built without CONFIG_PROC_CHILDREN
        except OSError:
            continue
    return found


def has_descendants_running(keep: Collection[int] = ()) -> bool:
    """Tell whether any process below this one, except those in `keep`, is more than a zombie."""
    return any(_state(pid) not in ("Z", "X", None) for pid in _descendants(os.getpid(), keep))


def kill_orphans(keep: Collection[int] = (), mark: bytes | None = None, timeout: float = 2.0) -> int:
    """Kill and reap every child of this process, and the children it inherits by that, until none is left.

    `keep` are children to leave alone, with what is below them. With `mark` (for example `MITOSIS_WORKER_INDEX=`) only
    children are killed whose environment at their exec held a variable starting so; a node manager uses it so as not to
    hit what it started for itself. Call it from the thread that starts processes, so that none is between its start and
    its entry in `keep`. Returns how many were killed. It gives up after `timeout` seconds: the kernel may be unable to
    end a process.
    """
    deadline = time.monotonic() + timeout
    killed: set[int] = set()
    pause = 0.0005
    while has_children():
        targets = [
            pid
            for pid in children(os.getpid())
            if pid not in keep and (pid in killed or mark is None or _carries(pid, mark))
        ]
        if not targets or time.monotonic() > deadline:
            break
        for pid in targets:
            if _state(pid) != "Z":
                _signal(pid, signal.SIGKILL)
                killed.add(pid)
            # A child's own children become ours before the child can be reaped, so the next round sees them.
            _reap(pid)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return len(killed)


def kill_strays(timeout: float = 2.0) -> int:
    """Kill the children of this process that are in another session than it is, and return how many.

    A process that a handler started and keeps, such as a process pool, is in the worker's session; a daemon is not.
    """
    if not has_children():
        return 0
    own = os.getsid(0)
    keep = [pid for pid in children(os.getpid()) if _session(pid) in (own, None)]
    return kill_orphans(keep=keep, timeout=timeout)


def kill_marked(mark: bytes, timeout: float = 5.0) -> int:
    """Kill every process of this machine whose environment at its exec held a variable starting with `mark`.

    For the restart after a crash: `MITOSIS_NODE_MANAGER_ID=<uuid>` finds what the dead manager's workers left, wherever
    it is in the process tree. This process and processes of other users are passed over. Returns how many were killed;
    it gives up after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    killed: set[int] = set()
    while True:
        targets = [pid for pid in _all_pids() if pid != os.getpid() and _carries(pid, mark)]
        if not targets or time.monotonic() > deadline:
            return len(killed)
        for pid in targets:
            _signal(pid, signal.SIGKILL)
            _reap(pid)
            killed.add(pid)
        time.sleep(0.01)


def _descendants(pid: int, keep: Collection[int]) -> Iterator[int]:
    for child in children(pid):
        if child not in keep:
            yield child
            yield from _descendants(child, ())


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only


def _children_by_scan(parent: int) -> list[int]:
    return [pid for pid in _all_pids() if (fields := _stat(pid)) and int(fields[1]) == parent]


def _stat(pid: int) -> list[str]:
    """Read the fields of /proc/PID/stat from the state on; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The name in parentheses may hold anything, parentheses too; the last one ends it.
    return text.rpartition(")")[2].split()


def _state(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[0] if fields else None


def _session(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[3]) if fields and fields[0] != "Z" else None


def _carries(pid: int, mark: bytes) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return environment.startswith(mark) or b"\0" + mark in environment


def _signal(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
