"""`mitosis managers`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.grants import TokenFile, hand_over
from mitosis_client.cli.output import Column, age, moment
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.models import Manager, ManagerMetrics, ManagerState

app = typer.Typer(help="Look at node managers, register, drain and shut them down.", no_args_is_help=True)

_COLUMNS = (
    Column[Manager]("UUID", lambda manager: manager.uuid, rank=9),
    Column[Manager]("NAME", lambda manager: manager.name, rank=8),
    Column[Manager]("STATE", lambda manager: _state(manager), rank=7),
    Column[Manager]("WORKERS", lambda manager: _workers(manager), rank=5, right=True),
    Column[Manager]("SUITE", lambda manager: manager.assigned_suite_uuid, rank=2),
    Column[Manager]("TAGS", lambda manager: ",".join(manager.tags), rank=1),
    Column[Manager]("SEEN", lambda manager: age(manager.last_heartbeat), rank=3, right=True),
)


@app.command("list")
def list_(
    context: typer.Context,
    group: Annotated[str | None, typer.Option(help="Name of a group it belongs to.")] = None,
    state: Annotated[ManagerState | None, typer.Option(help="Only managers in this state.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag it has; may be repeated.")] = None,
    limit: Limit = 100,
    json: JsonFlag = False,
) -> None:
    """List managers by name."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.list_managers(group_name=group, state=state, tags=tag or (), page_size=page_size(limit))
        session.output.items(found, limit, _COLUMNS, "No manager matches.")


@app.command()
def show(
    context: typer.Context,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="UUID of the manager.")],
    json: JsonFlag = False,
) -> None:
    """Show one manager."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.get_manager(manager)
    if json:
        session.output.document(found.to_dict())
        return
    metrics = found.metrics or ManagerMetrics()
    session.output.fields(
        [
            ("uuid", found.uuid),
            ("name", found.name),
            ("state", _state(found)),
            ("reason", found.reason),
            ("suite", found.assigned_suite_uuid),
            ("tags", ", ".join(found.tags)),
            ("groups", ", ".join(f"{item.group_name} ({item.role})" for item in found.group_memberships)),
            ("host", found.hostname),
            ("version", found.version),
            ("workers", _workers(found)),
            ("tasks", f"{metrics.tasks_completed} completed, {metrics.tasks_failed} failed since its start"),
            ("held", f"{metrics.prefetch_buffer_size} tasks not started"),
            ("restarts", f"{metrics.worker_restarts} of workers"),
            ("seen", moment(found.last_heartbeat)),
            ("registered", f"{moment(found.created_at)} by {found.created_by}"),
        ]
    )


@app.command()
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other manager has.")],
    group: Annotated[
        list[str],
        typer.Option(help="A group whose suites it may run: NAME, or NAME:Admin for one whose admins may control it."),
    ],
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    max_workers: Annotated[int | None, typer.Option(help="How many workers it may run.")] = None,
    token_file: TokenFile = None,
    json: JsonFlag = False,
) -> None:
    """Register a manager and get its token, which is shown this once."""
    session = session_of(context, json)
    memberships = [
        {"group_name": name, "role": role or "Worker"} for name, _, role in (g.partition(":") for g in group)
    ]
    with session.client() as client:
        granted = client.register_manager(name, group_memberships=memberships, tags=tag or (), max_workers=max_workers)
    hand_over(session.output, granted.manager, granted.token, granted.token_expires_at, token_file)


@app.command()
def drain(
    context: typer.Context,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="UUID of the manager.")],
    json: JsonFlag = False,
) -> None:
    """Take a manager out of service: it finishes what it runs, hands back the rest, and gets no suite."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.drain_manager(manager)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Manager {found.name} gets no suite any more; it is {found.state}.")


@app.command()
def resume(
    context: typer.Context,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="UUID of the manager.")],
    json: JsonFlag = False,
) -> None:
    """Put a manager back into service."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.resume_manager(manager)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Manager {found.name} is in service; it is {found.state}.")


@app.command()
def shutdown(
    context: typer.Context,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="UUID of the manager.")],
    now: Annotated[bool, typer.Option("--now", help="Stop running tasks and hand them back.")] = False,
    json: JsonFlag = False,
) -> None:
    """Ask a connected manager to end, after its running tasks."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.shutdown_manager(manager, graceful=not now)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Manager {found.name} was asked to end; it is {found.state}.")


@app.command()
def revoke(
    context: typer.Context,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="UUID of the manager.")],
    renew: Annotated[bool, typer.Option("--renew", help="Give a new token, which is shown this once.")] = False,
    token_file: TokenFile = None,
    json: JsonFlag = False,
) -> None:
    """End a manager's token and its connection now.

    With --renew and --token-file over its old file, a running manager is back with the new one in a moment.
    """
    session = session_of(context, json)
    if token_file is not None and not renew:
        raise typer.BadParameter("--token-file goes with --renew")
    with session.client() as client:
        if renew:
            granted = client.renew_manager_token(manager)
            hand_over(session.output, granted.manager, granted.token, granted.token_expires_at, token_file)
            return
        found = client.revoke_manager_token(manager)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Manager {found.name} has no token any more.")


def _state(manager: Manager) -> str:
    return f"{manager.state}, draining" if manager.draining else manager.state


def _workers(manager: Manager) -> str:
    return f"{manager.metrics.active_workers if manager.metrics else 0}/{manager.max_workers}"
