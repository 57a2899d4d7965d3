"""What a session knows of the tasks that its holder has."""

from __future__ import annotations

from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.sessions.held import HeldTasks
from mitosis_coordinator.storage.tasks import ClaimedTask


def claimed(*names: str, attempt: int = 1) -> list[ClaimedTask]:
    return [ClaimedTask(name, attempt, b"", 0) for name in names]


def refs(*names: str, attempt: int = 1) -> list[AttemptRef]:
    return [AttemptRef(name, attempt) for name in names]


def test_only_the_attempt_that_was_sent_last_comes_back() -> None:
    held = HeldTasks()
    held.sent(claimed("a", "b"))
    held.sent(claimed("a", attempt=2))
    held.came_back([*refs("a"), *refs("c")])
    assert held.refs() == {*refs("a", attempt=2), *refs("b")}
    held.came_back([*refs("a", attempt=2), *refs("b")])
    assert len(held) == 0


def test_what_is_cancelled_during_a_claim_is_not_sent_after_the_order_to_stop_it() -> None:
    held = HeldTasks()
    held.cancelled(refs("a"))
    held.claim_begins()
    held.cancelled(refs("b"))
    held.cancelled(refs("c", attempt=2))
    assert held.without_cancelled(claimed("a", "b", "c")) == claimed("a", "c")


def test_a_comparison_says_what_was_taken_away_and_what_was_never_sent() -> None:
    held = HeldTasks()
    held.take_over(refs("kept", "taken", "ended meanwhile"))
    before = held.refs()
    held.came_back(refs("ended meanwhile"))
    held.sent(claimed("sent meanwhile"))
    believed = {*refs("kept", "unheard"), *refs("taken", attempt=2)}
    assert held.revoked(before, believed) == refs("taken")
    assert set(held.unheard(believed)) == {*refs("unheard"), *refs("taken", attempt=2)}
