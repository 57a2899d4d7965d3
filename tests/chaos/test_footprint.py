"""What grew beyond the tolerance is named; what moved within it is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.footprint import MEBIBYTE, Footprint, grown

BEFORE = Footprint(memory_bytes=100 * MEBIBYTE, descriptors=20, threads=9, shared_files=0, connections=15)


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (BEFORE, None),
        (replace(BEFORE, memory_bytes=120 * MEBIBYTE, descriptors=24, connections=18), None),
        (replace(BEFORE, memory_bytes=50 * MEBIBYTE, descriptors=10), None),
        (replace(BEFORE, memory_bytes=150 * MEBIBYTE), "memory"),
        (replace(BEFORE, descriptors=40), "descriptors"),
        (replace(BEFORE, threads=20), "threads"),
        (replace(BEFORE, shared_files=1), "files in shared memory"),
        (replace(BEFORE, connections=30), "database connections"),
    ],
)
def test_growth_is_named(after: Footprint, named: str | None) -> None:
    found = grown({"manager-1": BEFORE}, {"manager-1": after})
    assert len(found) == (named is not None)
    assert all(line.startswith(f"manager-1: {named} ") for line in found)
