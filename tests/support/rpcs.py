"""Every RPC of the contract by its name, one request in, the first answer out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

_TRIES = 10


def methods(services: Iterable[ServiceDescriptor]) -> dict[str, MethodDescriptor]:
    """The methods of services by full name, as in `mitosis.v1.AuthService/Login`."""
    return {f"{service.full_name}/{method.name}": method for service in services for method in service.methods}


async def call(
    channel: grpc.aio.Channel, name: str, method: MethodDescriptor, request: Any, metadata: Sequence[tuple[str, str]]
) -> Any:
    """Call a method and return its first answer, None when a stream ends without one.

    Raises:
        grpc.aio.AioRpcError: the call is refused.
    """
    shape = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    rpc: Any = getattr(channel, shape)(
        f"/{name}",
        request_serializer=GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    for tries_left in reversed(range(_TRIES)):
        calling = rpc(_one(request) if method.client_streaming else request, metadata=metadata, timeout=30)
        try:
            return await (anext(aiter(calling), None) if method.server_streaming else calling)
        except grpc.aio.AioRpcError as error:
            # A refusal that comes while the request is being written may be lost (grpc/grpc#36066).
            if not (method.client_streaming and tries_left and error.details() == "Internal error from Core"):
                raise
        finally:
            calling.cancel()
    raise AssertionError("the last try returns or raises")


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request
