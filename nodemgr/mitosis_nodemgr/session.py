"""The manager's stream: which messages flow, and who is told of them."""

from __future__ import annotations

from typing import Protocol

import grpc

from mitosis.v1 import manager_service_pb2, manager_service_pb2_grpc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.agent_config import Coordinator
from mitosis_common.stream import REFRESH_TIMEOUT_SECONDS, StreamClient
from mitosis_common.token_file import Token


class Handler(Protocol):
    """Who stands behind the stream. Called on the event loop; nothing here awaits."""

    def attach(self) -> stream.Attach:
        """Says what is held, for the first message of a stream."""

    def attached(self, message: stream.Attached) -> None:
        """The coordinator answered: `Session.send` works from now on."""

    def received(self, message: stream.ConnectResponse) -> None:
        """A message came."""

    def disconnected(self) -> None:
        """The stream, which was attached, broke."""

    def rejected(self, why: str) -> None:
        """The coordinator will not have this process; no further attempt is made."""


class Session(StreamClient[stream.ConnectRequest, stream.ConnectResponse, stream.Attached]):
    """Carries what a handler says and tells it what comes."""

    def __init__(self, coordinator: Coordinator, token: Token, handler: Handler) -> None:
        super().__init__(coordinator, token)
        self._handler = handler

    def _open(
        self, channel: grpc.aio.Channel
    ) -> grpc.aio.StreamStreamCall[stream.ConnectRequest, stream.ConnectResponse]:
        stub: manager_service_pb2_grpc.ManagerServiceAsyncStub = manager_service_pb2_grpc.ManagerServiceStub(channel)
        return stub.Connect(metadata=self._token.metadata)

    def _attach(self) -> stream.ConnectRequest:
        return stream.ConnectRequest(attach=self._handler.attach())

    def _answer(self, first: stream.ConnectResponse) -> stream.Attached | None:
        return first.attached if first.WhichOneof("message") == "attached" else None

    def _goodbye(self, reason: str) -> stream.ConnectRequest:
        return stream.ConnectRequest(goodbye=stream.Goodbye(reason=reason))

    async def _new_token(self, channel: grpc.aio.Channel) -> tuple[str, int]:
        stub: manager_service_pb2_grpc.ManagerServiceAsyncStub = manager_service_pb2_grpc.ManagerServiceStub(channel)
        response = await stub.RefreshToken(
            manager_service_pb2.RefreshTokenRequest(), metadata=self._token.metadata, timeout=REFRESH_TIMEOUT_SECONDS
        )
        return response.token, response.token_expires_at.seconds

    def _token_end(self, attached: stream.Attached) -> int:
        return attached.token_expires_at.seconds

    def _attached(self, message: stream.Attached) -> None:
        self._handler.attached(message)

    def _received(self, message: stream.ConnectResponse) -> None:
        self._handler.received(message)

    def _disconnected(self) -> None:
        self._handler.disconnected()

    def _rejected(self, why: str) -> None:
        self._handler.rejected(why)
