"""UUIDv7 that sort in the order they were made."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122

import pytest

from mitosis_coordinator.domain.ids import MAX_BLOCK, UuidBlock, UuidFactory, new_uuid, uuid_block


def test_an_identifier_is_a_uuid_of_version_7_that_holds_the_time() -> None:
    before = time.time_ns() // 1_000_000
    identifier = UuidFactory().new()
    after = time.time_ns() // 1_000_000
    assert (identifier.version, identifier.variant) == (7, RFC_4122)
    assert before <= identifier.int >> 80 <= after


def test_identifiers_ascend() -> None:
    made = [new_uuid() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert all((one.version, one.variant) == (7, RFC_4122) for one in made)


def test_identifiers_ascend_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = UuidFactory()
    first = factory.new()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    made = [factory.new() for _ in range(10_000)]
    assert [first, *made] == sorted({first, *made})


def test_threads_never_draw_the_same_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = [one for many in threads.map(lambda _: [new_uuid() for _ in range(2_000)], range(4)) for one in many]
    assert len(set(made)) == len(made)


def test_a_block_counts_up_from_one_base() -> None:
    before = new_uuid()
    block = uuid_block(1000)
    after = new_uuid()
    assert [one.int - block[0].int for one in block] == list(range(1000))
    assert before < block[0]
    assert block[-1] < after
    assert all((one.version, one.variant) == (7, RFC_4122) for one in block)


def test_a_block_has_the_same_identifiers_in_every_form() -> None:
    block = uuid_block(300)
    assert block.texts() == [str(one) for one in block]
    assert block.binary() == [one.bytes for one in block]
    assert block[250:260] == list(block)[250:260]
    assert UuidBlock(block[0], 300)[299] == block[-1]


def test_blocks_ascend_and_do_not_overlap() -> None:
    blocks = [uuid_block(100) for _ in range(200)]
    made = [one for block in blocks for one in block]
    assert made == sorted(set(made))


@pytest.mark.parametrize("count", [-1, MAX_BLOCK + 1])
def test_a_block_of_an_impossible_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="accepts 0 to"):
        uuid_block(count)


def test_a_block_may_be_empty() -> None:
    assert len(uuid_block(0)) == 0
