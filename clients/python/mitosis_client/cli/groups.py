"""`mitosis groups`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.output import Column, age, moment
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.models import Group, GroupMember, GroupRole

app = typer.Typer(help="Look at groups, make them, put users into them.", no_args_is_help=True)
members = typer.Typer(help="Who is in a group, and in which role.", no_args_is_help=True)
app.add_typer(members, name="members")

GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Name of the user.")]

_COLUMNS = (
    Column[Group]("GROUP", lambda group: group.group_name, rank=9),
    Column[Group]("UUID", lambda group: group.uuid, rank=7),
    Column[Group]("AGE", lambda group: age(group.created_at), rank=1, right=True),
)
_MEMBERS = (
    Column[GroupMember]("USER", lambda member: member.username, rank=9),
    Column[GroupMember]("ROLE", lambda member: member.role or "", rank=8),
)


@app.command("list")
def list_(context: typer.Context, limit: Limit = 100, json: JsonFlag = False) -> None:
    """List your groups by name, all there are for an administrator."""
    session = session_of(context, json)
    with session.client() as client:
        session.output.items(client.list_groups(page_size=page_size(limit)), limit, _COLUMNS, "You are in no group.")


@app.command()
def show(context: typer.Context, group: GroupArgument, json: JsonFlag = False) -> None:
    """Show one group with its members."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.get_group(group)
    if json:
        session.output.document(found.to_dict())
        return
    session.output.fields([("uuid", found.uuid), ("group", found.group_name), ("created", moment(found.created_at))])
    session.output.line()
    if found.members:
        session.output.table(found.members, _MEMBERS)
    else:
        session.output.line("Nobody is in it.")


@app.command()
def create(context: typer.Context, group: GroupArgument, json: JsonFlag = False) -> None:
    """Make a group, with you as its Admin; for administrators."""
    session = session_of(context, json)
    with session.client() as client:
        made = client.create_group(group)
    if json:
        session.output.document(made.to_dict())
    session.output.line(f"Group {made.group_name} is there.")


@members.command("set")
def set_(
    context: typer.Context,
    group: GroupArgument,
    user: UserArgument,
    role: Annotated[GroupRole, typer.Argument(metavar="ROLE", help="Viewer, Member or Admin.")],
    json: JsonFlag = False,
) -> None:
    """Put a user into a group, or change the role; for the group's Admins."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.set_member(group, user, role)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"User {user} is {role} of {found.group_name}.")


@members.command()
def remove(context: typer.Context, group: GroupArgument, user: UserArgument, json: JsonFlag = False) -> None:
    """Take a user out of a group; for the group's Admins."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.remove_member(group, user)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"User {user} is not in {found.group_name}.")
