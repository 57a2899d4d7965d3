"""Identifiers: UUIDv7 (RFC 9562), which sort in the order they were made."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import overload
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_RAND_B_BITS = 62
_HEADROOM_BITS = 32
MAX_BLOCK = 1 << _HEADROOM_BITS


class UuidBlock(Sequence[UUID]):
    """Consecutive identifiers that share all but their last 32 bits.

    Making a `UUID` costs more than storing a task, so the two forms that thousands are needed in are made without.
    """

    def __init__(self, first: UUID, count: int) -> None:
        self._first = first
        self._numbers = range(first.int & (MAX_BLOCK - 1), (first.int & (MAX_BLOCK - 1)) + count)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> UUID: ...

    @overload
    def __getitem__(self, index: slice) -> list[UUID]: ...

    def __getitem__(self, index: int | slice) -> UUID | list[UUID]:
        base = self._first.int & ~(MAX_BLOCK - 1)
        if isinstance(index, slice):
            return [UUID(int=base | number) for number in self._numbers[index]]
        return UUID(int=base | self._numbers[index])

    def binary(self) -> list[bytes]:
        """The 16 bytes of each."""
        head = self._first.bytes[:12]
        return [head + number.to_bytes(4, "big") for number in self._numbers]

    def texts(self) -> list[str]:
        """The usual form of each."""
        head = str(self._first)[:28]
        return [f"{head}{number:08x}" for number in self._numbers]


class UuidFactory:
    """Makes UUIDv7s that never go back within the process, even when the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._last_rand_a = 0

    def _base(self) -> int:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # The top bit stays clear so that a busy millisecond can count up.
                self._last_rand_a = int.from_bytes(os.urandom(2)) & 0x7FF
            elif self._last_rand_a < 0xFFF:
                self._last_rand_a += 1
            else:
                self._last_ms += 1
                self._last_rand_a = 0
            timestamp, rand_a = self._last_ms, self._last_rand_a
        rand_b = int.from_bytes(os.urandom(8)) & ((1 << _RAND_B_BITS) - 1)
        return (timestamp << 80) | (rand_a << 64) | _VERSION_AND_VARIANT | rand_b

    def new(self) -> UUID:
        """Make one identifier."""
        return UUID(int=self._base())

    def block(self, count: int) -> UuidBlock:
        """Make `count` identifiers in ascending order that share one random base.

        Raises:
            ValueError: `count` is negative or above `MAX_BLOCK`.
        """
        if not 0 <= count <= MAX_BLOCK:
            raise ValueError(f"count: given {count}; accepts 0 to {MAX_BLOCK}")
        # The low bits are cleared so that counting up never carries into the variant.
        return UuidBlock(UUID(int=self._base() & ~(MAX_BLOCK - 1)), count)


_factory = UuidFactory()
new_uuid = _factory.new
uuid_block = _factory.block
