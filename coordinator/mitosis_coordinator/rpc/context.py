"""What a servicer may know about the call it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from mitosis_coordinator.domain.principal import ManagerPrincipal, Principal, UserPrincipal, WorkerPrincipal

_principal: ContextVar[Principal] = ContextVar("principal")
_renew: ContextVar[Callable[[], Awaitable[Principal]]] = ContextVar("renew")
_peer: ContextVar[str] = ContextVar("peer", default="unknown")


def current_user() -> UserPrincipal:
    """The user who makes the call, for RPCs that `rpc.access` opens to users alone."""
    principal = _principal.get()
    assert isinstance(principal, UserPrincipal), "rpc.access let another kind of token through"
    return principal


def current_manager() -> ManagerPrincipal:
    """The manager that makes the call, for RPCs that `rpc.access` opens to managers alone."""
    principal = _principal.get()
    assert isinstance(principal, ManagerPrincipal), "rpc.access let another kind of token through"
    return principal


def current_worker() -> WorkerPrincipal:
    """The worker that makes the call, for RPCs that `rpc.access` opens to workers alone."""
    principal = _principal.get()
    assert isinstance(principal, WorkerPrincipal), "rpc.access let another kind of token through"
    return principal


async def renewed_user() -> UserPrincipal:
    """The user who makes the call, with the rights of this moment: for streams, which outlive what they began with.

    Raises:
        InvalidToken: the token ended or was revoked since.
        StorageUnavailable: the database does not answer.
    """
    principal = await _renew.get()()
    assert isinstance(principal, UserPrincipal), "rpc.access let another kind of token through"
    return principal


def current_peer() -> str:
    """The caller's host without its port, so that one host is one peer."""
    return _peer.get()


def set_principal(principal: Principal, renew: Callable[[], Awaitable[Principal]]) -> None:
    """Note who makes the call, and how to ask again. For the auth interceptor.

    Nothing is ever set back: each call runs in a context of its own.
    """
    _principal.set(principal)
    _renew.set(renew)


def set_peer(peer: str) -> None:
    """Note whose call this is. For the context interceptor."""
    _peer.set(peer)
