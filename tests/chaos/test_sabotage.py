"""The patches of `make sabotage` still apply; whether their damage is found takes minutes: `make sabotage` tells."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "tests/chaos/sabotage").glob("*.patch"))


def test_all_three_damages_are_there() -> None:
    assert {path.stem for path in PATCHES} == {"acknowledged-early", "fence-removed", "reports-not-kept"}


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_the_patch_applies(patch: Path) -> None:
    checked = subprocess.run(["git", "apply", "--check", patch], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
