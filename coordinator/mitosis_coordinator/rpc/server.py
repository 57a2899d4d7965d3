"""The gRPC server: listening, health, reflection, and the layers around every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mitosis_common.config import ConfigError
from mitosis_coordinator.monitoring.calls import RpcMetrics
from mitosis_coordinator.rpc.interceptors.auth import AuthLayer
from mitosis_coordinator.rpc.interceptors.call_context import ContextLayer
from mitosis_coordinator.rpc.interceptors.chain import InterceptorChain, Layer
from mitosis_coordinator.rpc.interceptors.errors import ErrorsLayer
from mitosis_coordinator.rpc.interceptors.metrics import MetricsLayer
from mitosis_coordinator.rpc.interceptors.transport import TransportLayer
from mitosis_coordinator.rpc.reflection import add_reflection
from mitosis_coordinator.services.authenticator import Authenticator

_KEEPALIVE_OPTIONS = (
    # A manager may be behind a NAT that forgets quiet connections, or vanish without a FIN.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client that pings more often than this is told to go away.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class RpcService:
    """One service of the contract, and what serves it."""

    descriptor: ServiceDescriptor
    register: Callable[[Any, grpc.aio.Server], None]
    servicer: Any


def standard_layers(
    authenticator: Authenticator, metrics: RpcMetrics, *, may_be_overheard: bool = False
) -> list[Layer]:
    """What happens around every call, outermost first.

    The order matters: the id is there when an error is logged, the code when a call is counted, and a refused token is
    an error like any other.

    Args:
        may_be_overheard: whether calls from other machines come over plain text, and nobody allowed that.
    """
    guards: list[Layer] = [TransportLayer()] if may_be_overheard else []
    return [ContextLayer(), MetricsLayer(metrics), ErrorsLayer(), *guards, AuthLayer(authenticator)]


class RpcServer:
    """Serves gRPC from `start` until `stop`.

    Args:
        port: 0 takes a free one; `self.port` tells which.
        reuse_port: whether another process may listen on the same port and share its connections.
        tls: encrypts the port.

    Raises:
        ConfigError: the port is taken or not ours.
    """

    def __init__(
        self,
        services: Sequence[RpcService],
        layers: Sequence[Layer],
        *,
        host: str,
        port: int,
        max_message_bytes: int,
        reuse_port: bool = False,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self._server = grpc.aio.server(
            interceptors=[InterceptorChain(layers)],
            options=[
                *_KEEPALIVE_OPTIONS,
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # By default Linux would let a second coordinator take over half of the calls without a word.
                ("grpc.so_reuseport", int(reuse_port)),
            ],
        )
        self._names = [service.descriptor.full_name for service in services]
        self._health = health.aio.HealthServicer()
        for service in services:
            service.register(service.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection([*self._names, health.SERVICE_NAME], self._server)
        self.port = _listen(self._server, host, port, tls)

    async def start(self) -> None:
        """Serve, and say so."""
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def announce_shutdown(self) -> None:
        """Say NOT_SERVING from now on, so that load balancers turn to others, and go on serving."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, let those being served end, and cancel what is left after the grace."""
        await self._server.stop(grace_seconds)


def _listen(server: grpc.aio.Server, host: str, port: int, tls: grpc.ServerCredentials | None) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError([f"server.grpc_port: cannot listen on {address}"]) from error
    return bound
