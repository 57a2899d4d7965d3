"""What the lifecycle asks its surroundings to do. Each is performed at once; what takes time answers with an event."""

from __future__ import annotations

from dataclasses import dataclass

from mitosis.v1 import manager_stream_pb2 as stream


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to the coordinator. Given only while connected."""

    message: stream.ConnectRequest


@dataclass(frozen=True, slots=True)
class RecordIntent:
    """Put on disk what the suite will owe, and check its plan. Answered by `IntentRecorded` or `SuiteRefused`."""

    suite: stream.SuiteAssigned


@dataclass(frozen=True, slots=True)
class RunPreparation:
    """Start the preparation hook. Answered by `PreparationEnded`."""


@dataclass(frozen=True, slots=True)
class StopPreparation:
    """End the preparation hook's process group. Answered by its `PreparationEnded`."""


@dataclass(frozen=True, slots=True)
class StartWorkers:
    """Open shared memory and spawn the workers. Answered by `WorkersFailed` or, much later, by `WorkersGone`."""


@dataclass(frozen=True, slots=True)
class GrantCredit:
    """Ask for tasks."""


@dataclass(frozen=True, slots=True)
class Wind:
    """Take no more tasks, give out none, and let each worker end after its current one. Answered by `WorkersGone`.

    Unstarted tasks are handed back or, with `cancelled`, reported as cancelled.
    """

    cancelled: bool


@dataclass(frozen=True, slots=True)
class StopRunning:
    """Stop running tasks, reported as cancelled when `cancelled`, handed back otherwise."""

    cancelled: bool


@dataclass(frozen=True, slots=True)
class DropTasks:
    """Forget every task and report: the coordinator gave them to others. Workers are stopped."""


@dataclass(frozen=True, slots=True)
class StartGrace:
    """Give running tasks the drain grace. Answered by `GraceEnded`."""


@dataclass(frozen=True, slots=True)
class RunCleanup:
    """Run the cleanup hook, end what is left of the suite, erase its record. Answered by `CleanupEnded`."""


@dataclass(frozen=True, slots=True)
class EraseIntent:
    """Erase the record of a suite of which nothing was started."""


@dataclass(frozen=True, slots=True)
class AwaitReports:
    """Watch for the last acknowledgement. Answered by `ReportsSettled`, at once when nothing is open."""


@dataclass(frozen=True, slots=True)
class StartPatience:
    """Bound the wait for acknowledgements. Answered by `PatienceEnded`."""


@dataclass(frozen=True, slots=True)
class KillAll:
    """Kill the hook and the workers, now."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the process, after a goodbye if connected."""

    exit_code: int
    reason: str


Instruction = (
    Tell
    | RecordIntent
    | RunPreparation
    | StopPreparation
    | StartWorkers
    | GrantCredit
    | Wind
    | StopRunning
    | DropTasks
    | StartGrace
    | RunCleanup
    | EraseIntent
    | AwaitReports
    | StartPatience
    | KillAll
    | Leave
)
