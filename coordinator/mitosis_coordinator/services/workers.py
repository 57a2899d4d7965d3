"""What users do with independent workers, and workers with themselves outside their stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import (
    AlreadyExists,
    InvalidToken,
    NotFound,
    PermissionDenied,
    RequestIdReused,
    WrongState,
)
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal, WorkerPrincipal
from mitosis_coordinator.domain.worker import Worker
from mitosis_coordinator.services.authenticator import Authenticator
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import LiveWorkers
from mitosis_coordinator.services.tokens import IssuedToken, TokenAuthority
from mitosis_coordinator.storage import suites, workers
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewWorker:
    """What a user says of a worker when registering it."""

    name: str
    tags: tuple[str, ...]
    group_names: tuple[str, ...]


async def resolve_worker(database: Database, worker_id: UUID, token_id: UUID) -> WorkerPrincipal:
    """The worker behind a genuine token.

    Raises:
        InvalidToken: it is gone, or its row names another token.
    """
    async with database.connection() as connection:
        name = await workers.name_by_token(connection, worker_id, token_id)
    if name is None:
        raise InvalidToken("the worker's token was revoked or replaced by a newer one, or the worker is gone")
    return WorkerPrincipal(worker_id, name)


class WorkerService:
    """Use cases of independent workers; each is one transaction."""

    def __init__(
        self, database: Database, live: LiveWorkers, authority: TokenAuthority, authenticator: Authenticator
    ) -> None:
        self._database = database
        self._live = live
        self._authority = authority
        self._authenticator = authenticator

    async def register(
        self, principal: UserPrincipal, new: NewWorker, request_id: str, fingerprint: bytes
    ) -> tuple[Worker, IssuedToken]:
        """Register a worker and give it a token, or a new token to the one that the same request registered.

        Raises:
            NotFound: A group does not exist for the caller.
            PermissionDenied: The caller is not Admin of every group.
            AlreadyExists: The name is taken.
            RequestIdReused: The id was used for another request.
        """
        worker_id, token_id = new_uuid(), new_uuid()
        known: suites.RememberedRequest | None = None
        async with self._database.transaction() as connection:
            group_ids = [
                await group_for(connection, principal, group_name, GroupRole.ADMIN) for group_name in new.group_names
            ]
            if request_id:
                wanted = suites.RememberedRequest(fingerprint, worker_id, 1)
                known = await suites.remember_request(connection, principal.user_id, request_id, wanted)
            if known is not None:
                if known.fingerprint != fingerprint:
                    raise RequestIdReused(f"request_id {request_id} was used for another request")
                worker_id = known.resource_id
                await workers.replace_token(connection, worker_id, token_id, at_once=True)
            else:
                stored = await workers.insert(connection, worker_id, new.name, new.tags, token_id, principal.username)
                if not stored:
                    raise AlreadyExists("worker", new.name)
                await workers.insert_groups(connection, worker_id, group_ids)
            worker = await self._read(connection, worker_id)
        if known is not None:
            self._token_ended(worker_id)
        else:
            log.info("worker_registered", worker_uuid=str(worker_id), worker_name=new.name)
        return worker, self._authority.issue_worker_token(worker_id, token_id)

    async def refresh_token(self, principal: WorkerPrincipal) -> IssuedToken:
        """Give a worker a new token; the old one ends a minute later."""
        token_id = new_uuid()
        async with self._database.transaction() as connection:
            await workers.replace_token(connection, principal.worker_id, token_id, at_once=False)
        log.info("worker_token_refreshed", worker_uuid=str(principal.worker_id))
        return self._authority.issue_worker_token(principal.worker_id, token_id)

    async def get(self, principal: UserPrincipal, worker_id: UUID) -> Worker:
        """Read a worker.

        Raises:
            NotFound: There is none in the caller's groups.
        """
        async with self._database.connection() as connection:
            return await self._visible(connection, principal, worker_id)

    async def listed(
        self,
        principal: UserPrincipal,
        group_name: str,
        wanted: workers.WorkerFilter,
        after: str | None,
        limit: int,
    ) -> list[Worker]:
        """Read one page of the workers in the caller's groups, by name.

        Raises:
            NotFound: The group does not exist, or the caller is not in it.
        """
        async with self._database.connection() as connection:
            group_ids: Sequence[UUID] | None = principal.visible_groups()
            if group_name:
                group_ids = [await group_for(connection, principal, group_name, GroupRole.VIEWER)]
            found = await workers.listed(connection, replace(wanted, group_ids=group_ids), after, limit)
        return [self._as_seen_by(principal, worker) for worker in found]

    async def shut_down(self, principal: UserPrincipal, worker_id: UUID, *, graceful: bool) -> Worker:
        """Ask a connected worker to drain and end.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of one of its groups.
            WrongState: It is not connected.
        """
        async with self._database.connection() as connection:
            worker = await self._controlled(connection, principal, worker_id)
        reason = f"asked by {principal.username}"
        if not self._live.shut_down(worker_id, reason, graceful=graceful):
            async with self._database.connection() as connection:
                ordered = await workers.order_shutdown(connection, worker_id, reason, graceful=graceful)
            if not ordered:
                state = worker.pulse.state
                raise WrongState("worker", worker.name, state, "shut_down", (), said=f"{state} and not connected")
            # Another coordinator has its stream, or it is about to come back.
            self._live.look_again(worker_id)
        log.info("worker_shutdown_requested", worker_uuid=str(worker_id), graceful=graceful)
        return worker

    async def revoke_token(
        self, principal: UserPrincipal, worker_id: UUID, *, renew: bool
    ) -> tuple[Worker, IssuedToken | None]:
        """End a worker's token and its stream, and give it a new token if that is wanted.

        Raises:
            NotFound: There is none in the caller's groups.
            PermissionDenied: The caller is not Admin of one of its groups.
        """
        token_id = new_uuid()
        async with self._database.transaction() as connection:
            worker = await self._controlled(connection, principal, worker_id)
            await workers.replace_token(connection, worker_id, token_id, at_once=True)
        self._token_ended(worker_id)
        log.info("worker_token_revoked", worker_uuid=str(worker_id), user=principal.username, renewed=renew)
        return worker, self._authority.issue_worker_token(worker_id, token_id) if renew else None

    def _token_ended(self, worker_id: UUID) -> None:
        # In this order: what is remembered would let the worker come back with the token that ended.
        self._authenticator.forget(worker_id)
        self._live.disconnect(worker_id)

    async def _visible(self, connection: Connection, principal: UserPrincipal, worker_id: UUID) -> Worker:
        worker = await workers.get(connection, worker_id)
        if worker is None or not (
            principal.is_admin or any(principal.has_role(group.id, GroupRole.VIEWER) for group in worker.groups)
        ):
            raise NotFound("worker", str(worker_id))
        return self._as_seen_by(principal, worker)

    async def _controlled(self, connection: Connection, principal: UserPrincipal, worker_id: UUID) -> Worker:
        worker = await self._visible(connection, principal, worker_id)
        if principal.is_admin or any(principal.has_role(group.id, GroupRole.ADMIN) for group in worker.groups):
            return worker
        raise PermissionDenied(f"worker {worker.name}: needs the role Admin in one of its groups")

    async def _read(self, connection: Connection, worker_id: UUID) -> Worker:
        worker = await workers.get(connection, worker_id)
        if worker is None:
            raise NotFound("worker", str(worker_id))
        return worker

    def _as_seen_by(self, principal: UserPrincipal, worker: Worker) -> Worker:
        """Leave out the groups that are none of the caller's business, and show where the worker stands now."""
        groups = tuple(group for group in worker.groups if principal.has_role(group.id, GroupRole.VIEWER))
        return replace(worker, groups=groups, pulse=self._live.pulse_of(worker.id) or worker.pulse)
