"""Hints between the parts of one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID


class SignalHub:
    """Wakes whoever waits for a suite, for work, or for a deadline. Waking twice wakes once."""

    def __init__(self) -> None:
        self._watchers: dict[UUID, set[asyncio.Event]] = {}
        self._feeders: dict[UUID, set[asyncio.Event]] = {}
        self._group_feeders: dict[UUID, set[asyncio.Event]] = {}
        self._on_work: list[Callable[[], None]] = []
        self._on_deadline: list[Callable[[], None]] = []
        self._on_tail: list[Callable[[UUID], None]] = []
        self.closing = False

    def suite_changed(self, suite_id: UUID) -> None:
        """Wake those who watch the suite."""
        for event in self._watchers.get(suite_id, ()):
            event.set()

    def tasks_ready(self, suite_id: UUID) -> None:
        """Wake the sessions that hold the suite, and whoever finds managers for suites."""
        for event in self._feeders.get(suite_id, ()):
            event.set()
        for notify in self._on_work:
            notify()

    def independent_tasks_ready(self, group_id: UUID) -> None:
        """Wake the sessions of the workers that run the group's tasks of no suite."""
        for event in self._group_feeders.get(group_id, ()):
            event.set()

    def manager_changed(self, manager_id: UUID) -> None:
        """Wake whoever finds suites for managers."""
        for notify in self._on_work:
            notify()

    def deadline_changed(self) -> None:
        """Wake the duties that sleep until something falls due."""
        for notify in self._on_deadline:
            notify()

    async def close(self) -> None:
        """Wake everybody who watches a suite, to see that `closing` is true."""
        self.closing = True
        for events in self._watchers.values():
            for event in events:
                event.set()

    def tail_reached(self, suite_id: UUID) -> None:
        """Wake whoever levels tails: a holder of the suite has nothing to run, or more than it runs."""
        for notify in self._on_tail:
            notify(suite_id)

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
    def watching(self, suite_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the suite changes."""
        with _registered(self._watchers, suite_id, asyncio.Event()) as event:
            yield event

    @contextmanager
    def feeding(self, suite_id: UUID, event: asyncio.Event) -> Iterator[None]:
        """Have `event` set whenever the suite has tasks to hand out."""
        with _registered(self._feeders, suite_id, event):
            yield

    @contextmanager
    def feeding_group(self, group_id: UUID, event: asyncio.Event) -> Iterator[None]:
        """Have `event` set whenever the group has tasks of no suite to hand out."""
        with _registered(self._group_feeders, group_id, event):
            yield


@contextmanager
def _registered(table: dict[UUID, set[asyncio.Event]], key: UUID, event: asyncio.Event) -> Iterator[asyncio.Event]:
    table.setdefault(key, set()).add(event)
    try:
        yield event
    finally:
        table[key].discard(event)
        if not table[key]:
            del table[key]
