"""Runs every check that is not a test, all of them even when one fails.

Usage: python tools/check.py [--require-go]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gen

ROOT = gen.ROOT
GO_MODULES = ("generated/go", "clients/go", "examples/go")
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


class CheckFailed(Exception):
    """A check found something; the message is for the reader who has to mend it."""


def program(*command: str) -> Callable[[], str]:
    """Make a check of a program that answers with its exit code."""

    def run() -> str:
        try:
            return gen.run(*command)
        except gen.GenerationError as error:
            raise CheckFailed(str(error)) from error

    return run


def baseline() -> str | None:
    """Name the commit whose contract must hold: the last release, else the published main branch, else HEAD."""
    for command in (
        ("git", "describe", "--tags", "--abbrev=0", "--match", "v*"),
        ("git", "rev-parse", "--verify", "--quiet", "origin/main"),
        ("git", "rev-parse", "--verify", "--quiet", "HEAD"),
    ):
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    return None


def breaking() -> str:
    """Compare the protos with those of the baseline."""
    commit = baseline()
    if commit is None:
        return "there is no history to compare with"
    with tempfile.TemporaryDirectory(dir=gen.BUILD) as folder:
        # buf can read a git reference itself, but there the google/api protos, which are in no commit, are missing.
        archive = subprocess.run(
            ["git", "archive", commit, "protos", "buf.yaml"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode != 0:
            return f"{commit} has no protos to compare with"
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        shutil.copytree(gen.GOOGLEAPIS, Path(folder, "build/googleapis"))
        program("buf", "breaking", "--against", folder)()
    return f"compared with {commit}"


def broken_links() -> Iterator[str]:
    """Yield every relative link of the documents that leads nowhere."""
    listed = gen.run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md").splitlines()
    for name in listed:
        document = ROOT / name
        if not document.exists():
            continue
        for number, line in enumerate(document.read_text().splitlines(), 1):
            for match in LINK.finditer(line):
                target = ROOT / match[1].lstrip("/") if match[1].startswith("/") else document.parent / match[1]
                if not target.exists():
                    yield f"{name}:{number}: {match[1]} does not exist"


def links() -> str:
    """Check that the documents' links lead somewhere."""
    if found := list(broken_links()):
        raise CheckFailed("\n".join(found))
    return ""


def go_code(*, required: bool) -> Callable[[], str]:
    """Make the check of all Go code: formatted, and vetted with the live tests. It is left out where there is no Go."""

    def check() -> str:
        if shutil.which("go") is None:
            if required:
                raise CheckFailed("Go is required here and is not on PATH")
            return "Go is not on PATH: left out"
        if unformatted := program("gofmt", "-l", *GO_MODULES)():
            raise CheckFailed(f"not formatted; `make fmt` does it:\n{unformatted}")
        for module in GO_MODULES:
            program("go", "-C", module, "vet", "-tags", "live", "./...")()
        return ", ".join(GO_MODULES)

    return check


def checks(*, require_go: bool) -> Sequence[tuple[str, Callable[[], str]]]:
    """List the checks in the order in which they run: quick ones first."""
    go = ["--require-go"] if require_go else []
    return [
        ("ruff check", program("ruff", "check", "--no-cache", ".")),
        ("ruff format", program("ruff", "format", "--no-cache", "--check", ".")),
        ("links", links),
        ("diagrams", program(sys.executable, "tools/diagrams.py", "--check")),
        ("buf lint", program("buf", "lint")),
        ("buf format", program("buf", "format", "--diff", "--exit-code", "protos")),
        ("buf breaking", breaking),
        ("generated code", program(sys.executable, "tools/gen.py", "--check", *go)),
        ("go", go_code(required=require_go)),
        ("openapi", program(sys.executable, "tools/openapi.py", "--check")),
        ("reference pages", program(sys.executable, "tools/reference.py", "--check")),
        ("import-linter", program("lint-imports", "--no-cache")),
        ("mypy", program("mypy")),
    ]


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--require-go", action="store_true", help="fail where there is no Go")
    options = parser.parse_args()
    try:
        gen.prepare_workspace()
    except gen.GenerationError as error:
        print(error, file=sys.stderr)
        return 1
    failed = []
    for name, check in checks(require_go=options.require_go):
        started = time.monotonic()
        try:
            said, verdict = check(), "ok"
        except CheckFailed as error:
            said, verdict = str(error), "FAILED"
            failed.append(name)
        print(f"{name:<16} {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
        if verdict == "FAILED" or name in ("buf breaking", "generated code", "go"):
            print("".join(f"    {line}\n" for line in said.splitlines()), end="", flush=True)
    if failed:
        print(f"\n{len(failed)} failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
