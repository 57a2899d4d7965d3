"""Logging in, and one's own password."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from mitosis_coordinator.domain.errors import InvalidCredentials, InvalidToken
from mitosis_coordinator.domain.principal import UserPrincipal
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.passwords import Passwords, check_password
from mitosis_coordinator.services.throttle import Throttle
from mitosis_coordinator.services.tokens import IssuedToken, TokenAuthority
from mitosis_coordinator.storage import users
from mitosis_coordinator.storage.pool import Database

log = structlog.get_logger(__name__)

TRIES_PER_WINDOW = 10
WINDOW_SECONDS = 60.0
_MISMATCH = "user name and password do not match, or the user is disabled"


@dataclass(frozen=True, slots=True)
class Login:
    """A successful login."""

    token: IssuedToken
    user: users.User


class AuthService:
    """Gives tokens for passwords."""

    def __init__(
        self,
        database: Database,
        authority: TokenAuthority,
        authenticator: Authenticator,
        passwords: Passwords,
        *,
        throttle: Throttle | None = None,
    ) -> None:
        self._database = database
        self._authority = authority
        self._authenticator = authenticator
        self._passwords = passwords
        self._throttle = throttle or Throttle("logins", limit=TRIES_PER_WINDOW, window_seconds=WINDOW_SECONDS)

    async def login(self, *, username: str, password: str, peer: str) -> Login:
        """Give a token for a user name and a password.

        Args:
            peer: the caller's host; tries are counted for it and the name together, so that nobody can lock out a user
                from elsewhere.

        Raises:
            InvalidCredentials: they do not match, or the user is disabled.
            LimitExceeded: there were too many tries.
        """
        key = (username.lower()[:64], peer)
        self._throttle.admit(key)
        # PostgreSQL's text cannot hold NUL, and no user name has one.
        known_as = username if "\0" not in username else ""
        async with self._database.connection() as connection:
            credentials = await users.credentials(connection, known_as)
        matches = await self._passwords.verify(credentials.password_hash if credentials else None, password)
        if credentials is None or not matches or credentials.disabled:
            raise InvalidCredentials(_MISMATCH)
        self._throttle.forget(key)
        if self._passwords.is_outdated(credentials.password_hash):
            rehashed = await self._passwords.hash(password)
            async with self._database.connection() as connection:
                await users.rehash(connection, credentials.id, credentials.password_hash, rehashed)
        async with self._database.connection() as connection:
            user = await users.by_name(connection, credentials.username)
        if user is None:
            raise InvalidCredentials(_MISMATCH)
        # The moment before the password was checked: a change made meanwhile revokes this token too.
        token = self._authority.issue_user_token(user.id, issued_at=credentials.now)
        log.info("user_logged_in", user=user.username)
        return Login(token, user)

    async def current_user(self, caller: UserPrincipal) -> users.User:
        """Return the caller with all memberships.

        Raises:
            InvalidToken: the user is gone.
        """
        async with self._database.connection() as connection:
            user = await users.by_name(connection, caller.username)
        if user is None:
            raise InvalidToken("the user of this token does not exist or is disabled")
        return user

    async def change_password(
        self, caller: UserPrincipal, *, current_password: str, new_password: str, peer: str
    ) -> None:
        """Change the caller's password and revoke every token given before.

        Raises:
            InvalidField: the new password is too short or too long.
            InvalidCredentials: the current one is wrong.
            LimitExceeded: there were too many tries.
        """
        check_password("new_password", new_password)
        key = (caller.username.lower(), peer)
        self._throttle.admit(key)
        async with self._database.connection() as connection:
            credentials = await users.credentials_by_id(connection, caller.user_id)
        if credentials is None or not await self._passwords.verify(credentials.password_hash, current_password):
            raise InvalidCredentials("the current password does not match")
        self._throttle.forget(key)
        new_hash = await self._passwords.hash(new_password)
        async with self._database.connection() as connection:
            await users.update(connection, caller.user_id, password_hash=new_hash)
        self._authenticator.forget(caller.user_id)
        log.info("password_changed", user=caller.username)

    async def revoke_tokens(self, caller: UserPrincipal) -> None:
        """Revoke every token that the caller was given before."""
        async with self._database.connection() as connection:
            await users.revoke_tokens(connection, caller.user_id)
        self._authenticator.forget(caller.user_id)
        log.info("tokens_revoked", user=caller.username)
