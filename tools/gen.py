"""Writes `generated/` and the description that reflection serves from `protos/`, and checks that they are up to date.

Usage: python tools/gen.py [--check | --format] [--require-go]
"""

import argparse
import difflib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
GOOGLEAPIS = BUILD / "googleapis"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
PYTHON_OUT = Path("generated/python/mitosis")
GO_OUT = Path("generated/go/mitosis")
CONTRACT_OUT = Path("coordinator/mitosis_coordinator/rpc/contract.binpb")
IMPORT = re.compile(r'^import "(google/(?:api|rpc|type|longrunning)/[^"]+)";', re.MULTILINE)


class GenerationError(Exception):
    """A program failed, or something that generation needs is not there."""


def run(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run a program with the environment's and the build directory's programs first on PATH; return its output.

    Raises GenerationError with the program's own words when it fails.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), str(BUILD / "bin"), os.environ.get("PATH", "")])
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise GenerationError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout + done.stderr


def prepare_workspace() -> None:
    """Copy the google/api and google/rpc protos that ours import, and those these import, from the installed wheel."""
    shipped = {
        str(file): Path(str(file.locate()))
        for file in importlib.metadata.files("googleapis-common-protos") or ()
        if file.suffix == ".proto"
    }
    texts = [path.read_text() for path in sorted((ROOT / "protos").rglob("*.proto"))]
    wanted: dict[str, str] = {}
    while texts:
        for name in IMPORT.findall(texts.pop()):
            if name not in shipped:
                raise GenerationError(f"{name} is imported, but googleapis-common-protos does not ship it")
            if name not in wanted:
                wanted[name] = shipped[name].read_text()
                texts.append(wanted[name])
    GOOGLEAPIS.mkdir(parents=True, exist_ok=True)
    write_tree(GOOGLEAPIS, wanted)


def read_tree(folder: Path) -> dict[str, str]:
    """Read every file below a folder: text by path relative to it."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def write_tree(folder: Path, files: dict[str, str]) -> None:
    """Make a folder hold exactly these files; files that are right already keep their times, so no build runs again."""
    present = read_tree(folder)
    for name in present.keys() - files.keys():
        (folder / name).unlink()
    for name, text in files.items():
        if present.get(name) != text:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def generate_python(out: Path) -> None:
    """Generate the messages, the services and their type stubs below `out`/generated/python/mitosis."""
    run("buf", "generate", "--output", str(out))
    package = out / PYTHON_OUT
    for stub in package.rglob("*_pb2_grpc.pyi"):
        # mypy-protobuf writes one per file; protoc_gen_grpc_python.py only where there is a service.
        if not stub.with_suffix(".py").exists():
            stub.unlink()
    for folder in {package, *(path.parent for path in package.rglob("*_pb2.py")), package / "ipc"}:
        relative = folder.relative_to(package.parent)
        if folder.exists():
            (folder / "__init__.py").write_text(
                f'"""Code generated from protos/{relative.as_posix()}; `make gen`."""\n'
            )
    (package / "py.typed").write_text("")


def generate_go(out: Path) -> None:
    """Generate the Go package below `out`/generated/go/mitosis, with plugins built into the build directory."""
    for plugin in GO_PLUGINS:
        version = plugin.partition("@")[2]
        binary = BUILD / "bin" / plugin.partition("@")[0].rpartition("/")[2]
        if not binary.exists() or version.removeprefix("v") not in run(str(binary), "--version"):
            run("go", "install", plugin, GOBIN=str(BUILD / "bin"))
    run("buf", "generate", "--template", "buf.gen.go.yaml", "--output", str(out))


def generate(*, with_go: bool) -> dict[Path, dict[str, str]]:
    """Generate everything in a temporary directory; return the files by output folder."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        out = Path(folder)
        generate_python(out)
        outputs = [PYTHON_OUT]
        if with_go:
            generate_go(out)
            outputs.append(GO_OUT)
        return {output: read_tree(out / output) for output in outputs}


def describe_contract() -> bytes:
    """Describe the contract with its comments, which the generated code leaves out, for the server's reflection."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        image = Path(folder, CONTRACT_OUT.name)
        run("buf", "build", "--as-file-descriptor-set", "--path", "protos/mitosis/v1", "--output", str(image))
        described = FileDescriptorSet.FromString(image.read_bytes())
    for file in described.file:
        # The places of everything else would be most of the bytes.
        commented = [
            location
            for location in file.source_code_info.location
            if file.package == "mitosis.v1" and (location.leading_comments or location.trailing_comments)
        ]
        file.ClearField("source_code_info")
        file.source_code_info.location.extend(commented)
    return described.SerializeToString(deterministic=True)


def differences(output: Path, expected: dict[str, str]) -> Iterator[str]:
    """Yield one short unified diff for each file below an output folder that is not as expected."""
    present = read_tree(ROOT / output)
    for name in sorted(present.keys() | expected.keys()):
        if present.get(name) != expected.get(name):
            yield "\n".join(
                list(
                    difflib.unified_diff(
                        present.get(name, "").splitlines(),
                        expected.get(name, "").splitlines(),
                        f"{output}/{name} (checked in)",
                        f"{output}/{name} (generated)",
                        lineterm="",
                    )
                )[:40]
            )


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare only; exit code 1 when something differs")
    mode.add_argument("--format", action="store_true", help="format the protos instead")
    parser.add_argument("--require-go", action="store_true", help="fail where there is no Go, instead of saying so")
    options = parser.parse_args()

    with_go = shutil.which("go") is not None
    try:
        prepare_workspace()
        if options.format:
            run("buf", "format", "--write", "protos")
            return 0
        if options.require_go and not with_go:
            raise GenerationError("Go is required here and is not on PATH")
        trees = generate(with_go=with_go)
        described = describe_contract()
    except GenerationError as error:
        print(error, file=sys.stderr)
        return 1

    if not with_go:
        print(f"Go is not on PATH: {GO_OUT} was left out")
    if options.check:
        found = [text for output, files in trees.items() for text in differences(output, files)]
        if not (ROOT / CONTRACT_OUT).exists() or (ROOT / CONTRACT_OUT).read_bytes() != described:
            found.append(f"{CONTRACT_OUT} differs")
        if found:
            print(
                *found, "generated code is not what protos/ say: run `make gen` and commit", sep="\n", file=sys.stderr
            )
        return 1 if found else 0
    for output, files in trees.items():
        (ROOT / output).mkdir(parents=True, exist_ok=True)
        write_tree(ROOT / output, files)
        print(f"{output}: {len(files)} files")
    (ROOT / CONTRACT_OUT).write_bytes(described)
    print(f"{CONTRACT_OUT}: {len(described)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
