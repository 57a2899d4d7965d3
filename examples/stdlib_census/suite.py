"""The suite and its tasks, as the client submits them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mitosis_client import NewTask, SuiteSpec
from stdlib_census.sources import library, source_files


def suite_spec(directory: Path, group: str, workers: int) -> SuiteSpec:
    """Returns the suite: `workers` processes on each manager, hooks around them, results in `directory`.

    The directory must be the same one on every machine that runs the suite.
    """
    return {
        "name": "standard library census",
        "group_name": group,
        "labels": ["example:stdlib-census"],
        "worker_schedule": {"strategy": "Fixed", "worker_count": workers},
        "env_preparation": {"args": [sys.executable, "-m", "stdlib_census.prepare", str(directory)]},
        "env_cleanup": {"args": [sys.executable, "-m", "stdlib_census.merge", str(directory)]},
        "task_defaults": {"handler": "stdlib_census.census:count_file", "timeout_seconds": 60},
    }


def tasks(directory: Path) -> Iterator[NewTask]:
    """Yields one task for each file."""
    root = library()
    for name in source_files(root):
        yield {"payload": {"library": str(root), "file": name, "directory": str(directory)}}
