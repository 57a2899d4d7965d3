"""The preparation hook: `python -m stdlib_census.prepare DIRECTORY` makes the directory and the manifest in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stdlib_census.sources import library, source_files


def prepare(directory: Path, root: Path) -> int:
    """Writes `manifest.json`, each file with its size in bytes, makes room for results, and returns how many files."""
    results = directory / "results"
    results.mkdir(parents=True, exist_ok=True)
    manifest = {name: (root / name).stat().st_size for name in source_files(root)}
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=0), encoding="utf-8")
    return len(manifest)


if __name__ == "__main__":
    print(f"{prepare(Path(sys.argv[1]), library())} files to count in {library()}")
