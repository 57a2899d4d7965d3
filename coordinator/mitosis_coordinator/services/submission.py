"""What users do to add tasks: one, many, or an array of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from uuid import UUID

from mitosis_coordinator.domain.errors import FieldViolation, InvalidField, LimitExceeded, NotFound, RequestIdReused
from mitosis_coordinator.domain.ids import UuidBlock, uuid_block
from mitosis_coordinator.domain.principal import GroupRole, UserPrincipal
from mitosis_coordinator.domain.suite import SUITE, SuiteEvent, SuiteState
from mitosis_coordinator.domain.task import NewArray, NewTask, Retries
from mitosis_coordinator.services.access import require_role
from mitosis_coordinator.services.groups import group_for
from mitosis_coordinator.services.ports import Signals, Vacancies, Vacancy
from mitosis_coordinator.storage import suites, task_arrays, tasks
from mitosis_coordinator.storage.pool import Connection, Database
from mitosis_coordinator.storage.suites import SubmissionTarget
from mitosis_coordinator.storage.tasks import ClaimedTask

# Tasks of one request that may be claimed in the transaction that stores them.
MAX_GIVEN_AT_ONCE = 32


class SubmissionService:
    """Use cases of new tasks; each is one transaction."""

    def __init__(self, database: Database, signals: Signals, vacancies: Vacancies, *, max_tasks_per_suite: int) -> None:
        self._database = database
        self._signals = signals
        self._vacancies = vacancies
        self._max_tasks_per_suite = max_tasks_per_suite

    async def submit(
        self,
        principal: UserPrincipal,
        group_name: str,
        suite_id: UUID | None,
        new_tasks: Sequence[NewTask],
        request_id: str,
        fingerprint: bytes,
        *,
        field: str = "tasks[{index}].task_spec",
        before: int = 0,
    ) -> UuidBlock:
        """Store tasks, all or none, or return what the same request stored before.

        Args:
            principal: Who asks; needs the role Member.
            group_name: The owner; may be empty with a suite.
            suite_id: The suite, or None for independent tasks.
            new_tasks: One or more, checked already.
            request_id: The caller's name for this request; empty for none.
            fingerprint: A digest of the request, to tell a repetition from a reuse of the id.
            field: How errors name a task's spec, with `{index}` for its place.
            before: How many tasks came earlier in the same stream; places count from there.

        Returns:
            The tasks' ids, in the order given.

        Raises:
            NotFound: Group or suite do not exist for the caller.
            PermissionDenied: The caller may only see it.
            InvalidField: The group is not the suite's, or a task says nothing of what to run.
            WrongState: The suite is Cancelled or Failed.
            LimitExceeded: The suite would have too many tasks.
            RequestIdReused: The id was used for another request.
        """
        ids = uuid_block(len(new_tasks))
        async with self._vacancy(suite_id, len(ids)) as vacancy:
            async with self._database.connection() as connection:
                async with connection.pipelined_transaction():
                    read_known = await self._send_request(connection, principal, request_id, fingerprint, ids)
                    suite, group_id = await self._target(
                        connection, principal, group_name, suite_id, locked=vacancy is not None
                    )
                    known = await read_known()
                    if known is not None:
                        return known
                    # After that: a repetition is answered as the first call was, whatever became of the suite since.
                    if suite is not None:
                        SUITE.after(suite.state, SuiteEvent.SUBMITTED, str(suite.id))
                    _require_something_to_run(new_tasks, suite, field, before)
                    defaults = suite.retries if suite is not None else Retries()
                    await tasks.insert(connection, ids, new_tasks, suite_id, group_id, principal.username, defaults)
                    read_claimed: Callable[[], Awaitable[list[ClaimedTask]]] = _nothing_claimed
                    if suite is not None and vacancy is not None:
                        read_claimed = await self._count_in_and_claim(connection, suite, len(ids), vacancy)
                    elif suite is not None:
                        await self._count_in(connection, suite, len(ids))
                claimed = await read_claimed()
            if vacancy is not None:
                vacancy.claimed = claimed
        self._announce(suite_id, group_id, all_claimed=len(claimed) >= len(ids))
        return ids

    async def submit_array(
        self, principal: UserPrincipal, suite_id: UUID, array: NewArray, request_id: str, fingerprint: bytes
    ) -> UuidBlock:
        """Store an array, or return what the same request stored before.

        Args:
            principal: Who asks; needs the role Member.
            suite_id: The suite.
            array: One or more tasks, checked already.
            request_id: The caller's name for this request; empty for none.
            fingerprint: A digest of the request, to tell a repetition from a reuse of the id.

        Returns:
            The tasks' ids, in the order of their payloads.

        Raises:
            NotFound: The suite does not exist for the caller.
            PermissionDenied: The caller may only see it.
            WrongState: The suite is Cancelled or Failed.
            LimitExceeded: The suite would have too many tasks.
            RequestIdReused: The id was used for another request.
        """
        # Before ids are drawn: a block has its limit too.
        if len(array.payloads) > self._max_tasks_per_suite:
            raise self._too_many(suite_id, len(array.payloads))
        ids = uuid_block(len(array.payloads))
        async with self._database.transaction() as connection:
            suite, group_id = await self._target(connection, principal, "", suite_id)
            read_known = await self._send_request(connection, principal, request_id, fingerprint, ids)
            known = await read_known()
            if known is not None:
                return known
            if suite is None:
                raise NotFound("suite", str(suite_id))
            SUITE.after(suite.state, SuiteEvent.SUBMITTED, str(suite.id))
            retries = array.retries.or_else(suite.retries)
            await task_arrays.insert(connection, ids[0], array, suite_id, group_id, principal.username, retries)
            # This array alone: to wait for another one's lock here, before the suite's, could be to wait for ever.
            await task_arrays.make(connection, suite_id, ids[0])
            await self._count_in(connection, suite, len(ids))
        self._announce(suite_id, group_id)
        return ids

    def _vacancy(self, suite_id: UUID | None, count: int) -> AbstractAsyncContextManager[Vacancy | None]:
        """A manager that may get tasks in the transaction that stores them, which starts them milliseconds earlier.

        Not for many: their suite would be locked while they are claimed, and several managers may want them.
        """
        if suite_id is None or count > MAX_GIVEN_AT_ONCE:
            return nullcontext()
        return self._vacancies.vacancy(suite_id)

    async def _send_request(
        self, connection: Connection, principal: UserPrincipal, request_id: str, fingerprint: bytes, ids: UuidBlock
    ) -> Callable[[], Awaitable[UuidBlock | None]]:
        """Remember a request; returns what reads what the same request stored before, None for a new one."""
        if not request_id:
            return _nothing_known
        wanted = suites.RememberedRequest(fingerprint, ids[0], len(ids))
        read_request = await suites.send_request(connection, principal.user_id, request_id, wanted)

        async def read() -> UuidBlock | None:
            known = await read_request()
            if known is None:
                return None
            if known.fingerprint != fingerprint:
                raise RequestIdReused(f"request_id {request_id} was used for another request")
            return UuidBlock(known.resource_id, known.resource_count)

        return read

    def _announce(self, suite_id: UUID | None, group_id: UUID, *, all_claimed: bool = False) -> None:
        if suite_id is None:
            self._signals.independent_tasks_ready(group_id)
            return
        if not all_claimed:
            self._signals.tasks_ready(suite_id)
        self._signals.suite_changed(suite_id)

    async def _target(
        self,
        connection: Connection,
        principal: UserPrincipal,
        group_name: str,
        suite_id: UUID | None,
        *,
        locked: bool = False,
    ) -> tuple[SubmissionTarget | None, UUID]:
        if suite_id is None:
            return None, await group_for(connection, principal, group_name, GroupRole.MEMBER)
        suite = await suites.submission_target(connection, suite_id, locked=locked)
        if suite is None:
            raise NotFound("suite", str(suite_id))
        require_role(principal, suite.group_id, GroupRole.MEMBER, "suite", str(suite_id))
        if group_name and group_name != suite.group_name:
            raise InvalidField.one(
                "group_name", group_name, f'"{suite.group_name}", the group of the suite, or nothing'
            )
        return suite, suite.group_id

    async def _count_in(self, connection: Connection, suite: SubmissionTarget, count: int) -> None:
        """Count tasks into their suite. Last: the suite is locked from here on."""
        read_before = await suites.count_submitted(connection, suite.id, count, self._max_tasks_per_suite)
        before = await read_before()
        if before is SuiteState.COMPLETE:
            # Managers that came while it was at rest do not know it.
            await suites.match(connection, suite.id)
        if before is not None:
            return
        now = await suites.submission_target(connection, suite.id)
        if now is None:
            raise NotFound("suite", str(suite.id))
        SUITE.after(now.state, SuiteEvent.SUBMITTED, str(suite.id))
        raise self._too_many(suite.id, now.total_tasks + count)

    async def _count_in_and_claim(
        self, connection: Connection, suite: SubmissionTarget, count: int, vacancy: Vacancy
    ) -> Callable[[], Awaitable[list[ClaimedTask]]]:
        """Count tasks into their suite, which is locked, and claim what a vacancy takes, without waiting for an answer.

        Returns:
            What reads the claimed tasks after COMMIT.
        """
        if suite.total_tasks + count > self._max_tasks_per_suite:
            raise self._too_many(suite.id, suite.total_tasks + count)
        read_before = await suites.count_submitted(connection, suite.id, count, self._max_tasks_per_suite)
        if suite.state is SuiteState.COMPLETE:
            await suites.match(connection, suite.id)
        vacancy.claim_sent = True
        read_claimed = await tasks.send_claim(
            connection,
            suite.id,
            vacancy.manager_id,
            vacancy.assignment_id,
            vacancy.session_epoch,
            min(vacancy.limit, count),
        )

        async def read() -> list[ClaimedTask]:
            if await read_before() is None:
                raise RuntimeError(f"suite {suite.id} was locked, and took no tasks all the same")
            claimed, _ = await read_claimed()
            return claimed

        return read

    def _too_many(self, suite_id: UUID, count: int) -> LimitExceeded:
        return LimitExceeded(f"tasks of suite {suite_id}", str(count), str(self._max_tasks_per_suite))


async def _nothing_known() -> None:
    return None


async def _nothing_claimed() -> list[ClaimedTask]:
    return []


def _require_something_to_run(
    new_tasks: Sequence[NewTask], suite: SubmissionTarget | None, field: str, before: int
) -> None:
    if suite is not None and suite.runs_by_default:
        return
    violations = [
        FieldViolation(
            field.format(index=index),
            "none of command, args, handler and payload",
            "one of command, args and handler; or a payload for what the suite's task_defaults or the manager's "
            "worker_defaults run",
        )
        for index, task in enumerate(new_tasks, before)
        if task.says_nothing
    ]
    if violations:
        raise InvalidField(violations[:100])
