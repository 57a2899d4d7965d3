"""The statements of `suites.sql` on tables in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.simulation.statements import Answer, Parameters, models
from tests.simulation.tables import Row, Tables

ACTIVE = ("Queued", "Open", "Executing")
FINAL = ("Complete", "Cancelled", "Failed")
_GIVEN = ("id", "group_id", "name", "description", "labels", "tags", "priority", "worker_schedule", "env_preparation",
          "env_cleanup", "task_defaults", "runs_by_default", "default_max_retries", "default_retry_backoff_seconds",
          "auto_close_timeout_seconds", "max_preparation_failures", "max_attempts", "created_by")  # fmt: skip


def lasting(db: Tables, suite_id: UUID) -> list[Row]:
    """The assignments of a suite that have not ended, by id."""
    return [one for one in db.assignments.values() if one["task_suite_id"] == suite_id and one["state"] != "Ended"]


@models("suites", "insert_suite")
def insert_suite(db: Tables, given: Parameters) -> Answer:
    zero = dict.fromkeys(("total_tasks", "pending_tasks", "completed_tasks", "failed_tasks", "cancelled_tasks"), 0)
    db.task_suites[given["id"]] = {
        **{name: _plain(given[name]) for name in _GIVEN}, **zero, "state": "Queued", "managers_by_hand": False,
        "closed": False, "preparation_failures": 0, "reason": "", "created_at": db.now, "updated_at": db.now,
        "last_activity_at": db.now, "finished_at": None,
    }  # fmt: skip
    return 1


@models("suites", "lock_matching")
def lock_matching(db: Tables, given: Parameters) -> Answer:
    # Transactions of the model are serial.
    return [{"pg_advisory_xact_lock": ""}]


@models("suites", "lock_matching_shared")
def lock_matching_shared(db: Tables, given: Parameters) -> Answer:
    return [{"pg_advisory_xact_lock_shared": ""}]


@models("suites", "match_suite")
def match_suite(db: Tables, given: Parameters) -> Answer:
    return _match(db, lambda suite, _: suite["id"] == given["suite_id"])


@models("suites", "match_manager")
def match_manager(db: Tables, given: Parameters) -> Answer:
    return _match(db, lambda suite, manager: manager["id"] == given["manager_id"] and suite["state"] in ACTIVE)


@models("suites", "unmatch_manager")
def unmatch_manager(db: Tables, given: Parameters) -> Answer:
    matched = [
        key
        for key, row in db.task_suite_managers.items()
        if row["manager_id"] == given["manager_id"] and row["selection"] == "TagMatched"
    ]
    for key in matched:
        del db.task_suite_managers[key]
    return len(matched)


@models("suites", "get_suite")
@models("suites", "lock_suite")
def get_suite(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites.get(given["suite_id"])
    if suite is None:
        return []
    more = {"group_name": db.groups[suite["group_id"]]["name"], "assigned_managers": len(lasting(db, suite["id"]))}
    return [{**suite, **more}]


@models("suites", "submission_target")
@models("suites", "lock_submission_target")
def submission_target(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites.get(given["suite_id"])
    if suite is None:
        return []
    columns = ("state", "total_tasks", "runs_by_default", "default_max_retries", "default_retry_backoff_seconds")
    group = {"group_id": suite["group_id"], "group_name": db.groups[suite["group_id"]]["name"]}
    return [{"id": suite["id"], **group, **{name: suite[name] for name in columns}}]


@models("suites", "lock_suites_of_assignments")
def lock_suites_of_assignments(db: Tables, given: Parameters) -> Answer:
    found = [db.assignments[one] for one in given["assignment_ids"] if one in db.assignments]
    return [
        {"assignment_id": one["id"], "state": db.task_suites[one["task_suite_id"]]["state"]}
        for one in found
        if one["manager_id"] == given["holder_id"] and one["task_suite_id"] is not None
    ]


@models("suites", "set_suite_state")
def set_suite_state(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites.get(given["suite_id"])
    if suite is None or suite["state"] not in given["allowed"]:
        return []
    state = str(given["state"])
    before = suite["state"]
    db.task_suites.replace(suite["id"], state=state, updated_at=db.now, reason=given["reason"],
           finished_at=db.now if state in FINAL else None)  # fmt: skip
    return [{"state": before}]


@models("suites", "close_suite")
def close_suite(db: Tables, given: Parameters) -> Answer:
    db.task_suites.replace(given["suite_id"], closed=True, updated_at=db.now)
    return 1


@models("suites", "complete_suite")
def complete_suite(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites[given["suite_id"]]
    if suite["state"] not in given["allowed"] or not _is_finished(db, suite):
        return []
    before = suite["state"]
    db.task_suites.replace(suite["id"], state="Complete", updated_at=db.now, finished_at=db.now, reason="")
    starts = [one["started_at"] for one in db.assignments.values() if one["task_suite_id"] == suite["id"]]
    return [{"state": before, "group_name": db.groups[suite["group_id"]]["name"],
             "started_at": min(starts, default=None), "finished_at": db.now}]  # fmt: skip


@models("suites", "due_suites")
def due_suites(db: Tables, given: Parameters) -> Answer:
    return [
        {"id": suite["id"]}
        for suite in db.task_suites.values()
        if suite["state"] in ACTIVE and _is_finished(db, suite)
    ]  # fmt: skip


@models("suites", "next_due_suite")
def next_due_suite(db: Tables, given: Parameters) -> Answer:
    moments = [
        suite["last_activity_at"] + timedelta(seconds=suite["auto_close_timeout_seconds"])
        for suite in db.task_suites.values()
        if suite["state"] in ACTIVE
        and suite["pending_tasks"] == 0
        and (suite["auto_close_timeout_seconds"] > 0 or suite["total_tasks"] > 0)
    ]
    return [{"seconds": (min(moments) - db.now).total_seconds() if moments else None}]


@models("suites", "count_submitted")
def count_submitted(db: Tables, given: Parameters) -> Answer:
    suite = db.task_suites.get(given["suite_id"])
    count = given["count"]
    if (
        suite is None
        or suite["state"] not in given["allowed"]
        or suite["total_tasks"] + count > given["max_tasks"]
    ):  # fmt: skip
        return []
    was_complete = suite["state"] == "Complete"
    db.task_suites.replace(suite["id"], total_tasks=suite["total_tasks"] + count,
           pending_tasks=suite["pending_tasks"] + count, closed=False, last_activity_at=db.now, updated_at=db.now,
           state="Queued" if was_complete else suite["state"],
           finished_at=None if was_complete else suite["finished_at"])  # fmt: skip
    return [{"state": suite["state"]}]


@models("suites", "count_cancelled")
def count_cancelled(db: Tables, given: Parameters) -> Answer:
    return _count_out(db, given, "cancelled_tasks")


@models("suites", "count_failed")
def count_failed(db: Tables, given: Parameters) -> Answer:
    return _count_out(db, given, "failed_tasks")


@models("suites", "count_retried")
def count_retried(db: Tables, given: Parameters) -> Answer:
    suite, count = db.task_suites[given["suite_id"]], given["count"]
    db.task_suites.replace(suite["id"], pending_tasks=suite["pending_tasks"] + count,
           failed_tasks=suite["failed_tasks"] - count, last_activity_at=db.now, updated_at=db.now,
           preparation_failures=0, state=str(given["state"]), reason="", finished_at=None)  # fmt: skip
    return 1


@models("suites", "count_preparation_failure")
def count_preparation_failure(db: Tables, given: Parameters) -> Answer:
    failures = db.task_suites[given["suite_id"]]["preparation_failures"] + 1
    suite = db.task_suites.replace(given["suite_id"], preparation_failures=failures, updated_at=db.now)
    return [{"preparation_failures": failures, "max_preparation_failures": suite["max_preparation_failures"]}]


@models("suites", "reset_preparation_failures")
def reset_preparation_failures(db: Tables, given: Parameters) -> Answer:
    if db.task_suites[given["suite_id"]]["preparation_failures"] == 0:
        return 0
    db.task_suites.replace(given["suite_id"], preparation_failures=0)
    return 1


@models("suites", "forget_back_offs")
def forget_back_offs(db: Tables, given: Parameters) -> Answer:
    kept_away = [
        key
        for key, row in db.task_suite_managers.items()
        if row["task_suite_id"] == given["suite_id"] and row["preparation_failures"] > 0
    ]
    for key in kept_away:
        db.task_suite_managers.replace(key, preparation_failures=0, retry_after=None)
    return len(kept_away)


@models("suites", "remember_request")
def remember_request(db: Tables, given: Parameters) -> Answer:
    key = given["user_id"], given["request_id"]
    if key in db.idempotent_requests:
        return []
    columns = ("user_id", "request_id", "fingerprint", "resource_id", "resource_count")
    db.idempotent_requests[key] = {name: given[name] for name in columns} | {"created_at": db.now}
    return [{"request_id": given["request_id"]}]


@models("suites", "recall_request")
def recall_request(db: Tables, given: Parameters) -> Answer:
    known = db.idempotent_requests[given["user_id"], given["request_id"]]
    return [{name: known[name] for name in ("fingerprint", "resource_id", "resource_count")}]


@models("suites", "group_id")
def group_id(db: Tables, given: Parameters) -> Answer:
    return [{"id": group["id"]} for group in db.groups.values() if group["name"] == given["name"]]


def _plain(value: Any) -> Any:
    """What a JSON column reads back as."""
    return getattr(value, "obj", value)


def _match(db: Tables, wanted: Any) -> Answer:
    count = 0
    for member in db.group_node_manager.values():
        manager = db.node_managers[member["manager_id"]]
        for suite in db.task_suites.values():
            key = suite["id"], manager["id"]
            if (
                member["role"] == "Worker"
                and member["group_id"] == suite["group_id"]
                and set(suite["tags"]) <= set(manager["tags"])
                and key not in db.task_suite_managers
                and wanted(suite, manager)
            ):
                db.task_suite_managers[key] = {
                    "task_suite_id": key[0], "manager_id": key[1], "selection": "TagMatched",
                    "preparation_failures": 0, "retry_after": None, "created_at": db.now,
                }  # fmt: skip
                count += 1
    return count


def _is_finished(db: Tables, suite: Row) -> bool:
    quiet_until: datetime = suite["last_activity_at"] + timedelta(seconds=suite["auto_close_timeout_seconds"])
    may_close_itself = suite["auto_close_timeout_seconds"] > 0 or suite["total_tasks"] > 0
    is_quiet = suite["closed"] or (quiet_until <= db.now and may_close_itself)
    return suite["pending_tasks"] == 0 and bool(is_quiet)


def _count_out(db: Tables, given: Parameters, counter: str) -> Answer:
    suite, count = db.task_suites[given["suite_id"]], given["count"]
    db.task_suites.replace(suite["id"], **{counter: suite[counter] + count},
           pending_tasks=suite["pending_tasks"] - count, last_activity_at=db.now, updated_at=db.now)  # fmt: skip
    return 1
