"""An agent's stream to the coordinator: attaches, carries messages both ways, and comes back when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import grpc
import structlog
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from mitosis.v1 import errors_pb2
from mitosis_common import dial
from mitosis_common.agent_config import Coordinator
from mitosis_common.backoff import Backoff
from mitosis_common.token_file import Token, TokenError, seconds_to_refresh

ATTACH_TIMEOUT_SECONDS = 30.0
GOODBYE_TIMEOUT_SECONDS = 2.0
REFRESH_TIMEOUT_SECONDS = 30.0
REFRESH_RETRY_SECONDS = 600.0
FIRST_RETRY_SECONDS = 0.2
# A token may be refused for a moment, while it is being replaced; one that is refused again and again is no good.
MAX_REFUSALS = 3

_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT})
_log = structlog.get_logger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Attached = TypeVar("Attached")


class RejectedError(Exception):
    """Trying again would not help."""


class StreamClient(ABC, Generic[Request, Response, Attached]):
    """Keeps one stream open until it is told to say goodbye, or the coordinator rejects it.

    Subclasses say which messages flow, and what they mean; what they are told is told on the event loop.
    """

    def __init__(self, coordinator: Coordinator, token: Token) -> None:
        self._coordinator = coordinator
        self._token = token
        self._backoff = Backoff(base=1.0, cap=60.0)
        self._outbox: asyncio.Queue[Request | None] | None = None
        self._leaving = asyncio.Event()
        self._refusals = 0
        # Agents that start together spread over the coordinators.
        self._turn = random.randrange(len(coordinator.addresses))

    def send(self, message: Request) -> bool:
        """Queues a message, or drops it and returns False when there is no stream.

        A queued message may be lost with its stream: what must arrive is told again by `Attach` and after it.
        """
        if self._outbox is None:
            return False
        self._outbox.put_nowait(message)
        return True

    def leave(self, reason: str) -> None:
        """Says goodbye, if there is a stream, and ends `run` soon."""
        self.send(self._goodbye(reason))
        if self._outbox is not None:
            self._outbox.put_nowait(None)
        self._leaving.set()

    @abstractmethod
    def _open(self, channel: grpc.aio.Channel) -> grpc.aio.StreamStreamCall[Request, Response]:
        """Starts the call, with the token."""

    @abstractmethod
    def _attach(self) -> Request:
        """Says what is held, for the first message of a stream."""

    @abstractmethod
    def _answer(self, first: Response) -> Attached | None:
        """Takes the answer to the first message; None when it is something else."""

    @abstractmethod
    def _goodbye(self, reason: str) -> Request:
        """The last message."""

    @abstractmethod
    async def _new_token(self, channel: grpc.aio.Channel) -> tuple[str, int]:
        """Asks for a new token; with the Unix time at which it ends."""

    @abstractmethod
    def _token_end(self, attached: Attached) -> int:
        """The Unix time at which the token ends; 0 when it is not known."""

    @abstractmethod
    def _attached(self, message: Attached) -> None:
        """The coordinator answered: `send` works from now on."""

    @abstractmethod
    def _received(self, message: Response) -> None:
        """A message came."""

    @abstractmethod
    def _disconnected(self) -> None:
        """The stream, which was attached, broke."""

    @abstractmethod
    def _rejected(self, why: str) -> None:
        """The coordinator will not have this process; no further attempt is made."""

    async def run(self) -> None:
        """Connects, and connects again with full-jitter back-off, until `leave` or a rejection."""
        while not self._leaving.is_set():
            connected_at = time.monotonic()
            try:
                await self._attempt()
            except RejectedError as rejected:
                self._rejected(str(rejected))
                return
            except (dial.DialError, grpc.aio.AioRpcError, TimeoutError, ConnectionError) as error:
                problem = _words(error)
            else:
                problem = "the coordinator ended the stream"
            if self._leaving.is_set():
                return
            self._turn += 1
            # Several agents lost the same coordinator: only the very first retry is quick, and it is jittered too.
            delay = next(self._backoff)
            if self._backoff.failures == 1:
                delay *= FIRST_RETRY_SECONDS
            _log.warning(
                "not_connected", problem=problem, retry_in=round(delay, 2), lasted=time.monotonic() - connected_at
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._leaving.wait()

    async def _attempt(self) -> None:
        """Opens a stream and serves it to its end."""
        attempt = asyncio.ensure_future(self._connect())
        leaving = asyncio.ensure_future(self._leaving.wait())
        try:
            await asyncio.wait({attempt, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                # Goodbye is on its way; the coordinator ends the stream when it has it.
                await asyncio.wait({attempt}, timeout=GOODBYE_TIMEOUT_SECONDS if self._outbox is not None else 0)
            if attempt.done():
                attempt.result()
        except grpc.aio.AioRpcError as error:
            self._judge(error)
            raise
        finally:
            leaving.cancel()
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})

    async def _connect(self) -> None:
        target = await dial.find(self._coordinator, self._turn)
        async with await dial.open_channel(target, self._coordinator) as channel:
            call = self._open(channel)
            try:
                # Not `wait_for`, which before Python 3.12 loses a cancellation that comes together with the answer.
                async with asyncio.timeout(ATTACH_TIMEOUT_SECONDS):
                    attached = await self._first_exchange(call)
                await self._serve(call, attached, channel)
            finally:
                call.cancel()

    async def _first_exchange(self, call: grpc.aio.StreamStreamCall[Request, Response]) -> Attached:
        await call.write(self._attach())
        first = await call.read()
        attached = None if first is grpc.aio.EOF else self._answer(first)  # type: ignore[arg-type]
        if attached is None:
            raise ConnectionError("the coordinator did not answer Attach with Attached")
        return attached

    async def _serve(
        self, call: grpc.aio.StreamStreamCall[Request, Response], attached: Attached, channel: grpc.aio.Channel
    ) -> None:
        self._backoff.reset()
        self._refusals = 0
        outbox: asyncio.Queue[Request | None] = asyncio.Queue()
        self._outbox = outbox
        writer = asyncio.create_task(_write(call, outbox), name="stream writer")
        refresher = asyncio.create_task(self._refresh(channel, self._token_end(attached)), name="token refresher")
        try:
            self._attached(attached)
            while (message := await call.read()) is not grpc.aio.EOF:
                self._received(message)  # type: ignore[arg-type]
        finally:
            self._outbox = None
            for task in (writer, refresher):
                task.cancel()
            await asyncio.wait({writer, refresher})
            self._disconnected()

    async def _refresh(self, channel: grpc.aio.Channel, expires_at: int) -> None:
        """Replaces the token before it ends, for as long as the stream lasts."""
        while expires_at:
            await asyncio.sleep(seconds_to_refresh(expires_at, time.time()))
            try:
                text, expires_at = await self._new_token(channel)
            except grpc.aio.AioRpcError as error:
                _log.warning("token_not_refreshed", problem=_words(error), retry_in=REFRESH_RETRY_SECONDS)
                await asyncio.sleep(REFRESH_RETRY_SECONDS)
                continue
            self._token.replace(text)
            _log.info("token_refreshed", token_expires_at=expires_at)

    def _judge(self, error: grpc.aio.AioRpcError) -> None:
        """Raises `RejectedError` when trying again would not help."""
        reason = _reason(error)
        if reason == errors_pb2.ERROR_REASON_SESSION_REPLACED:
            raise RejectedError("another process attached with this token and took its place") from error
        if error.code() not in _REFUSED:
            return
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            raise RejectedError(f"the coordinator refuses this process: {error.details()}") from error
        with contextlib.suppress(TokenError):
            self._token.reload()


async def _write(call: grpc.aio.StreamStreamCall[Request, Response], outbox: asyncio.Queue[Request | None]) -> None:
    try:
        while (message := await outbox.get()) is not None:
            await call.write(message)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        # The reader hears of the same failure, with its status.
        return


def _reason(error: grpc.aio.AioRpcError) -> int | None:
    # Its signature asks for grpc.Call; the three methods it uses are there.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "mitosis":
            with contextlib.suppress(ValueError):
                return errors_pb2.ErrorReason.Value(f"ERROR_REASON_{info.reason}")
    return None


def _words(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__
