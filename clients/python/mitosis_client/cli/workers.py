"""`mitosis workers`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.grants import TokenFile, hand_over
from mitosis_client.cli.output import Column, age, moment
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.worker_models import Worker, WorkerState

app = typer.Typer(help="Look at independent workers, register them and shut them down.", no_args_is_help=True)

_COLUMNS = (
    Column[Worker]("UUID", lambda worker: worker.uuid, rank=9),
    Column[Worker]("NAME", lambda worker: worker.name, rank=8),
    Column[Worker]("STATE", lambda worker: worker.state, rank=7),
    Column[Worker]("DONE", lambda worker: str(worker.tasks_completed), rank=5, right=True),
    Column[Worker]("FAILED", lambda worker: str(worker.tasks_failed), rank=4, right=True),
    Column[Worker]("GROUPS", lambda worker: ",".join(worker.group_names), rank=2),
    Column[Worker]("TAGS", lambda worker: ",".join(worker.tags), rank=1),
    Column[Worker]("SEEN", lambda worker: age(worker.last_heartbeat), rank=3, right=True),
)


@app.command("list")
def list_(
    context: typer.Context,
    group: Annotated[str | None, typer.Option(help="Name of a group whose tasks it runs.")] = None,
    state: Annotated[WorkerState | None, typer.Option(help="Only workers in this state.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag it has; may be repeated.")] = None,
    limit: Limit = 100,
    json: JsonFlag = False,
) -> None:
    """List workers by name."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.list_workers(group_name=group, state=state, tags=tag or (), page_size=page_size(limit))
        session.output.items(found, limit, _COLUMNS, "No worker matches.")


@app.command()
def show(
    context: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="UUID of the worker.")],
    json: JsonFlag = False,
) -> None:
    """Show one worker."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.get_worker(worker)
    if json:
        session.output.document(found.to_dict())
        return
    session.output.fields(
        [
            ("uuid", found.uuid),
            ("name", found.name),
            ("state", found.state),
            ("tags", ", ".join(found.tags)),
            ("groups", ", ".join(found.group_names)),
            ("host", found.hostname),
            ("version", found.version),
            ("tasks", f"{found.tasks_completed} completed, {found.tasks_failed} failed since its start"),
            ("seen", moment(found.last_heartbeat)),
            ("registered", f"{moment(found.created_at)} by {found.created_by}"),
        ]
    )


@app.command()
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other worker has.")],
    group: Annotated[list[str], typer.Option(help="A group whose tasks it may run; may be repeated.")],
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    token_file: TokenFile = None,
    json: JsonFlag = False,
) -> None:
    """Register an independent worker and get its token, which is shown this once."""
    session = session_of(context, json)
    with session.client() as client:
        granted = client.register_worker(name, group_names=group, tags=tag or ())
    hand_over(session.output, granted.worker, granted.token, granted.token_expires_at, token_file)


@app.command()
def shutdown(
    context: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="UUID of the worker.")],
    now: Annotated[bool, typer.Option("--now", help="Stop the running task and hand it back.")] = False,
    json: JsonFlag = False,
) -> None:
    """Ask a connected worker to end, after its running task."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.shutdown_worker(worker, graceful=not now)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Worker {found.name} was asked to end; it is {found.state}.")


@app.command()
def revoke(
    context: typer.Context,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="UUID of the worker.")],
    renew: Annotated[bool, typer.Option("--renew", help="Give a new token, which is shown this once.")] = False,
    token_file: TokenFile = None,
    json: JsonFlag = False,
) -> None:
    """End a worker's token and its connection now.

    With --renew and --token-file over its old file, a running worker is back with the new one in a moment.
    """
    session = session_of(context, json)
    if token_file is not None and not renew:
        raise typer.BadParameter("--token-file goes with --renew")
    with session.client() as client:
        if renew:
            granted = client.renew_worker_token(worker)
            hand_over(session.output, granted.worker, granted.token, granted.token_expires_at, token_file)
            return
        found = client.revoke_worker_token(worker)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Worker {found.name} has no token any more.")
