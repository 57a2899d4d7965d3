"""`mitosis suites`: create, list, show, change."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from mitosis_client.cli import submit, suite_managers, wait
from mitosis_client.cli.files import in_file, read_suite
from mitosis_client.cli.output import Column, Output, age, duration, moment
from mitosis_client.cli.progress import counts
from mitosis_client.cli.session import JsonFlag, Limit, page_size, session_of
from mitosis_client.errors import InvalidField
from mitosis_client.models import (
    CpuBinding,
    EnvHookSpec,
    Suite,
    SuiteAssignment,
    SuiteState,
    WorkerSchedulePlan,
    WorkerScheduleStrategy,
)
from mitosis_client.specs import SuiteChanges, SuiteSpec

app = typer.Typer(help="Create suites, submit tasks to them, wait for them.", no_args_is_help=True)
app.command("submit")(submit.submit)
app.command("wait")(wait.wait)
app.add_typer(suite_managers.app, name="managers")

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="UUID of the suite.")]
Name = Annotated[str | None, typer.Option(help="1 to 255 characters.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag that a manager must have; may be repeated.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="A label to find it by; may be repeated.")]
Priority = Annotated[int | None, typer.Option(help="Higher goes first. Default 0.")]
Workers = Annotated[int | None, typer.Option(help="Workers on each manager (Fixed) or in all (Proportional).")]
Strategy = Annotated[WorkerScheduleStrategy | None, typer.Option(help="What --workers counts. Default Fixed.")]
Binding = Annotated[CpuBinding | None, typer.Option(help="How workers are bound to cores.")]
Prefetch = Annotated[int | None, typer.Option(help="Tasks held ahead for each worker. Default 32.")]
Prepare = Annotated[str | None, typer.Option(help="Shell line that each manager runs before its first task.")]
Cleanup = Annotated[str | None, typer.Option(help="Shell line that each manager runs after its last task.")]
AutoClose = Annotated[
    int | None, typer.Option(metavar="SECONDS", help="Complete after so long without work. Default 180; 0: at once.")
]

_COLUMNS = (
    Column[Suite]("UUID", lambda suite: suite.uuid, rank=9),
    Column[Suite]("NAME", lambda suite: suite.name, rank=7),
    Column[Suite]("GROUP", lambda suite: suite.group_name, rank=2),
    Column[Suite]("STATE", lambda suite: suite.state, rank=8),
    Column[Suite]("DONE", lambda suite: f"{suite.finished_tasks}/{suite.total_tasks}", rank=6, right=True),
    Column[Suite]("FAILED", lambda suite: str(suite.failed_tasks), rank=5, right=True),
    Column[Suite]("PRIORITY", lambda suite: str(suite.priority), rank=1, right=True),
    Column[Suite]("AGE", lambda suite: age(suite.created_at), rank=3, right=True),
)


def _changes(
    name: str | None,
    description: str | None,
    tag: list[str] | None,
    label: list[str] | None,
    priority: int | None,
    workers: int | None,
    strategy: WorkerScheduleStrategy | None,
    cpu_binding: CpuBinding | None,
    prefetch: int | None,
    prepare: str | None,
    cleanup: str | None,
    auto_close: int | None,
) -> SuiteChanges:
    """Returns the fields that flags gave, in the documented form."""
    plan = {
        "worker_count": workers,
        "strategy": strategy,
        "cpu_binding": cpu_binding,
        "task_prefetch_count": prefetch,
    }
    plan = {key: value for key, value in plan.items() if value is not None}
    fields = {
        "name": name,
        "description": description,
        "tags": tag or None,
        "labels": label or None,
        "priority": priority,
        "worker_schedule": plan or None,
        "env_preparation": {"command": prepare} if prepare is not None else None,
        "env_cleanup": {"command": cleanup} if cleanup is not None else None,
        "auto_close_timeout_seconds": auto_close,
    }
    return cast(SuiteChanges, {key: value for key, value in fields.items() if value is not None})


@app.command()
def create(
    context: typer.Context,
    file: Annotated[str | None, typer.Option("--file", "-f", help="YAML file of a suite; - for stdin.")] = None,
    group: Annotated[str | None, typer.Option(help="The group that owns it.")] = None,
    name: Name = None,
    description: Description = None,
    tag: Tags = None,
    label: Labels = None,
    priority: Priority = None,
    workers: Workers = None,
    strategy: Strategy = None,
    cpu_binding: Binding = None,
    prefetch: Prefetch = None,
    prepare: Prepare = None,
    cleanup: Cleanup = None,
    auto_close: AutoClose = None,
    json: JsonFlag = False,
) -> None:
    """Create a suite, from flags, from a file, or from a file with flags that win over it.

    Without --json the answer is the suite's UUID alone: SUITE=$(mitosis suites create ...).
    """
    session = session_of(context, json)
    spec: SuiteSpec = read_suite(file) if file else {}
    changes = _changes(
        name, description, tag, label, priority, workers, strategy, cpu_binding, prefetch, prepare, cleanup, auto_close
    )
    document = cast(SuiteSpec, {**spec, **changes, **({"group_name": group} if group else {})})
    missing = [flag for flag, key in (("--name", "name"), ("--group", "group_name")) if key not in document]
    if missing:
        known = "; the file has neither" if file and len(missing) == 2 else "; the file does not say it" if file else ""
        raise typer.BadParameter(f"give {' and '.join(missing)}{known}")
    with session.client() as client:
        try:
            suite = client.create_suite(document)
        except InvalidField as error:
            raise in_file(error, file) if file and error.violations else error from None
    if json:
        session.output.document(suite.to_dict())
    session.output.line(suite.uuid)


@app.command("list")
def list_(
    context: typer.Context,
    group: Annotated[str | None, typer.Option(help="Name of the group.")] = None,
    state: Annotated[SuiteState | None, typer.Option(help="Only suites in this state.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label it has; may be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag it has; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="Part of the name.")] = None,
    limit: Limit = 100,
    json: JsonFlag = False,
) -> None:
    """List suites, newest first."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.list_suites(
            group_name=group, state=state, labels=label or (), tags=tag or (), name=name, page_size=page_size(limit)
        )
        session.output.items(found, limit, _COLUMNS, "No suite matches.")


