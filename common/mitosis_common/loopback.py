"""What an address says: its host, its port, and whether it never leaves this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Tell whether what is sent to a host, or comes from it, stays on this machine.

    Of names only `localhost` does: what any other leads to is for a name server to say, who may be somebody else's.
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def host_of(address: str) -> str:
    """The host of `host:port`, an IPv6 address without its brackets; empty where there is none."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def is_host_and_port(address: str) -> bool:
    """Whether a text is `host:port`, with a port from 1 to 65535."""
    try:
        parts = urlsplit(f"//{address}")
        return bool(parts.hostname and parts.port) and parts.netloc == address and "@" not in address
    except ValueError:
        return False
