"""Pays what a killed predecessor owes, before the manager connects."""

from __future__ import annotations

import structlog

from mitosis.v1 import hook_pb2
from mitosis_common.reaping import kill_marked
from mitosis_nodemgr.environment import Environment, reap_everything
from mitosis_nodemgr.hooks import Hook
from mitosis_nodemgr.intents import IntentStore, kill_recorded
from mitosis_nodemgr.ipc import cleanup_leftovers

_log = structlog.get_logger(__name__)


async def recover(environment: Environment, intents: IntentStore) -> None:
    """Ends processes, removes shared memory and runs the cleanup hook that the record in the data directory names.

    The coordinator is not told: it gave the suite up when the predecessor's time was over. When this is cancelled the
    record stays, and so does the debt.
    """
    intent = intents.read()
    if intent is not None:
        recorded = kill_recorded(intent.processes)
        marked = kill_marked(intent.mark.encode())
        _log.warning(
            "the last manager was killed; cleaning up after it",
            suite=intent.suite.suite_uuid,
            processes_killed=recorded + marked,
        )
    # Also without a record: a manager that held no suite has nothing there, but one that was killed while erasing has.
    if environment.config.ipc.cleanup_on_exit:
        removed = cleanup_leftovers(environment.config.ipc.service_prefix)
        if removed:
            _log.info("shared memory of dead managers removed", domains=removed)
    if intent is None:
        return
    if intent.suite.HasField("env_cleanup"):
        context = environment.hook_context(intent.suite, intent.manager_uuid)
        report = await Hook(intent.suite.env_cleanup, hook_pb2.HOOK_TYPE_CLEANUP, context).run()
        reap_everything()
        result = hook_pb2.HookResult.Name(report.result)
        _log.info("owed cleanup hook ended", result=result, error=report.error, output=report.output_tail[-2000:])
    intents.erase()
