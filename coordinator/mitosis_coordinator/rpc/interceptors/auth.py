"""Finds out who makes the call, and whether the call is open to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from structlog.contextvars import bind_contextvars

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.principal import ManagerPrincipal, UserPrincipal
from mitosis_coordinator.rpc.access import require_administrator, required_token
from mitosis_coordinator.rpc.context import set_principal
from mitosis_coordinator.rpc.interceptors.chain import Call
from mitosis_coordinator.services.authenticator import Authenticator

_SCHEME = "bearer "


class AuthLayer:
    """Sets the principal of the call from `authorization: Bearer <token>`, as `rpc.access` demands."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        kind = required_token(call.method)
        if kind is not None:
            renew = partial(self._authenticator.authenticate, _bearer_token(call.metadata), kind)
            principal = await renew()
            set_principal(principal, renew)
            if isinstance(principal, UserPrincipal):
                bind_contextvars(user=principal.username)
            elif isinstance(principal, ManagerPrincipal):
                bind_contextvars(manager_uuid=str(principal.manager_id))
            else:
                bind_contextvars(worker_uuid=str(principal.worker_id))
            require_administrator(call.method, principal)
        yield


def _bearer_token(metadata: dict[str, str]) -> str:
    given = metadata.get("authorization", "")
    if given[: len(_SCHEME)].lower() != _SCHEME:
        raise InvalidToken("the call needs a token: metadata 'authorization: Bearer <token>'")
    return given[len(_SCHEME) :].strip()
