"""What a holder was sent on its stream and has not come back. Without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Set

from mitosis_coordinator.domain.task import AttemptRef, Report
from mitosis_coordinator.storage.tasks import ClaimedTask


class HeldTasks:
    """The attempts that a holder has, as far as its session knows: one for each task."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}
        # Cancelled while a claim was under way, which may be about to be sent.
        self._cancelled: set[AttemptRef] = set()

    def __len__(self) -> int:
        return len(self._attempts)

    def take_over(self, refs: Iterable[AttemptRef]) -> None:
        """Begin with what the holder says it has."""
        self._attempts = {ref.task_id: ref.attempt for ref in refs}

    def clear(self) -> None:
        """Forget everything: the holder has let go."""
        self._attempts.clear()

    def claim_begins(self) -> None:
        """From here on, what is cancelled may be among what is claimed."""
        self._cancelled.clear()

    def cancelled(self, refs: Iterable[AttemptRef]) -> None:
        """The holder is told to stop these."""
        self._cancelled.update(refs)

    def without_cancelled(self, claimed: list[ClaimedTask]) -> list[ClaimedTask]:
        """What may be sent: a task must not reach the holder after the order to stop it."""
        if not self._cancelled:
            return claimed
        return [task for task in claimed if AttemptRef(task.task_id, task.attempt) not in self._cancelled]

    def sent(self, claimed: Iterable[ClaimedTask]) -> None:
        """The holder has these from now on."""
        self._attempts.update((task.task_id, task.attempt) for task in claimed)

    def came_back(self, attempts: Iterable[AttemptRef | Report]) -> None:
        """The holder reported these, or handed them back."""
        for one in attempts:
            if self._has(one):
                del self._attempts[one.task_id]

    def refs(self) -> set[AttemptRef]:
        """Every attempt that the holder has now."""
        return {AttemptRef(task_id, attempt) for task_id, attempt in self._attempts.items()}

    def revoked(self, before: Set[AttemptRef], believed: Set[AttemptRef]) -> list[AttemptRef]:
        """Of what it had before the database was asked, what it still has and the database does not believe."""
        return [ref for ref in before - believed if self._has(ref)]

    def unheard(self, believed: Iterable[AttemptRef]) -> list[AttemptRef]:
        """What the database believes that the holder has, and it was never sent."""
        return [ref for ref in believed if not self._has(ref)]

    def _has(self, one: AttemptRef | Report) -> bool:
        return self._attempts.get(one.task_id) == one.attempt
