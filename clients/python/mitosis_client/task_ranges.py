"""The UUIDs of many tasks, without holding them; see `mitosis_client.models`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

from mitosis_client.models import Model


@dataclass(frozen=True, slots=True)
class TaskRange(Model):
    """`count` tasks whose UUIDs count up by one from `first_task_uuid`."""

    first_task_uuid: str = ""
    count: int = 0

    @property
    def uuids(self) -> Sequence[str]:
        """All UUIDs, in the order of the tasks; each is made when it is asked for."""
        return TaskUuids((self,))


@dataclass(frozen=True, slots=True)
class StoredTasks(Model):
    """What a stream of tasks was stored as: one range for each batch, in order."""

    task_count: int = 0
    ranges: tuple[TaskRange, ...] = ()

    @property
    def uuids(self) -> Sequence[str]:
        """All UUIDs, in the order of the tasks; each is made when it is asked for."""
        return TaskUuids(self.ranges)


class TaskUuids(Sequence[str]):
    """The UUIDs of ranges, one range after the other."""

    def __init__(self, ranges: Iterable[TaskRange]) -> None:
        kept = [(int(item.first_task_uuid.replace("-", ""), 16), item.count) for item in ranges if item.count]
        self._firsts = [first for first, _ in kept]
        self._ends = list(accumulate(count for _, count in kept))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        number = bisect_right(self._ends, place)
        begin = self._ends[number - 1] if number else 0
        return _text(self._firsts[number] + place - begin)

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for first, end in zip(self._firsts, self._ends, strict=True):
            yield from map(_text, range(first, first + end - begin))
            begin = end


def _text(number: int) -> str:
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
