"""Signing keys in PostgreSQL, so that every coordinator on one database signs and verifies with the same."""

from __future__ import annotations

from dataclasses import dataclass

from mitosis_coordinator.storage.pool import Connection
from mitosis_coordinator.storage.queries import load_queries
from mitosis_coordinator.storage.rows import execute, fetch_all

_SQL = load_queries("keys")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A private key as it is kept."""

    kid: str
    private_key_pem: str

    def __repr__(self) -> str:
        return f"StoredKey(kid={self.kid!r})"


async def lock_bootstrap(connection: Connection) -> None:
    """Wait until no other coordinator makes what the first start makes; ends with the transaction."""
    await connection.execute(_SQL["lock_bootstrap"])


async def all_keys(connection: Connection) -> list[StoredKey]:
    """Every key, the oldest first."""
    return await fetch_all(connection, StoredKey, _SQL["list_keys"])


async def insert(connection: Connection, key: StoredKey) -> None:
    """Add a key."""
    await execute(connection, _SQL["insert_key"], {"kid": key.kid, "private_key_pem": key.private_key_pem})
