"""Password hashing with argon2id, off the event loop."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mitosis_coordinator.domain.errors import FieldViolation, InvalidField

MIN_LENGTH = 8
MAX_LENGTH = 1024
# Each hash takes 64 MiB for as long as it runs: many logins at once wait rather than exhaust the memory.
_MAX_CONCURRENT = 2


def check_password(field: str, password: str) -> None:
    """Refuse a new password that is too short or too long.

    Raises:
        InvalidField: which tells its length, never the password.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidField(
            [FieldViolation(field, f"{len(password)} characters", f"{MIN_LENGTH} to {MAX_LENGTH} characters")]
        )


def generate_password() -> str:
    """Make a password of 192 random bits."""
    return secrets.token_urlsafe(24)


class Passwords:
    """Hashes and verifies passwords in threads, a few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Hash a password with a salt of its own."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed.

        Without a hash, for a user that does not exist, it takes as long and says no: the time tells nothing.
        """
        if len(password) > MAX_LENGTH:
            return False
        # Made before it is needed: made on demand, it would double the time of the first wrong name.
        if self._decoy is None:
            self._decoy = await self.hash(generate_password())
        try:
            async with self._slots:
                await asyncio.to_thread(self._hasher.verify, password_hash or self._decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)
