"""Finds the coordinator: asks its HTTP address where its gRPC address is, and opens a channel there."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc

from mitosis_nodemgr.config import Coordinator

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


async def find(coordinator: Coordinator) -> Target:
    """Returns where to connect. Raises `DialError` when the coordinator does not say."""
    if coordinator.stream_url is not None:
        return target_from_url(coordinator.stream_url)
    url = f"{coordinator.info_url}/info"
    ssl_context = await asyncio.to_thread(_ssl_context, coordinator)
    timeout = aiohttp.ClientTimeout(total=INFO_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=ssl_context) as response,
        ):
            if response.status != 200:
                raise DialError(f"GET {url} answered {response.status}")
            info: Any = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise DialError(f"GET {url}: {str(error) or type(error).__name__}") from error
    return target_from_info(info, urlsplit(url).hostname or "")


async def open_channel(target: Target, coordinator: Coordinator) -> grpc.aio.Channel:
    """Opens a channel; nothing is sent yet. Raises `DialError` when the certificates cannot be read."""
    if not target.tls:
        return grpc.aio.insecure_channel(target.address, options=KEEPALIVE_OPTIONS)
    roots: bytes | None = None
    if coordinator.ca_file is not None:
        try:
            roots = await asyncio.to_thread(coordinator.ca_file.read_bytes)
        except OSError as error:
            raise DialError(f"coordinator.ca_file {coordinator.ca_file}: {error.strerror}") from error
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(target.address, credentials, options=KEEPALIVE_OPTIONS)


def _ssl_context(coordinator: Coordinator) -> Any:
    if coordinator.ca_file is None:
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=str(coordinator.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise DialError(f"coordinator.ca_file {coordinator.ca_file}: {error}") from error


def _is_wildcard(host: str) -> bool:
    if host in ("", "*"):
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
