"""Which kind of token opens which RPC. What its bearer may then do is for the services to say."""

from __future__ import annotations

from typing import Final

from mitosis_coordinator.services.tokens import TokenKind

_AUTH = "/mitosis.v1.AuthService/"
_MANAGER = "/mitosis.v1.ManagerService/"

# Every RPC of `mitosis.v1` that is not here takes a user's token.
_EXCEPTIONS: Final[dict[str, TokenKind | None]] = {
    f"{_AUTH}Login": None,
    f"{_MANAGER}Heartbeat": TokenKind.MANAGER,
    f"{_MANAGER}RefreshToken": TokenKind.MANAGER,
    f"{_MANAGER}Connect": TokenKind.MANAGER,
}

# Probes and debugging tools bring no token, and learn nothing but what is public.
_OPEN_SERVICES: Final = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)


def required_token(method: str) -> TokenKind | None:
    """The kind of token that a method needs, None for none.

    Args:
        method: the full name, as in `/mitosis.v1.AuthService/Login`.
    """
    if method.startswith(_OPEN_SERVICES):
        return None
    return _EXCEPTIONS.get(method, TokenKind.USER)
