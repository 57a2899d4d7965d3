"""`mitosis suites submit` and `mitosis tasks submit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, cast

import typer

from mitosis_client.cli.files import TaskFile
from mitosis_client.cli.session import JsonFlag, session_of
from mitosis_client.errors import InvalidField, MitosisError
from mitosis_client.specs import NewTask, TaskSpecFields
from mitosis_client.sync import Client
from mitosis_common.json_text import JsonTextError, load_json

# A pipe is read here, between calls, because a read that blocks must not hold up calls under way. So many tasks are a
# few full batches.
_PIECE_TASKS = 6_000


Args = Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND ARGS...]", help="One task to run.")]
File = Annotated[
    str | None,
    typer.Option("--file", "-f", help="Tasks: JSON lines, or a list in .yaml; - for JSON lines on standard input."),
]
Handler = Annotated[str | None, typer.Option(help="One task: package.module:function.")]
Command = Annotated[str | None, typer.Option(help="One task: a shell line.")]
Payload = Annotated[str | None, typer.Option(help="JSON document for the one task.")]
Priority = Annotated[int | None, typer.Option(help="Of the one task: higher goes first. Default 0.")]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="START:STOP[:STEP]",
        help="One such task for each number from START up to, not including, STOP, which is its payload.",
    ),
]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="How long the one task may run.")]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where tasks go: to a suite, or to a group with the tags that their workers need."""

    suite_uuid: str | None = None
    group_name: str | None = None
    tags: tuple[str, ...] = ()

    def tagged(self, task: NewTask) -> NewTask:
        """The task, with the tags unless it has some itself."""
        return cast(NewTask, {"tags": self.tags, **task}) if self.tags else task


def submit(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="UUID of the suite.")],
    args: Args = None,
    file: File = None,
    handler: Handler = None,
    command: Command = None,
    payload: Payload = None,
    numbers: Range = None,
    priority: Priority = None,
    timeout: Timeout = None,
    close: Annotated[bool, typer.Option("--close", help="Say that no more tasks are coming.")] = False,
    json: JsonFlag = False,
) -> None:
    """Submit tasks to a suite: one from flags, one for each number of a range, or many from a file or standard input.

    Each line, or item, has the fields of a task: command, args or handler; payload, envs, working_directory,
    timeout_seconds, max_retries, retry_backoff_seconds, priority. A file is checked as a whole before its first task is
    submitted; standard input as it comes.
    """
    task = _one_task(args, file, handler, command, payload, priority, timeout)
    if numbers is None:
        _run(context, _Target(suite_uuid=suite), task, file, close=close, json=json)
        return
    if task is None or payload is not None:
        raise typer.BadParameter(
            "goes with --handler, --command or -- COMMAND; accepts neither --file nor --payload beside it",
            param_hint="--range",
        )
    _run_array(context, suite, task, _numbers(numbers), close=close, json=json)


def submit_independent(
    context: typer.Context,
    group: Annotated[str, typer.Option(help="The group that owns the tasks.")],
    args: Args = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag that the worker must have; may be repeated.")] = None,
    file: File = None,
    handler: Handler = None,
    command: Command = None,
    payload: Payload = None,
    priority: Priority = None,
    timeout: Timeout = None,
    json: JsonFlag = False,
) -> None:
    """Submit tasks of no suite, for independent workers: one from flags, or many from a file or standard input.

    Each line, or item, has the fields of a task, and may have tags of its own, which replace those of --tag.
    """
    task = _one_task(args, file, handler, command, payload, priority, timeout)
    _run(context, _Target(group_name=group, tags=tuple(tag or ())), task, file, close=False, json=json)


