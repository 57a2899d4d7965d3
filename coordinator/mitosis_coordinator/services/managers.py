"""What users do with managers, and managers with themselves outside their stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import (
    AlreadyExists,
    Disabled,
    InvalidToken,
    NotFound,
    PermissionDenied,
    RequestIdReused,
    WrongState,
)
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.domain.manager import Manager, ManagerMetrics, ManagerRole
from mitosis_coordinator.domain.principal import GroupRole, ManagerPrincipal, UserPrincipal
from mitosis_coordinator.services.access import may_see
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.services.tokens import IssuedToken, TokenAuthority
from mitosis_coordinator.storage import managers, suites
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewManager:
    """What a user says of a manager when registering it."""

    name: str
    tags: tuple[str, ...]
    max_workers: int
    memberships: tuple[tuple[str, ManagerRole], ...]


async def resolve_manager(database: Database, manager_id: UUID, token_id: UUID) -> ManagerPrincipal:
    """The manager behind a genuine token.

    Raises:
        InvalidToken: it is gone, or its row names another token.
    """
    async with database.connection() as connection:
        name = await managers.name_by_token(connection, manager_id, token_id)
    if name is None:
        raise InvalidToken("the manager's token was revoked or replaced by a newer one, or the manager is gone")
    return ManagerPrincipal(manager_id, name)


class ManagerService:
    """Use cases of managers; each is one transaction."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        sessions: LiveSessions,
        authority: TokenAuthority,
        authenticator: Authenticator,
        *,
        enabled: bool = True,
    ) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions
        self._authority = authority
        self._authenticator = authenticator
        self._enabled = enabled

    async def register(
        self, principal: UserPrincipal, new: NewManager, request_id: str, fingerprint: bytes
    ) -> tuple[Manager, IssuedToken]:
        """Register a manager and give it a token, or a new token to the one that the same request registered.

        Raises:
            Disabled: Node managers are switched off.
            NotFound: A group does not exist for the caller.
            PermissionDenied: The caller is not Admin of every group.
            AlreadyExists: The name is taken.
            RequestIdReused: The id was used for another request.
        """
        if not self._enabled:
            raise Disabled("node managers are switched off (node_managers.enabled)")
        manager_id, token_id = new_uuid(), new_uuid()
        known: suites.RememberedRequest | None = None
        async with self._database.transaction() as connection:
            memberships = [
                (await group_for(connection, principal, group_name, GroupRole.ADMIN), role)
                for group_name, role in new.memberships
            ]
            if request_id:
                wanted = suites.RememberedRequest(fingerprint, manager_id, 1)
                known = await suites.remember_request(connection, principal.user_id, request_id, wanted)
            if known is not None:
                if known.fingerprint != fingerprint:
                    raise RequestIdReused(f"request_id {request_id} was used for another request")
                manager_id = known.resource_id
                await managers.replace_token(connection, manager_id, token_id, at_once=True)
            else:
                stored = await managers.insert(
                    connection, manager_id, new.name, new.tags, new.max_workers, token_id, principal.username
                )
                if not stored:
                    raise AlreadyExists("manager", new.name)
                await managers.insert_memberships(connection, manager_id, memberships)
                await suites.match_manager(connection, manager_id)
            manager = await self._read(connection, manager_id)
        if known is not None:
            self._token_ended(manager_id)
        else:
            log.info("manager_registered", manager_uuid=str(manager_id), manager_name=new.name)
        return manager, self._authority.issue_manager_token(manager_id, token_id)

    async def refresh_token(self, principal: ManagerPrincipal) -> IssuedToken:
        """Give a manager a new token; the old one ends a minute later."""
        token_id = new_uuid()
        async with self._database.transaction() as connection:
            await managers.replace_token(connection, principal.manager_id, token_id, at_once=False)
        log.info("manager_token_refreshed", manager_uuid=str(principal.manager_id))
        return self._authority.issue_manager_token(principal.manager_id, token_id)

    async def heartbeat(self, principal: ManagerPrincipal, metrics: ManagerMetrics) -> None:
        """Record that a manager without a stream lives."""
        async with self._database.connection() as connection:
            await managers.touch(connection, principal.manager_id, metrics)

    async def get(self, principal: UserPrincipal, manager_id: UUID) -> Manager:
        """Read a manager.

        Raises:
            NotFound: There is none in the caller's groups.
        """
        async with self._database.connection() as connection:
            return await self._visible(connection, principal, manager_id)

    async def listed(
        self,
        principal: UserPrincipal,
        group_name: str,
        wanted: managers.ManagerFilter,
        after: str | None,
        limit: int,
    ) -> list[Manager]:
        """Read one page of the managers in the caller's groups, by name.

        Raises:
            NotFound: The group does not exist, or the caller is not in it.
        """
        async with self._database.connection() as connection:
            group_ids: Sequence[UUID] | None = principal.visible_groups()
            if group_name:
                group_ids = [await group_for(connection, principal, group_name, GroupRole.VIEWER)]
            found = await managers.listed(connection, replace(wanted, group_ids=group_ids), after, limit)
        return [self._as_seen_by(principal, manager) for manager in found]

    async def shut_down(self, principal: UserPrincipal, manager_id: UUID, *, graceful: bool) -> Manager:
        """Ask a connected manager to drain and end.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of a group in which the manager has the role Admin.
            WrongState: It is not connected.
        """
        async with self._database.connection() as connection:
            manager = await self._controlled(connection, principal, manager_id)
        reason = f"asked by {principal.username}"
        if not self._sessions.shut_down(manager_id, reason, graceful=graceful):
            async with self._database.connection() as connection:
                ordered = await managers.order_shutdown(connection, manager_id, reason, graceful=graceful)
            if not ordered:
                raise WrongState(
                    "manager", manager.name, manager.state, "shut_down", (), said=f"{manager.state} and not connected"
                )
            # Another coordinator has its stream, or it is about to come back.
            self._sessions.look_again(manager_id)
        log.info("manager_shutdown_requested", manager_uuid=str(manager_id), graceful=graceful)
        return manager

    async def drain(self, principal: UserPrincipal, manager_id: UUID) -> Manager:
        """Take a manager out of service; what it holds it finishes or hands back.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of a group in which the manager has the role Admin.
        """
        manager = await self._set_draining(principal, manager_id, draining=True)
        if manager.assigned_suite_id is not None:
            self._sessions.release_suite(manager.assigned_suite_id, [manager_id])
        return manager

    async def resume(self, principal: UserPrincipal, manager_id: UUID) -> Manager:
        """Put a manager back into service.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of a group in which the manager has the role Admin.
        """
        manager = await self._set_draining(principal, manager_id, draining=False)
        self._signals.manager_changed(manager_id)
        return manager

    async def _set_draining(self, principal: UserPrincipal, manager_id: UUID, *, draining: bool) -> Manager:
        async with self._database.transaction() as connection:
            await self._controlled(connection, principal, manager_id)
            await managers.set_draining(connection, manager_id, draining=draining)
            # Read once more: whoever gave it a suite meanwhile has committed.
            manager = await self._controlled(connection, principal, manager_id)
        log.info("manager_draining", manager_uuid=str(manager_id), user=principal.username, draining=draining)
        return manager

    async def revoke_token(
        self, principal: UserPrincipal, manager_id: UUID, *, renew: bool
    ) -> tuple[Manager, IssuedToken | None]:
        """End a manager's token and its stream, and give it a new token if that is wanted.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of a group in which the manager has the role Admin.
        """
        token_id = new_uuid()
        async with self._database.transaction() as connection:
            manager = await self._controlled(connection, principal, manager_id)
            await managers.replace_token(connection, manager_id, token_id, at_once=True)
        self._token_ended(manager_id)
        log.info("manager_token_revoked", manager_uuid=str(manager_id), user=principal.username, renewed=renew)
        return manager, self._authority.issue_manager_token(manager_id, token_id) if renew else None

    def _token_ended(self, manager_id: UUID) -> None:
        # In this order: what is remembered would let the manager come back with the token that ended.
        self._authenticator.forget(manager_id)
        self._sessions.disconnect(manager_id)

    async def _visible(self, connection: Connection, principal: UserPrincipal, manager_id: UUID) -> Manager:
        manager = await managers.get(connection, manager_id)
        if manager is None or not may_see(principal, manager):
            raise NotFound("manager", str(manager_id))
        return self._as_seen_by(principal, manager)

    async def _controlled(self, connection: Connection, principal: UserPrincipal, manager_id: UUID) -> Manager:
        manager = await self._visible(connection, principal, manager_id)
        if principal.is_admin or any(
            membership.role is ManagerRole.ADMIN and principal.has_role(membership.group_id, GroupRole.ADMIN)
            for membership in manager.memberships
        ):
            return manager
        raise PermissionDenied(f"manager {manager.name}: needs the role Admin in a group that may control it")

    async def _read(self, connection: Connection, manager_id: UUID) -> Manager:
        manager = await managers.get(connection, manager_id)
        if manager is None:
            raise NotFound("manager", str(manager_id))
        return manager

    def _as_seen_by(self, principal: UserPrincipal, manager: Manager) -> Manager:
        """Leave out the groups that are none of the caller's business, and show what the last heartbeat said."""
        visible = tuple(
            membership
            for membership in manager.memberships
            if principal.has_role(membership.group_id, GroupRole.VIEWER)
        )
        metrics = self._sessions.metrics_of(manager.id) or manager.metrics
        return replace(manager, memberships=visible, metrics=metrics)
