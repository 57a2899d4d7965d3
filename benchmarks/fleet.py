"""Many managers in one process: each with a connection of its own, on the managers' stream, doing no work."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import grpc.aio
from google.protobuf.message import Message

from benchmarks.harness import Mitosis
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_client import AsyncClient, Registration
from tests.support.scripted_manager import ScriptedManager

TAG = "fleet"
HEARTBEAT_SECONDS = 30
_IN_FLIGHT = 64
# Without the first, channels to one address share a connection; the others bound how late a restart is noticed.
_CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]
_LOST = (AssertionError, TimeoutError, asyncio.InvalidStateError, grpc.aio.AioRpcError)


class _Member(ScriptedManager):
    """A scripted manager whose signs of life come between its other messages: a call takes one write at a time."""

    patience_seconds = 900.0

    def __init__(self, channel: grpc.aio.Channel, name: str, registered: Registration) -> None:
        super().__init__(channel, name, registered.manager.uuid, registered.token, [TAG], 1)
        self._writing = asyncio.Lock()

    async def send(self, **message: Message) -> None:
        async with self._writing:
            await super().send(**message)


class Fleet:
    """Connected managers with the tag `fleet`, which give their signs of life."""

    def __init__(self, managers: Sequence[ScriptedManager], register_seconds: float) -> None:
        self.managers = managers
        # Until all had their tokens, and then until all streams were open.
        self.register_seconds = register_seconds
        self.connect_seconds = 0.0

    async def connect(self) -> None:
        """Attach every manager for the first time."""
        began = time.perf_counter()
        await self.each(lambda manager: manager.attach())
        self.connect_seconds = time.perf_counter() - began

    async def each(self, act: Callable[[ScriptedManager], Awaitable[object]], *, in_flight: int = _IN_FLIGHT) -> None:
        """Let every manager do something, so many at a time."""
        slots = asyncio.Semaphore(in_flight)

        async def one(manager: ScriptedManager) -> None:
            async with slots:
                await act(manager)

        await asyncio.gather(*(one(manager) for manager in self.managers))

    async def all_at_once(self, act: Callable[[ScriptedManager], Awaitable[object]]) -> None:
        """Let every manager do something that waits for the coordinator rather than for us."""
        await self.each(act, in_flight=len(self.managers))

    async def reconnect(self, timeout: float) -> None:
        """Wait for all streams to end, and attach every manager again, as often as it takes.

        Raises:
            TimeoutError: Not all were attached in time.
        """
        async with asyncio.timeout(timeout):
            await self.all_at_once(_come_back)

    async def beat(self) -> None:
        """Give signs of life for ever, spread over the interval."""
        while True:
            for manager in self.managers:
                # One that is just reconnecting gives its sign of life by that.
                with contextlib.suppress(*_LOST):
                    await manager.send(heartbeat=pb.Heartbeat(state=manager.state))
                await asyncio.sleep(HEARTBEAT_SECONDS / len(self.managers))


def allow_connections() -> None:
    """Let this process and those it starts have as many open files as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.asynccontextmanager
async def fleet(mitosis: Mitosis, client: AsyncClient, size: int) -> AsyncIterator[Fleet]:
    """Register and connect so many managers, and disconnect them at the end."""
    slots = asyncio.Semaphore(_IN_FLIGHT)
    memberships = [{"group_name": "default", "role": "Worker"}]
    async with contextlib.AsyncExitStack() as stack:

        async def register(number: int) -> _Member:
            async with slots:
                name = f"{TAG}-{number}"
                registered = await client.register_manager(
                    name, group_memberships=memberships, tags=[TAG], max_workers=1
                )
            channel = grpc.aio.insecure_channel(mitosis.address, options=_CHANNEL_OPTIONS)
            await stack.enter_async_context(channel)
            return _Member(channel, name, registered)

        began = time.perf_counter()
        managers = await asyncio.gather(*(register(number) for number in range(size)))
        connected = Fleet(managers, time.perf_counter() - began)
        await connected.connect()
        beating = asyncio.create_task(connected.beat())
        try:
            yield connected
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await connected.all_at_once(lambda manager: manager.drop())


async def _come_back(manager: ScriptedManager) -> None:
    with contextlib.suppress(*_LOST):
        await manager.ended()
    while True:
        await manager.drop()
        try:
            await manager.attach()
        except _LOST:
            await asyncio.sleep(random.uniform(0.1, 1.0))
        else:
            return
