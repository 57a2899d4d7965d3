"""`make sabotage`: applies each patch of this folder to a copy of the tree, and fails when nobody notices.

The simulation is asked first, because it is quicker, then a chaos run of the default length. The simulation must find
nothing in a copy without damage, or its verdict on the others would mean nothing; `make chaos` is that for chaos.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.__main__ import VIOLATED

_ROOT = Path(__file__).parents[3]
_PATCHES = Path(__file__).parent
_SHOWN_LINES = 15
_SIMULATION = Path("tests/simulation")
# Its schedule pauses the coordinator that does not lead beyond the heartbeat timeout, again and again.
_SEED = 81


@dataclass(frozen=True, slots=True)
class Detector:
    """What may find damage: its arguments to Python, how long it may take, and how it ends when it found something."""

    name: str
    arguments: tuple[str, ...]
    seconds: float
    found: int


# pytest ends with 1 when a test failed, and otherwise when it could not run them.
SIMULATION = Detector(
    "simulation", ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(_SIMULATION)), 600.0, found=1
)
CHAOS = Detector("chaos", ("-m", "tests.chaos", "--seed", str(_SEED)), 900.0, found=VIOLATED)


class Unusable(Exception):
    """A detector could not be run, or a patch not be applied."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when every damage was found, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", help="patches to apply, all of them unless given")
    parser.add_argument("--chaos-only", action="store_true", help="leave the simulation out")
    given = parser.parse_args(arguments)
    patches = [path for path in sorted(_PATCHES.glob("*.patch")) if not given.names or path.stem in given.names]
    table = Table("damage", "found by", "after", title="sabotage")
    good = True
    detectors = [CHAOS]
    if not given.chaos_only and (_ROOT / _SIMULATION).is_dir():
        detectors.insert(0, SIMULATION)
        with copied() as tree:
            good = not _finds(SIMULATION, tree)
        table.add_row("none", "nobody, rightly" if good else "the simulation, WRONGLY", "")
    for patch in patches:
        began = time.monotonic()
        try:
            with copied() as tree:
                _apply(patch, tree)
                found_by = next((detector.name for detector in detectors if _finds(detector, tree)), "NOBODY")
        except Unusable as problem:
            found_by = f"NOBODY: {problem}"
        good = good and not found_by.startswith("NOBODY")
        table.add_row(patch.stem, found_by, f"{time.monotonic() - began:.0f} s")
        print(f"{patch.stem}: {found_by}", flush=True)
    Console(width=110).print(table)
    return 0 if good else 1


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """Copies what git knows of the tree, with its uncommitted changes."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="mit-", dir="/tmp") as folder:
        for name in listed.stdout.split("\0"):
            source = _ROOT / name
            if name and source.is_file():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        yield Path(folder)


def _apply(patch: Path, tree: Path) -> None:
    # Without a repository above it git would look for none, and with one for the wrong one.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    applied = subprocess.run(
        ["git", "apply", str(patch)], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if applied.returncode != 0:
        raise Unusable(f"DOES NOT APPLY any more: {applied.stderr.strip()}")


def _finds(detector: Detector, tree: Path) -> bool:
    """Runs a detector on a copy; tells whether it found something."""
    document = tomllib.loads((tree / "pyproject.toml").read_text())
    roots = [str(tree / root) for root in document["tool"]["hatch"]["build"]["dev-mode-dirs"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), *roots])}
    process = subprocess.run(
        [sys.executable, *detector.arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=detector.seconds,
        check=False,
    )
    if process.returncode not in (0, detector.found):
        raise Unusable(f"{detector.name} ended with {process.returncode}:\n{process.stdout[-2000:]}")
    if process.returncode == detector.found:
        print("\n".join(process.stdout.splitlines()[-_SHOWN_LINES:]), flush=True)
    return process.returncode == detector.found


if __name__ == "__main__":
    sys.exit(main())
