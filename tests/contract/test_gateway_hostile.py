"""What no client would send. Each gets a clear refusal or a closed connection, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from tests.contract.test_gateway_paths import SUITE
from tests.support.coordinator import RunningCoordinator, coordinator_config, running
from tests.support.rest import Rest, rest_of

MIB = 1024 * 1024
PATIENCE_SECONDS = 10


@asynccontextmanager
async def connected(
    coordinator: RunningCoordinator,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to the HTTP port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", coordinator.inner.http_port)
    try:
        yield reader, writer
    finally:
        writer.close()
        # The other side may have been faster.
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def sent(coordinator: RunningCoordinator, *parts: bytes) -> int:
    """The code that answers some bytes; 0 for a connection that was closed without one."""
    async with connected(coordinator) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            line = await reader.readline()
        except ConnectionError:
            return 0
        return int(line.split()[1]) if line else 0


def post(coordinator: RunningCoordinator, *headers: str) -> bytes:
    """The head of a POST with a token."""
    lines = ["POST /suites HTTP/1.1", "Host: x", f"Authorization: Bearer {coordinator.admin_token}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture(autouse=True)
async def others_are_served(rest: Rest) -> AsyncIterator[None]:
    """Ask on a connection of one's own all the while, and once more at the end."""
    slowest = 0.0

    async def ask() -> None:
        nonlocal slowest
        while True:
            began = time.monotonic()
            await rest.get("/auth")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    yield
    assert not asking.done(), asking
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await rest.get("/auth")
    assert slowest < 5


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"{}{}",
        b'{"name": NaN}',
        b'{"priority": Infinity}',
        b'{"priority": ' + b"9" * 100_000 + b"}",
        b'{"priority": 1e999}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff\xfe"}',
        b"\xef\xbb\xbf{}",
        b"\x00" * 100,
        b"[" * 1_000_000,
        b'{"env_cleanup":' * 10_000,
        b'{"task_defaults": {"payload": ' + b"[" * 400 + b"1e999" + b"]" * 400 + b"}}",
        json.dumps({**SUITE, "name": "a\x00b"}).encode(),
        json.dumps({**SUITE, "group_name": "a\x00b"}).encode(),
        json.dumps(SUITE).encode()[:-1] + b', "name": "twice"}',
        json.dumps(SUITE).encode()[:-1] + b', "task_defaults": {"payload": {"a": 1, "a": 2}}}',
    ],
    ids=range(20),
)
async def test_bodies_that_are_no_suite_are_refused(rest: Rest, body: bytes) -> None:
    answer = await rest.ask("POST", "/suites", data=body, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 404)
    assert answer.error["reason"] in ("INVALID_FIELD", "NOT_FOUND")


async def test_bodies_over_the_limit_are_refused_by_their_length(coordinator: RunningCoordinator) -> None:
    head = post(coordinator, f"Content-Length: {100 * MIB}")
    assert await sent(coordinator, head, b"x" * MIB) == 413


async def test_bodies_over_the_limit_are_refused_while_they_come(database_url: str, tmp_path: Path) -> None:
    limits = {"max_message_bytes": MIB, "max_batch_bytes": MIB, "max_payload_bytes": MIB}
    async with running(coordinator_config(database_url, tmp_path, limits=limits)) as coordinator:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        chunked = post(coordinator, "Transfer-Encoding: chunked")
        assert await sent(coordinator, chunked, *[chunk] * 20) == 413
        # 100 MB of zeros in 100 kB.
        bomb = gzip.compress(bytes(100 * MIB))
        packed = post(coordinator, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
        assert await sent(coordinator, packed, bomb) in (400, 413)


async def test_a_hundred_megabytes_do_not_stay_in_memory(coordinator: RunningCoordinator, rest: Rest) -> None:
    async def flood() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * MIB

    try:
        answer = await rest.ask("POST", "/suites", data=flood(), headers={"Content-Type": "application/json"})
    except OSError:
        # Closed while it still sent: as good an answer to that as any.
        return
    assert answer.status == 413


@pytest.mark.parametrize(
    "head",
    [
        "".join(f"X-{number}: 1\r\n" for number in range(10_000)),
        "X-Long: " + "a" * 100_000 + "\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        " folded: 1\r\n",
        "No-Colon\r\n",
        "Bad\x00Name: 1\r\n",
        "X: a\x00b\r\n",
    ],
    ids=range(14),
)
async def test_heads_that_are_tricks_are_refused(coordinator: RunningCoordinator, head: str) -> None:
    request = f"POST /suites HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {coordinator.admin_token}\r\n{head}\r\n"
    assert await sent(coordinator, request.encode(), b"0\r\n\r\n") in (0, 400, 413, 431, 501)


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n", b"-1\r\n{}\r\n", b"5\r\n{}\r\n", b"2\r\n{}", b"ffffffffffffffffff\r\n{}\r\n", b"2;" + b"x" * 100_000],
)
async def test_chunks_that_are_tricks_are_refused(database_url: str, tmp_path: Path, chunks: bytes) -> None:
    config = coordinator_config(database_url, tmp_path, http={"body_timeout_seconds": 0.3})
    async with running(config) as coordinator:
        head = post(coordinator, "Transfer-Encoding: chunked")
        assert await sent(coordinator, head, chunks + b"\r\n0\r\n\r\n") in (0, 400, 408)


