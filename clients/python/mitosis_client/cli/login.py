"""`mitosis login`, `mitosis logout` and `mitosis change-password`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from mitosis_client.cli.output import moment
from mitosis_client.cli.passwords import PasswordStdin, ask
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.connection import Connection, credentials_file


def login(
    context: typer.Context,
    username: Annotated[str, typer.Option("--username", "-u", prompt=True, help="Who you are.")],
    password_stdin: PasswordStdin = False,
    json: JsonFlag = False,
) -> None:
    """Get a token for a user and keep it for later commands.

    It is written to ~/.config/mitosis/credentials.json, readable by you alone.
    """
    session = session_of(context, json)
    connection = session.connection()
    password = ask("Password", stdin=password_stdin)
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


def logout(
    context: typer.Context,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="End all of your tokens, on every machine and in every script.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Forget the token that `mitosis login` keeps.

    The token itself stays good until it expires, in case something else uses it, unless you say --everywhere.
    """
    session = session_of(context, json)
    path = credentials_file()
    ended = ""
    if everywhere:
        ended = session.connection().token
        with session.client() as client:
            client.revoke_tokens()
    # Another coordinator's token is none of those that were ended.
    forgotten = path.is_file() and (not everywhere or Connection.read(path).token == ended)
    if forgotten:
        path.unlink()
    if json:
        session.output.document({"revoked": everywhere, "file": str(path) if forgotten else None})
    if everywhere:
        session.output.line("All of your tokens have ended.")
    session.output.line(f"{path} is removed." if forgotten else f"There was no token in {path} to forget.")


def change_password(context: typer.Context, password_stdin: PasswordStdin = False, json: JsonFlag = False) -> None:
    """Change your own password, which ends all of your tokens: log in again after it."""
    session = session_of(context, json)
    current = ask("Current password", stdin=password_stdin)
    new = ask("New password", stdin=password_stdin, twice=True)
    with session.client() as client:
        client.change_password(current, new)
    if json:
        session.output.document({})
    session.output.line("Your password is changed, and all of your tokens have ended.")
