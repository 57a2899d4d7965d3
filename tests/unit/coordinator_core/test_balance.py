"""Tails are levelled: nobody gives what it runs, nothing moves without need, and nothing moves to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mitosis_coordinator.domain.balance import MAX_RECALLED, Share, recalls

SHARES = st.builds(
    Share,
    workers=st.integers(1, 64),
    held=st.one_of(st.integers(0, 8), st.integers(0, 5000)),
    long_running=st.integers(0, 8),
    bound=st.sampled_from([False, False, False, True]),
)


@st.composite
def tails(draw: st.DrawFn) -> tuple[dict[int, Share], dict[int, int]]:
    shares = draw(st.dictionaries(st.integers(0, 40), SHARES, min_size=1, max_size=12))
    room = {
        key: draw(st.integers(0, 200))
        for key, share in shares.items()
        if share.held < share.workers or draw(st.booleans())
    }
    return shares, room


def after(shares: Mapping[int, Share], room: Mapping[int, int]) -> tuple[dict[int, Share], dict[int, int]]:
    """What is held when everything recalled has gone to those that starve, the emptiest first."""
    given = recalls(shares, room)
    levelled = {key: replace(share, held=share.held - given.get(key, 0)) for key, share in shares.items()}
    left = dict(room)
    for _ in range(sum(given.values())):
        takers = [key for key, count in left.items() if count > 0 and shares[key].held < shares[key].workers]
        taker = min(takers, key=lambda key: levelled[key].held / levelled[key].workers)
        levelled[taker] = replace(levelled[taker], held=levelled[taker].held + 1)
        left[taker] -= 1
    return levelled, left


@given(tails())
def test_a_giver_keeps_one_task_for_each_worker_and_gives_only_what_waits_long(
    tail: tuple[dict[int, Share], dict[int, int]],
) -> None:
    shares, room = tail
    for key, count in recalls(shares, room).items():
        share = shares[key]
        assert key not in room
        assert count >= 1
        assert share.held - count >= share.workers
        assert share.long_running > 0
        assert not share.bound


@given(tails())
def test_no_more_moves_than_the_starving_take(tail: tuple[dict[int, Share], dict[int, int]]) -> None:
    shares, room = tail
    taken = sum(count for key, count in room.items() if shares[key].held < shares[key].workers)
    assert sum(recalls(shares, room).values()) <= min(taken, MAX_RECALLED)


@given(tails())
def test_nothing_moves_when_nobody_starves(tail: tuple[dict[int, Share], dict[int, int]]) -> None:
    shares, room = tail
    assert recalls(shares, {}) == {}
    busy = {key: replace(share, held=max(share.held, share.workers)) for key, share in shares.items()}
    assert recalls(busy, room) == {}


@given(tails())
def test_what_was_levelled_stays_where_it_is(tail: tuple[dict[int, Share], dict[int, int]]) -> None:
    shares, room = tail
    if sum(recalls(shares, room).values()) == MAX_RECALLED:
        # One decision was not enough; the next one goes on.
        return
    levelled, left = after(shares, room)
    assert recalls(levelled, left) == {}


@given(tails())
def test_nobody_is_left_without_work_while_others_hold_what_waits(
    tail: tuple[dict[int, Share], dict[int, int]],
) -> None:
    shares, room = tail
    if sum(recalls(shares, room).values()) == MAX_RECALLED:
        return
    levelled, left = after(shares, room)
    starving = [key for key, count in left.items() if count > 0 and levelled[key].held < levelled[key].workers]
    assert not starving or not any(share.may_give for key, share in levelled.items() if key not in room)


def test_four_long_tasks_and_two_managers_of_two_workers() -> None:
    hoarder, idle = Share(workers=2, held=4, long_running=2), Share(workers=2, held=0)
    assert recalls({"a": hoarder, "b": idle}, {"b": 4}) == {"a": 2}


def test_tasks_that_end_within_a_second_stay_where_they_are() -> None:
    assert recalls({"a": Share(2, 66), "b": Share(2, 0)}, {"b": 66}) == {}


def test_many_short_tasks_behind_long_ones_are_halved() -> None:
    assert recalls({"a": Share(2, 66, long_running=2), "b": Share(2, 0)}, {"b": 66}) == {"a": 33}


def test_the_most_loaded_manager_gives_first() -> None:
    shares = {"a": Share(2, 3, long_running=2), "b": Share(2, 8, long_running=2), "c": Share(4, 1)}
    assert recalls(shares, {"c": 3}) == {"b": 3}


def test_a_manager_that_holds_what_others_may_not_run_gives_nothing() -> None:
    shares = {"a": Share(1, 5, long_running=1, bound=True), "b": Share(1, 0)}
    assert recalls(shares, {"b": 5}) == {}
