"""The statements of `managers.sql` and `assignments.sql` on tables in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from tests.simulation.columns import unnest
from tests.simulation.model_suites import ACTIVE, lasting
from tests.simulation.model_tasks import is_waiting
from tests.simulation.statements import Answer, Parameters, models
from tests.simulation.tables import Row, Tables

_HELD = ("id", "task_suite_id", "manager_id", "state", "session_epoch")


@models("managers", "held_assignment")
def held_assignment(db: Tables, given: Parameters) -> Answer:
    return _lasting_of(db, [given["manager_id"]])


@models("assignments", "live_assignments")
def live_assignments(db: Tables, given: Parameters) -> Answer:
    return _lasting_of(db, given["manager_ids"])


@models("managers", "lock_manager")
def lock_manager(db: Tables, given: Parameters) -> Answer:
    manager = db.node_managers.get(given["manager_id"])
    columns = ("id", "name", "state", "session_epoch", "session_uuid", "failed_preparations", "tags", "max_workers",
               "draining")  # fmt: skip
    return [] if manager is None else [{name: manager[name] for name in columns}]


@models("managers", "attach_manager")
def attach_manager(db: Tables, given: Parameters) -> Answer:
    manager = db.node_managers[given["manager_id"]]
    epoch, before = manager["session_epoch"] + 1, manager["state"]
    db.node_managers.replace(manager["id"], session_epoch=epoch, session_uuid=given["session_uuid"],
           tags=given["tags"] or manager["tags"], max_workers=given["max_workers"], version=given["version"],
           hostname=given["hostname"], state=str(given["state"]), last_heartbeat_at=db.now,
           reason="" if given["restarted"] else manager["reason"],
           failed_preparations=[] if given["restarted"] else manager["failed_preparations"],
           shutdown_graceful=None if given["restarted"] else manager["shutdown_graceful"])  # fmt: skip
    return [{"session_epoch": epoch, "state": before}]


@models("managers", "set_manager_state")
def set_manager_state(db: Tables, given: Parameters) -> Answer:
    manager = db.node_managers.get(given["manager_id"])
    if manager is None or manager["state"] not in given["allowed"]:
        return []
    before = manager["state"]
    db.node_managers.replace(manager["id"], state=str(given["state"]), reason=given["reason"],
           last_heartbeat_at=db.now)  # fmt: skip
    return [{"state": before}]


@models("managers", "note_failed_preparations")
def note_failed_preparations(db: Tables, given: Parameters) -> Answer:
    db.node_managers.replace(given["manager_id"], failed_preparations=given["suite_ids"])
    return 1


@models("managers", "write_heartbeats")
def write_heartbeats(db: Tables, given: Parameters) -> Answer:
    written: list[Row] = []
    for manager_id, epoch, metrics in unnest(given, "ids", "epochs", "metrics"):
        if db.node_managers[manager_id]["session_epoch"] == epoch:
            written.append(db.node_managers.replace(manager_id, last_heartbeat_at=db.now, metrics=metrics.obj))
    return [{"id": row["id"]} for row in written if row["state"] != "Offline" and row["shutdown_graceful"] is None]


@models("managers", "orders")
def orders(db: Tables, given: Parameters) -> Answer:
    manager = db.node_managers[given["manager_id"]]
    return [{name: manager[name] for name in ("session_epoch", "state", "shutdown_graceful", "shutdown_reason")}]


@models("managers", "silent_managers")
def silent_managers(db: Tables, given: Parameters) -> Answer:
    return [{"id": one} for one in sorted(db.node_managers) if _is_silent(db, db.node_managers[one], given)]


@models("managers", "still_silent")
def still_silent(db: Tables, given: Parameters) -> Answer:
    manager = db.node_managers[given["manager_id"]]
    return [{"name": manager["name"]}] if _is_silent(db, manager, given) else []


@models("assignments", "pick_suite")
def pick_suite(db: Tables, given: Parameters) -> Answer:
    manager_id = given["manager_id"]
    fit = [suite for suite in _workable(db, manager_id) if _has_room(db, suite, manager_id)]
    fit.sort(key=lambda suite: (-suite["priority"], suite["id"]))
    return [{"id": suite["id"]} for suite in fit[:1]]


@models("assignments", "wanted_managers")
def wanted_managers(db: Tables, given: Parameters) -> Answer:
    return [
        {"manager_id": manager_id}
        for manager_id in sorted(given["manager_ids"])
        if db.node_managers[manager_id]["state"] == "Idle"
        and not db.node_managers[manager_id]["draining"]
        and any(_has_room(db, suite, manager_id) for suite in _workable(db, manager_id))
    ]


@models("assignments", "assignments_to_release")
def assignments_to_release(db: Tables, given: Parameters) -> Answer:
    fresh_from = db.now - timedelta(seconds=given["fresh_seconds"])
    fresh = {
        manager["id"]
        for manager in db.node_managers.values()
        if manager["last_heartbeat_at"] is not None and manager["last_heartbeat_at"] > fresh_from
    }
    idle_elsewhere = [
        manager
        for manager in db.node_managers.values()
        if manager["state"] == "Idle"
        and not manager["draining"]
        and manager["id"] in fresh - set(given["connected_ids"])
    ]  # fmt: skip
    taken_elsewhere = {suite["id"] for manager in idle_elsewhere for suite in _workable(db, manager["id"])}
    found: dict[UUID, list[tuple[tuple[bool, int, int], Row]]] = {}
    for one in db.assignments.values():
        manager_id = one["manager_id"]
        is_chosen_from = manager_id in given["manager_ids"] or manager_id in fresh
        if not is_chosen_from or db.node_managers[manager_id]["draining"] or one["state"] != "Executing":
            continue
        held = db.task_suites[one["task_suite_id"]]
        nothing_left = not any(
            task["assignment_id"] == one["id"] or is_waiting(task, held["id"], manager_id)
            for task in db.active_tasks.values()
        )
        for suite in _workable(db, manager_id):
            deserted = not any(
                is_waiting(task, suite["id"], holder["manager_id"])
                for holder in lasting(db, suite["id"])
                for task in db.active_tasks.values()
            )
            gives_way = nothing_left or suite["priority"] > held["priority"]
            if suite["id"] not in (held["id"], *taken_elsewhere) and deserted and gives_way:
                rank = (not nothing_left, held["priority"], one["id"])
                found.setdefault(suite["id"], []).append((rank, one))
    # One for each suite, by the suite's id.
    best = [min(found[suite_id], key=lambda ranked: ranked[0])[1] for suite_id in sorted(found)]
    return [{name: one[name] for name in _HELD} for one in best if one["manager_id"] in given["manager_ids"]]


@models("assignments", "holders_of_tail")
def holders_of_tail(db: Tables, given: Parameters) -> Answer:
    suite_id = given["suite_id"]
    tasks = [task for task in db.active_tasks.values() if task["task_suite_id"] == suite_id]
    if any(task["state"] == "Ready" and task["retry_at"] is None for task in tasks):
        return []
    found: list[Row] = []
    for one in lasting(db, suite_id):
        held = [task for task in tasks if task["assignment_id"] == one["id"]]
        if one["state"] == "Executing":
            found.append({
                "assignment_id": one["id"], "manager_id": one["manager_id"],
                "max_workers": db.node_managers[one["manager_id"]]["max_workers"], "held": len(held),
                "long_running": sum(task["state"] == "Running" for task in held),
                "bound": any(task["state"] == "Dispatched" and task["excluded_manager_ids"] for task in held),
            })  # fmt: skip
    return found


@models("assignments", "idle_managers_for")
def idle_managers_for(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites[given["suite_id"]]
    if suite["state"] != "Executing" or suite["pending_tasks"] <= len(lasting(db, suite["id"])):
        return []
    idle = [one for one in db.node_managers.values() if one["state"] == "Idle" and not one["draining"]]
    fit = [
        manager
        for manager in idle
        if (row := _may_hold(db, suite, manager["id"])) is not None
        and (row["retry_after"] is None or row["retry_after"] <= db.now)
    ]
    fit.sort(key=lambda manager: (-manager["max_workers"], manager["id"]))
    return [{"id": manager["id"], "max_workers": manager["max_workers"]} for manager in fit]


@models("assignments", "insert_assignment")
def insert_assignment(db: Tables, given: Parameters) -> Answer:
    number = db.next_id("assignments")
    if _lasting_of(db, [given["manager_id"]]):
        return []
    db.assignments[number] = {
        "id": number, "task_suite_id": given["suite_id"], "manager_id": given["manager_id"], "worker_id": None,
        "holder_id": given["manager_id"], "state": "Assigned", "session_epoch": given["session_epoch"],
        "preparation_failed": False, "proven": False, "started_at": db.now, "ended_at": None, "end_reason": "",
    }  # fmt: skip
    return [{"id": number}]


@models("assignments", "resume_assignment")
def resume_assignment(db: Tables, given: Parameters) -> Answer:
    db.assignments.replace(given["assignment_id"], session_epoch=given["session_epoch"])
    return 1


@models("assignments", "may_hold")
def may_hold(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites.get(given["suite_id"])
    return [{"exists": suite is not None and _may_hold(db, suite, given["manager_id"]) is not None}]


@models("assignments", "mark_preparation_failed")
def mark_preparation_failed(db: Tables, given: Parameters) -> Answer:
    return _mark(db, given, "preparation_failed")


@models("assignments", "mark_proven")
def mark_proven(db: Tables, given: Parameters) -> Answer:
    return _mark(db, given, "proven")


@models("assignments", "set_assignment_state")
def set_assignment_state(db: Tables, given: Parameters) -> Answer:
    one = db.assignments.get(given["assignment_id"])
    if one is None or one["manager_id"] != given["manager_id"] or one["state"] == "Ended":
        return []
    db.assignments.replace(one["id"], state=str(given["state"]))
    return [{"task_suite_id": one["task_suite_id"]}]


@models("assignments", "end_assignment")
def end_assignment(db: Tables, given: Parameters) -> Answer:
    one = db.assignments.get(given["assignment_id"])
    if one is None or one["state"] == "Ended":
        return []
    db.assignments.replace(one["id"], state="Ended", ended_at=db.now, end_reason=str(given["reason"]))
    return [{"id": one["id"]}]


@models("assignments", "holders")
def holders(db: Tables, given: Parameters) -> Answer:
    return [
        {"assignment_id": one["id"], "manager_id": one["manager_id"], "state": one["state"],
         "max_workers": db.node_managers[one["manager_id"]]["max_workers"]}
        for one in lasting(db, given["suite_id"])
    ]  # fmt: skip


@models("assignments", "insert_hook_run")
def insert_hook_run(db: Tables, given: Parameters) -> Answer:
    one = db.assignments.get(given["assignment_id"])
    if one is None or one["manager_id"] != given["manager_id"]:
        return []
    number = db.next_id("hook_runs")
    key = given["assignment_id"], str(given["hook_type"]), given["started_at"]
    if any((run["assignment_id"], run["hook_type"], run["started_at"]) == key for run in db.hook_runs.values()):
        return []
    columns = ("assignment_id", "manager_id", "exit_code", "error", "output_tail", "started_at", "duration_seconds")
    db.hook_runs[number] = {
        **{name: given[name] for name in columns}, "id": number, "task_suite_id": one["task_suite_id"],
        "hook_type": str(given["hook_type"]), "result": str(given["result"]),
    }  # fmt: skip
    return [{"task_suite_id": one["task_suite_id"]}]


@models("assignments", "back_off")
def back_off(db: Tables, given: Parameters) -> Answer:
    row = db.task_suite_managers.get((given["suite_id"], given["manager_id"]))
    if row is None:
        return 0
    db.task_suite_managers.replace((given["suite_id"], given["manager_id"]),
           preparation_failures=row["preparation_failures"] + 1,
           retry_after=db.now + timedelta(seconds=given["seconds"]))  # fmt: skip
    return 1


@models("assignments", "preparation_failures")
def preparation_failures(db: Tables, given: Parameters) -> Answer:
    row = db.task_suite_managers.get((given["suite_id"], given["manager_id"]))
    return [] if row is None else [{"preparation_failures": row["preparation_failures"]}]


@models("assignments", "forget_back_off")
def forget_back_off(db: Tables, given: Parameters) -> Answer:
    key = given["suite_id"], given["manager_id"]
    row = db.task_suite_managers.get(key)
    if row is None or row["preparation_failures"] == 0:
        return 0
    db.task_suite_managers.replace(key, preparation_failures=0, retry_after=None)
    return 1


@models("assignments", "next_back_off_end")
def next_back_off_end(db: Tables, given: Parameters) -> Answer:
    moments = [
        row["retry_after"]
        for row in db.task_suite_managers.values()
        if row["retry_after"] is not None
        and row["retry_after"] > db.now
        and db.task_suites[row["task_suite_id"]]["state"] in ACTIVE
    ]
    return [{"seconds": (min(moments) - db.now).total_seconds() if moments else None}]


@models("assignments", "holding_of_session")
def holding_of_session(db: Tables, given: Parameters) -> Answer:
    one = db.assignments.get(given["assignment_id"])
    if one is None or one["session_epoch"] != given["session_epoch"] or one["state"] == "Ended":
        return []
    return [{"task_suite_id": one["task_suite_id"]}]


def _lasting_of(db: Tables, manager_ids: list[UUID]) -> list[Row]:
    return [
        {name: one[name] for name in _HELD}
        for one in db.assignments.values()
        if one["manager_id"] in manager_ids and one["state"] != "Ended"
    ]


def _mark(db: Tables, given: Parameters, column: str) -> Answer:
    one = db.assignments.get(given["assignment_id"])
    if one is None or one[column]:
        return []
    db.assignments.replace(one["id"], **{column: True})
    return [{"id": one["id"]}]


def _is_silent(db: Tables, manager: Row, given: Parameters) -> bool:
    heard_at = manager["last_heartbeat_at"]
    since = db.now - timedelta(seconds=given["timeout_seconds"])
    return manager["state"] != "Offline" and heard_at is not None and heard_at < since


def _may_hold(db: Tables, suite: Row, manager_id: UUID) -> Row | None:
    """The row that makes a manager eligible for a suite."""
    row = db.task_suite_managers.get((suite["id"], manager_id))
    if row is None or (manager_id, suite["group_id"], "Worker") not in db.group_node_manager:
        return None
    return row if row["selection"] == "UserSpecified" or not suite["managers_by_hand"] else None


def _workable(db: Tables, manager_id: UUID) -> Iterator[Row]:
    """The suites that have something for a manager."""
    for suite in db.task_suites.values():
        row = _may_hold(db, suite, manager_id)
        if (
            row is not None
            and suite["state"] in ACTIVE
            and (row["retry_after"] is None or row["retry_after"] <= db.now)
            and any(is_waiting(task, suite["id"], manager_id) for task in db.active_tasks.values())
        ):
            yield suite


def _has_room(db: Tables, suite: Row, manager_id: UUID) -> bool:
    """Whether one more manager would not be too many."""
    return suite["pending_tasks"] > len(lasting(db, suite["id"])) or _all_excluded(db, suite, manager_id)


def _all_excluded(db: Tables, suite: Row, manager_id: UUID) -> bool:
    """Whether a task waits for this manager from which every holder is excluded."""
    holding = [one["manager_id"] for one in lasting(db, suite["id"])]
    return any(
        is_waiting(task, suite["id"], manager_id)
        and all(holder in (task["excluded_manager_ids"] or ()) for holder in holding)
        for task in db.active_tasks.values()
    )
