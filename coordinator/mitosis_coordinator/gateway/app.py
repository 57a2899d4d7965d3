"""The HTTP applications: health and discovery on one port, metrics on another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mitosis_common.config import ConfigError
from mitosis_coordinator.domain.errors import StorageUnavailable

_PROBE_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Discovery:
    """What `GET /info` answers. Without `advertised_grpc` it is the host that was asked, and `grpc_port`."""

    version: str
    grpc_port: int
    advertised_grpc: str | None = None


def build_http_app(probe_database: Callable[[], Awaitable[None]], discovery: Discovery) -> web.Application:
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
        grpc_address = discovery.advertised_grpc or _join(request.url.host or "localhost", discovery.grpc_port)
        return web.json_response({"grpc": grpc_address, "grpc_tls": False, "version": discovery.version})

    app = web.Application()
    app.add_routes([web.get("/health", get_health), web.get("/info", get_info)])
    return app


def build_metrics_app(registry: CollectorRegistry, path: str) -> web.Application:
    """Make the application for Prometheus."""

    async def get_metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get(path, get_metrics)])
    return app


class HttpServer:
    """Serves one application from `start` until `stop`.

    Args:
        setting: the configuration key that the port came from, for the error.
        port: 0 takes a free one; `self.port` tells which, once it is started.
    """

    def __init__(self, app: web.Application, *, host: str, port: int, setting: str, reuse_port: bool = False) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        self._host = host
        self._setting = setting
        self._reuse_port = reuse_port
        self.port = port

    async def start(self) -> None:
        """Serve.

        Raises:
            ConfigError: the port is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        address = (self._host, self.port)
        try:
            listener = socket.create_server(address, family=family, reuse_port=self._reuse_port)
        except OSError as error:
            where = _join(*address)
            raise ConfigError([f"{self._setting}: cannot listen on {where}: {error.strerror}"]) from error
        self.port = listener.getsockname()[1]
        await self._runner.setup()
        # From here on the site owns the socket.
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Close the port, and let requests being served end within two seconds."""
        await self._runner.cleanup()


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
