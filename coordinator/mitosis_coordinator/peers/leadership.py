"""Who does the duties: one coordinator at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Leadership:
    """Whether this coordinator leads now, for those who want to wait for a change."""

    def __init__(self) -> None:
        self._gained = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()

    @property
    def held(self) -> bool:
        """Whether this coordinator leads."""
        return self._gained.is_set()

    def set(self, leads: bool) -> bool:
        """Take note of who leads; whether that is new."""
        if leads is self.held:
            return False
        for event, happened in ((self._gained, leads), (self._lost, not leads)):
            if happened:
                event.set()
            else:
                event.clear()
        return True

    async def work(self, duty: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a duty without end whenever this coordinator leads; it begins anew each time, and is cancelled after it.

        A duty that raises ends this too, with its error.
        """
        while True:
            await self._gained.wait()
            working = asyncio.create_task(duty())
            ended = asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                working.cancel()
                ended.cancel()
                await asyncio.gather(working, ended, return_exceptions=True)
