"""What waits to be sent to one holder."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from mitosis_coordinator.sessions.messages import TaskBatch

Message = TypeVar("Message")

MAX_MESSAGES = 10_000
"""Far above what the protocol needs; a holder that lets more pile up reads no more."""

ROOM_BYTES = 8 * 1024 * 1024
"""Tasks that may wait to be sent before no more are claimed."""


class OutboxFull(Exception):
    """The holder does not read what it is sent."""


class Outbox(Generic[Message]):
    """A queue that ends: what was put before `close` is still sent."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Queue a message; nothing happens after `close`.

        Raises:
            OutboxFull: Too much waits already.
        """
        if self._closed:
            return
        if len(self._messages) >= MAX_MESSAGES:
            raise OutboxFull
        self._messages.append(message)
        self._count(_size(message))
        self._changed.set()

    async def room(self) -> None:
        """Wait until so little waits that more tasks may be claimed."""
        await self._has_room.wait()

    def close(self) -> None:
        """Send what waits, and end."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._count(-_size(message))
                yield message
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes < ROOM_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()


def _size(message: object) -> int:
    return sum(len(task.spec) for task in message.tasks) if isinstance(message, TaskBatch) else 0
