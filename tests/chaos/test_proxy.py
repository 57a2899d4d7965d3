"""A link does to bytes what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.chaos.proxy import Address, Link

SHORT_SECONDS = 0.2


@asynccontextmanager
async def echo(prefix: bytes = b"") -> AsyncIterator[Address]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1024):
                writer.write(prefix + chunk)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


@asynccontextmanager
async def linked(*upstreams: Address) -> AsyncIterator[Link]:
    link = Link(upstreams)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = link.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read(1024)


async def gone(reader: asyncio.StreamReader) -> bool:
    """Whether the connection is reset or closed."""
    try:
        return await answer(reader) == b""
    except ConnectionError:
        return True


async def test_bytes_pass_both_ways() -> None:
    async with echo() as upstream, linked(upstream) as link, connected(link) as (reader, writer):
        writer.write(b"hello")
        assert await answer(reader) == b"hello"


async def test_connections_reach_the_servers_in_turn_past_those_that_are_down() -> None:
    async with echo(b"1") as first, echo(b"2") as second:
        async with echo() as down:
            pass
        async with linked(first, down, second) as link:
            answers = []
            for _ in range(4):
                async with connected(link) as (reader, writer):
                    writer.write(b"x")
                    answers.append(await answer(reader))
    assert answers == [b"1x", b"2x", b"1x", b"2x"]


async def test_a_cut_resets_and_refuses_until_it_heals() -> None:
    async with echo() as upstream, linked(upstream) as link:
        async with connected(link) as (reader, writer):
            writer.write(b"hello")
            assert await answer(reader) == b"hello"
            await link.cut()
            assert await gone(reader)
        async with connected(link) as (reader, _):
            assert await gone(reader)
        await link.heal()
        async with connected(link) as (reader, writer):
            writer.write(b"again")
            assert await answer(reader) == b"again"


async def test_a_stall_delivers_late_and_everything() -> None:
    async with echo() as upstream, linked(upstream) as link, connected(link) as (reader, writer):
        link.stall()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_SECONDS):
                await reader.read(1)
        await link.heal()
        assert await answer(reader) == b"late"


async def test_half_open_swallows_silently_and_resets_when_it_heals() -> None:
    async with echo() as upstream, linked(upstream) as link, connected(link) as (reader, writer):
        link.swallow()
        writer.write(b"nowhere")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT_SECONDS):
                await reader.read(1)
        await link.heal()
        assert await gone(reader)
