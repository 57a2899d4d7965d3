"""Streams between managers and coordinators: in order, delayed, and broken in every way that a network knows."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc
import grpc.aio
from google.rpc import status_pb2  # type: ignore[import-untyped]

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.agent_config import Coordinator as Address
from mitosis_common.dial import DialError, Target
from tests.simulation.clock import SimulatedLoop

# Virtual seconds that a message travels, and until each side learns of a broken connection.
_DELAY_SECONDS = 0.02
_NOTICE_SECONDS = 1.0


_END = object()


class Pipe:
    """One direction of one stream: what is put in comes out in order, later."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self._travelling: deque[object] = deque()
        self._arrived: deque[object] = deque()
        self._last_at = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._broken: BaseException | None = None
        self._stalled = False

    def put(self, message: object) -> None:
        """Send a message."""
        if self._broken is not None:
            return
        self._last_at = max(self._last_at, self._loop.time() + self._rng.uniform(0.0005, _DELAY_SECONDS))
        self._travelling.append(message)
        self._loop.call_at(self._last_at, self._arrive)

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes, after what is on its way."""
        self.put(_END if error is None else error)

    def break_off(self, error: BaseException) -> None:
        """Lose everything that has not been read."""
        if self._broken is None:
            self._broken = error
            self._travelling.clear()
            self._arrived.clear()
            self._wake()

    def stall(self, stalled: bool) -> None:
        """Hold everything back, or let it go on."""
        self._stalled = stalled
        if not stalled:
            self._arrive()

    async def get(self) -> Any:
        """The next message; None at the end. Raises what broke the stream."""
        while True:
            if self._arrived:
                message = self._arrived.popleft()
                if message is _END:
                    return None
                if isinstance(message, BaseException):
                    raise message
                return message
            if self._broken is not None:
                raise self._broken
            self._waiter = self._loop.create_future()
            await self._waiter

    def _arrive(self) -> None:
        """Hand over what is due: after a stall that may be more than one message."""
        if self._stalled:
            return
        # One call for each message, so whoever is called for a message finds at least that one, or it is there.
        due = len(self._travelling) if self._loop.time() >= self._last_at else 1
        for _ in range(min(due, len(self._travelling))):
            self._arrived.append(self._travelling.popleft())
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class StreamCall:
    """A stream, as the manager's `grpc.aio` call and as the coordinator's request iterator."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, ended: Callable[[StreamCall], object]) -> None:
        self._loop = loop
        self._rng = rng
        self._ended = ended
        self.requests = Pipe(loop, rng)
        self.responses = Pipe(loop, rng)
        self.handler: asyncio.Task[None] | None = None
        self.is_open = True

    # --- the manager's side ---

    async def write(self, message: stream.ConnectRequest) -> None:
        self.requests.put(message)

    async def read(self) -> Any:
        message = await self.responses.get()
        return grpc.aio.EOF if message is None else message

    async def done_writing(self) -> None:
        self.requests.end()

    def cancel(self) -> None:
        """The manager lets go: the coordinator sees an end, or has its handler cancelled, as grpcio does."""
        if not self.is_open:
            return
        self.close()
        if self._rng.random() < 0.5:
            self.requests.end()
        self._loop.call_later(self._rng.uniform(0.001, 0.1), self._cancel_handler)

    # --- the coordinator's side ---

    async def incoming(self) -> AsyncIterator[stream.ConnectRequest]:
        """What the manager says."""
        while (message := await self.requests.get()) is not None:
            yield message

    # --- the network ---

    def cut(self) -> None:
        """Break the connection; each side notices in its own time."""
        if not self.is_open:
            return
        self.close()
        lost = error("UNAVAILABLE", "connection lost")
        self._loop.call_later(self._rng.uniform(0, _NOTICE_SECONDS), self.responses.break_off, lost)
        self._loop.call_later(self._rng.uniform(0, _NOTICE_SECONDS), self._cancel_handler)

    def manager_died(self) -> None:
        """The manager's machine closes its sockets."""
        self._loop.call_later(self._rng.uniform(0, _NOTICE_SECONDS), self._cancel_handler)
        self.close()

    def coordinator_died(self) -> None:
        """The coordinator's machine closes its sockets."""
        lost = error("UNAVAILABLE", "connection reset")
        self._loop.call_later(self._rng.uniform(0, _NOTICE_SECONDS), self.responses.break_off, lost)
        self.close()

    def stall(self, stalled: bool) -> None:
        """Hold back, or let go, what is on its way in both directions."""
        self.requests.stall(stalled)
        self.responses.stall(stalled)

    def close(self) -> None:
        """Nothing more can happen to it from outside."""
        if self.is_open:
            self.is_open = False
            self._ended(self)

    def _cancel_handler(self) -> None:
        if self.handler is not None:
            self.handler.cancel()


