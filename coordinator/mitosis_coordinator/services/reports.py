"""What a holder says about tasks: the end of attempts, starts, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import StorageUnavailable
from mitosis_coordinator.domain.suite import SuiteState
from mitosis_coordinator.domain.task import AttemptRef, FailureKind, Outcome, Report
from mitosis_coordinator.services.completion import Completion
from mitosis_coordinator.services.ports import Signals
from mitosis_coordinator.storage import facts, suites, tasks, workers
from mitosis_coordinator.storage.pool import Connection, Database

log = structlog.get_logger(__name__)

_FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT)
_PLAIN = (Outcome.COMPLETED, Outcome.CANCELLED)


@dataclass(slots=True)
class _Consequences:
    """What to tell others once a batch is committed."""

    changed: set[UUID]
    quiet: set[UUID]
    ready: set[UUID]
    # Groups with tasks of no suite that are Ready.
    ready_groups: set[UUID]


class ReportService:
    """Commits what managers and workers report; every write is fenced by assignment and attempt."""

    def __init__(self, database: Database, signals: Signals, completion: Completion) -> None:
        self._database = database
        self._signals = signals
        self._completion = completion

    async def commit(self, holder_id: UUID, reports: Sequence[Report]) -> list[AttemptRef]:
        """Record the ends of attempts in one transaction; when this returns they are safe.

        Returns:
            The attempts whose report came too late and was ignored. A report of a cancelled attempt that the
            coordinator cancelled itself is not among them.

        Raises:
            StorageUnavailable: Nothing was recorded; the same batch may be given again.
        """
        consequences = _Consequences(set(), set(), set(), set())
        settled: set[str] = set()
        if all(report.outcome in _PLAIN and not report.worker_deaths for report in reports):
            # Nothing to decide: one statement, which locks for itself, and no round trips for a transaction.
            final = reports
            async with self._database.connection() as connection:
                finished = await tasks.finish(connection, holder_id, final)
                stale = _stale(connection, reports, final, finished, settled)
        else:
            async with self._database.transaction() as connection:
                assignment_ids = {report.assignment_id for report in reports}
                states = await tasks.lock_suites(connection, holder_id, assignment_ids)
                mine = [report for report in reports if report.assignment_id in states]
                settled = await self._settle_failures(connection, mine, states, consequences)
                # The death of a worker was dealt with there, or its report came too late.
                final = [
                    report
                    for report in mine
                    if report.task_id not in settled and report.outcome is not Outcome.WORKER_DIED
                ]
                finished = await tasks.finish(connection, holder_id, final) if final else tasks.NOTHING_FINISHED
                stale = _stale(connection, reports, final, finished, settled)
        consequences.changed.update(finished.suite_ids)
        consequences.quiet.update(finished.quiet_suite_ids)
        await self._announce(consequences, retried=bool(settled))
        return stale

    async def started(self, holder_id: UUID, assignment_id: int, starts: Sequence[tuple[AttemptRef, datetime]]) -> None:
        """Record that attempts have been running for a while."""
        async with self._database.connection() as connection:
            await tasks.start(connection, holder_id, assignment_id, starts)
        log.debug("tasks_started", holder_uuid=str(holder_id), count=len(starts))

    async def handed_back(
        self, holder_id: UUID, assignment_id: int, session_epoch: int, refs: Sequence[AttemptRef]
    ) -> None:
        """Make attempts that were handed back Ready again, without charge.

        A session that was left behind knows nothing of what its successor was given: nothing happens then.
        """
        async with self._database.transaction() as connection:
            states = await tasks.lock_suites(connection, holder_id, [assignment_id])
            held = await tasks.holding(connection, assignment_id, session_epoch)
            if assignment_id not in states or held is None:
                return
            count = await tasks.give_back(connection, assignment_id, refs)
            suite_id = held.task_suite_id
            groups: list[UUID] = []
            if suite_id is None:
                groups = await workers.group_ids(connection, holder_id)
            elif states[assignment_id] is SuiteState.CANCELLED:
                await cancel_ready(connection, suite_id)
        log.info("tasks_handed_back", holder_uuid=str(holder_id), suite_uuid=str(suite_id or ""), count=count)
        for group_id in groups:
            self._signals.independent_tasks_ready(group_id)
        if suite_id is not None:
            self._signals.tasks_ready(suite_id)
            self._signals.suite_changed(suite_id)

    async def _settle_failures(
        self,
        connection: Connection,
        reports: Sequence[Report],
        states: dict[int, SuiteState | None],
        consequences: _Consequences,
    ) -> set[str]:
        """Deal with the reports that may not be the end of their task; the tasks that are dealt with."""
        settled: set[str] = set()
        for report in reports:
            # While the task is still there to say whose it is; after its end only the archive would know.
            if report.worker_deaths and report.outcome is not Outcome.WORKER_DIED:
                await tasks.record_worker_deaths(connection, report)
        retriable = [
            report
            for report in reports
            if report.outcome in _FAILURES and states[report.assignment_id] is not SuiteState.CANCELLED
        ]
        if retriable:
            retried = await tasks.schedule_retries(connection, retriable)
            settled |= retried
        for report in reports:
            if report.outcome is Outcome.WORKER_DIED and await self._wear_out(connection, report, consequences):
                settled.add(report.task_id)
        return settled

    async def _wear_out(self, connection: Connection, report: Report, consequences: _Consequences) -> bool:
        """Decide about a task that killed its workers: another holder, or the end; False when the report is late.

        It is Failed when it wore out `max_attempts` holders, and also when no other one could take it: waiting for
        one that may never come would be waiting for ever.
        """
        held = await tasks.lock_held(connection, report)
        if held is None:
            return False
        deaths = report.worker_deaths or ("the worker died",)
        await tasks.record_failures(connection, held, FailureKind.WORKER, held.holder_id, deaths)
        worn_out = held.worn_out + 1
        cancelled = held.suite_state == SuiteState.CANCELLED
        if worn_out < held.max_attempts and held.another_holder and not cancelled:
            await tasks.exclude_holder(connection, held.id, held.holder_id)
            if held.task_suite_id is None:
                consequences.ready_groups.add(held.group_id)
            else:
                consequences.ready.add(held.task_suite_id)
            return True
        why = (
            f"wore out {worn_out} of {held.max_attempts} holders"
            if worn_out >= held.max_attempts or cancelled
            else f"no other {'worker' if held.task_suite_id is None else 'manager'} is there to try it"
        )
        times = "once" if len(deaths) == 1 else f"{len(deaths)} times"
        error = f"its worker died {times} ({deaths[-1]}); {why}"
        await tasks.fail_held(connection, held.id, replace(report.result, error=error))
        if held.task_suite_id is not None:
            await suites.count_failed(connection, held.task_suite_id, 1)
            consequences.changed.add(held.task_suite_id)
            consequences.quiet.add(held.task_suite_id)
        return True

    async def _announce(self, consequences: _Consequences, *, retried: bool) -> None:
        """Tell others what was committed. Nothing here may fail the commit, which stands."""
        for suite_id in consequences.changed:
            self._signals.suite_changed(suite_id)
        for suite_id in consequences.ready:
            self._signals.tasks_ready(suite_id)
        for group_id in consequences.ready_groups:
            self._signals.independent_tasks_ready(group_id)
        if retried:
            self._signals.deadline_changed()
        try:
            await self._completion.complete_if_finished(consequences.quiet)
        except StorageUnavailable as error:
            log.warning("completion_waits_for_storage", error=str(error))
            self._signals.deadline_changed()


def _stale(
    connection: Connection,
    reports: Sequence[Report],
    final: Sequence[Report],
    finished: tasks.Finished,
    settled: set[str],
) -> list[AttemptRef]:
    """The attempts whose report did nothing, though the coordinator did not cancel them itself."""
    accepted = finished.accepted_ids
    if accepted is None and len(final) == len(reports):
        return []
    known = settled | ({report.task_id for report in final} if accepted is None else accepted)
    stale = [
        AttemptRef(report.task_id, report.attempt)
        for report in reports
        if report.task_id not in known and report.outcome is not Outcome.CANCELLED
    ]
    if stale:
        connection.facts.append(facts.ReportsStale(len(stale)))
    return stale


async def cancel_ready(connection: Connection, suite_id: UUID) -> None:
    """Cancel what came back to a suite that was cancelled meanwhile. The suite is locked."""
    count = await tasks.cancel_suite(connection, suite_id, "suite cancelled", held_too=False)
    if count:
        await suites.count_cancelled(connection, suite_id, count)
