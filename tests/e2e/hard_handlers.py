"""Handlers that do to their worker what handlers should not do. They run in workers."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Never


def good(payload: object) -> object:
    """Returns its payload."""
    return payload


def segfault(_payload: object) -> None:
    """Reads from address 0."""
    ctypes.string_at(0)


def leave(code: int) -> Never:
    """Ends the worker without a word."""
    os._exit(code)


def stuck(_payload: object) -> int:
    """Spends days in C code that looks at no signal and keeps the interpreter's lock."""
    return sum(range(10**14))


def deaf(_payload: object) -> None:
    """Waits in C code for signals that never come, without the interpreter's lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.CDLL(None).pause()


def write(mebibytes: int) -> None:
    """Writes to standard output."""
    line = "x" * 1023 + "\n"
    for _ in range(mebibytes):
        sys.stdout.write(line * 1024)
    print("the last line")


def daemonize(seconds: float) -> int:
    """Starts a daemon by the book, and returns its process id."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        daemon = os.fork()
        if daemon:
            os.write(write_end, str(daemon).encode())
            os._exit(0)
        time.sleep(seconds)
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(read_end, 32))
    os.close(read_end)
    os.close(write_end)
    return pid


def odd_output(_payload: object) -> str:
    """Writes what is no UTF-8, and returns a NUL."""
    sys.stdout.buffer.write(b"before\xff\x00after")
    print("\ud800", file=sys.stderr)
    return "a\0b"


def odd_error(_payload: object) -> Never:
    """Raises what cannot be stored as it is."""
    raise ValueError("a\0b\ud800c")
