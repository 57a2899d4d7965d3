"""What waits at a manager starts by priority, and in the order in which it came among equals."""

from __future__ import annotations

import signal
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr.deaths import Death
from mitosis_nodemgr.task_book import Counters, TaskBook

PRIORITIES = st.lists(st.integers(-2, 2), max_size=8)


def assigned(*tasks: tuple[str, int]) -> list[stream.AssignedTask]:
    return [stream.AssignedTask(task_uuid=name, attempt=1, priority=priority) for name, priority in tasks]


def drained(book: TaskBook) -> list[str]:
    """What the book gives to one worker, task after task."""
    return [task.uuid for _ in range(book.waiting) for task in book.give(0, 1, 0.0)]


@given(batches=st.lists(PRIORITIES, max_size=5))
def test_batches_are_merged_by_priority_and_arrival(batches: list[list[int]]) -> None:
    book, numbers = TaskBook(1, Counters()), count()
    arrived = [[(str(next(numbers)), priority) for priority in batch] for batch in batches]
    for batch in arrived:
        book.receive(assigned(*batch))
    together = [task for batch in arrived for task in batch]
    assert drained(book) == [name for name, _ in sorted(together, key=lambda task: -task[1])]


def test_a_task_of_higher_priority_goes_ahead_of_a_full_buffer() -> None:
    book = TaskBook(1, Counters())
    book.receive(assigned(*((f"low{number}", 0) for number in range(32))))
    [running] = book.give(0, 1, 0.0)
    book.receive(assigned(("urgent", 5)))
    assert running.uuid == "low0"
    assert [task.uuid for task in book.give(1, 1, 0.0)] == ["urgent"]


def test_what_a_dead_worker_had_waits_before_its_equals_and_behind_what_is_more_urgent() -> None:
    book = TaskBook(1, Counters())
    book.receive(assigned(("first", 0), ("second", 0)))
    [task] = book.give(0, 1, 0.0)
    book.receive(assigned(("urgent", 1)))
    book.worker_ended(0, Death(-signal.SIGTERM, wanted=True), task.ordinal, 0.0)
    assert drained(book) == ["urgent", "first", "second"]


def test_the_least_urgent_are_handed_back_first() -> None:
    book = TaskBook(1, Counters())
    book.receive(assigned(("a", 0), ("b", 0), ("c", 0)))
    book.receive(assigned(("urgent", 1)))
    book.recall(2)
    assert [name for name, _ in book.take_returns()] == ["c", "b"]
