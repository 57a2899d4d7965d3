"""`mitosis suites managers`: who may run a suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mitosis_client.cli.output import Column
from mitosis_client.cli.session import JsonFlag, Session, session_of
from mitosis_client.models import EligibleManager

app = typer.Typer(help="Which managers may run a suite: by their tags, or because you say so.", no_args_is_help=True)

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="UUID of the suite.")]
ManagerArguments = Annotated[list[str], typer.Argument(metavar="MANAGER...", help="UUIDs of managers.")]

_COLUMNS = (
    Column[EligibleManager]("UUID", lambda manager: manager.manager_uuid, rank=9),
    Column[EligibleManager]("NAME", lambda manager: manager.manager_name, rank=8),
    Column[EligibleManager]("WHY", lambda manager: manager.selection or "", rank=7),
    Column[EligibleManager]("HOLDS IT", lambda manager: "yes" if manager.assigned else "", rank=6),
)


@app.command("list")
def list_(context: typer.Context, suite: SuiteArgument, json: JsonFlag = False) -> None:
    """List the managers that may run a suite."""
    session = session_of(context, json)
    with session.client() as client:
        _show(session, client.get_suite(suite).eligible_managers)


@app.command()
def refresh(context: typer.Context, suite: SuiteArgument, json: JsonFlag = False) -> None:
    """Match a suite with managers by tags again, and list all that may run it."""
    session = session_of(context, json)
    with session.client() as client:
        _show(session, client.refresh_suite_managers(suite))


@app.command()
def add(context: typer.Context, suite: SuiteArgument, managers: ManagerArguments, json: JsonFlag = False) -> None:
    """Let managers run a suite whatever their tags; from then on only those that were added do."""
    session = session_of(context, json)
    with session.client() as client:
        _show(session, client.add_suite_managers(suite, managers))


@app.command()
def remove(context: typer.Context, suite: SuiteArgument, managers: ManagerArguments, json: JsonFlag = False) -> None:
    """Keep managers from a suite, and list those that may still run it."""
    session = session_of(context, json)
    with session.client() as client:
        _show(session, client.remove_suite_managers(suite, managers))


def _show(session: Session, managers: Sequence[EligibleManager]) -> None:
    session.output.items(managers, len(managers), _COLUMNS, "No manager may run it.")
