"""The HTTP applications: the REST paths, health and discovery on one port, metrics on another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.gateway.docs import add_docs
from mitosis_coordinator.gateway.endpoint import Endpoint
from mitosis_coordinator.gateway.forms import BodyLimits
from mitosis_coordinator.gateway.front import Front
from mitosis_coordinator.gateway.routes import patterns, read_routes
from mitosis_coordinator.gateway.server import join_address
from mitosis_coordinator.rpc.interceptors.chain import Layer
from mitosis_coordinator.rpc.server import RpcService

_PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Discovery:
    """What `GET /info` answers. Without `advertised_grpc` it is the host that was asked, and `grpc_port`."""

    version: str
    grpc_port: int
    advertised_grpc: str | None = None
    grpc_tls: bool = False


@dataclass(frozen=True, slots=True)
class Gateway:
    """What stands behind the REST paths: the services and the layers that gRPC serves, and what bounds a request."""

    services: Sequence[RpcService]
    layers: Sequence[Layer]
    limits: BodyLimits
    cors_origins: Sequence[str] = ()


def build_http_app(
    probe_database: Callable[[], Awaitable[None]], discovery: Discovery, gateway: Gateway
) -> web.Application:
    """Make the application for people, load balancers and managers.

    Args:
        probe_database: returns when the database answers, raises StorageUnavailable when it does not.
    """

    async def get_health(_request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                await probe_database()
        except (StorageUnavailable, TimeoutError):
            return web.json_response({"status": "unavailable", "database": "unavailable"}, status=503)
        return web.json_response({"status": "ok", "database": "ok"})

    async def get_info(request: web.Request) -> web.Response:
        grpc_address = discovery.advertised_grpc or join_address(request.url.host or "localhost", discovery.grpc_port)
        return web.json_response({"grpc": grpc_address, "grpc_tls": discovery.grpc_tls, "version": discovery.version})

    app = web.Application()
    Front(gateway.cors_origins).install(app)
    app.add_routes([web.get("/health", get_health), web.get("/info", get_info)])
    add_docs(app)
    servicers = {service.descriptor.full_name: service.servicer for service in gateway.services}
    routes = read_routes([service.descriptor for service in gateway.services])
    pattern_of = patterns(routes)
    for route in routes:
        behavior = getattr(servicers[route.service.full_name], route.method.name)
        endpoint = Endpoint(route, behavior, gateway.layers, gateway.limits)
        resource = app.router.add_resource(pattern_of[route.path])
        resource.add_route(route.verb, endpoint.__call__)
        if route.verb == hdrs.METH_GET and not route.streaming:
            resource.add_route(hdrs.METH_HEAD, endpoint.__call__)
    return app


def build_metrics_app(registry: CollectorRegistry, path: str) -> web.Application:
    """Make the application for Prometheus."""

    async def get_metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get(path, get_metrics)])
    return app
