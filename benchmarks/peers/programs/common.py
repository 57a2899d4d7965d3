"""What all programs have in common."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

WARM_UP_TASKS = 100


@dataclass(frozen=True)
class Order:
    """What to measure."""

    tasks: int
    workers: int
    # Of each task; only for programs that can run a command.
    seconds: float
    database: str
    # An empty directory that is removed afterwards.
    directory: Path


def order() -> Order:
    """The order on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--database", default="")
    parser.add_argument("--directory", type=Path, required=True)
    return Order(**vars(parser.parse_args()))


def timed(submit_and_wait: Callable[[int], object], tasks: int) -> None:
    """Warm up, measure, and print the seconds."""
    submit_and_wait(WARM_UP_TASKS)
    began = time.perf_counter()
    submit_and_wait(tasks)
    answer(time.perf_counter() - began)


async def timed_async(submit_and_wait: Callable[[int], Awaitable[object]], tasks: int) -> None:
    """The same for coroutines."""
    await submit_and_wait(WARM_UP_TASKS)
    began = time.perf_counter()
    await submit_and_wait(tasks)
    answer(time.perf_counter() - began)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; whoever started the program bounds it."""
    while not await holds():
        await asyncio.sleep(0.02)


def answer(seconds: float) -> None:
    """Print what was measured, as the last line."""
    print(json.dumps({"seconds": seconds}), flush=True)


def noop(_value: object = None) -> None:
    """Do nothing."""
