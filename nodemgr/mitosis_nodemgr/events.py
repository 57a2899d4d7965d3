"""What can happen to a manager, as far as its lifecycle is concerned.

Tasks, acknowledgements and credit are not here: they change what a suite's run holds (`suite_run.py`), not where the
manager stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mitosis.v1 import manager_stream_pb2 as stream


class Verdict(Enum):
    """What the coordinator says to the assignment that a manager told of when it attached."""

    IDLE = auto()
    RESUME = auto()
    ABORT = auto()


@dataclass(frozen=True, slots=True)
class Attached:
    """The coordinator answered; messages flow."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream broke. Work goes on."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The coordinator will not have this process any more: its token ended, or a newer session took its place."""

    why: str


@dataclass(frozen=True, slots=True)
class SuiteAssigned:
    """A suite to prepare and run."""

    suite: stream.SuiteAssigned


@dataclass(frozen=True, slots=True)
class SuiteDrained:
    """Nothing is left in the suite for this manager."""

    assignment_id: int


@dataclass(frozen=True, slots=True)
class SuiteCancelled:
    """A user cancelled the suite, and running tasks with it if `stop_running`."""

    assignment_id: int
    stop_running: bool


@dataclass(frozen=True, slots=True)
class IntentRecorded:
    """What the suite will owe is on disk, and the machine has what the suite's plan asks for."""


@dataclass(frozen=True, slots=True)
class SuiteRefused:
    """The machine cannot run the suite: too few cores, or no disk for the record. Nothing was started."""

    report: stream.HookReport


@dataclass(frozen=True, slots=True)
class PreparationEnded:
    """The preparation hook ended, was killed for its time limit, or was stopped."""

    report: stream.HookReport


@dataclass(frozen=True, slots=True)
class WorkersFailed:
    """No worker is left that is worth starting again. The report says why, in place of a preparation's."""

    report: stream.HookReport


@dataclass(frozen=True, slots=True)
class WorkersGone:
    """Every worker has ended, and every task was reported or handed back."""


@dataclass(frozen=True, slots=True)
class CleanupEnded:
    """The cleanup hook ended, and what hooks and tasks had left behind was killed. None: the suite has no such hook."""

    report: stream.HookReport | None


@dataclass(frozen=True, slots=True)
class ReportsSettled:
    """The coordinator acknowledged every report of the suite."""


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """An operator wants the manager empty, and connected."""


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """The process is to end, by a signal or by an operator; `graceful` lets running tasks finish within the grace."""

    graceful: bool


@dataclass(frozen=True, slots=True)
class StopRequested:
    """A second signal: end now. A cleanup that is owed stays on record for the next start."""


@dataclass(frozen=True, slots=True)
class GraceEnded:
    """Running tasks had their time."""


@dataclass(frozen=True, slots=True)
class PatienceEnded:
    """A manager that is leaving has waited long enough for acknowledgements."""


Event = (
    Attached
    | Disconnected
    | Rejected
    | SuiteAssigned
    | SuiteDrained
    | SuiteCancelled
    | IntentRecorded
    | SuiteRefused
    | PreparationEnded
    | WorkersFailed
    | WorkersGone
    | CleanupEnded
    | ReportsSettled
    | DrainRequested
    | LeaveRequested
    | StopRequested
    | GraceEnded
    | PatienceEnded
)
