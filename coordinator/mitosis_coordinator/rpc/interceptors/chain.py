"""One gRPC interceptor that puts layers around every call, whatever its kind.

gRPC offers a class per interceptor and four handler shapes to wrap in each. The shapes are dealt with here, once; a
layer is an async context manager and sees the whole call, all messages of a stream included.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio

Context = grpc.aio.ServicerContext[Any, Any]


class CallContext(Protocol):
    """What layers ask of a call, whichever way it came in: gRPC's own context, or `rpc.in_process`'s."""

    def peer(self) -> str: ...

    def code(self) -> Any: ...

    def trailing_metadata(self) -> Any: ...

    def set_trailing_metadata(self, trailing_metadata: Any) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way in.

    `method` is the full name, as in `/mitosis.v1.SuiteService/GetSuite`; `streaming` whether either side may send many.
    """

    method: str
    metadata: dict[str, str]
    context: CallContext
    streaming: bool


class Layer(Protocol):
    """Something that happens around a call: before its handler starts, and after it ended in whatever way."""

    def around(self, call: Call) -> AbstractAsyncContextManager[None]: ...


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Puts layers around each call, the first one outermost."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        shape = f"{'stream' if handler.request_streaming else 'unary'}_" + (
            "stream" if handler.response_streaming else "unary"
        )
        wrap = self._around_stream if handler.response_streaming else self._around_unary
        make_handler = getattr(grpc, f"{shape}_rpc_method_handler")
        streaming = handler.request_streaming or handler.response_streaming
        wrapped: grpc.RpcMethodHandler[Any, Any] = make_handler(
            wrap(method, getattr(handler, shape), streaming),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _around_unary(self, method: str, behavior: Any, streaming: bool) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with entered(self._layers, _describe(method, context, streaming)):
                return await behavior(request, context)

        return call

    def _around_stream(self, method: str, behavior: Any, streaming: bool) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with entered(self._layers, _describe(method, context, streaming)):
                responses = behavior(request, context)
                if inspect.isawaitable(responses):
                    # This handler writes to the context by itself.
                    await responses
                    return
                async with aclosing(responses):
                    async for response in responses:
                        yield response

        return call


def entered(layers: Sequence[Layer], call: Call) -> AbstractAsyncContextManager[None]:
    """All layers around a call as one context manager, the first layer outermost."""
    return _Entered(layers, call)


class _Entered:
    """All layers as one context manager.

    An exception passes through the layers from the inside out; each may replace it.
    """

    __slots__ = ("_call", "_layers", "_stack")

    def __init__(self, layers: Sequence[Layer], call: Call) -> None:
        self._layers = layers
        self._call = call
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> None:
        async with AsyncExitStack() as entering:
            for layer in self._layers:
                await entering.enter_async_context(layer.around(self._call))
            self._stack = entering.pop_all()

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        return await self._stack.__aexit__(*exc_info)


def _describe(method: str, context: Context, streaming: bool) -> Call:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return Call(method, metadata, context, streaming)
