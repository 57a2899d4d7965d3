"""From where a session claims: behind what it claimed, unless something may be in front of that."""

from __future__ import annotations

from mitosis_coordinator.sessions.front import QueueFront
from mitosis_coordinator.storage.tasks import ClaimedTask, QueuePlace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def claimed(*numbers: int, priority: int = 0) -> list[ClaimedTask]:
    return [ClaimedTask(f"task-{number}", 1, b"", priority) for number in numbers]


def look(front: QueueFront, clock: Clock, *, seconds: float) -> None:
    """Claim from the beginning, so slowly."""
    assert front.begin() is None
    clock.now += seconds
    front.end(claimed(1, 2), enough=True)


def test_the_first_claim_looks_from_the_beginning_and_the_next_go_on() -> None:
    clock = Clock()
    front = QueueFront(clock)
    look(front, clock, seconds=0.001)
    assert front.begin() == QueuePlace(0, "task-2")
    front.end(claimed(3, 4, priority=-1), enough=True)
    assert front.begin() == QueuePlace(-1, "task-4")


def test_a_claim_that_finds_too_little_is_repeated_from_the_beginning() -> None:
    clock = Clock()
    front = QueueFront(clock)
    look(front, clock, seconds=10.0)
    assert front.begin() is not None
    front.end(claimed(3), enough=False)
    assert front.begin() is None
    front.end([], enough=False)
    assert front.begin() is None


def test_a_failed_claim_changes_nothing() -> None:
    clock = Clock()
    front = QueueFront(clock)
    assert front.begin() is None
    assert front.begin() is None
    front.end(claimed(1), enough=True)
    assert front.begin() == front.begin() == QueuePlace(0, "task-1")


def test_after_a_hint_the_next_claim_looks_from_the_beginning_where_that_is_cheap() -> None:
    clock = Clock()
    front = QueueFront(clock)
    look(front, clock, seconds=0.04)
    front.rewind()
    look(front, clock, seconds=0.04)
    assert front.begin() is not None


def test_a_hint_that_comes_while_a_claim_looks_is_not_lost() -> None:
    clock = Clock()
    front = QueueFront(clock)
    assert front.begin() is None
    front.rewind()
    front.end(claimed(1), enough=True)
    assert front.begin() is None


def test_looks_that_take_long_are_rare() -> None:
    clock = Clock()
    front = QueueFront(clock)
    look(front, clock, seconds=0.55)
    looks = 0
    for number in range(1100):
        front.rewind()
        looks += front.begin() is None
        clock.now += 0.01
        front.end(claimed(number), enough=True)
        if looks:
            break
    # Twenty times what it took beyond the twentieth of a second that is always granted.
    assert looks == 1
    assert 10.0 <= clock.now - 100.55 <= 10.1


def test_without_a_hint_there_is_a_look_every_few_seconds() -> None:
    clock = Clock()
    front = QueueFront(clock)
    look(front, clock, seconds=0.001)
    clock.now += 4.9
    assert front.begin() is not None
    front.end(claimed(3), enough=True)
    clock.now += 0.2
    assert front.begin() is None
