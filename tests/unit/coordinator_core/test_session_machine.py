"""Credit: never more sent than granted, void for what is over, claims of a bounded size."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mitosis_coordinator.domain.errors import WrongState
from mitosis_coordinator.sessions import machine
from mitosis_coordinator.sessions.machine import (
    MAX_CLAIM,
    SESSION,
    TARGET_BATCH_BYTES,
    Phase,
    SessionEvent,
    SessionState,
)

SUITE_ID = UUID(int=7)
CREDIT = st.integers(-10, 5 * MAX_CLAIM)


def holding(assignment_id: int = 1) -> SessionState:
    return machine.taken(SessionState(), SessionEvent.ASSIGNED, assignment_id, SUITE_ID)


class Credit(RuleBasedStateMachine):
    """Any order of assignments, credit, claims and endings."""

    def __init__(self) -> None:
        super().__init__()
        self.state = SessionState()
        self.next_assignment = 1

    @precondition(lambda self: self.state.phase is Phase.IDLE)
    @rule(event=st.sampled_from([SessionEvent.ASSIGNED, SessionEvent.RESUMED, SessionEvent.ABORTED]))
    def take(self, event: SessionEvent) -> None:
        self.state = machine.taken(self.state, event, self.next_assignment, SUITE_ID)
        self.next_assignment += 1
        assert self.state.claimable() == 0

    @precondition(lambda self: self.state.phase is not Phase.IDLE)
    @rule()
    def take_a_second(self) -> None:
        with pytest.raises(WrongState):
            machine.taken(self.state, SessionEvent.ASSIGNED, self.next_assignment, SUITE_ID)

    @rule(granted=CREDIT, age=st.integers(0, 2))
    def grant(self, granted: int, age: int) -> None:
        assignment_id = self.next_assignment - 1 - age
        before, self.state = self.state, machine.credited(self.state, assignment_id, granted)
        if before.assignment_id != assignment_id:
            assert self.state is before
        else:
            assert self.state.granted_total == granted
            assert self.state.sent_total == before.sent_total

    @rule(share=st.floats(0, 1), spec_bytes=st.integers(0, 2 * TARGET_BATCH_BYTES))
    def claim(self, share: float, spec_bytes: int) -> None:
        limit = self.state.claimable()
        count = int(limit * share)
        self.state = machine.sent(self.state, count, spec_bytes * count)
        if count:
            assert self.state.phase is Phase.HOLDING
            assert self.state.sent_total <= self.state.granted_total
        assert self.state.claimable() <= MAX_CLAIM
        if self.state.claimable() > 1 and count:
            assert self.state.claimable() * spec_bytes <= TARGET_BATCH_BYTES

    @rule()
    def want_release(self) -> None:
        before, self.state = self.state, machine.release_wanted(self.state)
        assert (before is self.state) == (before.phase is not Phase.HOLDING)
        assert self.state.claimable() == 0

    @rule(age=st.integers(0, 2), wants_more=st.booleans())
    def finish(self, age: int, wants_more: bool) -> None:
        assignment_id = self.next_assignment - 1 - age
        before, self.state = self.state, machine.finished(self.state, assignment_id, wants_more=wants_more)
        event = SessionEvent.FINISHED if wants_more else SessionEvent.REFUSED
        if before.assignment_id == assignment_id:
            assert self.state == SessionState(phase=SESSION.after(before.phase, event))
        else:
            assert self.state is before

    @rule()
    def be_idle_again(self) -> None:
        before, self.state = self.state, machine.idle_again(self.state)
        assert (before is self.state) == (before.phase is not Phase.UNAVAILABLE)

    @rule()
    def want_shutdown(self) -> None:
        before, self.state = self.state, machine.shutdown_wanted(self.state)
        assert self.state.phase is Phase.LEAVING
        assert self.state.assignment_id == before.assignment_id

    @invariant()
    def only_a_holder_claims(self) -> None:
        assert self.state.claimable() >= 0
        if self.state.phase is not Phase.HOLDING:
            assert self.state.claimable() == 0
        if self.state.assignment_id is None:
            assert self.state.granted_total == self.state.sent_total == 0


TestCredit = Credit.TestCase
TestCredit.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(granted=CREDIT, sent=st.integers(1, MAX_CLAIM))
def test_credit_taken_back_does_not_take_back_what_was_sent(granted: int, sent: int) -> None:
    state = machine.credited(holding(), 1, sent)
    state = machine.sent(state, sent, 0)
    state = machine.credited(state, 1, granted)
    assert state.claimable() == min(MAX_CLAIM, max(0, granted - sent))
    assert state.sent_total == sent


def test_credit_of_an_assignment_that_is_over_is_void() -> None:
    state = machine.finished(machine.credited(holding(1), 1, 100), 1, wants_more=True)
    state = machine.taken(state, SessionEvent.ASSIGNED, 2, SUITE_ID)
    assert machine.credited(state, 1, 100).claimable() == 0
    assert machine.credited(state, 2, 5).claimable() == 5


def test_the_same_credit_again_changes_nothing() -> None:
    state = machine.credited(holding(), 1, 10)
    state = machine.sent(state, 10, 0)
    assert machine.credited(state, 1, 10) == state


@pytest.mark.parametrize(
    ("spec_bytes", "expected"),
    [(0, MAX_CLAIM), (1, MAX_CLAIM), (4096, 512), (TARGET_BATCH_BYTES, 1), (16 * TARGET_BATCH_BYTES, 1)],
)
def test_a_claim_is_as_large_as_a_full_message(spec_bytes: int, expected: int) -> None:
    state = machine.sent(machine.credited(holding(), 1, 1_000_000), 10, 10 * spec_bytes)
    assert state.claimable() == expected


def test_an_empty_claim_tells_nothing_of_sizes() -> None:
    state = machine.sent(machine.credited(holding(), 1, 100), 10, 10_000)
    assert machine.sent(state, 0, 0) is state


def test_a_finish_of_another_assignment_is_not_ours() -> None:
    state = holding(2)
    assert machine.finished(state, 1, wants_more=True) is state
    assert not state.holds(1)
