"""Deliberate damage, to see that the simulation notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from typing import Any
from unittest.mock import patch

from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common.report_ledger import ReportLedger
from mitosis_coordinator.sessions import messages as msg
from mitosis_coordinator.sessions.holder import HolderSession
from tests.simulation import model_tasks


class Damage(StrEnum):
    """What is broken on purpose."""

    FENCE_REMOVED = "fence-removed"
    ACKNOWLEDGED_EARLY = "acknowledged-early"
    REPORTS_NOT_KEPT = "reports-not-kept"


@contextmanager
def damaged(damage: Damage | None) -> Iterator[None]:
    """Break something."""
    with ExitStack() as stack:
        if damage is not None:
            for place, name, substitute in _DAMAGES[damage]:
                stack.enter_context(patch.object(place, name, substitute))
        yield


async def _acknowledge_early(self: HolderSession[Any, Any]) -> None:
    while True:
        batch = await self._to_commit.get()
        self._put(msg.ReportsAcked(batch.sequence, ()))
        await self._persist(partial(self._reports.commit, self.holder_id, batch.reports))
        self._tasks.came_back(batch.reports)
        self._to_commit.task_done()


_seal: Callable[[ReportLedger], stream.TaskReports | None] = ReportLedger.seal


def _seal_and_forget(self: ReportLedger) -> stream.TaskReports | None:
    batch = _seal(self)
    if batch is not None:
        self.acknowledge(batch.sequence)
    return batch


_DAMAGES: dict[Damage, list[tuple[object, str, object]]] = {
    Damage.FENCE_REMOVED: [(model_tasks, "may_finish", lambda task, attempt, assignment_id, guarded: bool(task))],
    Damage.ACKNOWLEDGED_EARLY: [(HolderSession, "_commit", _acknowledge_early)],
    Damage.REPORTS_NOT_KEPT: [(ReportLedger, "seal", _seal_and_forget)],
}
