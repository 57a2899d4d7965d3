"""The statements of `tasks.sql` on tables in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.simulation.columns import unnest
from tests.simulation.statements import Answer, Parameters, models
from tests.simulation.tables import Row, Tables

FREE = {"state": "Ready", "assignment_id": None, "started_at": None}
_KEPT = ("id", "task_suite_id", "group_id", "priority", "attempt", "assignment_id", "max_retries",
         "retry_backoff_seconds", "spec", "tags", "created_by", "created_at")  # fmt: skip


def is_waiting(task: Row, suite_id: UUID | None, holder_id: UUID) -> bool:
    """Whether a holder could claim the task now."""
    return (
        task["task_suite_id"] == suite_id
        and task["state"] == "Ready"
        and task["retry_at"] is None
        and holder_id not in (task["excluded_manager_ids"] or ())
    )


def is_held_by(task: Row | None, attempt: int, assignment_id: int) -> bool:
    """The fence: whether this attempt of the task is held by this assignment."""
    return task is not None and task["attempt"] == attempt and task["assignment_id"] == assignment_id


def may_finish(task: Row, attempt: int, assignment_id: int, guarded: Collection[int]) -> bool:
    """The fence of `finish_tasks`: the reporter holds the attempt, by an assignment of its own."""
    return is_held_by(task, attempt, assignment_id) and assignment_id in guarded


@models("task_arrays", "make_tasks")
def make_tasks(db: Tables, given: Parameters) -> Answer:
    # Users submit no arrays here.
    return [{"made": 0, "moved_on": False}]


@models("task_arrays", "cancel_unmade_tasks")
def cancel_unmade_tasks(db: Tables, given: Parameters) -> Answer:
    return [{"count": 0}]


@models("task_arrays", "cancel_unmade_task")
def cancel_unmade_task(db: Tables, given: Parameters) -> Answer:
    return []


@models("tasks", "insert_tasks")
def insert_tasks(db: Tables, given: Parameters) -> Answer:
    rows = list(unnest(given, "ids", "priorities", "max_retries", "backoffs", "specs"))
    for task_id, priority, retries, backoff, spec in rows:
        db.active_tasks[task_id] = {
            "id": task_id, "task_suite_id": given["suite_id"], "group_id": given["group_id"], "state": "Ready",
            "priority": priority or 0, "attempt": 0, "assignment_id": None, "retry_at": None, "failures": 0,
            "max_retries": given["default_retries"] if retries is None else retries,
            "retry_backoff_seconds": given["default_backoff"] if backoff is None else backoff,
            "excluded_manager_ids": None, "spec": spec, "created_by": given["created_by"], "created_at": db.now,
            "started_at": None, "tags": [],
        }  # fmt: skip
    return len(rows)


@models("tasks", "claim_tasks")
@models("tasks", "claim_tasks_behind")
def claim_tasks(db: Tables, given: Parameters) -> Answer:
    holder = db.assignments.get(given["assignment_id"])
    if (
        holder is None
        or holder["manager_id"] != given["manager_id"]
        or holder["state"] == "Ended"
        or holder["session_epoch"] != given["session_epoch"]
    ):
        return []
    waiting = [
        task
        for task in db.active_tasks.values()
        if is_waiting(task, given["suite_id"], given["manager_id"])
        and ("behind" not in given or (task["priority"] == given["priority"] and task["id"] > given["behind"]))
    ]
    waiting.sort(key=_order)
    claimed: list[Row] = []
    for task in waiting[: given["limit"]]:
        attempt = task["attempt"] + 1
        db.active_tasks.replace(task["id"], state="Dispatched", attempt=attempt, assignment_id=given["assignment_id"])
        claimed.append(
            {
                "task_id": str(task["id"]),
                "attempt": attempt,
                "spec": task["spec"],
                "priority": task["priority"],
                "unmade": False,
            }
        )
    return claimed


@models("tasks", "finish_tasks")
def finish_tasks(db: Tables, given: Parameters) -> Answer:
    guarded = {number for (number,) in unnest(given, "holdings") if _is_of(db, number, given["holder_id"])}
    gone: list[Row] = []
    for task_id, attempt, assignment_id, state, code, error, out, err, value, started, finished in unnest(
        given, "ids", "attempts", "assignment_ids", "states", "exit_codes", "errors", "stdout_tails", "stderr_tails",
        "return_values", "started", "finished",
    ):  # fmt: skip
        task = db.active_tasks.get(task_id)
        if task is None or not may_finish(task, attempt, assignment_id, guarded):
            continue
        gone.append(task)
        _archive(db, task, state or "Completed", error or "", exit_code=code, stdout_tail=out or "",
                 stderr_tail=err or "", return_value=value, started_at=started or task["started_at"],
                 finished_at=finished or db.now)  # fmt: skip
        if state == "Failed":
            _note_failures(db, task, "Task", given["holder_id"], [error or ""])
    suites = _count_out(db, gone)
    return [
        {
            "accepted": len(gone),
            "accepted_ids": [str(task["id"]) for task in gone] or None if len(gone) < given["count"] else None,
            "suite_ids": suites or None,
            "quiet_suite_ids": [one for one in suites if db.task_suites[one]["pending_tasks"] == 0] or None,
        }
    ]


@models("tasks", "schedule_retries")
def schedule_retries(db: Tables, given: Parameters) -> Answer:
    retried: list[Row] = []
    for task_id, attempt, assignment_id, error in unnest(given, "ids", "attempts", "assignment_ids", "errors"):
        task = db.active_tasks.get(UUID(task_id))
        if task is None or not is_held_by(task, attempt, assignment_id) or task["failures"] >= task["max_retries"]:
            continue
        seconds = min(task["retry_backoff_seconds"] * 2.0 ** min(task["failures"], 20), 86400)
        _note_failures(db, task, "Task", _holder_of(db, task), [error])
        db.active_tasks.replace(task["id"], **FREE, failures=task["failures"] + 1,
               retry_at=db.now + timedelta(seconds=seconds))  # fmt: skip
        retried.append({"task_id": task_id, "task_suite_id": task["task_suite_id"]})
    return retried


@models("tasks", "release_due_retries")
def release_due_retries(db: Tables, given: Parameters) -> Answer:
    due = [task for task in db.active_tasks.values() if task["retry_at"] is not None and task["retry_at"] <= db.now]
    for task in due:
        db.active_tasks.replace(task["id"], retry_at=None)
    return [{"task_suite_id": task["task_suite_id"], "group_id": task["group_id"]} for task in due]


@models("tasks", "next_due_retry")
def next_due_retry(db: Tables, given: Parameters) -> Answer:
    moments = [task["retry_at"] for task in db.active_tasks.values() if task["retry_at"] is not None]
    return [{"seconds": (min(moments) - db.now).total_seconds() if moments else None}]


@models("tasks", "lock_held_task")
def lock_held_task(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks.get(UUID(given["task_id"]))
    if task is None or not is_held_by(task, given["attempt"], given["assignment_id"]):
        return []
    suite = db.task_suites[task["task_suite_id"]]
    holder_id = _holder_of(db, task)
    excluded = task["excluded_manager_ids"] or []
    another = any(
        eligible["task_suite_id"] == suite["id"]
        and eligible["manager_id"] not in (holder_id, *excluded)
        and (eligible["selection"] == "UserSpecified" or not suite["managers_by_hand"])
        and db.node_managers[eligible["manager_id"]]["state"] not in ("Offline", "Failed")
        and not db.node_managers[eligible["manager_id"]]["draining"]
        for eligible in db.task_suite_managers.values()
    )
    return [
        {
            "id": task["id"], "task_suite_id": suite["id"], "group_id": task["group_id"], "attempt": task["attempt"],
            "worn_out": len(excluded), "max_attempts": suite["max_attempts"], "suite_state": suite["state"],
            "holder_id": holder_id, "another_holder": another,
        }
    ]  # fmt: skip


@models("tasks", "exclude_holder")
def exclude_holder(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks[given["task_id"]]
    excluded = [*(task["excluded_manager_ids"] or []), given["holder_id"]]
    db.active_tasks.replace(task["id"], **FREE, excluded_manager_ids=excluded)
    return 1


@models("tasks", "record_failures")
def record_failures(db: Tables, given: Parameters) -> Answer:
    task = {"id": given["task_id"], "task_suite_id": given["suite_id"], "attempt": given["attempt"]}
    _note_failures(db, task, str(given["kind"]), given["holder_id"], given["errors"])
    return len(given["errors"])


@models("tasks", "record_worker_deaths")
def record_worker_deaths(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks.get(UUID(given["task_id"]))
    if task is None or not is_held_by(task, given["attempt"], given["assignment_id"]):
        return 0
    _note_failures(db, task, "Worker", _holder_of(db, task), given["errors"])
    return len(given["errors"])


@models("tasks", "start_tasks")
def start_tasks(db: Tables, given: Parameters) -> Answer:
    holder = db.assignments.get(given["assignment_id"])
    if holder is None or holder["holder_id"] != given["holder_id"] or holder["state"] == "Ended":
        return 0
    count = 0
    for task_id, attempt, started in unnest(given, "ids", "attempts", "started"):
        task = db.active_tasks.get(UUID(task_id))
        if task and is_held_by(task, attempt, given["assignment_id"]) and task["state"] == "Dispatched":
            db.active_tasks.replace(task["id"], state="Running", started_at=started)
            count += 1
    return count


@models("tasks", "return_tasks")
def return_tasks(db: Tables, given: Parameters) -> Answer:
    returned: list[Row] = []
    for task_id, attempt in unnest(given, "ids", "attempts"):
        task = db.active_tasks.get(UUID(task_id))
        if task and is_held_by(task, attempt, given["assignment_id"]):
            db.active_tasks.replace(task["id"], **FREE)
            returned.append({"id": task["id"]})
    return returned


@models("tasks", "held_by_assignment")
def held_by_assignment(db: Tables, given: Parameters) -> Answer:
    return [{"task_id": str(task["id"]), "attempt": task["attempt"]} for task in _held(db, given["assignment_id"])]


@models("tasks", "release_assignment")
def release_assignment(db: Tables, given: Parameters) -> Answer:
    held = _held(db, given["assignment_id"])
    for task in held:
        db.active_tasks.replace(task["id"], **FREE)
    return len(held)


@models("tasks", "reclaim_assignment")
def reclaim_assignment(db: Tables, given: Parameters) -> Answer:
    held = [task for task in _held(db, given["assignment_id"]) if str(task["id"]) not in given["kept"]]
    for task in held:
        db.active_tasks.replace(task["id"], **FREE)
        _note_failures(db, task, "Node", given["holder_id"], [given["error"]])
    return [{"reclaimed": len(held)}]


@models("tasks", "allow_long_statements")
def allow_long_statements(db: Tables, given: Parameters) -> Answer:
    return [{"set_config": "10min"}]


@models("tasks", "cancel_ready_tasks")
def cancel_ready_tasks(db: Tables, given: Parameters) -> Answer:
    return _cancel_all(db, given, (task for task in db.active_tasks.values() if task["state"] == "Ready"))


@models("tasks", "cancel_all_tasks")
def cancel_all_tasks(db: Tables, given: Parameters) -> Answer:
    return _cancel_all(db, given, db.active_tasks.values())


@models("tasks", "cancel_task")
def cancel_task(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks.get(given["task_id"])
    if task is None:
        return []
    _archive(db, task, "Cancelled", given["error"], started_at=task["started_at"])
    assignment = db.assignments.get(task["assignment_id"], {})
    return [
        {name: task[name] for name in ("task_suite_id", "attempt", "assignment_id", "group_id")}
        | {"manager_id": assignment.get("manager_id"), "worker_id": assignment.get("worker_id")}
    ]


@models("tasks", "retry_failed_tasks")
def retry_failed_tasks(db: Tables, given: Parameters) -> Answer:
    failed = [
        task
        for task in db.archived_tasks.values()
        if task["task_suite_id"] == given["suite_id"] and task["state"] == "Failed"
    ]
    for task in failed:
        del db.archived_tasks[task["id"]]
        fresh = {"failures": 0, "excluded_manager_ids": None, "retry_at": None}
        db.active_tasks[task["id"]] = {name: task[name] for name in _KEPT} | FREE | fresh
    return [{"retried": len(failed)}]


@models("tasks", "fail_held_task")
def fail_held_task(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks.get(given["task_id"])
    if task is None:
        return 0
    _archive(db, task, "Failed", given["error"], stdout_tail=given["stdout_tail"], stderr_tail=given["stderr_tail"],
             started_at=task["started_at"])  # fmt: skip
    return 1


@models("tasks", "get_task")
def get_task(db: Tables, given: Parameters) -> Answer:
    task = db.active_tasks.get(given["task_id"]) or db.archived_tasks.get(given["task_id"])
    if task is None:
        return []
    columns = ("id", "task_suite_id", "group_id", "state", "attempt", "priority", "tags", "assignment_id", "spec",
               "created_by", "created_at", "started_at", "finished_at", "retry_at", "exit_code", "error",
               "stdout_tail", "stderr_tail", "return_value")  # fmt: skip
    manager_id = db.assignments.get(task["assignment_id"], {}).get("manager_id")
    return [
        {name: task.get(name) for name in columns}
        | {
            "group_name": db.groups[task["group_id"]]["name"],
            "manager_id": manager_id,
            "manager_name": None if manager_id is None else db.node_managers[manager_id]["name"],
            "worker_id": None,
            "worker_name": None,
        }
    ]


def _order(task: Row) -> tuple[int, UUID]:
    return -task["priority"], task["id"]


def _held(db: Tables, assignment_id: int) -> list[Row]:
    return [task for task in db.active_tasks.values() if task["assignment_id"] == assignment_id]


def _is_of(db: Tables, assignment_id: int, holder_id: UUID) -> bool:
    return assignment_id in db.assignments and db.assignments[assignment_id]["holder_id"] == holder_id


def _holder_of(db: Tables, task: Row) -> UUID:
    holder_id: UUID = db.assignments[task["assignment_id"]]["holder_id"]
    return holder_id


def _archive(db: Tables, task: Row, state: str, error: str, **columns: Any) -> None:
    del db.active_tasks[task["id"]]
    nothing = {"exit_code": None, "stdout_tail": "", "stderr_tail": "", "return_value": None, "finished_at": db.now}
    kept = {name: task[name] for name in _KEPT}
    db.archived_tasks[task["id"]] = kept | nothing | {"state": state, "error": error} | columns


def _note_failures(db: Tables, task: Row, kind: str, holder_id: UUID, errors: Iterable[str]) -> None:
    for error in errors:
        number = db.next_id("task_execution_failures")
        db.task_execution_failures[number] = {
            "id": number, "task_id": task["id"], "task_suite_id": task["task_suite_id"], "attempt": task["attempt"],
            "kind": kind, "holder_id": holder_id, "error": error, "failed_at": db.now,
        }  # fmt: skip


def _count_out(db: Tables, gone: list[Row]) -> list[UUID]:
    suites = Counter(task["task_suite_id"] for task in gone)
    states = Counter((task["task_suite_id"], db.archived_tasks[task["id"]]["state"]) for task in gone)
    for suite_id, count in suites.items():
        suite = db.task_suites[suite_id]
        counters = {
            f"{state.lower()}_tasks": suite[f"{state.lower()}_tasks"] + states[suite_id, state]
            for state in ("Completed", "Failed", "Cancelled")
        }
        db.task_suites.replace(suite_id, **counters, pending_tasks=suite["pending_tasks"] - count,
               last_activity_at=db.now, updated_at=db.now)  # fmt: skip
    return list(suites)


def _cancel_all(db: Tables, given: Parameters, candidates: Iterable[Row]) -> Answer:
    gone = [task for task in candidates if task["task_suite_id"] == given["suite_id"]]
    for task in gone:
        _archive(db, task, "Cancelled", given["error"], started_at=task["started_at"])
    return [{"cancelled": len(gone)}]