def error(code: str, details: str, status: status_pb2.Status | None = None) -> grpc.aio.AioRpcError:
    """The error that a manager sees, with the coordinator's details if it came from there."""
    trailers = grpc.aio.Metadata()
    if status is not None:
        trailers.add("grpc-status-details-bin", status.SerializeToString())
    return grpc.aio.AioRpcError(grpc.StatusCode[code], grpc.aio.Metadata(), trailers, details=details)


class Channel:
    """What `ManagerServiceStub` needs of a channel."""

    def __init__(self, connect: Callable[[], StreamCall]) -> None:
        self._connect = connect

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def stream_stream(self, method: str, **_: Any) -> Callable[..., StreamCall]:
        """The stream's method: calling it connects."""
        return lambda metadata: self._connect()

    def unary_unary(self, method: str, **_: Any) -> None:
        """Tokens do not end within a run."""


class Network:
    """Who can reach whom. Coordinators listen by name."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self.listening: dict[str, Callable[[str, StreamCall], None]] = {}
        self.partitioned: set[str] = set()
        self._calls: dict[StreamCall, tuple[str, str]] = {}
        self._stalled: dict[str, list[StreamCall]] = {}

    async def find(self, addresses: Address, turn: int) -> Target:
        """Stands in for `dial.find`: addresses name the manager and the coordinator, `grpc://m0.c1:1`."""
        address = addresses.stream_url[turn % len(addresses.stream_url)]
        manager, _, coordinator = address.removeprefix("grpc://").removesuffix(":1").partition(".")
        if manager in self.partitioned:
            await asyncio.sleep(self._rng.uniform(1, 10))
            raise DialError("no route to host")
        await asyncio.sleep(self._rng.uniform(0, 0.05))
        if coordinator not in self.listening:
            raise DialError("connection refused")
        return Target(f"{manager}.{coordinator}", tls=False)

    async def open_channel(self, target: Target, address: Address) -> Channel:
        """Stands in for `dial.open_channel`."""
        manager, _, coordinator = target.address.partition(".")
        return Channel(lambda: self._connect(manager, coordinator))

    def calls_of(self, *, manager: str = "", coordinator: str = "") -> list[StreamCall]:
        """The open streams of a manager or of a coordinator."""
        return [call for call, ends in self._calls.items() if manager == ends[0] or coordinator == ends[1]]

    def partition(self, manager: str, cut_off: bool) -> None:
        """Cut a manager off from everybody, in silence; or let what it was sent arrive after all."""
        if cut_off:
            self.partitioned.add(manager)
            self._stalled.setdefault(manager, []).extend(self.calls_of(manager=manager))
        else:
            self.partitioned.discard(manager)
        # Those too that one side has given up meanwhile: the other one has yet to hear of it.
        for call in self._stalled.get(manager, []) if cut_off else self._stalled.pop(manager, []):
            call.stall(cut_off)

    def _connect(self, manager: str, coordinator: str) -> StreamCall:
        call = StreamCall(self._loop, self._rng, lambda ended: self._calls.pop(ended, None))
        accept = self.listening.get(coordinator)
        if accept is None or manager in self.partitioned:
            call.is_open = False
            self._loop.call_later(self._rng.uniform(0, 1), call.responses.break_off, error("UNAVAILABLE", "refused"))
            return call
        self._calls[call] = (manager, coordinator)
        accept(manager, call)
        return call
