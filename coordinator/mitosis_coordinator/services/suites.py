"""What users do with suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import Disabled, FieldViolation, InvalidField, NotFound, RequestIdReused
from mitosis_coordinator.domain.ids import new_uuid
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.domain.suite import SUITE, EligibleManager, Suite, SuiteEvent, SuiteSpec, SuiteState
from mitosis_coordinator.services.access import may_see, require_role
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import LiveSessions, Signals
from mitosis_coordinator.storage import facts, managers, suites, tasks
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)


class SuiteService:
    """Use cases of suites; each is one transaction."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        sessions: LiveSessions,
        completion: Completion,
        *,
        enabled: bool = True,
    ) -> None:
        self._database = database
        self._signals = signals
        self._sessions = sessions
        self._completion = completion
        self._enabled = enabled

    async def create(
        self, principal: UserPrincipal, group_name: str, spec: SuiteSpec, request_id: str, fingerprint: bytes
    ) -> Suite:
        """Create a suite, or return the one that the same request created before.

        Args:
            principal: Who asks; needs the role Member.
            group_name: The owner.
            spec: What was checked already.
            request_id: The caller's name for this request; empty for none.
            fingerprint: A digest of the request, to tell a repetition from a reuse of the id.

        Raises:
            Disabled: Suites are switched off.
            NotFound: The group does not exist, or the caller is not in it.
            PermissionDenied: The caller only sees the group.
            RequestIdReused: The id was used for another request.
        """
        if not self._enabled:
            raise Disabled("task suites are switched off (task_suites.enabled)")
        suite_id = new_uuid()
        async with self._database.transaction() as connection:
            group_id = await group_for(connection, principal, group_name, GroupRole.MEMBER)
            if request_id:
                wanted = suites.RememberedRequest(fingerprint, suite_id, 1)
                known = await suites.remember_request(connection, principal.user_id, request_id, wanted)
                if known is not None:
                    if known.fingerprint != fingerprint:
                        raise RequestIdReused(f"request_id {request_id} was used for another request")
                    return await self._read(connection, known.resource_id)
            await suites.insert(connection, suite_id, group_id, spec, principal.username)
            suite = await self._read(connection, suite_id)
            connection.facts.append(facts.SuiteCreated(suite.group_name))
        log.info("suite_created", suite_uuid=str(suite_id), group_name=group_name)
        self._signals.deadline_changed()
        return suite

    async def get(self, principal: UserPrincipal, suite_id: UUID) -> Suite:
        """Read a suite with its latest hook runs and assignments and its eligible managers.

        Raises:
            NotFound: There is none that the caller may see.
        """
        async with self._database.connection() as connection:
            suite = await self._visible(connection, principal, suite_id)
            return replace(
                suite,
                hook_runs=tuple(await suites.hook_runs(connection, suite_id)),
                eligible_managers=tuple(await suites.eligible_managers(connection, suite_id)),
                assignments=tuple(await suites.assignments(connection, suite_id)),
            )

    async def peek(self, principal: UserPrincipal, suite_id: UUID) -> Suite:
        """Read a suite alone.

        Raises:
            NotFound: There is none that the caller may see.
        """
        async with self._database.connection() as connection:
            return await self._visible(connection, principal, suite_id)

    async def listed(
        self,
        principal: UserPrincipal,
        group_name: str,
        wanted: suites.SuiteFilter,
        before: UUID | None,
        limit: int,
    ) -> list[Suite]:
        """Read one page of the suites that the caller may see, newest first.

        Raises:
            NotFound: The group does not exist, or the caller is not in it.
        """
        async with self._database.connection() as connection:
            group_ids = principal.visible_groups()
            if group_name:
                group_ids = [await group_for(connection, principal, group_name, GroupRole.VIEWER)]
            return await suites.listed(connection, replace(wanted, group_ids=group_ids), before, limit)

    async def update(self, principal: UserPrincipal, suite_id: UUID, change: Callable[[SuiteSpec], SuiteSpec]) -> Suite:
        """Change what a user may change.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled.
        """
        async with self._database.transaction() as connection:
            suite = await self._locked(connection, principal, suite_id, SuiteEvent.UPDATED)
            spec = change(suite.spec)
            await suites.update_spec(connection, suite_id, spec, rematch=spec.tags != suite.spec.tags)
            changed = await self._read(connection, suite_id)
        self._announce(suite_id)
        return changed

    async def cancel(
        self, principal: UserPrincipal, suite_id: UUID, reason: str, *, running_too: bool
    ) -> tuple[int, SuiteState]:
        """Cancel a suite; how many tasks that cancelled, and its state.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled already.
        """
        async with self._database.transaction() as connection:
            suite = await self._locked(connection, principal, suite_id, SuiteEvent.CANCELLED)
            state = SUITE.after(suite.state, SuiteEvent.CANCELLED)
            error = f"suite cancelled: {reason}" if reason else "suite cancelled"
            await tasks.allow_long_statements(connection)
            count = await tasks.cancel_suite(connection, suite_id, error, held_too=running_too)
            await suites.count_cancelled(connection, suite_id, count)
            await suites.set_state(connection, suite_id, state, SuiteEvent.CANCELLED, reason)
        log.info("suite_cancelled", suite_uuid=str(suite_id), tasks=count, running_too=running_too)
        self._sessions.cancel_suite(suite_id, reason, running_too=running_too)
        self._signals.suite_changed(suite_id)
        return count, state

    async def close(self, principal: UserPrincipal, suite_id: UUID) -> Suite:
        """Say that no more tasks are coming; the suite completes when nothing is pending.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled or Failed.
        """
        async with self._database.transaction() as connection:
            await self._locked(connection, principal, suite_id, SuiteEvent.CLOSED)
            await suites.close(connection, suite_id)
        await self._completion.complete_if_finished([suite_id])
        async with self._database.connection() as connection:
            return await self._read(connection, suite_id)

    async def retry(self, principal: UserPrincipal, suite_id: UUID) -> tuple[Suite, int]:
        """Make Failed tasks Ready and a Failed suite Queued again; the suite, and how many tasks.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled.
        """
        async with self._database.transaction() as connection:
            suite = await self._locked(connection, principal, suite_id, SuiteEvent.RETRIED)
            await tasks.allow_long_statements(connection)
            count = await tasks.retry_failed(connection, suite_id)
            if count or suite.state is SuiteState.FAILED:
                state = SUITE.after(suite.state, SuiteEvent.RETRIED)
                await suites.count_retried(connection, suite_id, count, suite.state, state)
                await suites.match(connection, suite_id)
                await suites.forget_back_offs(connection, suite_id)
            changed = await self._read(connection, suite_id)
        log.info("suite_retried", suite_uuid=str(suite_id), tasks=count)
        self._announce(suite_id)
        return changed, count

    async def refresh_managers(self, principal: UserPrincipal, suite_id: UUID) -> list[EligibleManager]:
        """Match the suite with managers by tags again; who may run it then.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled.
        """
        async with self._database.transaction() as connection:
            await self._locked(connection, principal, suite_id, SuiteEvent.UPDATED)
            await suites.refresh_managers(connection, suite_id)
            eligible = await suites.eligible_managers(connection, suite_id)
        self._announce(suite_id)
        return eligible

    async def add_managers(
        self, principal: UserPrincipal, suite_id: UUID, manager_ids: Sequence[UUID]
    ) -> list[EligibleManager]:
        """Make managers eligible by hand and let other holders go; who may run the suite then.

        Raises:
            NotFound: There is no such suite, or no such manager, that the caller may see.
            InvalidField: A manager has not the role Worker in the suite's group.
            PermissionDenied: The caller may only see the suite.
            WrongState: The suite is Cancelled.
        """
        async with self._database.transaction() as connection:
            suite = await self._locked(connection, principal, suite_id, SuiteEvent.UPDATED)
            fit = await suites.managers_fit(connection, suite.group_id, manager_ids)
            unfit = []
            for index, manager_id in enumerate(manager_ids):
                if fit.get(manager_id):
                    continue
                manager = await managers.get(connection, manager_id)
                if manager is None or not may_see(principal, manager):
                    raise NotFound("manager", str(manager_id))
                accepts = f"managers with the role Worker in group {suite.group_name}"
                unfit.append(FieldViolation(f"manager_uuids[{index}]", str(manager_id), accepts))
            if unfit:
                raise InvalidField(unfit)
            await suites.add_managers(connection, suite_id, manager_ids)
            eligible = await suites.eligible_managers(connection, suite_id)
            may_stay = {manager.manager_id for manager in eligible}
            holders = [holder.manager_id for holder in await managers.holders(connection, suite_id)]
        self._sessions.release_suite(suite_id, [holder for holder in holders if holder not in may_stay])
        self._announce(suite_id)
        return eligible

    async def remove_managers(
        self, principal: UserPrincipal, suite_id: UUID, manager_ids: Sequence[UUID]
    ) -> list[EligibleManager]:
        """Make managers ineligible and let those that hold the suite go; who may run it then.

        Raises:
            NotFound: There is none that the caller may see.
            PermissionDenied: The caller may only see it.
            WrongState: It is Cancelled.
        """
        async with self._database.transaction() as connection:
            await self._locked(connection, principal, suite_id, SuiteEvent.UPDATED)
            await suites.remove_managers(connection, suite_id, manager_ids)
            eligible = await suites.eligible_managers(connection, suite_id)
        self._sessions.release_suite(suite_id, manager_ids)
        self._announce(suite_id)
        return eligible

    def _announce(self, suite_id: UUID) -> None:
        self._signals.suite_changed(suite_id)
        self._signals.tasks_ready(suite_id)
        self._signals.deadline_changed()

    async def _locked(
        self, connection: Connection, principal: UserPrincipal, suite_id: UUID, event: SuiteEvent
    ) -> Suite:
        suite = await suites.lock(connection, suite_id)
        if suite is None:
            raise NotFound("suite", str(suite_id))
        require_role(principal, suite.group_id, GroupRole.MEMBER, "suite", str(suite_id))
        SUITE.after(suite.state, event, str(suite_id))
        return suite

    async def _visible(self, connection: Connection, principal: UserPrincipal, suite_id: UUID) -> Suite:
        suite = await suites.get(connection, suite_id)
        if suite is None:
            raise NotFound("suite", str(suite_id))
        require_role(principal, suite.group_id, GroupRole.VIEWER, "suite", str(suite_id))
        return suite

    async def _read(self, connection: Connection, suite_id: UUID) -> Suite:
        suite = await suites.get(connection, suite_id)
        if suite is None:
            raise NotFound("suite", str(suite_id))
        return suite
