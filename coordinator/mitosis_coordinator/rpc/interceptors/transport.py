"""Refuses secrets that came over plain text from another machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mitosis_common.loopback import is_loopback
from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.rpc.interceptors.call_context import peer_host
from mitosis_coordinator.rpc.interceptors.chain import Call

# Every call of the product carries a token, or is the one that carries a password. Probes and reflection carry neither.
_OWN_SERVICES = "/mitosis."


class TransportLayer:
    """For ports without TLS.

    Who sends a token in the clear has given it away already; the refusal comes at the first try of a new installation,
    before anybody relies on it. The peer is that of the connection: headers in which proxies tell of another one are
    not believed.
    """

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        if call.method.startswith(_OWN_SERVICES) and not _is_local(peer_host(call.context.peer())):
            raise InvalidToken(
                "passwords and tokens are not accepted over plain text from other machines: give the coordinator "
                "tls.certificate and tls.private_key, or allow it with tls.insecure: true"
            )
        yield


def _is_local(host: str) -> bool:
    return host == "unix" or is_loopback(host)