def _one_task(
    args: list[str] | None,
    file: str | None,
    handler: str | None,
    command: str | None,
    payload: str | None,
    priority: int | None,
    timeout: float | None,
) -> NewTask | None:
    """Returns the task that flags describe; None when there is a file."""
    single = {"args": args, "handler": handler, "command": command}
    given = [name for name, value in single.items() if value]
    flags = {"payload": payload, "priority": priority, "timeout": timeout}
    if (file is not None) + len(given) != 1:
        raise typer.BadParameter("give exactly one of --file, --handler, --command and -- COMMAND")
    if file is not None:
        if any(value is not None for value in flags.values()):
            raise typer.BadParameter(
                "--payload, --priority and --timeout are for one task; a file's tasks have their own"
            )
        return None
    task = cast(NewTask, {name: single[name] for name in given})
    if payload is not None:
        task["payload"] = _payload(payload)
    if priority is not None:
        task["priority"] = priority
    if timeout is not None:
        task["timeout_seconds"] = timeout
    return task


def _run(
    context: typer.Context, target: _Target, task: NewTask | None, file: str | None, *, close: bool, json: bool
) -> None:
    session = session_of(context, json)
    with session.client() as client:
        if task is not None:
            submitted = client.submit_task(
                target.tagged(task), suite_uuid=target.suite_uuid, group_name=target.group_name
            )
            count, answer = 1, submitted.uuid
        else:
            assert file is not None
            count = _submit_file(client, target, TaskFile(file))
            answer = _were_submitted(count)
        if close and target.suite_uuid is not None:
            client.close_suite(target.suite_uuid)
    if json:
        session.output.document({"submitted_tasks": count, **({} if file else {"task_uuid": answer})})
    session.output.line(answer)


def _run_array(context: typer.Context, suite: str, task: NewTask, payloads: range, *, close: bool, json: bool) -> None:
    session = session_of(context, json)
    template = cast(TaskSpecFields, {name: value for name, value in task.items() if name != "priority"})
    with session.client() as client:
        made = client.submit_array(suite_uuid=suite, task=template, payloads=payloads, priority=task.get("priority"))
        if close:
            client.close_suite(suite)
    if json:
        session.output.document({"submitted_tasks": made.count, "first_task_uuid": made.first_task_uuid})
    session.output.line(_were_submitted(made.count))


def _numbers(text: str) -> range:
    try:
        bounds = [int(part) for part in text.split(":")]
        if len(bounds) in (2, 3):
            return range(*bounds)
    except ValueError:
        pass
    raise typer.BadParameter(
        f"given {text!r}; accepts START:STOP or START:STOP:STEP, whole numbers, STEP not 0", param_hint="--range"
    )


def _were_submitted(count: int) -> str:
    return f"{count} task{' was' if count == 1 else 's were'} submitted."


def _submit_file(client: Client, target: _Target, tasks: TaskFile) -> int:
    if tasks.repeatable:
        tasks.check()
    count = 0

    def stored(uuids: Sequence[str]) -> None:
        nonlocal count
        count += len(uuids)

    try:
        if tasks.repeatable:
            _submit(client, target, tasks, iter(tasks), 0, stored)
        else:
            stream = iter(tasks)
            first = 0
            while piece := list(islice(stream, _PIECE_TASKS)):
                _submit(client, target, tasks, iter(piece), first, stored)
                first += len(piece)
        tasks.raise_problems()
    except MitosisError as error:
        if count:
            typer.echo(f"{_were_submitted(count).removesuffix('.')} before this:", err=True)
        raise error from None
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; at least {count} tasks were submitted.", err=True)
        raise
    return count


def _submit(
    client: Client,
    target: _Target,
    tasks: TaskFile,
    piece: Iterator[NewTask],
    first: int,
    stored: Callable[[Sequence[str]], None],
) -> None:
    try:
        client.submit_many(
            map(target.tagged, piece), suite_uuid=target.suite_uuid, group_name=target.group_name, on_batch=stored
        )
    except InvalidField as error:
        raise tasks.located(error, first) from None


def _payload(text: str) -> object:
    try:
        return load_json(text)
    except JsonTextError as error:
        raise typer.BadParameter(f"is not a JSON document: {error}", param_hint="--payload") from None
