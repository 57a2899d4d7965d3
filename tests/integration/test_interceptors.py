"""What happens around a call, for each of the four kinds of RPC and each way a call can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from structlog.contextvars import get_contextvars

from mitosis_coordinator.domain.errors import NotFound
from mitosis_coordinator.monitoring.calls import RpcMetrics
from mitosis_coordinator.rpc.context import current_peer
from mitosis_coordinator.rpc.interceptors.call_context import ContextLayer, peer_host
from mitosis_coordinator.rpc.interceptors.chain import Call, InterceptorChain, Layer
from mitosis_coordinator.rpc.interceptors.errors import ErrorsLayer
from mitosis_coordinator.rpc.interceptors.metrics import MetricsLayer
from tests.support.coordinator import RunningCoordinator, refusal
from tests.support.waiting import until

KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Behavior:
    """Four handlers that do what the first request says."""

    def __init__(self) -> None:
        self.unwound = asyncio.Event()
        self.seen_request_id = ""

    async def _act(self, order: bytes) -> None:
        self.seen_request_id = get_contextvars()["request_id"]
        assert current_peer() == "127.0.0.1"
        match order:
            case b"refuse":
                raise NotFound("suite", "s-1")
            case b"break":
                raise RuntimeError("the secret is 12345")
            case b"hang":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.unwound.set()

    async def unary_unary(self, request: bytes, _context: object) -> bytes:
        await self._act(request)
        return b"done"

    async def unary_stream(self, request: bytes, _context: object) -> AsyncIterator[bytes]:
        yield b"first"
        await self._act(request)
        yield b"done"

    async def stream_unary(self, requests: AsyncIterator[bytes], _context: object) -> bytes:
        async for request in requests:
            await self._act(request)
        return b"done"

    async def stream_stream(self, requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        yield b"first"
        async for request in requests:
            await self._act(request)
        yield b"done"

    async def written(self, _request: bytes, context: Any) -> None:
        await context.write(b"written")


class Harness:
    """A server with the outer layers, a client, and the counts."""

    def __init__(self, behavior: Behavior, channel: grpc.aio.Channel, registry: CollectorRegistry) -> None:
        self.behavior = behavior
        self._channel = channel
        self._registry = registry

    def call(self, kind: str, order: bytes, metadata: Any = None) -> Any:
        """Start a call of one kind."""

        async def requests() -> AsyncIterator[bytes]:
            yield order

        return self.method(kind, kind)(requests() if kind.startswith("stream") else order, metadata=metadata)

    def method(self, kind: str, name: str) -> Any:
        """One method as the client sees it."""
        return getattr(self._channel, kind)(f"/test.Kinds/{name}")

    async def finish(self, call: Any) -> list[bytes]:
        """Read all responses."""
        return [response async for response in call] if hasattr(call, "__aiter__") else [await call]

    def count(self, kind: str, code: str) -> float:
        """How many calls ended so."""
        name = "mitosis_grpc_request_duration_seconds_count"
        return self._registry.get_sample_value(name, {"method": f"/test.Kinds/{kind}", "code": code}) or 0

    def in_flight(self, kind: str) -> float | None:
        """How many calls are being served."""
        return self._registry.get_sample_value("mitosis_grpc_requests_in_flight", {"method": f"/test.Kinds/{kind}"})


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    behavior, registry = Behavior(), CollectorRegistry()
    layers: list[Layer] = [ContextLayer(), MetricsLayer(RpcMetrics(registry)), ErrorsLayer()]
    server = grpc.aio.server(interceptors=[InterceptorChain(layers)])
    handlers: dict[str, Any] = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(behavior, kind)) for kind in KINDS
    }
    handlers["written"] = grpc.unary_stream_rpc_method_handler(behavior.written)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Kinds", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Harness(behavior, channel, registry)
    await server.stop(None)


async def until_counted(harness: Harness, kind: str, code: str) -> None:
    # The client knows the end of a call a moment before the server has measured it.
    await until(lambda: harness.count(kind, code))
    assert harness.in_flight(kind) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_succeeds(harness: Harness, kind: str) -> None:
    call = harness.call(kind, b"succeed", metadata=(("x-request-id", "my-id"),))
    responses = await harness.finish(call)
    assert responses == ([b"first", b"done"] if kind.endswith("stream") else [b"done"])
    assert harness.behavior.seen_request_id == "my-id"
    assert dict(await call.trailing_metadata())["x-request-id"] == "my-id"
    await until_counted(harness, kind, "OK")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_refused(harness: Harness, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.finish(harness.call(kind, b"refuse", metadata=(("x-request-id", "my-id"),)))
    assert refusal(caught.value).reason == "NOT_FOUND"
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "my-id"
    await until_counted(harness, kind, "NOT_FOUND")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_breaks(harness: Harness, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.finish(harness.call(kind, b"break"))
    assert refusal(caught.value).reason == "INTERNAL"
    assert "12345" not in repr(caught.value)
    await until_counted(harness, kind, "INTERNAL")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_cancelled(harness: Harness, kind: str) -> None:
    call = harness.call(kind, b"hang")
    await until(lambda: harness.behavior.seen_request_id)
    call.cancel()
    async with asyncio.timeout(5):
        await harness.behavior.unwound.wait()
    await until_counted(harness, kind, "CANCELLED")


async def test_a_handler_that_writes_by_itself(harness: Harness) -> None:
    assert await harness.finish(harness.method("unary_stream", "written")(b"")) == [b"written"]
    await until_counted(harness, "written", "OK")


@pytest.mark.parametrize("given", ["", "x" * 129, "has space", "newline\\n{}"])
async def test_an_unfit_request_id_is_replaced(harness: Harness, given: str) -> None:
    call = harness.call("unary_unary", b"succeed", metadata=(("x-request-id", given),))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] not in ("", given)


async def test_layers_unwind_in_order_even_when_one_fails_to_enter() -> None:
    seen: list[str] = []

    class Noting:
        def __init__(self, name: str, *, fails: bool = False) -> None:
            self._name, self._fails = name, fails

        def around(self, _call: Call) -> Any:
            return self

        async def __aenter__(self) -> None:
            if self._fails:
                raise NotFound("layer", self._name)
            seen.append(f"enter {self._name}")

        async def __aexit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
            seen.append(f"leave {self._name} {kind.__name__ if kind else None}")

    server = grpc.aio.server(
        interceptors=[InterceptorChain([ErrorsLayer(), Noting("outer"), Noting("inner", fails=True)])]
    )
    handlers: dict[str, Any] = {"unary_unary": grpc.unary_unary_rpc_method_handler(Behavior().unary_unary)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Kinds", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            call: Any = channel.unary_unary("/test.Kinds/unary_unary")
            await call(b"")
    await server.stop(None)
    assert refusal(caught.value).reason == "NOT_FOUND"
    assert seen == ["enter outer", "leave outer NotFound"]


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("unix:", "unix"),
        ("unix:/run/x.sock", "unix"),
        ("", "unknown"),
    ],
)
def test_peers(peer: str, host: str) -> None:
    assert peer_host(peer) == host


async def test_an_unknown_method_is_unimplemented(coordinator: RunningCoordinator) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        call: Any = coordinator.channel.unary_unary("/mitosis.v1.NoService/Nothing")
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
