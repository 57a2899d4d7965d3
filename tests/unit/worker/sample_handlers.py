"""Handlers that the tests run, in this process and in real workers."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

not_callable = 3


def echo(payload: Any) -> Any:
    return payload


def nothing(_payload: Any) -> None:
    return None


def talk(payload: Any) -> None:
    print(f"out {payload}")
    print(f"err {payload}", file=sys.stderr)


def fail(payload: Any) -> None:
    print("before")
    raise ValueError(f"bad {payload}")


def leave(code: Any) -> None:
    sys.exit(code)


def surrogate(_payload: Any) -> str:
    return "\udc80"


def fail_strangely(_payload: Any) -> None:
    raise RuntimeError("\udc80\0" + "x" * 10_000)


def big(size: int) -> str:
    return "x" * size


def unserialisable(_payload: Any) -> object:
    return {1, 2}


def not_a_number(_payload: Any) -> float:
    return float("nan")


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def stubborn(seconds: float) -> str:
    try:
        time.sleep(seconds)
    except BaseException:
        return "went on"
    return "slept"


def swallow_one_alarm(seconds: float) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.sigwait([signal.SIGALRM])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    time.sleep(seconds)


def spin(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


def environment(names: list[str]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def place(_payload: Any) -> list[str]:
    return [str(Path.cwd()), sys.path[0]]


def close_stdout(_payload: Any) -> None:
    print("last words")
    sys.stdout.close()


async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


async def cancel_itself(_payload: Any) -> None:
    raise asyncio.CancelledError


def segfault(_payload: Any) -> None:
    ctypes.string_at(0)


def pid(_payload: Any) -> int:
    return os.getpid()


def daemon(path: str) -> None:
    """Start a process that leaves the session and the process group, and write its id to a file."""
    script = f"echo $$ > {path}; exec sleep 600"
    subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not Path(path).exists() or not Path(path).read_text().endswith("\n"):
        time.sleep(0.01)
