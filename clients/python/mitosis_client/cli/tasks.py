"""`mitosis tasks`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated

import typer

from mitosis_client.cli import submit
from mitosis_client.cli.output import Column, Output, age, duration, moment
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.models import Task, TaskSpec, TaskState

app = typer.Typer(help="Look at tasks, cancel them, and submit those of no suite.", no_args_is_help=True)
app.command("submit")(submit.submit_independent)

_SHOWN_ATTEMPTS = 100

_COLUMNS = (
    Column[Task]("UUID", lambda task: task.uuid, rank=9),
    Column[Task]("STATE", lambda task: task.state, rank=8),
    Column[Task]("WHAT", lambda task: shorten(describe(task.task_spec), 40), rank=4),
    Column[Task]("ATTEMPT", lambda task: str(task.attempt), rank=1, right=True),
    Column[Task]("HOLDER", lambda task: task.manager_name or task.worker_name, rank=2),
    Column[Task]("TOOK", lambda task: _took(task), rank=3, right=True),
    Column[Task]("ERROR", lambda task: shorten(task.result.error if task.result else "", 60), rank=5),
)


@app.command("list")
def list_(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(help="UUID of the suite.")] = None,
    group: Annotated[str | None, typer.Option(help="Name of the group.")] = None,
    state: Annotated[TaskState | None, typer.Option(help="Only tasks in this state.")] = None,
    limit: Limit = 100,
    json: JsonFlag = False,
) -> None:
    """List tasks, newest first."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.list_tasks(suite_uuid=suite, group_name=group, state=state, page_size=page_size(limit))
        session.output.items(found, limit, _COLUMNS, "No task matches.")


@app.command()
def show(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="UUID of the task.")],
    json: JsonFlag = False,
) -> None:
    """Show one task: what it runs, how it ended, what it wrote, and every failure on the way."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.get_task(task)
    if json:
        session.output.document(found.to_dict())
    else:
        _show(session.output, found)


@app.command()
def cancel(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="UUID of the task.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    json: JsonFlag = False,
) -> None:
    """Cancel one task; a running one is stopped."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.cancel_task(task, reason=reason)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Task {found.uuid} is {found.state}.")


def _show(output: Output, task: Task) -> None:
    result = task.result
    spec = task.task_spec or TaskSpec()
    output.fields(
        [
            ("uuid", task.uuid),
            ("state", task.state),
            ("suite", task.suite_uuid),
            ("group", task.group_name),
            ("runs", describe(spec)),
            ("payload", "" if spec.payload is None else jsonlib.dumps(spec.payload, ensure_ascii=False)),
            ("priority", str(task.priority)),
            ("attempt", str(task.attempt)),
            ("tags", ", ".join(task.tags)),
            ("worker", f"{task.worker_name} ({task.worker_uuid})" if task.worker_uuid else ""),
            ("manager", f"{task.manager_name} ({task.manager_uuid})" if task.manager_uuid else ""),
            ("submitted", f"{moment(task.created_at)} by {task.created_by}"),
            ("started", moment(task.started_at)),
            ("finished", moment(task.finished_at)),
            ("took", _took(task)),
            ("retry at", moment(task.retry_at)),
            ("exit code", "" if result is None or result.exit_code is None else str(result.exit_code)),
            ("error", result.error if result else ""),
        ]
    )
    if task.attempt:
        output.line()
        output.line("who holds it or held it", "bold")
        for line in _holders(task):
            output.line(f"  {line}")
    if result is not None:
        output.line()
        if result.return_value is not None:
            output.block("return value", jsonlib.dumps(result.return_value, ensure_ascii=False, indent=2))
        output.block("standard output (tail)", result.stdout_tail)
        output.block("standard error (tail)", result.stderr_tail)


def _holders(task: Task) -> Iterator[str]:
    """Yields one line for each holder and each failure there, in the order of the attempts."""
    failures = {attempt: list(those) for attempt, those in groupby(task.failures, lambda failure: failure.attempt)}
    first = max(1, task.attempt - _SHOWN_ATTEMPTS + 1)
    if first > 1:
        yield f"attempts 1 to {first - 1} are left out"
    for attempt in range(first, task.attempt + 1):
        those = failures.get(attempt, [])
        for failure in those:
            holder = failure.manager_name or failure.worker_name or "a holder that is gone"
            budget = f"{(failure.kind or 'unknown').lower()} budget"
            yield f"attempt {attempt} on {holder}: {failure.error} ({budget}, {moment(failure.failed_at)})"
        last = _last_holding(task, failed=bool(those)) if attempt == task.attempt else ""
        if last:
            yield f"attempt {attempt} on {task.manager_name or task.worker_name or 'a holder that is gone'}: {last}"
        elif not those:
            yield f"attempt {attempt}: handed back, charged to no budget"


def _last_holding(task: Task, *, failed: bool) -> str:
    """Returns how the current or last attempt stands; empty when it was handed back or its failure says it."""
    since = f" from {moment(task.started_at)}" if task.started_at else ""
    until = f"{since} until {moment(task.finished_at)}"
    match task.state:
        case TaskState.DISPATCHED:
            return "not known to have started"
        case TaskState.RUNNING:
            return f"running{since}"
        case TaskState.COMPLETED:
            return f"completed{until}"
        case TaskState.CANCELLED if task.manager_uuid or task.worker_uuid:
            return f"cancelled{until}"
        case TaskState.FAILED if not failed:
            return f"failed{until}"
        case _:
            return ""


def describe(spec: TaskSpec | None) -> str:
    """Returns what a spec runs, on one line."""
    if spec is None:
        return ""
    return spec.handler or spec.command or " ".join(spec.args) or "the suite's defaults"


def shorten(text: str, width: int) -> str:
    """Returns the first line of a text, cut with an ellipsis where it is longer than `width`."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= width else line[: width - 1] + "…"


def _took(task: Task) -> str:
    if task.started_at is None:
        return ""
    return duration((task.finished_at - task.started_at).total_seconds()) if task.finished_at else age(task.started_at)
