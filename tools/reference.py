"""Writes the pages of docs/ that are made from the code alone, or checks them: the command line, and gRPC.

Usage: python tools/reference.py [--check]
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import gen
import reference_cli
import reference_grpc

PAGES: Mapping[Path, Callable[[], str]] = {
    gen.ROOT / "docs" / "user-guide" / "cli-reference.md": reference_cli.render,
    gen.ROOT / "docs" / "api" / "grpc.md": reference_grpc.render,
}


def stale() -> list[str]:
    """Name the pages that do not say what the code says."""
    return [
        str(page.relative_to(gen.ROOT))
        for page, render in PAGES.items()
        if not page.exists() or page.read_text(encoding="utf-8") != render()
    ]


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail when a page differs from the code")
    if parser.parse_args().check:
        if found := stale():
            print(f"not what the code says: {', '.join(found)}; run `make gen` and commit", file=sys.stderr)
            return 1
        return 0
    for page, render in PAGES.items():
        page.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
