"""One gRPC channel: who we are, how calls are repeated, how failures become typed errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
import grpc.aio
import stamina

from mitosis_client.errors import DeadlineExceeded, InvalidField, Unavailable, from_rpc_error
from mitosis_common.backoff import Backoff
from mitosis_common.loopback import host_of, is_host_and_port, is_loopback

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A quiet watch finds out within a minute and a half that the other side is gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The defaults wait up to two minutes before they look whether a restarted coordinator is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to prove who is who: PEM bytes; without `root_certificates` those of the system are trusted."""

    root_certificates: bytes | None = None
    certificate_chain: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How calls that are safe to repeat are repeated while the coordinator is unavailable or does not answer in time.

    Waits are in seconds, doubled from `initial_wait` up to `max_wait`, each drawn evenly from zero up (full jitter);
    a wait that the coordinator asks for is kept at least. `timeout` bounds all attempts together; the first one
    has the whole time of an attempt all the same.
    """

    attempts: int = 6
    initial_wait: float = 0.1
    max_wait: float = 5.0
    timeout: float = 90.0

    def delays(self) -> Backoff:
        """Returns the waits of one call, or of one watch."""
        return Backoff(self.initial_wait, self.max_wait)

    def hook(self) -> Callable[[Exception], bool | float]:
        """Returns what decides for one call: the wait after an error, or False when it must not be repeated."""
        delays = self.delays()

        def decide(error: Exception) -> bool | float:
            if not isinstance(error, Unavailable | DeadlineExceeded):
                return False
            return next(delays) + (error.retry_after_seconds or 0.0)

        return decide


class Transport:
    """A channel to one coordinator, opened at the first call and bound to the event loop of that call.

    It speaks plain text to loopback addresses and where `insecure` asks for it, so that no token is sent where others
    on the way could read it.
    """

    def __init__(
        self, address: str, token: str | None, tls: Tls | None, insecure: bool, timeout: float, retry: RetryPolicy
    ) -> None:
        # gRPC takes a port modulo 65536.
        if not is_host_and_port(address):
            raise InvalidField(
                (),
                f"address: given {address!r}; accepts host:port of the coordinator's gRPC server, "
                "with a port from 1 to 65535",
            )
        if insecure and tls is not None:
            raise InvalidField((), "insecure: given together with TLS; accepts one of them")
        if tls is not None and (tls.certificate_chain is None) is not (tls.private_key is None):
            raise InvalidField((), "tls: given a client certificate or its key alone; accepts both or neither")
        self.address = address
        self.retry = retry
        self.token = token
        self._tls = tls or (None if insecure or is_loopback(host_of(address)) else Tls())
        self._timeout = timeout
        self._channel: grpc.aio.Channel | None = None

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel; only to be used on a running event loop."""
        if self._channel is None:
            if self._tls is None:
                self._channel = grpc.aio.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
            else:
                credentials = grpc.ssl_channel_credentials(
                    self._tls.root_certificates, self._tls.private_key, self._tls.certificate_chain
                )
                self._channel = grpc.aio.secure_channel(self.address, credentials, options=_CHANNEL_OPTIONS)
        return self._channel

    @property
    def _metadata(self) -> grpc.aio.Metadata:
        metadata = grpc.aio.Metadata()
        if self.token:
            metadata.add("authorization", f"Bearer {self.token}")
        return metadata

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        repeatable: bool,
    ) -> Response:
        """Makes one call and returns its answer.

        `repeatable` says that a second call with the same request does no harm: a read, a write with a `request_id`, or
        one that the contract calls idempotent. Raises a `MitosisError`.
        """
        attempts = self.retry.attempts if repeatable else 1
        timeout, over = self._timeout, time.monotonic() + self.retry.timeout
        async for attempt in stamina.retry_context(on=self.retry.hook(), attempts=attempts, timeout=self.retry.timeout):
            with attempt:
                if attempt.num > 1:
                    timeout = min(self._timeout, over - time.monotonic())
                try:
                    return await method(request, metadata=self._metadata, timeout=timeout)
                except grpc.aio.AioRpcError as error:
                    raise from_rpc_error(error) from None
        raise AssertionError("the retry loop ends by returning or by raising")

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> AsyncGenerator[Response, None]:
        """Yields the messages of a server stream, without a time limit. Raises a `MitosisError`."""
        call = method(request, metadata=self._metadata)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def upload(
        self, method: grpc.aio.StreamUnaryMultiCallable[Request, Response], messages: AsyncIterable[Request]
    ) -> Response:
        """Sends the messages of a client stream as they come and returns the answer; makes one attempt.

        The timeout bounds sending each message, and the answer after the last. Raises a `MitosisError`.
        """
        call = method(metadata=self._metadata)
        try:
            async for message in messages:
                try:
                    await self._within(call.write(message))
                except asyncio.InvalidStateError:
                    # The call ended meanwhile; the answer says how.
                    break
            await self._within(call.done_writing())
            return await self._within(call)
        finally:
            call.cancel()

    async def _within(self, step: Awaitable[Response]) -> Response:
        try:
            async with asyncio.timeout(self._timeout):
                return await step
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except TimeoutError:
            raise DeadlineExceeded(f"no progress for {self._timeout:g} s") from None

    async def close(self) -> None:
        """Closes the channel; calls under way fail."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
