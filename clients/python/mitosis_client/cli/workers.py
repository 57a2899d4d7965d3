"""`mitosis workers`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from mitosis_client.cli.exits import ExitCode
from mitosis_client.cli.output import Column, age, moment
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.connection import write_private
from mitosis_client.local.errors import LocalError
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
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    json: JsonFlag = False,
) -> None:
    """List workers by name."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.list_workers(group_name=group, state=state, tags=tag or (), page_size=min(limit, 1000))
        session.output.items(islice(found, limit), _COLUMNS, "No worker matches.")


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
    token_file: Annotated[Path | None, typer.Option(help="Write the token here, not to the screen.")] = None,
    json: JsonFlag = False,
) -> None:
    """Register an independent worker and get its token, which is shown this once."""
    session = session_of(context, json)
    with session.client() as client:
        granted = client.register_worker(name, group_names=group, tags=tag or ())
    if token_file is not None:
        try:
            write_private(token_file, granted.token + "\n")
        except OSError as error:
            raise LocalError(
                f"{token_file} cannot be written ({error.strerror}); worker {granted.worker.uuid} is registered "
                "and its token is lost: register it again under another name",
                ExitCode.USAGE,
            ) from None
    if json:
        expires = granted.token_expires_at.isoformat().replace("+00:00", "Z")
        token = {"token_file": str(token_file)} if token_file else {"token": granted.token}
        session.output.document({"worker": granted.worker.to_dict(), **token, "token_expires_at": expires})
        return
    session.output.fields(
        [
            ("uuid", granted.worker.uuid),
            ("token", str(token_file) if token_file else granted.token),
            ("expires", f"{moment(granted.token_expires_at)}; a running worker renews it by itself"),
        ]
    )


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
