"""Runs peers' programs, and systems in turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
from psycopg import sql

from benchmarks.harness import REPOSITORY, Mitosis
from benchmarks.results import Row, at_least, median

PYTHON = REPOSITORY / "build" / "peers" / "bin" / "python"
TIMEOUT_SECONDS = 180
OURS = "Mitosis"


class PeerFailed(Exception):
    """A peer could not be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Alternation:
    """Samples of each system, or else why there are none."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def medians(self) -> dict[str, float]:
        """Of every system that was measured."""
        return {name: median(samples) for name, samples in self.samples.items() if name not in self.problems}

    def ratio(self, peer: str, unit: str, least: float) -> Row:
        """Our rate by a peer's."""
        figure = f"Mitosis by {peer}"
        if peer in self.problems:
            return Row(figure, "not measured", self.problems[peer], target=f"at least {least:g}")
        ours, theirs = self.medians[OURS], self.medians[peer]
        beside = f"{ours:,.0f} and {theirs:,.0f} {unit}"
        return at_least(figure, ours / theirs, "", least, beside=beside, ratio=f"{ours / theirs:.2f}")


def alternate(rounds: int, systems: Mapping[str, Callable[[], float]]) -> Alternation:
    """Measure every system once in each round; a peer that failed is left out from then on."""
    outcome = Alternation()
    for _ in range(rounds):
        for name, measure in systems.items():
            if name in outcome.problems:
                continue
            try:
                outcome.samples.setdefault(name, []).append(measure())
            except PeerFailed as failure:
                outcome.problems[name] = str(failure)
    return outcome


def seconds_of(
    program: str, tasks: int, *, workers: int = 2, task_seconds: float = 0.0, database_of: Mitosis | None = None
) -> float:
    """Seconds that a peer's program measured in a process and a directory of its own.

    Args:
        program: A module of `benchmarks.peers.programs`.
        tasks: How many.
        workers: Its worker processes, or cores.
        task_seconds: What each task sleeps, for programs that can.
        database_of: Gives it a database of its own on this Mitosis's PostgreSQL.

    Raises:
        PeerFailed: It is not installed, failed, or took too long.
    """
    if not PYTHON.exists():
        raise PeerFailed("no environment for peers: make bench-peers builds it")
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as directory:
        command = [str(PYTHON), "-m", f"benchmarks.peers.programs.{program}"]
        command += ["--tasks", str(tasks), "--workers", str(workers), "--directory", directory]
        command += ["--seconds", str(task_seconds)]
        if database_of is not None:
            command += ["--database", _new_database(database_of)]
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "BENCHMARK_BROKER_URL": f"redis+socket://{directory}/redis.sock",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        output = _run(command, environment, Path(directory))
    try:
        return float(json.loads(output.splitlines()[-1])["seconds"])
    except (IndexError, ValueError, KeyError):
        raise PeerFailed(f"{program} printed no figure") from None


def _run(command: list[str], environment: Mapping[str, str], directory: Path) -> str:
    with (directory / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=directory, env=environment, text=True
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"not done within {TIMEOUT_SECONDS} s") from None
        finally:
            _end(process)
        if process.returncode != 0:
            errors.seek(0)
            lines = [line for line in errors.read().splitlines() if line.strip()]
            raise PeerFailed(f"ended with {process.returncode}: {' / '.join(lines[-2:])}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """End a program that is late, with all that it started."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    for late in started:
        if late.is_running():
            late.send_signal(signal.SIGKILL)
    process.kill()
    process.communicate()


def _new_database(mitosis: Mitosis) -> str:
    name = f"peer_{uuid4().hex[:12]}"
    with psycopg.connect(mitosis.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return mitosis.database_url.replace("/postgres?", f"/{name}?")
