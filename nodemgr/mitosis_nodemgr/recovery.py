"""What a process finds of the one before it: leftovers to end, a suite to clean up, results to deliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.reaping import kill_marked
from mitosis_common.report_journal import ReportJournal
from mitosis_nodemgr.environment import Environment
from mitosis_nodemgr.intents import Intent, IntentStore, kill_recorded
from mitosis_nodemgr.ipc import cleanup_leftovers
from mitosis_nodemgr.states import ManagerState, Stage

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """A suite that was begun and not cleaned up, and results that were not acknowledged."""

    intent: Intent | None = None
    reports: Sequence[stream.TaskReport] = ()

    def state(self) -> ManagerState:
        """Returns where a manager begins that comes into this: at the end of what its predecessor held."""
        if self.intent is not None:
            suite, stage = self.intent.suite, Stage.CLEANING
        elif self.reports:
            # Of the newest: a manager holds one assignment at a time, and older reports are of one that is over.
            suite, stage = stream.SuiteAssigned(assignment_id=self.reports[-1].assignment_id), Stage.FINISHING
        else:
            return ManagerState()
        return ManagerState(stage, suite=suite, finish=stream.FINISH_REASON_RESTARTED)


def take_over(environment: Environment, intents: IntentStore, journal: ReportJournal) -> Inheritance:
    """Ends what a killed predecessor left running, removes its shared memory, and reads what it owed.

    The record of intent is this process's from then on: should it be killed too, the next one finds what it started.
    Raises `OSError`.
    """
    intent = intents.read()
    if intent is not None:
        killed = kill_recorded(intent.processes) + kill_marked(intent.mark.encode())
        intent = replace(intent, mark=environment.mark, processes=set())
        intents.amend(intent)
        _log.warning(
            "predecessor_was_killed",
            assignment_id=intent.suite.assignment_id,
            suite_uuid=intent.suite.suite_uuid,
            processes_killed=killed,
        )
    # Also without a record: a manager that held no suite has nothing there, but one that was killed while erasing has.
    if environment.config.ipc.cleanup_on_exit:
        removed = cleanup_leftovers(environment.config.ipc.service_prefix)
        if removed:
            _log.info("shared_memory_removed", domains=removed)
    reports = journal.recover()
    if reports:
        _log.info("results_recovered", assignment_id=reports[-1].assignment_id, count=len(reports))
    return Inheritance(intent, reports)
