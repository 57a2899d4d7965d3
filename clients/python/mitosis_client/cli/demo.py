"""`mitosis demo`."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mitosis_client.cli.exits import ExitCode
from mitosis_client.cli.progress import SuiteProgress, counts
from mitosis_client.cli.session import session_of
from mitosis_client.cli.wait import succeeded
from mitosis_client.connection import Connection, data_dir
from mitosis_client.local import machine
from mitosis_client.local.errors import LocalError
from mitosis_client.local.layout import GROUP, Layout, Options, Ports
from mitosis_client.local.running import Stopped, run
from mitosis_client.local.supervisor import Supervisor
from mitosis_client.models import HookResult, HookType, Suite
from stdlib_census import suite as census

_TOP = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the census went; `seconds` is from the first submit call until the suite was Complete."""

    suite: Suite
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether every task completed and both hooks succeeded, each at least once."""
        runs = self.suite.hook_runs
        good = {run.hook_type for run in runs if run.result is HookResult.SUCCESS}
        all_good = all(run.result is HookResult.SUCCESS for run in runs)
        return succeeded(self.suite) and all_good and good >= {HookType.PREPARATION, HookType.CLEANUP}


def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Runs in the directory demo inside this one. Default: that of `mitosis up`."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 2,
    group: Annotated[str, typer.Option(help="The group that owns the suite.")] = GROUP,
) -> None:
    """Count what is in Python's standard library: a whole suite on real files, from start to end.

    It starts a Mitosis of its own (PostgreSQL, coordinator, manager, workers) with fresh data and free ports, and stops
    it afterwards. With `mitosis --connection FILE demo` it uses a running one, whose managers must be on this machine.
    """
    session = session_of(context)
    root = (data or data_dir()).absolute() / "demo"
    directory = root / "census"
    console = Console(highlight=False, markup=False)
    running = session.connection() if session.connection_file or session.address else None
    if running is not None:
        _empty(directory)
        outcome = asyncio.run(_count(running, directory, group, workers))
    else:
        outcome = _in_own(console, root, directory, workers)
    _print(console, outcome, directory, None if running else Layout(root))
    if not outcome.succeeded:
        raise typer.Exit(ExitCode.FAILED)


def _in_own(console: Console, root: Path, directory: Path, workers: int) -> Outcome:
    def report(line: str) -> None:
        console.print(line, style="dim", soft_wrap=True)

    layout = Layout(root)
    root.mkdir(parents=True, exist_ok=True)
    with machine.locked(layout.lock):
        for path in root.iterdir():
            if path != layout.lock:
                _remove(path)
    options = Options(root, Ports(0, 0, 0), managers=1, workers=workers)

    async def count(supervisor: Supervisor) -> Outcome:
        return await _count(supervisor.connection, directory, GROUP, workers)

    try:
        return run(Supervisor(options, report), count, report)
    except Stopped as stopped:
        raise typer.Exit(128 + stopped.signum) from None


async def _count(connection: Connection, directory: Path, group: str, workers: int) -> Outcome:
    """Runs the census: everything that a program needs of the client is in these lines."""
    finished: float | None = None

    def follow(suite: Suite) -> None:
        nonlocal finished
        progress.update(suite)
        if suite.state.is_finished and finished is None:
            finished = time.monotonic()

    async with connection.async_client() as client:
        suite = await client.create_suite(census.suite_spec(directory, group, workers))
        with SuiteProgress(until_released=True) as progress:
            started = time.monotonic()
            await client.submit_many(census.tasks(directory), suite_uuid=suite.uuid)
            await client.close_suite(suite.uuid)
            suite = await client.wait_for_suite(suite.uuid, on_progress=follow, until_released=True)
    return Outcome(suite, (finished or time.monotonic()) - started)


def _print(console: Console, outcome: Outcome, directory: Path, layout: Layout | None) -> None:
    suite = outcome.suite
    path = directory / "report.json"
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold", title_justify="left")
        table.add_column("imported by the most files")
        table.add_column("longest functions, in lines")
        rows = zip(report["most_imported"][:_TOP], report["longest_functions"][:_TOP], strict=False)
        for (module, files), (function, lines) in rows:
            table.add_row(f"{files:>5}  {module}", f"{lines:>5}  {function}")
        console.print()
        console.print(
            f"{report['files']:,} files, {report['lines']:,} lines, {report['functions']:,} functions, "
            f"{report['classes']:,} classes",
            style="bold",
        )
        console.print(table)
        console.print()
        console.print(
            f"{suite.state}: {counts(suite)} by {report['workers']} worker processes in {outcome.seconds:.1f} s, "
            f"{suite.completed_tasks / outcome.seconds:,.0f} tasks/s end to end"
        )
    else:
        console.print(f"{suite.state}: {counts(suite)}; there is no report", style="bold red")
    for run_ in reversed(suite.hook_runs):
        note = f": {run_.error}" if run_.error else ""
        console.print(f"{run_.hook_type} hook: {run_.result} in {run_.duration_seconds:.1f} s{note}", soft_wrap=True)
        if run_.result is not HookResult.SUCCESS and run_.output_tail:
            console.print(run_.output_tail, soft_wrap=True)
    if suite.reason:
        console.print(suite.reason, soft_wrap=True)
    console.print(f"\nreport  {directory / 'report.txt'}", soft_wrap=True)
    if layout is None:
        console.print(f"suite   mitosis suites show {suite.uuid}", soft_wrap=True)
    else:
        console.print(f"logs    {layout.logs}", soft_wrap=True)
        console.print(f"suite   {suite.uuid}; its database is kept until the next demo. To look at it:", soft_wrap=True)
        console.print(f"        mitosis up --data-dir {layout.root}", soft_wrap=True)
        console.print(
            f"        mitosis --connection {layout.connection} suites show {suite.uuid}",
            soft_wrap=True,
        )


def _empty(directory: Path) -> None:
    try:
        _remove(directory)
    except OSError as error:
        raise LocalError(f"{error.filename} cannot be removed: {error.strerror}") from None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
