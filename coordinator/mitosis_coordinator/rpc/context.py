"""What a servicer may know about the call it serves."""

from __future__ import annotations

from contextvars import ContextVar

from mitosis_coordinator.domain.principal import ManagerPrincipal, Principal, UserPrincipal

_principal: ContextVar[Principal] = ContextVar("principal")
_peer: ContextVar[str] = ContextVar("peer", default="unknown")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_principal() -> Principal:
    """Who makes the call.

    Raises:
        LookupError: the call needs no token, or there is no call.
    """
    return _principal.get()


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


def current_peer() -> str:
    """The caller's host without its port, so that one host is one peer."""
    return _peer.get()


def current_request_id() -> str:
    """The call's id, as the caller gave it or as it was made up here."""
    return _request_id.get()


def set_principal(principal: Principal) -> None:
    """Note who makes the call. For the auth interceptor.

    Nothing is ever set back: each call runs in a context of its own.
    """
    _principal.set(principal)


def set_call(request_id: str, peer: str) -> None:
    """Note what call this is. For the context interceptor."""
    _request_id.set(request_id)
    _peer.set(peer)
