"""Passwords come from a prompt or from standard input, never from the command line, which others can read."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read passwords from standard input, a line each, not a prompt.")
]


def ask(question: str, *, stdin: bool, twice: bool = False) -> str:
    """Returns a password: the next line of standard input, or what is typed at the terminal, unseen.

    `twice` has it typed again, so that nobody is locked out by a slip.
    """
    if stdin:
        line = sys.stdin.readline()
        if not line:
            raise typer.BadParameter(f"standard input has no line for: {question}")
        return line.rstrip("\n")
    if not sys.stdin.isatty():
        raise typer.BadParameter("standard input is no terminal to ask at; give --password-stdin")
    typed: str = typer.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    return typed
