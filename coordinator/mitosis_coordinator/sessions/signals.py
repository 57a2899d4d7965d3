"""Hints between the parts of one process, and from and to the other coordinators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from mitosis_coordinator.domain.hints import Hint, HintKind, Tell, tell_nobody

Waiter = TypeVar("Waiter")


class Watch:
    """What wakes somebody who watches a suite: `changed` by anything, `ended` when the suite is final as well."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.ended = asyncio.Event()


class SignalHub:
    """Wakes whoever waits for a suite, for work, or for a deadline. Waking twice wakes once.

    `tell` passes on what concerns other coordinators; `hear` is the other end of that.
    """

    def __init__(self, tell: Tell = tell_nobody) -> None:
        self._tell = tell
        self._watchers: dict[UUID, set[Watch]] = {}
        self._feeders: dict[UUID, set[Callable[[], None]]] = {}
        self._group_feeders: dict[UUID, set[Callable[[], None]]] = {}
        self._on_work: list[Callable[[], None]] = []
        self._on_deadline: list[Callable[[], None]] = []
        self._on_tail: list[Callable[[UUID], None]] = []
        self.closing = False

    def suite_changed(self, suite_id: UUID) -> None:
        """Wake those who watch the suite."""
        self._announce(Hint(HintKind.SUITE_CHANGED, suite_id))

    def suite_ended(self, suite_id: UUID) -> None:
        """Wake those who watch the suite, without the pause that they make between two changes."""
        for watch in self._watchers.get(suite_id, ()):
            watch.ended.set()
        self.suite_changed(suite_id)

    def tasks_ready(self, suite_id: UUID) -> None:
        """Wake the sessions that hold the suite, and whoever finds managers for suites."""
        self._announce(Hint(HintKind.TASKS_READY, suite_id))

    def independent_tasks_ready(self, group_id: UUID) -> None:
        """Wake the sessions of the workers that run the group's tasks of no suite."""
        self._announce(Hint(HintKind.INDEPENDENT_TASKS_READY, group_id))

    def manager_changed(self, manager_id: UUID) -> None:
        """Wake whoever finds suites for managers: here, where the manager is connected."""
        _call(self._on_work)

    def deadline_changed(self) -> None:
        """Wake the duties that sleep until something falls due."""
        self._announce(Hint(HintKind.DEADLINE_CHANGED))

    def hear(self, hint: Hint) -> None:
        """Wake those in this process whom a hint is for."""
        match hint:
            case Hint(HintKind.SUITE_CHANGED, UUID() as suite_id):
                _set(watch.changed for watch in self._watchers.get(suite_id, ()))
            case Hint(HintKind.TASKS_READY, UUID() as suite_id):
                _call(self._feeders.get(suite_id, ()))
                _call(self._on_work)
            case Hint(HintKind.INDEPENDENT_TASKS_READY, UUID() as group_id):
                _call(self._group_feeders.get(group_id, ()))
            case Hint(HintKind.TAIL_REACHED, UUID() as suite_id):
                for notify in self._on_tail:
                    notify(suite_id)
            case Hint(HintKind.DEADLINE_CHANGED):
                _call(self._on_deadline)
            case Hint(HintKind.EVERYTHING):
                self._wake_watchers()
                for table in (self._feeders, self._group_feeders):
                    for feeders in table.values():
                        _call(feeders)
                _call(self._on_work)
                _call(self._on_deadline)

    async def close(self) -> None:
        """Wake everybody who watches a suite, to see that `closing` is true."""
        self.closing = True
        self._wake_watchers()

    def tail_reached(self, suite_id: UUID) -> None:
        """Wake whoever levels tails: a holder of the suite has nothing to run, or more than it runs."""
        self._announce(Hint(HintKind.TAIL_REACHED, suite_id))

    def on_work(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever a manager may get a suite."""
        self._on_work.append(notify)

    def on_deadline(self, notify: Callable[[], None]) -> None:
        """Call `notify` whenever something falls due that was not known before."""
        self._on_deadline.append(notify)

    def on_tail(self, notify: Callable[[UUID], None]) -> None:
        """Call `notify` with a suite whose tasks may be spread unevenly among its holders."""
        self._on_tail.append(notify)

    @contextmanager
    def watching(self, suite_id: UUID) -> Iterator[Watch]:
        """Events that are set whenever the suite changes."""
        with _registered(self._watchers, suite_id, Watch()) as watch:
            yield watch

    @contextmanager
    def feeding(self, suite_id: UUID, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` whenever the suite has tasks to hand out."""
        with _registered(self._feeders, suite_id, notify):
            yield

    @contextmanager
    def feeding_group(self, group_id: UUID, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` whenever the group has tasks of no suite to hand out."""
        with _registered(self._group_feeders, group_id, notify):
            yield

    def _wake_watchers(self) -> None:
        for watches in self._watchers.values():
            _set(watch.changed for watch in watches)

    def _announce(self, hint: Hint) -> None:
        self.hear(hint)
        self._tell(hint)


def _set(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        event.set()


def _call(notified: Iterable[Callable[[], None]]) -> None:
    for notify in notified:
        notify()


@contextmanager
def _registered(table: dict[UUID, set[Waiter]], key: UUID, waiter: Waiter) -> Iterator[Waiter]:
    table.setdefault(key, set()).add(waiter)
    try:
        yield waiter
    finally:
        table[key].discard(waiter)
        if not table[key]:
            del table[key]