async def test_two_requests_in_one_are_never_more_than_two(coordinator: RunningCoordinator) -> None:
    inner = b"GET /users HTTP/1.1\r\nHost: x\r\n\r\n"
    head = post(coordinator, f"Content-Length: {len(inner)}")
    async with connected(coordinator) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(head + inner + b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = await reader.read()
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"400", b"404"]


@pytest.mark.parametrize(
    "first",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 10_000 + b"x\r\n\r\n",
    ],
)
async def test_other_protocols_are_refused(coordinator: RunningCoordinator, first: bytes) -> None:
    assert await sent(coordinator, first + b"\r\n\r\n") in (0, 400, 404, 405)


@pytest.mark.parametrize(
    "target",
    [
        "/suites/%2F",
        "/suites/..%2f..%2fusers",
        "/suites/../../etc/passwd",
        "/suites/%00",
        "/suites/%ff",
        "/suites/%",
        "/suites/%zz",
        "/suites/" + "a" * 10_000,
        "/suites/" + "%41" * 2_000,
        "/groups/%00",
        "/groups/%2e%2e",
        "/groups/%ff",
        "/groups/" + "g" * 5_000,
        "/suites?name=" + "a" * 10_000,
        "/suites?name=" + "a" * 5_000,
        "/suites?group_name=%00",
        "/tasks?group_name=%00",
        "/managers?group_name=%00",
        "/suites?group_name=" + "g" * 5_000,
        "/suites?labels=%00",
        "/suites?page_token=%00",
        "/users?page_token=" + "a" * 5_000,
        "/docs/../../../../etc/passwd",
        "/docs/%2e%2e/app.py",
        "//suites",
        "/\\suites",
    ],
)
async def test_targets_that_are_tricks_are_refused(coordinator: RunningCoordinator, target: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {coordinator.admin_token}\r\n\r\n"
    assert await sent(coordinator, head.encode()) in (400, 404, 414)


@pytest.mark.parametrize("name", ["\x00", "..", "%2F", "g" * 10_000, "\U0001f600" * 100])
async def test_names_that_are_tricks_are_refused_where_something_is_changed(rest: Rest, name: str) -> None:
    for path, body in (
        ("/users", {"username": name, "password": "12345678"}),
        ("/groups", {"group_name": name}),
        ("/groups/default/members", {"username": name, "role": "Member"}),
        ("/login", {"username": name, "password": name}),
        ("/tasks", {"group_name": name, "task_spec": {"command": "true"}}),
        ("/managers", {"name": "m", "group_memberships": [{"group_name": name}]}),
    ):
        assert (await rest.ask("POST", path, body)).status in (400, 401, 404), path
    in_path = quote(name, safe="")
    assert (await rest.ask("DELETE", URL(f"/groups/default/members/{in_path}", encoded=True))).status in (200, 400, 404)
    assert (await rest.ask("PATCH", URL(f"/users/{in_path}", encoded=True), {})).status in (400, 404)


async def test_slow_heads_and_quiet_connections_are_cut(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, http={"idle_timeout_seconds": 0.5})
    async with running(config) as coordinator:
        for sending in (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000, b""):
            assert await _until_cut(coordinator, sending) < 5


async def test_slow_bodies_are_cut(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, http={"body_timeout_seconds": 0.5})
    async with running(config) as coordinator, rest_of(coordinator) as rest:
        head = post(coordinator, "Content-Length: 1000")
        async with connected(coordinator) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
            dripping = asyncio.create_task(_drip(writer, head + b" " * 1000, at_once=len(head)))
            assert (await reader.readline()).split()[1] == b"408"
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
        assert await rest.get("/auth")


async def _until_cut(coordinator: RunningCoordinator, sending: bytes) -> float:
    began = time.monotonic()
    async with connected(coordinator) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        dripping = asyncio.create_task(_drip(writer, sending))
        with suppress(ConnectionError):
            assert await reader.read() == b""
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    return time.monotonic() - began


async def _drip(writer: asyncio.StreamWriter, sending: bytes, at_once: int = 0) -> None:
    writer.write(sending[:at_once])
    for byte in sending[at_once:]:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def test_many_slow_clients_keep_nobody_waiting(coordinator: RunningCoordinator, rest: Rest) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", coordinator.inner.http_port) for _ in range(200)]
    for _, writer in opened:
        writer.write(post(coordinator, "Content-Length: 1000") + b"{")
    began = time.monotonic()
    for _ in range(20):
        assert await rest.get("/suites")
    assert time.monotonic() - began < 5
    for _, writer in opened:
        writer.close()
