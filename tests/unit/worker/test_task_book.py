"""What an independent worker knows of its tasks: credit, reports, cancellations, and what is handed back."""

from __future__ import annotations

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_worker.task_book import TaskBook

DONE, FAILED, CANCELLED = (
    stream.TASK_OUTCOME_COMPLETED,
    stream.TASK_OUTCOME_FAILED,
    stream.TASK_OUTCOME_CANCELLED,
)


def book(*tasks: str, window: int = 2) -> TaskBook:
    """A book that is attached and was sent some tasks."""
    made = TaskBook(window=window)
    made.attached(7, ())
    made.credit()
    made.arrived(batch(*tasks))
    return made


def batch(*tasks: str, assignment_id: int = 7) -> stream.TaskBatch:
    return stream.TaskBatch(
        assignment_id=assignment_id, tasks=[stream.AssignedTask(task_uuid=task, attempt=1) for task in tasks]
    )


def refs(*tasks: str) -> list[stream.TaskAttempt]:
    return [stream.TaskAttempt(task_uuid=task, attempt=1) for task in tasks]


def report(task: str, outcome: stream.TaskOutcome = DONE) -> worker_ipc_pb2.WorkerReport:
    return worker_ipc_pb2.WorkerReport(task_uuid=task, attempt=1, outcome=outcome)


def test_credit_keeps_the_window_full_and_counts_from_each_attach() -> None:
    held = TaskBook(window=2)
    held.attached(7, ())
    assert held.credit() == 2
    assert held.credit() is None
    held.arrived(batch("a", "b"))
    assert held.start_next() is not None
    assert held.credit() is None
    held.ended(report("a"))
    assert held.credit() == 3
    held.attached(7, ())
    assert held.credit() == 1


def test_one_task_runs_at_a_time_in_the_order_in_which_they_came() -> None:
    held = book("a", "b")
    first = held.start_next()
    assert first is not None
    assert first.task_uuid == "a"
    assert held.start_next() is None
    held.ended(report("a"))
    second = held.start_next()
    assert second is not None
    assert second.task_uuid == "b"


def test_a_task_is_reported_once_and_not_told_as_held_any_more() -> None:
    held = book("a")
    held.start_next()
    assert held.keys() == [("a", 1)]
    made = held.ended(report("a"))
    assert isinstance(made, stream.TaskReport)
    assert (made.task_uuid, made.assignment_id, made.outcome) == ("a", 7, DONE)
    assert held.ended(report("a")) is None
    assert held.keys() == []
    assert (held.completed, held.failed) == (1, 0)


def test_what_is_revoked_is_dropped_and_not_reported() -> None:
    held = book("a", "b")
    held.start_next()
    assert held.attached(8, {("a", 1), ("b", 1)})
    assert held.ended(report("a", CANCELLED)) is None
    assert held.keys() == []


def test_cancelled_tasks_that_wait_are_reported_so_and_a_running_one_is_named() -> None:
    held = book("a", "b")
    held.start_next()
    [dropped], runs = held.cancel(refs("b", "unknown"))
    assert (dropped.task_uuid, dropped.outcome, runs) == ("b", CANCELLED, False)
    assert held.cancel(refs("a")) == ([], True)
    made = held.ended(report("a", CANCELLED))
    assert isinstance(made, stream.TaskReport)
    assert (held.completed, held.failed) == (0, 0)


def test_draining_hands_back_what_did_not_start_and_takes_nothing_more() -> None:
    held = book("a", "b")
    held.start_next()
    assert [one.task_uuid for one in held.drain()] == ["b"]
    assert held.credit() is None
    assert [one.task_uuid for one in held.arrived(batch("c"))] == ["c"]
    held.give_back_running()
    assert held.ended(report("a", CANCELLED)) == refs("a")[0]
    assert held.keys() == []


def test_a_task_that_ended_before_it_was_stopped_is_reported() -> None:
    held = book("a")
    held.start_next()
    held.drain()
    held.give_back_running()
    assert isinstance(held.ended(report("a")), stream.TaskReport)


def test_a_task_that_was_taken_and_never_ran_is_handed_back() -> None:
    held = book("a")
    held.start_next()
    assert [one.task_uuid for one in held.abandon_running()] == ["a"]
    assert held.abandon_running() == []


def test_tasks_of_an_assignment_that_is_over_are_handed_back() -> None:
    held = book()
    assert [one.task_uuid for one in held.arrived(batch("late", assignment_id=6))] == ["late"]


def test_tasks_start_by_priority_and_as_they_came_among_equals() -> None:
    book = TaskBook(window=8, assignment_id=7)
    for tasks in ((("a", 0), ("b", 0)), (("urgent", 1), ("c", 0))):
        arriving = [stream.AssignedTask(task_uuid=name, attempt=1, priority=priority) for name, priority in tasks]
        assert not book.arrived(stream.TaskBatch(assignment_id=7, tasks=arriving))
    assert [attempt.task_uuid for attempt in book.drain()] == ["urgent", "a", "b", "c"]
