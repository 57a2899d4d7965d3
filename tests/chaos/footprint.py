"""What each process of a deployment takes, and whether it grew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psutil
import psycopg

from tests.chaos.deployment import Deployment

MEBIBYTE = 1024 * 1024
# What may be more at the end than at the beginning. An allocator gives pages back when it likes, and a pool keeps the
# connections that it once needed; a leak of anything by thousands of suites is larger.
MEMORY_RATIO = 1.15
MEMORY_BYTES = 12 * MEBIBYTE
DESCRIPTORS = 5
THREADS = 3
SHARED_FILES = 0
CONNECTIONS = 4

_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one process takes, or what several share."""

    memory_bytes: int = 0
    descriptors: int = 0
    threads: int = 0
    shared_files: int = 0
    connections: int = 0


def measure(deployment: Deployment) -> dict[str, Footprint]:
    """Returns the footprint of every process, and what they have together in shared memory and in the database."""
    found = {}
    for name, part in deployment.parts.items():
        process = psutil.Process(part.pid)
        with process.oneshot():
            found[name] = Footprint(process.memory_info().rss, process.num_fds(), process.num_threads())
    with psycopg.connect(deployment.postgres.url) as connection:
        row = connection.execute(_CONNECTIONS).fetchone()
    found["all together"] = Footprint(
        shared_files=len(deployment.box.shared_memory()), connections=row[0] if row is not None else 0
    )
    return found


def grown(start: Mapping[str, Footprint], end: Mapping[str, Footprint]) -> list[str]:
    """Returns what takes more at the end than the tolerance allows."""
    found = []
    for name, before in start.items():
        after = end[name]
        limits = (
            ("memory", after.memory_bytes, before.memory_bytes * MEMORY_RATIO + MEMORY_BYTES),
            ("descriptors", after.descriptors, before.descriptors + DESCRIPTORS),
            ("threads", after.threads, before.threads + THREADS),
            ("files in shared memory", after.shared_files, before.shared_files + SHARED_FILES),
            ("database connections", after.connections, before.connections + CONNECTIONS),
        )
        found += [f"{name}: {what} {value:.0f}, at most {limit:.0f}" for what, value, limit in limits if value > limit]
    return found
