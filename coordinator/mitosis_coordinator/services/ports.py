"""What services ask of the live part of the coordinators: waking, and talking to connected managers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from mitosis_coordinator.domain.manager import ManagerMetrics
from mitosis_coordinator.domain.task import AttemptRef
from mitosis_coordinator.domain.worker import WorkerPulse
from mitosis_coordinator.storage.tasks import ClaimedTask


class Signals(Protocol):
    """Hints that something changed. They may be lost or repeated: everybody who waits for one also sweeps."""

    def suite_changed(self, suite_id: UUID) -> None:
        """State or counters of a suite changed."""

    def suite_ended(self, suite_id: UUID) -> None:
        """A suite is final, which whoever waits for it wants to know at once."""

    def tasks_ready(self, suite_id: UUID) -> None:
        """A suite has tasks to hand out, or is open for managers in a way that it was not before."""

    def independent_tasks_ready(self, group_id: UUID) -> None:
        """A group has tasks of no suite to hand out."""

    def manager_changed(self, manager_id: UUID) -> None:
        """A manager may take a suite that it could not take before."""

    def deadline_changed(self) -> None:
        """Something falls due that a background duty may not know of yet."""


@dataclass(slots=True)
class Vacancy:
    """A connected manager that has nothing to run, and the right to claim tasks for it. Nobody else does so meanwhile.

    Attributes:
        manager_id: The manager.
        assignment_id: By which it holds tasks.
        session_epoch: Number of its session, which a claim has to name.
        limit: How many tasks it takes at most; one or more.
        claim_sent: Whether a claim may have been committed; to be set before.
        claimed: What was claimed and committed; to be set after, and sent when the vacancy is given back.
    """

    manager_id: UUID
    assignment_id: int
    session_epoch: int
    limit: int
    claim_sent: bool = False
    claimed: list[ClaimedTask] | None = None


class Vacancies(Protocol):
    """The managers connected here that have nothing to run."""

    def vacancy(self, suite_id: UUID) -> AbstractAsyncContextManager[Vacancy | None]:
        """Lend one that holds a suite and waits for its tasks, for one transaction; None when there is none."""


class LiveSessions(Protocol):
    """The managers that are connected, here or to another coordinator.

    What concerns one that is connected elsewhere is only hinted at: its session reads from the database what there is
    to say. What is said to one that is connected nowhere is lost; `Attach` makes up for it.
    """

    def cancel_suite(self, suite_id: UUID, reason: str, *, running_too: bool) -> None:
        """Tell the holders of a suite that it was cancelled."""

    def release_suite(self, suite_id: UUID, manager_ids: Sequence[UUID] | None = None) -> None:
        """Tell the holders of a suite, or some of them, to finish what runs and to let go."""

    def cancel_tasks(self, manager_id: UUID, assignment_id: int, tasks: Sequence[AttemptRef]) -> None:
        """Tell a manager to stop some tasks."""

    def recall_tasks(self, manager_id: UUID, assignment_id: int, count: int) -> None:
        """Ask a manager to hand back so many unstarted tasks, and leave what is Ready to others for a moment."""

    def give_way(self, suite_id: UUID) -> None:
        """Have the holders of a suite that have something to run leave what is Ready to the others for a moment."""

    def resize(self, manager_id: UUID, assignment_id: int, worker_count: int) -> None:
        """Tell a manager how many workers it runs from now on."""

    def metrics_of(self, manager_id: UUID) -> ManagerMetrics | None:
        """What a manager's last heartbeat said; None when it is not connected here."""

    def disconnect(self, manager_id: UUID) -> None:
        """End the session of a manager whose token ended; it comes back if it has a new one."""

    def shut_down(self, manager_id: UUID, reason: str, *, graceful: bool) -> bool:
        """Tell a manager to end; False when it is not connected here."""

    def look_again(self, manager_id: UUID) -> None:
        """Have the session of a manager, wherever it is, read what there is to say to it."""


class LiveWorkers(Protocol):
    """The independent workers that are connected, here or to another coordinator, as with managers."""

    def cancel_tasks(self, worker_id: UUID, assignment_id: int, tasks: Sequence[AttemptRef]) -> None:
        """Tell a worker to stop some tasks."""

    def pulse_of(self, worker_id: UUID) -> WorkerPulse | None:
        """Where a worker stands now; None when it is not connected here."""

    def disconnect(self, worker_id: UUID) -> None:
        """End the session of a worker whose token ended; it comes back if it has a new one."""

    def shut_down(self, worker_id: UUID, reason: str, *, graceful: bool) -> bool:
        """Tell a worker to end; False when it is not connected here."""

    def look_again(self, worker_id: UUID) -> None:
        """Have the session of a worker, wherever it is, read what there is to say to it."""
