"""`mitosis suites wait`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.exits import ExitCode, show_message
from mitosis_client.cli.progress import SuiteProgress, counts
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.errors import DeadlineExceeded
from mitosis_client.models import Suite, SuiteState


def wait(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="UUID of the suite.")],
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")] = None,
    released: Annotated[
        bool, typer.Option("--released", help="Wait for the cleanup hooks too, until no manager holds the suite.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json: JsonFlag = False,
) -> None:
    """Wait until a suite has ended.

    The exit code is 0 when it is Complete and no task failed, 1 otherwise, 124 when the time ran out. Interrupting it
    leaves the suite alone.
    """
    session = session_of(context, json)
    with session.client() as client:
        try:
            with SuiteProgress(quiet=quiet or json, until_released=released) as progress:
                found = client.wait_for_suite(
                    suite,
                    timeout=timeout,
                    on_progress=progress.update,
                    on_disconnect=progress.disconnected,
                    until_released=released,
                )
        except DeadlineExceeded as error:
            show_message(error.message, reason=error.reason, as_json=json)
            raise typer.Exit(ExitCode.TIMED_OUT) from None
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"{found.state}: {counts(found)}." + (f" {found.reason}" if found.reason else ""))
    if not succeeded(found):
        raise typer.Exit(ExitCode.FAILED)


def succeeded(suite: Suite) -> bool:
    """Returns whether a suite ended well: Complete, with no task that failed or was cancelled."""
    return suite.state is SuiteState.COMPLETE and not suite.failed_tasks and not suite.cancelled_tasks
