"""Running something with a supervisor until it is done or a signal comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mitosis_client.local.supervisor import Supervisor

R = TypeVar("R")


class Stopped(Exception):
    """SIGINT or SIGTERM ended it, and everything was shut down; `forced` when a second signal had to."""

    def __init__(self, signum: int, *, forced: bool) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.forced = forced


def run(
    supervisor: Supervisor, body: Callable[[Supervisor], Coroutine[Any, Any, R]], report: Callable[[str], None]
) -> R:
    """Starts everything, runs `body`, stops everything, and returns what the body returned.

    The first SIGINT or SIGTERM stops in order, the second kills. Call it on the main thread.
    Raises `Stopped` after a signal, `LocalError` when something does not start.
    """
    return asyncio.run(_run(supervisor, body, report))


async def _run(
    supervisor: Supervisor, body: Callable[[Supervisor], Coroutine[Any, Any, R]], report: Callable[[str], None]
) -> R:
    async def inside() -> R:
        async with supervisor:
            work = asyncio.create_task(body(supervisor))
            failure = asyncio.create_task(supervisor.wait_failed())
            try:
                await asyncio.wait([work, failure], return_when=asyncio.FIRST_COMPLETED)
                if failure.done() and not work.done():
                    await failure
                return await work
            finally:
                work.cancel()
                failure.cancel()
                await asyncio.gather(work, failure, return_exceptions=True)

    received: list[int] = []

    def on_signal(signum: int) -> None:
        received.append(signum)
        if len(received) == 1:
            report("Stopping; once more kills everything at once")
            task.cancel()
        else:
            supervisor.kill()

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(inside())
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, on_signal, signum)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise Stopped(received[0], forced=len(received) > 1) from None
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
