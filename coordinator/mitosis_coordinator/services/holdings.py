"""What an independent worker holds, from the beginning of its first session to its leave."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from uuid import UUID

import structlog

from mitosis_coordinator.domain.errors import InvalidToken
from mitosis_coordinator.domain.orders import StandingOrders
from mitosis_coordinator.domain.task import AttemptRef, TaskResult
from mitosis_coordinator.domain.worker import MAX_WORKERS_LOST, WorkerPulse
from mitosis_coordinator.services.ports import Signals
from mitosis_coordinator.storage import managers, tasks, workers
from mitosis_coordinator.storage.pool import Connection, Database
from mitosis_coordinator.storage.workers import WorkerIntroduction

log = structlog.get_logger(__name__)

_CLAIM_TRIES = 4


@dataclass(frozen=True, slots=True)
class WorkerAttachment:
    """The beginning of a session.

    Attributes:
        epoch: Number of the session; a newer one ends the older ones.
        assignment_id: What the worker holds its tasks by: the one that it had when it resumes, otherwise a new one.
        group_ids: The groups whose tasks it may run.
        revoked: Attempts that it told of and that are no longer its own.
    """

    epoch: int
    assignment_id: int
    name: str
    group_ids: list[UUID]
    resumed: bool
    revoked: list[AttemptRef]


class HoldingService:
    """Use cases of connected workers; one transaction each.

    A worker's assignment has no suite, so locks are taken in the order worker, assignment, tasks.
    """

    def __init__(self, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals

    async def attach(
        self, worker_id: UUID, introduction: WorkerIntroduction, held: Set[AttemptRef]
    ) -> WorkerAttachment:
        """Begin a session and agree with the worker on what it holds.

        The worker goes on with its assignment; what the database believes it holds and `held` does not name is Ready
        again. A new process, which holds what its predecessor left results of, lost the others: the one that ran is
        charged with a worker, each other with a node.

        Raises:
            InvalidToken: The worker is gone.
        """
        async with self._database.transaction() as connection:
            worker = await workers.lock(connection, worker_id)
            if worker is None:
                raise InvalidToken("the worker does not exist any more")
            assignment_id = await workers.held_assignment(connection, worker_id)
            resumed = assignment_id is not None and worker.session_uuid == introduction.session_uuid
            epoch = await workers.attach(connection, worker_id, introduction, resumes=resumed)
            believed: Set[AttemptRef] = frozenset()
            if assignment_id is None:
                assignment_id = await workers.insert_assignment(connection, worker_id, epoch)
            else:
                # Before looking at what it holds: claims of the older session are waited for, and no more can follow.
                await managers.resume_assignment(connection, assignment_id, epoch)
                believed = await tasks.held_by(connection, assignment_id)
                if resumed:
                    await tasks.give_back(connection, assignment_id, sorted(believed - held, key=_task_id))
                else:
                    await _take_back(connection, worker_id, assignment_id, "its worker was restarted", believed & held)
            group_ids = await workers.group_ids(connection, worker_id)
        self._ready(group_ids)
        revoked = sorted(held - believed, key=_task_id)
        return WorkerAttachment(epoch, assignment_id, worker.name, group_ids, resumed, revoked)

    async def claim(
        self, worker_id: UUID, assignment_id: int, session_epoch: int, limit: int
    ) -> list[tasks.ClaimedTask]:
        """Hand at most `limit` Ready tasks to a worker, by priority and age; none when its assignment is over.

        Raises:
            StorageUnavailable: It may have happened all the same.
        """
        for _ in range(_CLAIM_TRIES):
            async with self._database.connection() as connection:
                claimed = await tasks.claim_independent(connection, worker_id, assignment_id, session_epoch, limit)
            if claimed is not None:
                return claimed
        return []

    async def held_tasks(self, assignment_id: int) -> Set[AttemptRef]:
        """Read the attempts that an assignment holds."""
        async with self._database.connection() as connection:
            return await tasks.held_by(connection, assignment_id)

    async def left(self, worker_id: UUID, session_epoch: int) -> None:
        """A worker said goodbye: it is Offline, and what it held goes to others without charge.

        Nothing happens when a newer session of the worker has begun.
        """
        async with self._database.transaction() as connection:
            worker = await workers.lock(connection, worker_id)
            if worker is None or worker.session_epoch != session_epoch:
                return
            await self._leave(connection, worker_id, "Drained", lost_because=None)
            group_ids = await workers.group_ids(connection, worker_id)
        log.info("worker_left", worker_uuid=str(worker_id))
        self._ready(group_ids)

    async def orders(self, worker_id: UUID) -> StandingOrders | None:
        """What there is to say to a connected worker; None when it is gone."""
        async with self._database.connection() as connection:
            return await workers.orders(connection, worker_id)

    async def write(self, beats: list[tuple[UUID, int, WorkerPulse]]) -> set[UUID]:
        """Write the liveness of workers, each with the epoch of its session; whose session should look again."""
        if not beats:
            return set()
        async with self._database.connection() as connection:
            return {worker_id for worker_id, _, _ in beats} - await workers.write_pulses(connection, beats)

    async def silent(self, timeout_seconds: float) -> list[UUID]:
        """Workers that stayed away longer than the timeout."""
        async with self._database.connection() as connection:
            return await workers.silent(connection, timeout_seconds)

    async def lost(self, holder_id: UUID, timeout_seconds: float) -> bool:
        """Take everything back from a worker that stayed away longer than the timeout; whether it did."""
        async with self._database.transaction() as connection:
            if not await workers.still_silent(connection, holder_id, timeout_seconds):
                return False
            error = f"its worker was silent for more than {timeout_seconds:g} s"
            await self._leave(connection, holder_id, "TimedOut", lost_because=error)
            group_ids = await workers.group_ids(connection, holder_id)
        log.warning("worker_lost", worker_uuid=str(holder_id))
        self._ready(group_ids)
        return True

    async def _leave(self, connection: Connection, worker_id: UUID, reason: str, *, lost_because: str | None) -> None:
        assignment_id = await workers.held_assignment(connection, worker_id)
        # First of all: once it has ended no claim can be made for it, and those under way are waited for.
        if assignment_id is not None and await managers.end_assignment(connection, assignment_id, reason):
            if lost_because is None:
                await tasks.release(connection, assignment_id)
            else:
                await _take_back(connection, worker_id, assignment_id, lost_because, frozenset())
        await workers.set_offline(connection, worker_id)

    def _ready(self, group_ids: Sequence[UUID]) -> None:
        for group_id in group_ids:
            self._signals.independent_tasks_ready(group_id)


async def _take_back(
    connection: Connection, worker_id: UUID, assignment_id: int, error: str, kept: Set[AttemptRef]
) -> None:
    """Make what a lost worker held, but for `kept`, Ready again; a task that lost too many workers is Failed."""
    blamed = await workers.blame(connection, worker_id, assignment_id, error, kept)
    if blamed is not None and blamed.workers_lost >= MAX_WORKERS_LOST:
        why = f"{blamed.workers_lost} workers were lost while they ran it, the last one because {error}"
        await tasks.fail_held(connection, blamed.task_id, TaskResult(error=why))
        log.warning("task_lost_its_workers", task_uuid=str(blamed.task_id), workers=blamed.workers_lost)
    elif blamed is not None:
        await tasks.give_back(connection, assignment_id, [AttemptRef(str(blamed.task_id), blamed.attempt)])
    await tasks.reclaim(connection, assignment_id, worker_id, error, kept)


def _task_id(ref: AttemptRef) -> str:
    return ref.task_id
