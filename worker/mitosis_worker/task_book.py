"""What an independent worker holds: tasks that wait, and the one that runs. Without I/O or a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mitosis.ipc.v1 import worker_ipc_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_ledger import Key


@dataclass(slots=True)
class TaskBook:
    """Keeps count of one worker's tasks and of the credit that it gave.

    Attributes:
        window: Tasks that are wanted here, the running one included.
    """

    window: int
    assignment_id: int = 0
    running: stream.AssignedTask | None = None
    draining: bool = False
    completed: int = 0
    failed: int = 0
    _waiting: deque[stream.AssignedTask] = field(default_factory=deque)
    _granted: int = 0
    _received: int = 0
    # The running task, when it is stopped to be handed back, or is not ours any more.
    _giving_back: Key | None = None
    _revoked: Key | None = None

    def keys(self) -> list[Key]:
        """Task and attempt of everything that did not end, for the first message of a stream."""
        tasks = [*self._waiting, *([self.running] if self.running is not None else [])]
        return [_key(task) for task in tasks]

    def attached(self, assignment_id: int, gone: Collection[Key]) -> bool:
        """A stream began; whether the running task is `gone`, not ours any more, and must be stopped."""
        self.assignment_id = assignment_id
        self._granted = self._received = 0
        self._waiting = deque(task for task in self._waiting if _key(task) not in gone)
        if self.running is not None and _key(self.running) in gone:
            self._revoked = _key(self.running)
            return True
        return False

    def credit(self) -> int | None:
        """The new total to announce, or None when the old one will do."""
        if self.draining:
            return None
        here = len(self._waiting) + (self.running is not None)
        more = self.window - here - (self._granted - self._received)
        if more <= 0:
            return None
        self._granted += more
        return self._granted

    def arrived(self, batch: stream.TaskBatch) -> list[stream.TaskAttempt]:
        """Take tasks in; those that are not wanted any more, to be handed back."""
        self._received += len(batch.tasks)
        self._granted = max(self._granted, self._received)
        if self.draining or batch.assignment_id != self.assignment_id:
            return [_attempt(task) for task in batch.tasks]
        # Stable: what came first among equals stays first.
        self._waiting = deque(sorted([*self._waiting, *batch.tasks], key=lambda task: -task.priority))
        return []

    def start_next(self) -> stream.AssignedTask | None:
        """Take the next task to run; None when none waits."""
        if self.running is not None or not self._waiting or self.draining:
            return None
        self.running = self._waiting.popleft()
        return self.running

    def ended(self, report: worker_ipc_pb2.WorkerReport) -> stream.TaskReport | stream.TaskAttempt | None:
        """The running task ended. Returns its report, or the attempt where it is handed back instead.

        None for a report that comes twice, or of a task that is not ours any more.
        """
        key = (report.task_uuid, report.attempt)
        if self.running is None or _key(self.running) != key:
            return None
        task, self.running = self.running, None
        giving_back, self._giving_back = self._giving_back, None
        revoked, self._revoked = self._revoked, None
        if revoked == key:
            return None
        if giving_back == key and report.outcome == stream.TASK_OUTCOME_CANCELLED:
            return _attempt(task)
        if report.outcome == stream.TASK_OUTCOME_COMPLETED:
            self.completed += 1
        elif report.outcome != stream.TASK_OUTCOME_CANCELLED:
            self.failed += 1
        return stream.TaskReport(
            task_uuid=report.task_uuid,
            attempt=report.attempt,
            assignment_id=self.assignment_id,
            outcome=report.outcome,
            result=report.result,
            started_at=report.started_at,
            finished_at=report.finished_at,
        )

    def cancel(self, refs: Iterable[stream.TaskAttempt]) -> tuple[list[stream.TaskReport], bool]:
        """Drop tasks that were cancelled. Returns reports that say so, and whether the running one is among them."""
        keys = {(one.task_uuid, one.attempt) for one in refs}
        dropped = [task for task in self._waiting if _key(task) in keys]
        self._waiting = deque(task for task in self._waiting if _key(task) not in keys)
        reports = [
            stream.TaskReport(
                task_uuid=task.task_uuid,
                attempt=task.attempt,
                assignment_id=self.assignment_id,
                outcome=stream.TASK_OUTCOME_CANCELLED,
            )
            for task in dropped
        ]
        return reports, self.running is not None and _key(self.running) in keys

    def drain(self) -> list[stream.TaskAttempt]:
        """Take nothing more; what did not start, to be handed back."""
        self.draining = True
        waiting, self._waiting = self._waiting, deque()
        return [_attempt(task) for task in waiting]

    def give_back_running(self) -> None:
        """When the running task is stopped, it is handed back and not reported."""
        if self.running is not None:
            self._giving_back = _key(self.running)

    def abandon_running(self) -> list[stream.TaskAttempt]:
        """Let go of a task that was taken and never ran, or that cannot be stopped; to be handed back."""
        task, self.running = self.running, None
        return [] if task is None or self._revoked == _key(task) else [_attempt(task)]


def _key(task: stream.AssignedTask) -> Key:
    return task.task_uuid, task.attempt


def _attempt(task: stream.AssignedTask) -> stream.TaskAttempt:
    return stream.TaskAttempt(task_uuid=task.task_uuid, attempt=task.attempt)
