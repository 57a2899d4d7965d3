"""Finds the coordinator: asks its HTTP address where its gRPC address is, and opens a channel there."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc

from mitosis_common.agent_config import Coordinator
from mitosis_common.loopback import host_of, is_loopback

INFO_TIMEOUT_SECONDS = 10.0
# A dead peer is noticed within the sum of both; without them a cut cable looks like a quiet coordinator for ever.
KEEPALIVE_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


class DialError(Exception):
    """The coordinator cannot be found, for now."""


@dataclass(frozen=True, slots=True)
class Target:
    """A gRPC address as `host:port`, and whether to speak TLS there."""

    address: str
    tls: bool


def target_from_url(url: str) -> Target:
    """Reads `grpc://host:port` or `grpcs://host:port`; the ports default to 80 and 443."""
    parts = urlsplit(url)
    tls = parts.scheme == "grpcs"
    return Target(_join(parts.hostname or "", parts.port or (443 if tls else 80)), tls)


def target_from_info(info: object, asked_host: str) -> Target:
    """Reads the answer of `GET /info`; a wildcard address there means the host that was asked.

    Raises `DialError` for an answer of another shape.
    """
    if not isinstance(info, dict) or not isinstance(info.get("grpc"), str):
        raise DialError('the answer of /info has no text "grpc"; is this a Mitosis coordinator?')
    parts = urlsplit(f"//{info['grpc']}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not port:
        raise DialError(f'the answer of /info says grpc "{info["grpc"][:100]}", which is not host:port')
    host = parts.hostname or ""
    return Target(_join(asked_host if _is_wildcard(host) else host, port), info.get("grpc_tls") is True)


async def find(coordinator: Coordinator, turn: int = 0) -> Target:
    """Returns where to connect: `turn` counts through the addresses, from the first again after the last.

    Raises `DialError` when the coordinator there does not say.
    """
    address = coordinator.addresses[turn % len(coordinator.addresses)]
    if coordinator.stream_url:
        return target_from_url(address)
    url = f"{address}/info"
    ssl_context = await asyncio.to_thread(_ssl_context, coordinator)
    timeout = aiohttp.ClientTimeout(total=INFO_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # From https:// a redirect could lead to plain text.
            session.get(url, ssl=ssl_context, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise DialError(f"GET {url} answered {response.status}")
            info: Any = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise DialError(f"GET {url}: {str(error) or type(error).__name__}") from error
    return target_from_info(info, urlsplit(url).hostname or "")


async def open_channel(target: Target, coordinator: Coordinator) -> grpc.aio.Channel:
    """Opens a channel; nothing is sent yet.

    Raises `DialError` when the certificates cannot be read, or the token would go over plain text to another machine.
    """
    if not target.tls:
        if not (coordinator.insecure or is_loopback(host_of(target.address))):
            raise DialError(
                f"the coordinator speaks plain text at {target.address}, where others could read the token on its way; "
                "coordinator.insecure: true allows that"
            )
        return grpc.aio.insecure_channel(target.address, options=KEEPALIVE_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        await _read("ca_file", coordinator.ca_file),
        await _read("private_key", coordinator.private_key),
        await _read("certificate", coordinator.certificate),
    )
    return grpc.aio.secure_channel(target.address, credentials, options=KEEPALIVE_OPTIONS)


async def _read(key: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise DialError(f"coordinator.{key} {path}: {error.strerror}") from error


def _ssl_context(coordinator: Coordinator) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if coordinator.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=coordinator.ca_file)
        except OSError as error:
            raise DialError(f"coordinator.ca_file {coordinator.ca_file}: {error}") from error
    if coordinator.certificate is not None:
        try:
            # A key with a passphrase would be asked for at the terminal.
            context.load_cert_chain(coordinator.certificate, coordinator.private_key, password=lambda: b"")
        except OSError as error:
            files = f"{coordinator.certificate} and coordinator.private_key {coordinator.private_key}"
            raise DialError(f"coordinator.certificate {files}: {error}") from error
    return context


def _is_wildcard(host: str) -> bool:
    if host in ("", "*"):
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
