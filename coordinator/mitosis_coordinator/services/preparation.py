"""Environments that cannot be prepared: who is to blame, and when to give up."""

from __future__ import annotations

from uuid import UUID

import structlog

from mitosis_coordinator.domain.manager import (
    ManagerState,
    preparation_backoff_seconds,
    preparation_failed,
)
from mitosis_coordinator.domain.suite import SuiteEvent, SuiteState
from mitosis_coordinator.storage import managers, suites
from mitosis_coordinator.storage.pool import Connection

log = structlog.get_logger(__name__)


async def count_failure(
    connection: Connection, manager_id: UUID, assignment_id: int, suite_id: UUID, error: str
) -> list[UUID]:
    """Count a failed preparation, once for each assignment, where the suite is locked.

    The manager keeps away from the suite for a while. The suite is Failed after too many in a row, unless another
    manager executes it: then the suite can be prepared, and it is this manager that cannot.

    Returns:
        The other holders of the suite, who have to let go, when it is Failed by this.
    """
    if not await managers.mark_preparation_failed(connection, assignment_id):
        return []
    failures, allowed = await suites.count_preparation_failure(connection, suite_id)
    here = await managers.preparation_failures(connection, suite_id, manager_id) + 1
    await managers.back_off(connection, suite_id, manager_id, preparation_backoff_seconds(here))
    manager = await managers.lock(connection, manager_id)
    if manager is not None:
        failed = preparation_failed(manager.failed_preparations, suite_id)
        await managers.note_failed_preparations(connection, manager_id, failed)
    others = [holder for holder in await managers.holders(connection, suite_id) if holder.manager_id != manager_id]
    if failures < allowed or any(holder.state == ManagerState.EXECUTING for holder in others):
        return []
    counted = "preparation failed" if failures == 1 else f"{failures} preparations in a row failed; the last"
    reason = f"{counted}: {error}"
    await suites.set_state(connection, suite_id, SuiteState.FAILED, SuiteEvent.PREPARATION_EXHAUSTED, reason)
    log.warning("suite_failed", suite_uuid=str(suite_id), reason=reason)
    return [holder.manager_id for holder in others]


async def count_success(connection: Connection, manager_id: UUID, assignment_id: int, suite_id: UUID) -> None:
    """Start all counts of failed preparations again, once for each assignment, where the suite is locked."""
    if not await managers.mark_proven(connection, assignment_id):
        return
    await suites.reset_preparation_failures(connection, suite_id)
    await managers.forget_back_off(connection, suite_id, manager_id)
    await managers.note_failed_preparations(connection, manager_id, [])
