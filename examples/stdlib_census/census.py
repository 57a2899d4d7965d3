"""The task: parses one file and counts what is in it."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict


class Payload(TypedDict):
    """What a task is given: a file of the library, and the directory that all tasks share."""

    library: str
    file: str
    directory: str


class Function(TypedDict):
    """A function, and how many lines it is long."""

    name: str
    lines: int


class FileCount(TypedDict):
    """What is in one file. Of a file that does not parse only `bytes` and `lines` are known."""

    file: str
    bytes: int
    lines: int
    parses: bool
    functions: int
    classes: int
    imports: dict[str, int]
    longest_function: Function | None


def count_file(payload: Payload) -> FileCount:
    """Counts one file, adds the count to this worker's results, and returns it."""
    source = Path(payload["library"], payload["file"]).read_bytes()
    result = count(payload["file"], source)
    line = json.dumps(result, separators=(",", ":")).encode() + b"\n"
    # One file for each worker process, one write for each line: nobody waits for anybody and no line is torn.
    results = Path(payload["directory"], "results", f"{os.getpid()}.jsonl")
    descriptor = os.open(results, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    return result


def count(file: str, source: bytes) -> FileCount:
    """Counts what is in a source text. A text that does not parse is a result like any other."""
    result = FileCount(
        file=file,
        bytes=len(source),
        lines=source.count(b"\n"),
        parses=False,
        functions=0,
        classes=0,
        imports={},
        longest_function=None,
    )
    try:
        with warnings.catch_warnings():
            # Old modules warn about their own escapes when they are parsed.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return result
    result["parses"] = True
    imports: Counter[str] = Counter()
    for node in _statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            result["functions"] += 1
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            longest = result["longest_function"]
            if longest is None or lines > longest["lines"]:
                result["longest_function"] = Function(name=node.name, lines=lines)
        elif isinstance(node, ast.ClassDef):
            result["classes"] += 1
        else:
            imports.update(_imported(node))
    result["imports"] = dict(imports)
    return result


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yields every statement at any depth. Expressions, by far most of a tree, hold nothing that is counted."""
    rest: list[ast.AST] = [tree]
    while rest:
        node = rest.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            rest += getattr(node, block, ())


def _imported(node: ast.AST) -> Iterator[str]:
    """Yields the top-level modules that a statement imports; what a package imports of itself is not counted."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module.partition(".")[0]
