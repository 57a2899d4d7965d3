"""Hints on the wire: whole, bounded, and never misread as fewer than they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis_coordinator.domain.hints import MAX_PAYLOAD_BYTES, Hint, HintKind, decode, encode
from mitosis_coordinator.domain.ids import new_uuid

SENDER = new_uuid()
EVERYTHING = Hint(HintKind.EVERYTHING)
WITHOUT_SUBJECT = {HintKind.DEADLINE_CHANGED, HintKind.EVERYTHING}
without_subject = st.sampled_from(sorted(WITHOUT_SUBJECT)).map(Hint)
with_subject = st.builds(
    Hint, st.sampled_from(sorted(set(HintKind) - WITHOUT_SUBJECT)), st.uuids(), st.integers(0, 1000)
)


@given(st.sets(with_subject | without_subject, max_size=150))
def test_what_is_told_is_heard(hints: set[Hint]) -> None:
    sender, heard = decode(encode(SENDER, hints))
    assert sender == SENDER
    assert len(heard) == len(hints)
    assert set(heard) == hints


def test_more_than_one_notification_carries_becomes_everything() -> None:
    hints = [Hint(HintKind.TASKS_READY, new_uuid()) for _ in range(300)]
    payload = encode(SENDER, hints)
    assert decode(payload) == (SENDER, [EVERYTHING])
    assert len(encode(SENDER, hints[:240])) <= MAX_PAYLOAD_BYTES
    assert len(decode(encode(SENDER, hints[:240]))[1]) == 240


@pytest.mark.parametrize(
    "word",
    [
        "recall:0123",
        "tasks_ready",
        "tasks_ready:",
        "tasks_ready:zz",
        "holder:1,2",
        f"recall:{'0' * 32}=x",
        "later_kind",
    ],
)
def test_what_a_newer_version_says_means_everything(word: str) -> None:
    known = Hint(HintKind.HOLDER, new_uuid())
    _, heard = decode(f"{encode(SENDER, [known])} {word}")
    assert heard == [known, EVERYTHING]


@pytest.mark.parametrize("payload", ["", "nonsense", " holder", "12 everything"])
def test_what_nobody_could_have_sent_means_everything(payload: str) -> None:
    assert decode(payload) == (None, [EVERYTHING])
