"""Moves the wall clock of one Python process while it runs.

Python imports this module by its name at the start of every process whose PYTHONPATH leads here. The offset in seconds
is a double in a file that stays mapped, so that it can change at any moment. The kernel's clock is everybody's, a time
namespace moves the monotonic clocks only, and the product reads no setting for this: what it asks is `time.time`.
"""

import mmap
import os
import struct
import time
from pathlib import Path

OFFSET = struct.Struct("=d")


def _move(path: str) -> None:
    with Path(path).open("rb") as file:
        offset = mmap.mmap(file.fileno(), OFFSET.size, access=mmap.ACCESS_READ)
    now, now_ns = time.time, time.time_ns

    def ahead() -> float:
        seconds: float = OFFSET.unpack_from(offset)[0]
        return seconds

    def moved() -> float:
        return now() + ahead()

    def moved_ns() -> int:
        return now_ns() + int(ahead() * 1_000_000_000)

    time.time, time.time_ns = moved, moved_ns


if "CHAOS_CLOCK" in os.environ:
    _move(os.environ["CHAOS_CLOCK"])
