"""`mitosis up`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from mitosis_client.cli.exits import ExitCode
from mitosis_client.connection import DATA_DIR_VARIABLE, data_dir
from mitosis_client.local.layout import (
    DEFAULT_GRPC_PORT,
    DEFAULT_HTTP_PORT,
    DEFAULT_METRICS_PORT,
    Options,
    Ports,
    usable_cores,
)
from mitosis_client.local.running import Stopped, run
from mitosis_client.local.supervisor import Supervisor


def up(
    data: Annotated[
        Path | None,
        typer.Option("--data-dir", help=f"Where everything is kept. Default: ${DATA_DIR_VARIABLE}, else ./.mitosis."),
    ] = None,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = DEFAULT_GRPC_PORT,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = DEFAULT_HTTP_PORT,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = DEFAULT_METRICS_PORT,
    managers: Annotated[int, typer.Option(min=1, max=64, help="Node managers to run.")] = 1,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Workers of each manager. Default: the number of cores.")
    ] = None,
    coordinators: Annotated[
        int, typer.Option(min=1, max=25, help="Processes of the coordinator, which share its ports.")
    ] = 1,
) -> None:
    """Run all of Mitosis on this machine, in the foreground, for development and trials.

    An embedded PostgreSQL, one coordinator and the node managers. Other commands find it by themselves when they run in
    the same directory. Ctrl-C ends it in order, a second one at once; the data stays.
    """
    options = Options(
        data_dir=data or data_dir(),
        ports=Ports(grpc_port, http_port, metrics_port),
        managers=managers,
        workers=workers or usable_cores(),
        coordinators=coordinators,
    )
    console = Console(highlight=False, markup=False)

    def report(line: str) -> None:
        console.print(line, soft_wrap=True)

    async def serve(supervisor: Supervisor) -> None:
        console.print(_welcome(supervisor, options))
        await supervisor.wait_failed()

    report(f"Starting in {options.data_dir}")
    try:
        run(Supervisor(options, report), serve, report)
    except Stopped as stopped:
        # Being told to stop is how `up` ends; only an end without order is not success.
        raise typer.Exit(ExitCode.INTERRUPTED if stopped.forced else ExitCode.OK) from None


def _welcome(supervisor: Supervisor, options: Options) -> Panel:
    connection, layout = supervisor.connection, supervisor.layout
    default = options.data_dir.absolute() == data_dir().absolute()
    # A variable for the whole terminal: with a path in each, the commands would not fit on a line to copy.
    find = [] if default else [f"export {DATA_DIR_VARIABLE}={shlex.quote(str(layout.root))}"]
    commands = [
        *find,
        "mitosis suites create --group default --name first",
        "mitosis suites submit SUITE --close -- echo hello",
        "mitosis suites wait SUITE",
    ]
    lines = [
        ("gRPC", connection.grpc),
        ("REST", connection.http),
        ("metrics", connection.metrics),
        *(("", url) for url in supervisor.manager_metrics()),
        ("data", str(layout.root)),
        ("logs", str(layout.logs)),
        ("", ""),
        *(("" if number else "next", command) for number, command in enumerate(commands)),
    ]
    text = Text("\n").join(Text(f"{name:<9}", "bold").append(Text(value, "not bold")) for name, value in lines)
    return Panel(text, title="Mitosis is up", subtitle="Ctrl-C stops it", expand=False)
