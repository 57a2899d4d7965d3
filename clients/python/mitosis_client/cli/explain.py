"""`mitosis explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from mitosis_client.cli.output import Output
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.errors import NotFound
from mitosis_client.explain_models import Explanation


def explain(
    context: typer.Context,
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="UUID of a task or of a suite.")],
    json: JsonFlag = False,
) -> None:
    """Say why a task or a suite does not run, or where it runs, or how it ended."""
    session = session_of(context, json)
    with session.client() as client:
        try:
            found = client.explain_task(uuid)
        except NotFound:
            try:
                found = client.explain_suite(uuid)
            except NotFound as error:
                raise NotFound(f"no task and no suite has the UUID {uuid}") from error
    if json:
        session.output.document(found.to_dict())
    else:
        show(session.output, found)


def show(output: Output, explanation: Explanation) -> None:
    """Writes the answer for people: its summary, then what is in the way of each."""
    output.line(explanation.summary, "bold")
    obstacles = explanation.obstacles
    if [(item.message, item.detail) for item in obstacles] == [(explanation.summary, "")]:
        # The summary has said all of it.
        obstacles = obstacles[1:]
    if obstacles:
        output.line()
    for obstacle in obstacles:
        output.line(f"- {obstacle.message}")
        output.indented(obstacle.detail)
    if explanation.holders_left_out:
        output.line(f"- {explanation.holders_left_out} more, further from running it, are not shown.")
