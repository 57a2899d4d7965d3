"""What the first start makes: a signing key, the first administrator, the default group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.domain.principal import GroupRole
from mitosis_coordinator.private_file import write_private
from mitosis_coordinator.services.passwords import Passwords, generate_password
from mitosis_coordinator.services.tokens import SigningKey
from mitosis_coordinator.storage import groups, keys, users
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)

ADMIN_USERNAME = "admin"
DEFAULT_GROUP = "default"


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What there is after the first start, and every later one. `admin_id` is None when `admin` was never made."""

    signing_keys: list[SigningKey]
    admin_id: UUID | None


async def bootstrap(
    database: Database, passwords: Passwords, *, admin_password: str | None, admin_password_file: Path
) -> Bootstrapped:
    """Make what is missing. Idempotent, also when several coordinators start at once.

    Args:
        admin_password: the first administrator's password; None to make one up and write it to `admin_password_file`,
            readable by its owner alone.

    Raises:
        OSError: the file cannot be written; nothing was made.
        StorageUnavailable: the database does not answer.
    """
    async with database.transaction() as connection:
        await keys.lock_bootstrap(connection)
        stored = await keys.all_keys(connection)
        if not stored:
            stored = [await _make_key(connection)]
        if not await users.any_exists(connection):
            await _make_admin(connection, passwords, admin_password, admin_password_file)
        admin = await users.by_name(connection, ADMIN_USERNAME)
    signing_keys = [SigningKey.from_pem(key.kid, key.private_key_pem) for key in stored]
    return Bootstrapped(signing_keys, None if admin is None or admin.disabled else admin.id)


async def _make_key(connection: Connection) -> keys.StoredKey:
    key = SigningKey.generate()
    stored = keys.StoredKey(key.kid, key.to_pem())
    await keys.insert(connection, stored)
    log.info("signing_key_created", kid=key.kid)
    return stored


async def _make_admin(connection: Connection, passwords: Passwords, password: str | None, file: Path) -> None:
    given = password is not None
    password = password or generate_password()
    admin_id, group_id = new_uuid(), new_uuid()
    await users.insert(connection, admin_id, ADMIN_USERNAME, await passwords.hash(password), is_admin=True)
    if await groups.insert(connection, group_id, DEFAULT_GROUP):
        await groups.set_member(connection, group_id, admin_id, GroupRole.ADMIN)
    if not given:
        # Before the commit: a password that nobody can read would be lost for ever, a file that names a password of no
        # user is written again.
        await asyncio.to_thread(write_private, file, f"{password}\n")
    log.info("admin_created", user=ADMIN_USERNAME, written_to=None if given else str(file), group=DEFAULT_GROUP)
