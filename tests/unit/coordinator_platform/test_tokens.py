"""Tokens: what a genuine one says, and what is not believed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.services.tokens import SigningKey, TokenAuthority, TokenKind

KEY = SigningKey.generate()
# Not a whole second, on purpose.
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(clock: Clock) -> TokenAuthority:
    return make_authority([KEY], clock)


def make_authority(keys: list[SigningKey], clock: Clock) -> TokenAuthority:
    return TokenAuthority(keys, user_lifetime=timedelta(hours=24), manager_lifetime=timedelta(days=30), now=clock)


def signed(key: Any, *, algorithm: str = "EdDSA", kid: str = KEY.kid, **changes: object) -> str:
    payload: dict[str, object] = {
        "iss": "mitosis",
        "kind": "user",
        "sub": str(uuid4()),
        "jti": str(uuid4()),
        "iat": START.timestamp(),
        "exp": (START + timedelta(hours=1)).timestamp(),
        **changes,
    }
    kept = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


def test_a_users_token(authority: TokenAuthority) -> None:
    user_id = uuid4()
    issued = authority.issue_user_token(user_id)
    claims = authority.verify(issued.token)
    assert (claims.kind, claims.subject) == (TokenKind.USER, user_id)
    assert claims.issued_at == START
    assert claims.expires_at == issued.expires_at == START + timedelta(hours=24)
    assert issued.token not in repr(issued)


def test_a_managers_token_names_its_id(authority: TokenAuthority) -> None:
    manager_id, token_id = uuid4(), uuid4()
    claims = authority.verify(authority.issue_manager_token(manager_id, token_id).token)
    assert (claims.kind, claims.subject, claims.token_id) == (TokenKind.MANAGER, manager_id, token_id)
    assert claims.expires_at == START + timedelta(days=30)


def test_a_token_expires(authority: TokenAuthority, clock: Clock) -> None:
    token = authority.issue_user_token(uuid4()).token
    clock.time = START + timedelta(hours=24) - timedelta(microseconds=1)
    authority.verify(token)
    clock.time = START + timedelta(hours=24)
    with pytest.raises(InvalidToken, match="expired at 2026-01-03T03:04:05"):
        authority.verify(token)


def test_an_older_key_still_verifies_and_the_newest_signs(clock: Clock) -> None:
    token = make_authority([KEY], clock).issue_user_token(uuid4()).token
    newer = SigningKey.generate()
    both = make_authority([KEY, newer], clock)
    both.verify(token)
    assert jwt.get_unverified_header(both.issue_user_token(uuid4()).token)["kid"] == newer.kid


def test_a_key_survives_being_written_down(clock: Clock) -> None:
    again = SigningKey.from_pem(KEY.kid, KEY.to_pem())
    make_authority([again], clock).verify(make_authority([KEY], clock).issue_user_token(uuid4()).token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é" * 10,
        "x" * 100_000,
        signed(Ed25519PrivateKey.generate()),
        signed(KEY.private_key, kid="unknown"),
        signed("a shared secret that is long enough for HS256", algorithm="HS256"),
        signed(None, algorithm="none"),
        signed(KEY.private_key, iss="someone else"),
        signed(KEY.private_key, kind="robot"),
        signed(KEY.private_key, kind=None),
        signed(KEY.private_key, kind="manager"),
        signed(KEY.private_key, sub="not a uuid"),
        signed(KEY.private_key, exp=None),
        signed(KEY.private_key, exp="soon"),
        signed(KEY.private_key, exp=1e300),
        signed(KEY.private_key, iat=None),
    ],
)
def test_what_is_not_believed(authority: TokenAuthority, token: str) -> None:
    with pytest.raises(InvalidToken):
        authority.verify(token)


def test_a_changed_token_is_not_believed(authority: TokenAuthority) -> None:
    header, payload, signature = authority.issue_user_token(uuid4()).token.split(".")
    other_payload = authority.issue_user_token(uuid4()).token.split(".")[1]
    assert payload != other_payload
    with pytest.raises(InvalidToken):
        authority.verify(f"{header}.{other_payload}.{signature}")
