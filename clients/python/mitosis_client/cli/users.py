"""`mitosis users`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.output import Column, age
from mitosis_client.cli.passwords import PasswordStdin, ask
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.models import User

app = typer.Typer(help="Make users, disable them, give them passwords; for administrators.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Name of the user.")]

_COLUMNS = (
    Column[User]("USER", lambda user: user.username, rank=9),
    Column[User]("GROUPS", lambda user: _groups(user), rank=7),
    Column[User]("IS", lambda user: _is(user), rank=8),
    Column[User]("AGE", lambda user: age(user.created_at), rank=1, right=True),
)


@app.command("list")
def list_(context: typer.Context, limit: Limit = 100, json: JsonFlag = False) -> None:
    """List users by name."""
    session = session_of(context, json)
    with session.client() as client:
        session.output.items(client.list_users(page_size=page_size(limit)), limit, _COLUMNS, "There is no user.")


@app.command()
def create(
    context: typer.Context,
    user: UserArgument,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything, in every group.")] = False,
    password_stdin: PasswordStdin = False,
    json: JsonFlag = False,
) -> None:
    """Make a user, who is in no group yet."""
    session = session_of(context, json)
    password = ask("Password of the new user", stdin=password_stdin, twice=True)
    with session.client() as client:
        made = client.create_user(user, password, is_admin=admin)
    if json:
        session.output.document(made.to_dict())
    session.output.line(f"User {made.username} is there{' and an administrator' if made.is_admin else ''}.")


@app.command("set-password")
def set_password(
    context: typer.Context, user: UserArgument, password_stdin: PasswordStdin = False, json: JsonFlag = False
) -> None:
    """Give a user another password, which ends all tokens of that user."""
    password = ask(f"New password of {user}", stdin=password_stdin, twice=True)
    _update(context, user, json, "has a new password, and no token any more", password=password)


@app.command()
def disable(context: typer.Context, user: UserArgument, json: JsonFlag = False) -> None:
    """Keep a user out, and end all tokens of that user. What the user made stays."""
    _update(context, user, json, "is disabled", disabled=True)


@app.command()
def enable(context: typer.Context, user: UserArgument, json: JsonFlag = False) -> None:
    """Let a user that was disabled log in again."""
    _update(context, user, json, "may log in", disabled=False)


@app.command()
def promote(context: typer.Context, user: UserArgument, json: JsonFlag = False) -> None:
    """Make a user an administrator."""
    _update(context, user, json, "is an administrator", is_admin=True)


@app.command()
def demote(context: typer.Context, user: UserArgument, json: JsonFlag = False) -> None:
    """Make an administrator a user like others."""
    _update(context, user, json, "is no administrator", is_admin=False)


@app.command()
def revoke(context: typer.Context, user: UserArgument, json: JsonFlag = False) -> None:
    """End all tokens of a user, who may log in again."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.revoke_user_tokens(user)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"User {found.username} has no token any more.")


def _update(
    context: typer.Context,
    user: str,
    json: bool,
    outcome: str,
    *,
    password: str | None = None,
    disabled: bool | None = None,
    is_admin: bool | None = None,
) -> None:
    session = session_of(context, json)
    with session.client() as client:
        found = client.update_user(user, password=password, disabled=disabled, is_admin=is_admin)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"User {found.username} {outcome}.")


def _groups(user: User) -> str:
    return ", ".join(f"{item.group_name} ({item.role})" for item in user.memberships)


def _is(user: User) -> str:
    return ", ".join(word for word, holds in (("administrator", user.is_admin), ("disabled", user.disabled)) if holds)
