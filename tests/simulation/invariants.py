"""What must hold after every transaction, in terms of the rows that it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from tests.simulation.tables import Row, Tables

if TYPE_CHECKING:
    from tests.simulation.observer import Observer

_HOLDING = ("Assigned", "Preparing", "Executing", "Cleaning")


def broken_by(tables: Tables, seen: Observer) -> Iterator[str]:
    """Say what the transaction that was just committed broke."""
    for task_id in {**tables.active_tasks.before, **tables.archived_tasks.before}:
        yield from _task(task_id, tables, seen)
    yield from _suites(tables)
    yield from _holders(tables)


def _task(task_id: UUID, tables: Tables, seen: Observer) -> Iterator[str]:
    was_active, active = tables.active_tasks.was(task_id), tables.active_tasks.get(task_id)
    was_final, final = tables.archived_tasks.was(task_id), tables.archived_tasks.get(task_id)
    if (active is None) == (final is None):
        yield f"task {task_id} is {'lost' if active is None else 'both pending and finished'}"
    elif was_final is not None and was_final is not final and (final is not None or was_final["state"] != "Failed"):
        yield f"task {task_id} was {was_final['state']} for good, and changed"
    elif was_active is not None and final is not None:
        yield from _ended(was_active, final, tables, seen)
    elif was_active is not None and active is not None:
        yield from _went_on(was_active, active, tables, seen)


def _ended(was: Row, final: Row, tables: Tables, seen: Observer) -> Iterator[str]:
    """A pending task became final."""
    if final["attempt"] != was["attempt"]:
        yield f"task {was['id']} ended with attempt {final['attempt']}, and was at {was['attempt']}"
    if final["state"] == "Cancelled":
        return
    key = str(was["id"]), was["attempt"]
    if was["assignment_id"] is None:
        yield f"task {was['id']} became {final['state']} while nobody held it"
        return
    process = seen.runs.get(key)
    holder = tables.node_managers[tables.assignments[was["assignment_id"]]["manager_id"]]["name"]
    if process is None or process.partition("#")[0] != holder:
        yield f"attempt {key}, held by {holder}, became {final['state']}, but ran in {process}"
    elif final["state"] == "Completed" and key not in seen.completed:
        yield f"attempt {key} became Completed and never ran to its end"


def _went_on(was: Row, now: Row, tables: Tables, seen: Observer) -> Iterator[str]:
    """A pending task changed."""
    claimed = was["state"] == "Ready" and now["state"] == "Dispatched"
    if now["attempt"] != was["attempt"] + claimed:
        yield f"task {was['id']} went from attempt {was['attempt']} to {now['attempt']}, {now['state']}"
    kinds = Counter(
        failure["kind"]
        for _, failure in tables.task_execution_failures.changes()
        if failure is not None and failure["task_id"] == was["id"]
    )
    if now["failures"] - was["failures"] != kinds["Task"]:
        yield f"task {was['id']} was charged {now['failures'] - was['failures']} failures for {dict(kinds)}"
    if len(now["excluded_manager_ids"] or ()) > len(was["excluded_manager_ids"] or ()) and not kinds["Worker"]:
        yield f"task {was['id']} excluded a manager without the death of a worker"
    if was["assignment_id"] is None or now["assignment_id"] is not None:
        return
    key = str(was["id"]), was["attempt"]
    lasts = tables.assignments[was["assignment_id"]]["state"] != "Ended"
    if lasts and key in seen.results and not kinds["Task"] and not kinds["Worker"]:
        yield f"attempt {key} was taken back from {seen.results[key]}, which has its result"


def _suites(tables: Tables) -> Iterator[str]:
    """The counters of a suite are the numbers of its rows, and its state fits its tasks and holders."""
    touched = set(tables.task_suites.before)
    for table in (tables.active_tasks, tables.archived_tasks, tables.assignments):
        touched |= {(new or old or {})["task_suite_id"] for old, new in table.changes()}
    for suite_id in sorted(touched):
        suite = tables.task_suites[suite_id]
        active = [task for task in tables.active_tasks.values() if task["task_suite_id"] == suite_id]
        finals = Counter(task["state"] for task in tables.archived_tasks.values() if task["task_suite_id"] == suite_id)
        counted = (len(active), finals["Completed"], finals["Failed"], finals["Cancelled"])
        told = tuple(suite[f"{name}_tasks"] for name in ("pending", "completed", "failed", "cancelled"))
        if counted != told or sum(told) != suite["total_tasks"]:
            yield f"suite {suite_id} counts {told} of {suite['total_tasks']}, and has {counted}"
        if suite["state"] == "Cancelled" and any(task["state"] == "Ready" for task in active):
            yield f"suite {suite_id} is Cancelled and has a task that waits"
        held = any(one["task_suite_id"] == suite_id and one["state"] != "Ended" for one in tables.assignments.values())
        if suite["state"] in ("Open", "Executing") and not held:
            yield f"suite {suite_id} is {suite['state']} and nobody holds it"


def _holders(tables: Tables) -> Iterator[str]:
    """What is held is held by an assignment that lasts, and a manager's state says whether it holds one."""
    if not (tables.active_tasks.before or tables.assignments.before or tables.node_managers.before):
        return
    lasting = {one["id"]: one for one in tables.assignments.values() if one["state"] != "Ended"}
    for task in tables.active_tasks.values():
        if task["assignment_id"] is None:
            continue
        holder = lasting.get(task["assignment_id"])
        if holder is None or holder["task_suite_id"] != task["task_suite_id"]:
            yield f"task {task['id']} is held by assignment {task['assignment_id']}, which is over"
    holding = Counter(one["manager_id"] for one in lasting.values())
    for manager in tables.node_managers.values():
        if holding[manager["id"]] != (manager["state"] in _HOLDING):
            yield f"manager {manager['name']} is {manager['state']} and holds {holding[manager['id']]} suites"
