"""The network between one process and the coordinators, as bytes: it can be cut, stalled, and left half open."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

_CHUNK_BYTES = 64 * 1024
_CONNECT_SECONDS = 2.0
_ACCEPTED = 64

Address = tuple[str, int]


class Link:
    """A TCP proxy in front of several servers, which new connections reach in turn, past those that refuse."""

    def __init__(self, upstreams: Sequence[Address]) -> None:
        self._upstreams = list(upstreams)
        self._turns = itertools.cycle(range(len(self._upstreams)))
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._refuses = False
        self._swallows = False
        self._flows = asyncio.Event()
        self._flows.set()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def start(self) -> None:
        """Listens on a free port of the loopback interface."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=_ACCEPTED)

    async def close(self) -> None:
        """Stops listening and resets what is open."""
        assert self._server is not None
        self._server.close()
        await self._reset()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """Resets every connection, and every new one until `heal`."""
        self._refuses = True
        await self._reset()

    def stall(self) -> None:
        """Holds every byte back until `heal`."""
        self._flows.clear()

    def swallow(self) -> None:
        """Lets every byte vanish until `heal`, which resets what lost some."""
        self._swallows = True

    async def heal(self) -> None:
        """Ends whatever was done."""
        self._refuses = False
        self._flows.set()
        if self._swallows:
            self._swallows = False
            # Neither side can make sense of a stream with a gap.
            await self._reset()

    async def _reset(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        # The server's own callback logs a cancelled connection as an error.
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await self._serve(reader, writer)
            finally:
                writer.transport.abort()
                self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = await self._open_upstream()
        if opened is None:
            return
        upstream_reader, upstream_writer = opened
        pumps = [
            asyncio.create_task(self._pump(reader, upstream_writer), name="link-out"),
            asyncio.create_task(self._pump(upstream_reader, writer), name="link-in"),
        ]
        try:
            # Either side's end is the end of both: HTTP/2 does not live on half a connection.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            upstream_writer.transport.abort()

    async def _open_upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._upstreams:
            host, port = self._upstreams[next(self._turns)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(host, port)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                if not self._swallows:
                    writer.write(chunk)
                    await writer.drain()
