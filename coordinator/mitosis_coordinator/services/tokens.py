"""Tokens: EdDSA JWTs that any coordinator can verify without asking anyone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.ids import new_uuid

_ALGORITHM = "EdDSA"
_ISSUER = "mitosis"
_MAX_TOKEN_LENGTH = 4096


class TokenKind(StrEnum):
    """Whose token it is."""

    USER = "user"
    MANAGER = "manager"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name that tokens call it by."""

    kid: str
    private_key: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key."""
        return cls(str(new_uuid()), Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, kid: str, pem: str) -> SigningKey:
        """Read a key back.

        Raises:
            ValueError: the text is not an Ed25519 private key.
        """
        private_key = load_pem_private_key(pem.encode(), password=None)
        if not isinstance(private_key, Ed25519PrivateKey):
            raise ValueError(f"signing key {kid} is not an Ed25519 key")
        return cls(kid, private_key)

    def to_pem(self) -> str:
        """Write the key down, unencrypted: it is as secret as the database it lives in."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. It is shown to its bearer and kept nowhere."""

    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"IssuedToken(expires_at={self.expires_at.isoformat()})"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine token says.

    `token_id` is what a manager's or worker's row names; for users it is only a name for the token.
    """

    kind: TokenKind
    subject: UUID
    token_id: UUID
    issued_at: datetime
    expires_at: datetime


def utc_now() -> datetime:
    """The time on this machine's clock."""
    return datetime.now(UTC)


class TokenAuthority:
    """Issues and verifies tokens. The newest key signs, all of them verify."""

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        user_lifetime: timedelta,
        manager_lifetime: timedelta,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not keys:
            raise ValueError("there must be a signing key")
        self._signing_key = keys[-1]
        self._public_keys = {key.kid: key.private_key.public_key() for key in keys}
        self._user_lifetime = user_lifetime
        self._manager_lifetime = manager_lifetime
        self.now = now

    def issue_user_token(self, user_id: UUID, *, issued_at: datetime | None = None) -> IssuedToken:
        """Make a token for a user.

        Args:
            issued_at: the database's clock where the token is compared with `users.tokens_valid_after`, which was set
                by that clock too; this machine's clock otherwise.
        """
        return self._issue(TokenKind.USER, user_id, new_uuid(), issued_at or self.now(), self._user_lifetime)

    def issue_manager_token(self, manager_id: UUID, token_id: UUID) -> IssuedToken:
        """Make a token for a manager, good as long as the manager's row names `token_id`."""
        return self._issue(TokenKind.MANAGER, manager_id, token_id, self.now(), self._manager_lifetime)

    def issue_worker_token(self, worker_id: UUID, token_id: UUID) -> IssuedToken:
        """Make a token for an independent worker, good as long as the worker's row names `token_id`."""
        return self._issue(TokenKind.WORKER, worker_id, token_id, self.now(), self._manager_lifetime)

    def verify(self, token: str) -> Claims:
        """Check signature, form and age of a token. Whether it was revoked since is not known here.

        Raises:
            InvalidToken: it is malformed, expired, or not signed by a known key.
        """
        if len(token) > _MAX_TOKEN_LENGTH:
            raise InvalidToken("the token is malformed")
        try:
            public_key = self._public_keys[jwt.get_unverified_header(token).get("kid", "")]
            payload = jwt.decode(
                token,
                public_key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                # Ages are checked below, against the clock that was given.
                options={
                    "require": ["exp", "iat", "iss", "jti", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = _claims(payload)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidToken("the token is malformed, or another installation signed it") from error
        if claims.expires_at <= self.now():
            raise InvalidToken(f"the token expired at {claims.expires_at.isoformat(timespec='seconds')}")
        return claims

    def _issue(
        self, kind: TokenKind, subject: UUID, token_id: UUID, issued_at: datetime, lifetime: timedelta
    ) -> IssuedToken:
        expires_at = issued_at + lifetime
        payload = {
            "iss": _ISSUER,
            "kind": kind.value,
            "sub": str(subject),
            "jti": str(token_id),
            # Whole seconds could not tell a token issued just before a password change from one issued just after.
            "iat": issued_at.timestamp(),
            "exp": expires_at.timestamp(),
        }
        if kind is not TokenKind.USER:
            payload["tid"] = str(token_id)
        key = self._signing_key
        token = jwt.encode(payload, key.private_key, algorithm=_ALGORITHM, headers={"kid": key.kid})
        return IssuedToken(token, expires_at)


def _claims(payload: dict[str, Any]) -> Claims:
    kind = TokenKind(payload["kind"])
    return Claims(
        kind=kind,
        subject=UUID(payload["sub"]),
        token_id=UUID(payload["jti"] if kind is TokenKind.USER else payload["tid"]),
        issued_at=datetime.fromtimestamp(payload["iat"], UTC),
        expires_at=datetime.fromtimestamp(payload["exp"], UTC),
    )
