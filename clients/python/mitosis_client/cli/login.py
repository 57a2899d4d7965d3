"""`mitosis login`."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from mitosis_client.cli.output import moment
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.connection import credentials_file


def login(
    context: typer.Context,
    username: Annotated[str, typer.Option("--username", "-u", prompt=True, help="Who you are.")],
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input, not a prompt.")] = False,
    json: JsonFlag = False,
) -> None:
    """Get a token for a user and keep it for later commands.

    It is written to ~/.config/mitosis/credentials.json, readable by you alone.
    """
    session = session_of(context, json)
    connection = session.connection()
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    elif not sys.stdin.isatty():
        raise typer.BadParameter("standard input is no terminal to ask at; give --password-stdin")
    else:
        password = typer.prompt("Password", hide_input=True, err=True)
    with session.client() as client:
        granted = client.login(username, password)
    path = credentials_file()
    dataclasses.replace(connection, token=granted.token, username=granted.user.username).write(path)
    if json:
        expires = granted.expires_at.isoformat().replace("+00:00", "Z")
        session.output.document({"user": granted.user.to_dict(), "expires_at": expires, "file": str(path)})
    session.output.line(
        f"Logged in to {connection.grpc} as {granted.user.username} until {moment(granted.expires_at)}."
    )
    session.output.line(f"The token is in {path}.")
