"""Calls from within the process: the same layers and servicers as over gRPC, without a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.rpc import status_pb2  # type: ignore[import-untyped]

from mitosis_coordinator.rpc.errors import http_code_of
from mitosis_coordinator.rpc.interceptors.errors import STATUS_DETAILS


class Refused(grpc.aio.AbortError):
    """A call in this process ended with an error, in the form in which it is told."""

    def __init__(self, status: status_pb2.Status, http_code: int) -> None:
        super().__init__(status.message)
        self.status = status
        self.http_code = http_code


class InProcessContext:
    """What layers and servicers see of a call that came over HTTP.

    Args:
        peer: The caller in gRPC's notation, `ipv4:10.0.0.1:5000`.
    """

    def __init__(self, peer: str, metadata: Mapping[str, str]) -> None:
        self._peer = peer
        self._metadata = tuple(metadata.items())
        self._trailing: tuple[tuple[str, str | bytes], ...] = ()
        self._code: grpc.StatusCode | None = None

    def peer(self) -> str:
        """Who calls."""
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What came with the call."""
        return self._metadata

    def code(self) -> grpc.StatusCode | None:
        """How the call ended, as far as anybody said."""
        return self._code

    def set_code(self, code: grpc.StatusCode) -> None:
        """Say how the call ends."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Nothing: what a call in this process is told comes with its refusal."""

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What goes back beside the answer."""
        return self._trailing

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Note what goes back beside the answer."""
        self._trailing = tuple(trailing_metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with an error.

        Raises:
            Refused: Always.
        """
        packed = dict(trailing_metadata).get(STATUS_DETAILS)
        if packed is None:
            status = status_pb2.Status(code=code.value[0], message=details)
        else:
            status = status_pb2.Status.FromString(packed)
        self.refuse(Refused(status, http_code_of(status)))

    def refuse(self, refused: Refused) -> NoReturn:
        """End the call with an error that HTTP alone knows.

        Raises:
            Refused: Always.
        """
        self._code = CODES[refused.status.code]
        raise refused


CODES = {code.value[0]: code for code in grpc.StatusCode}
