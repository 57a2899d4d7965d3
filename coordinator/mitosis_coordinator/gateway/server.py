"""The HTTP server: listening, and what bounds a connection before a handler sees it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from aiohttp import web

from mitosis_common.config import ConfigError
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.gateway.errors import error_response, malformed
from mitosis_coordinator.rpc.errors import internal_error
from mitosis_coordinator.rpc.in_process import Refused

_SHUTDOWN_SECONDS = 2.0
_HANDSHAKE_SECONDS = 10.0
# Read and dropped for so long after a refusal, so that a client that still sends gets to read it.
_LINGER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long a connection may take over the head of a request, or stay quiet between two."""

    idle_seconds: float = 75.0
    max_headers: int = 128
    max_line_bytes: int = 8190


class _Connection(web.RequestHandler):
    """Answers what is no HTTP in the form of all errors, and without a traceback in the log for each."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= web.HTTPInternalServerError.status_code:
            incident_id = str(new_uuid())
            self.log_exception("request failed outside the application: %s", incident_id, exc_info=exc)
            refused = Refused(internal_error(incident_id).status, web.HTTPInternalServerError.status_code)
        else:
            refused = malformed("the request is not HTTP, or its head is too large")
        response = error_response(refused, str(new_uuid()))
        response.force_close()
        return response


class HttpServer:
    """Serves one application from `start` until `stop`.

    Args:
        setting: the configuration key that the port came from, for the error.
        port: 0 takes a free one; `self.port` tells which, once it is started.
        tls: makes it HTTPS.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        setting: str,
        reuse_port: bool = False,
        limits: ConnectionLimits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # A call whose caller is gone is cancelled, as it is over gRPC.
        self._runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True)
        self._limits = limits or ConnectionLimits()
        self._host = host
        self._setting = setting
        self._reuse_port = reuse_port
        self._tls = tls
        self._server: asyncio.Server | None = None
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
            where = join_address(*address)
            raise ConfigError([f"{self._setting}: cannot listen on {where}: {error.strerror}"]) from error
        self.port = listener.getsockname()[1]
        await self._runner.setup()
        # From here on the server owns the socket.
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            sock=listener,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
        )

    async def stop(self) -> None:
        """Close the port, and let requests being served end within two seconds."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        assert self._runner.server is not None
        return _Connection(
            self._runner.server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._limits.idle_seconds,
            lingering_time=_LINGER_SECONDS,
            max_headers=self._limits.max_headers,
            max_line_size=self._limits.max_line_bytes,
            max_field_size=self._limits.max_line_bytes,
            # Calls are told of by the layers. aiohttp takes None; its types do not say so.
            access_log=None,  # type: ignore[arg-type]
        )


def join_address(host: str, port: int) -> str:
    """A host and a port as one text."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
