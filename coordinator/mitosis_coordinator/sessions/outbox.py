"""What waits to be sent to one manager."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from mitosis_coordinator.sessions.messages import Outgoing

MAX_MESSAGES = 10_000
"""Far above what credit allows; a manager that lets more pile up reads no more."""


class OutboxFull(Exception):
    """The manager does not read what it is sent."""


class Outbox:
    """A queue that ends: what was put before `close` is still sent."""

    def __init__(self) -> None:
        self._messages: deque[Outgoing] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, message: Outgoing) -> None:
        """Queue a message; nothing happens after `close`.

        Raises:
            OutboxFull: Too much waits already.
        """
        if self._closed:
            return
        if len(self._messages) >= MAX_MESSAGES:
            raise OutboxFull
        self._messages.append(message)
        self._changed.set()

    def close(self) -> None:
        """Send what waits, and end."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Outgoing]:
        while True:
            while self._messages:
                yield self._messages.popleft()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
