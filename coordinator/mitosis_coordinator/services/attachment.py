"""The beginning of a session: what the manager holds, and what the database believes that it holds."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.manager import ManagerState
from mitosis_coordinator.domain.suite import SuiteState
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.services.assignments import Assignment
from mitosis_coordinator.services.endings import Endings, worker_count
from mitosis_coordinator.services.reports import cancel_ready
from mitosis_coordinator.storage import managers, suites, tasks
from mitosis_coordinator.storage.managers import Introduction, LockedManager
from mitosis_coordinator.storage.pool import Connection, Database

_ATTACH_TRIES = 5
_RESTARTED = "its manager was restarted"


class Verdict(StrEnum):
    """What a manager does with the assignment that it told of."""

    IDLE = "Idle"
    RESUME = "Resume"
    ABORT = "Abort"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The beginning of a session.

    Attributes:
        epoch: Number of the session; a newer one ends the older ones.
        assignment: What the manager goes on with; there with RESUME alone.
        eligible: Whether it may go on with that for longer than what it has begun.
        revoked: Attempts that the manager holds and that are no longer its own.
        released_suite_id: The suite of an assignment that ended by this.
        bereft_suite_id: The suite whose tasks a restarted manager lost, but for those whose results it still has.
    """

    epoch: int
    name: str
    state: ManagerState
    verdict: Verdict
    assignment: Assignment | None
    eligible: bool
    revoked: list[AttemptRef]
    released_suite_id: UUID | None = None
    bereft_suite_id: UUID | None = None


class _HolderChanged(Exception):
    """The manager's assignment changed between reading and locking."""


class AttachmentService:
    """Attaches managers; one transaction each. Locks are taken in the order suite, manager, assignment, tasks."""

    def __init__(self, database: Database, endings: Endings) -> None:
        self._database = database
        self._endings = endings

    async def attach(
        self,
        manager_id: UUID,
        introduction: Introduction,
        state: ManagerState,
        assignment_id: int,
        held: Set[AttemptRef],
    ) -> Attachment:
        """Begin a session and agree with the manager on what it holds.

        Args:
            manager_id: Whose session it is.
            introduction: What the manager says of itself.
            state: Where it says it stands.
            assignment_id: The assignment that it says it holds, 0 for none.
            held: The attempts that it holds; what the database believes it holds besides is Ready again. A new
                process, which holds what its predecessor left results of, is charged with the others.

        Raises:
            InvalidToken: The manager is gone.
        """
        for _ in range(_ATTACH_TRIES):
            try:
                async with self._database.transaction() as connection:
                    attachment = await _attach(
                        connection, self._endings, manager_id, introduction, state, assignment_id, held
                    )
            except _HolderChanged:
                continue
            if attachment.released_suite_id is not None:
                await self._endings.announce(attachment.released_suite_id, manager_id, "Restarted")
            if attachment.bereft_suite_id is not None:
                self._endings.tasks_came_back(attachment.bereft_suite_id)
            return attachment
        raise RuntimeError(f"the assignment of manager {manager_id} changed {_ATTACH_TRIES} times while it attached")


async def _attach(
    connection: Connection,
    endings: Endings,
    manager_id: UUID,
    introduction: Introduction,
    state: ManagerState,
    assignment_id: int,
    held_refs: Set[AttemptRef],
) -> Attachment:
    held = await managers.held_assignment(connection, manager_id)
    suite = await suites.lock(connection, held.task_suite_id) if held is not None else None
    manager = await managers.lock(connection, manager_id)
    if manager is None:
        raise InvalidToken("the manager does not exist any more")
    now_held = await managers.held_assignment(connection, manager_id)
    if (held and held.id) != (now_held and now_held.id):
        raise _HolderChanged
    restarted = manager.session_uuid != introduction.session_uuid
    # A new process that tells of its predecessor's assignment has results to deliver, and lets go of it then.
    resumes = held is not None and suite is not None and held.id == assignment_id
    # A broken environment is not mended by a new stream, only by a new process.
    in_quarantine = manager.state == ManagerState.FAILED and not restarted
    new_state = state if resumes else ManagerState.FAILED if in_quarantine else ManagerState.IDLE
    epoch = await managers.attach(connection, manager_id, introduction, new_state, restarted=restarted)
    if _introduction_changed(manager, introduction):
        await suites.match_manager(connection, manager_id)

    if held is not None and suite is not None and resumes:
        # Before looking at what it holds: claims of the older session are waited for, and no more can follow.
        await managers.resume_assignment(connection, held.id, epoch)
        believed = await tasks.held_by(connection, held.id)
        if restarted:
            await tasks.reclaim(connection, held.id, manager_id, _RESTARTED, kept=believed & held_refs)
        else:
            await tasks.give_back(connection, held.id, sorted(believed - held_refs, key=lambda ref: ref.task_id))
        if suite.state is SuiteState.CANCELLED:
            await cancel_ready(connection, suite.id)
        workers = await worker_count(connection, suite, manager_id, introduction.max_workers)
        return Attachment(
            epoch,
            manager.name,
            new_state,
            Verdict.RESUME,
            Assignment(held.id, suite, workers, epoch),
            await managers.may_hold(connection, suite.id, manager_id),
            sorted(held_refs - believed, key=lambda ref: ref.task_id),
            bereft_suite_id=suite.id if restarted else None,
        )
    if held is not None:
        lost = (manager_id, _RESTARTED) if restarted else None
        await endings.end(connection, held.id, held.task_suite_id, "Restarted", lost=lost)
    verdict = Verdict.ABORT if assignment_id else Verdict.IDLE
    released_suite_id = held.task_suite_id if held is not None else None
    return Attachment(epoch, manager.name, new_state, verdict, None, False, [], released_suite_id)


def _introduction_changed(manager: LockedManager, introduction: Introduction) -> bool:
    return (
        (len(introduction.tags) > 0 and sorted(manager.tags) != sorted(introduction.tags))
        or manager.max_workers != introduction.max_workers
        or manager.session_uuid is None
    )
