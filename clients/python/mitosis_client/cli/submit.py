"""`mitosis suites submit`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Annotated, cast

import typer

from mitosis_client.cli.files import TaskFile
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.errors import InvalidField, MitosisError
from mitosis_client.specs import NewTask
from mitosis_client.sync import Client

# A pipe is read here, between calls, because a read that blocks must not hold up calls under way. So many tasks are a
# few full batches.
_PIECE_TASKS = 6_000


def submit(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="UUID of the suite.")],
    args: Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND ARGS...]", help="One task to run.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", help="Tasks: JSON lines, or a list in .yaml; - for JSON lines on standard input."),
    ] = None,
    handler: Annotated[str | None, typer.Option(help="One task: package.module:function.")] = None,
    command: Annotated[str | None, typer.Option(help="One task: a shell line.")] = None,
    payload: Annotated[str | None, typer.Option(help="JSON document for the one task.")] = None,
    priority: Annotated[int | None, typer.Option(help="Of the one task: higher goes first. Default 0.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long the one task may run.")] = None,
    close: Annotated[bool, typer.Option("--close", help="Say that no more tasks are coming.")] = False,
    json: JsonFlag = False,
) -> None:
    """Submit tasks to a suite: one from flags, or many from a file or standard input.

    Each line, or item, has the fields of a task: command, args or handler; payload, envs, working_directory,
    timeout_seconds, max_retries, retry_backoff_seconds, priority. A file is checked as a whole before its first task is
    submitted; standard input as it comes.
    """
    session = session_of(context, json)
    single = {"args": args, "handler": handler, "command": command}
    given = [name for name, value in single.items() if value]
    flags = {"payload": payload, "priority": priority, "timeout": timeout}
    if (file is not None) + len(given) != 1:
        raise typer.BadParameter("give exactly one of --file, --handler, --command and -- COMMAND")
    if file is not None and any(value is not None for value in flags.values()):
        raise typer.BadParameter("--payload, --priority and --timeout are for one task; a file's tasks have their own")

    with session.client() as client:
        if file is None:
            task = cast(NewTask, {name: single[name] for name in given})
            if payload is not None:
                task["payload"] = _payload(payload)
            if priority is not None:
                task["priority"] = priority
            if timeout is not None:
                task["timeout_seconds"] = timeout
            submitted = client.submit_task(task, suite_uuid=suite)
            count, answer = 1, submitted.uuid
        else:
            count = _submit_file(client, suite, TaskFile(file))
            answer = f"{count} task{' was' if count == 1 else 's were'} submitted."
        if close:
            client.close_suite(suite)
    if json:
        session.output.document({"submitted_tasks": count, **({} if file else {"task_uuid": answer})})
    session.output.line(answer)


def _submit_file(client: Client, suite: str, tasks: TaskFile) -> int:
    if tasks.repeatable:
        tasks.check()
    count = 0

    def stored(uuids: Sequence[str]) -> None:
        nonlocal count
        count += len(uuids)

    try:
        if tasks.repeatable:
            _submit(client, suite, tasks, iter(tasks), 0, stored)
        else:
            stream = iter(tasks)
            first = 0
            while piece := list(islice(stream, _PIECE_TASKS)):
                _submit(client, suite, tasks, iter(piece), first, stored)
                first += len(piece)
        tasks.raise_problems()
    except MitosisError as error:
        if count:
            typer.echo(f"{count} tasks were submitted before this:", err=True)
        raise error from None
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; at least {count} tasks were submitted.", err=True)
        raise
    return count


def _submit(
    client: Client,
    suite: str,
    tasks: TaskFile,
    piece: Iterator[NewTask],
    first: int,
    stored: Callable[[Sequence[str]], None],
) -> None:
    try:
        client.submit_many(piece, suite_uuid=suite, on_batch=stored)
    except InvalidField as error:
        raise tasks.located(error, first) from None


def _payload(text: str) -> object:
    try:
        return jsonlib.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"is not a JSON document: {error}", param_hint="--payload") from None