@app.command()
def show(context: typer.Context, suite: SuiteArgument, json: JsonFlag = False) -> None:
    """Show one suite: where it stands, its plan, its hook runs with their output, who may run it."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.get_suite(suite)
    if json:
        session.output.document(found.to_dict())
    else:
        _show(session.output, found)


@app.command()
def update(
    context: typer.Context,
    suite: SuiteArgument,
    file: Annotated[str | None, typer.Option("--file", "-f", help="YAML file of the fields to change.")] = None,
    name: Name = None,
    description: Description = None,
    tag: Tags = None,
    label: Labels = None,
    priority: Priority = None,
    workers: Workers = None,
    strategy: Strategy = None,
    cpu_binding: Binding = None,
    prefetch: Prefetch = None,
    prepare: Prepare = None,
    cleanup: Cleanup = None,
    auto_close: AutoClose = None,
    json: JsonFlag = False,
) -> None:
    """Change the fields that are given; lists, plan and hooks are replaced as a whole."""
    session = session_of(context, json)
    changes = _changes(
        name, description, tag, label, priority, workers, strategy, cpu_binding, prefetch, prepare, cleanup, auto_close
    )
    document = cast(SuiteChanges, {**(read_suite(file) if file else {}), **changes})
    if not document:
        raise typer.BadParameter("nothing to change: give a flag or --file")
    with session.client() as client:
        try:
            found = client.update_suite(suite, document)
        except InvalidField as error:
            raise in_file(error, file) if file and error.violations else error from None
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Suite {found.uuid} was changed.")


@app.command()
def close(context: typer.Context, suite: SuiteArgument, json: JsonFlag = False) -> None:
    """Say that no more tasks are coming: the suite completes when nothing is pending."""
    session = session_of(context, json)
    with session.client() as client:
        found = client.close_suite(suite)
    if json:
        session.output.document(found.to_dict())
    session.output.line(f"Suite {found.uuid} is closed and {found.state}; {found.pending_tasks} tasks are pending.")


@app.command()
def cancel(
    context: typer.Context,
    suite: SuiteArgument,
    reason: Annotated[str, typer.Option(help="Why; shown with the suite.")] = "",
    running: Annotated[bool, typer.Option("--running", help="Stop running tasks too.")] = False,
    json: JsonFlag = False,
) -> None:
    """Cancel a suite and its tasks that have not started."""
    session = session_of(context, json)
    with session.client() as client:
        count, state = client.cancel_suite(suite, reason=reason, cancel_running_tasks=running)
    if json:
        session.output.document({"cancelled_task_count": count, "suite_state": state.value})
    session.output.line(f"Suite {suite} is {state}; {count} tasks were cancelled.")


@app.command()
def retry(context: typer.Context, suite: SuiteArgument, json: JsonFlag = False) -> None:
    """Run the failed tasks of a suite again, and a failed suite."""
    session = session_of(context, json)
    with session.client() as client:
        found, count = client.retry_suite(suite)
    if json:
        session.output.document({"suite": found.to_dict(), "retried_task_count": count})
    session.output.line(f"Suite {found.uuid} is {found.state}; {count} tasks are ready again.")


def _show(output: Output, suite: Suite) -> None:
    output.fields(
        [
            ("uuid", suite.uuid),
            ("name", suite.name),
            ("state", suite.state),
            ("reason", suite.reason),
            ("description", suite.description),
            ("group", suite.group_name),
            ("tasks", f"{counts(suite)}, {suite.pending_tasks} pending" + (", closed" if suite.closed else "")),
            ("tags", ", ".join(suite.tags)),
            ("labels", ", ".join(suite.labels)),
            ("priority", str(suite.priority)),
            ("workers", _plan(suite.worker_schedule)),
            ("preparation", _hook(suite.env_preparation)),
            ("cleanup", _hook(suite.env_cleanup)),
            ("auto-close", f"after {duration(suite.auto_close_timeout_seconds)}"),
            ("failed preparations", _preparations(suite)),
            ("created", f"{moment(suite.created_at)} by {suite.created_by}"),
            ("finished", moment(suite.finished_at)),
            ("held by", _managers(suite.assigned_managers)),
        ]
    )
    if suite.eligible_managers:
        output.line()
        output.line("managers that may run it", "bold")
        for manager in suite.eligible_managers:
            holds = ", holds it" if manager.assigned else ""
            output.line(f"  {manager.manager_uuid}  {manager.manager_name} ({manager.selection}{holds})")
    elif not suite.state.is_finished:
        output.line()
        output.line("No manager may run it: none of the group's has all of its tags.", "yellow")
    if suite.assignments:
        output.line()
        output.line("who holds it or held it, newest first", "bold")
        for assignment in suite.assignments:
            output.line(f"  {_assignment(assignment)}")
    for run in suite.hook_runs:
        output.line()
        code = "" if run.exit_code is None else f", exit code {run.exit_code}"
        output.block(
            f"{run.hook_type} on {run.manager_name or run.manager_uuid}: {run.result}{code}, "
            f"{duration(run.duration_seconds)}, {moment(run.started_at)}",
            "\n".join(filter(None, [run.error, run.output_tail])) or "(no output)",
        )


def _preparations(suite: Suite) -> str:
    if not suite.preparation_failures:
        return ""
    return f"{suite.preparation_failures} of {suite.max_preparation_failures} in a row"


def _assignment(assignment: SuiteAssignment) -> str:
    since = f"{assignment.manager_name or assignment.manager_uuid}: since {moment(assignment.started_at)}"
    charged = " (environment budget)" if assignment.preparation_failed else ""
    if assignment.ended_at is None:
        return since + charged
    return f"{since} until {moment(assignment.ended_at)}, {assignment.end_reason}{charged}"


def _managers(count: int) -> str:
    return f"{count} manager{'' if count == 1 else 's'}" if count else ""


def _plan(plan: WorkerSchedulePlan | None) -> str:
    if plan is None:
        return ""
    count = "as many as each manager may run" if plan.worker_count is None else str(plan.worker_count)
    return ", ".join(filter(None, [count, plan.strategy, plan.cpu_binding]))


def _hook(hook: EnvHookSpec | None) -> str:
    return (hook.command or " ".join(hook.args)) if hook else ""
