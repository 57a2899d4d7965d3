"""Which files the census counts."""

from __future__ import annotations

import sysconfig
from pathlib import Path

# What others installed lies inside the standard library's directory, and is not part of it.
_FOREIGN = ("site-packages", "dist-packages", "__pycache__")


def library() -> Path:
    """Returns the directory of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def source_files(root: Path) -> list[str]:
    """Returns the `.py` files below `root` as sorted relative paths with forward slashes."""
    found = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(path.as_posix() for path in found if not any(part in _FOREIGN for part in path.parts))
