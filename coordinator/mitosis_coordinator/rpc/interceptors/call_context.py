"""The outermost layer: which call this is, for logs and for whoever looks for it later."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from structlog.contextvars import bind_contextvars

from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.rpc.context import set_peer
from mitosis_coordinator.rpc.interceptors.chain import Call

REQUEST_ID = "x-request-id"
_ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class ContextLayer:
    """Gives the call an id, its caller's own where that is fit for a log, and sends it back in the trailers."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        request_id = fit_request_id(call.metadata.get(REQUEST_ID, ""))
        peer = peer_host(call.context.peer())
        call.context.set_trailing_metadata(((REQUEST_ID, request_id),))
        bind_contextvars(request_id=request_id, method=call.method, peer=peer)
        set_peer(peer)
        yield


def fit_request_id(given: str) -> str:
    """The caller's own id where it is fit for a log, else a new one."""
    return given if _ACCEPTED_REQUEST_ID.fullmatch(given) else str(new_uuid())


def peer_host(peer: str) -> str:
    """The host in gRPC's name for a peer: `ipv4:10.0.0.1:5000` gives `10.0.0.1`, `unix:` gives `unix`."""
    scheme, _, address = unquote(peer).partition(":")
    if scheme == "ipv4":
        return address.rpartition(":")[0]
    if scheme == "ipv6":
        return address.rpartition(":")[0].strip("[]")
    return scheme or "unknown"
