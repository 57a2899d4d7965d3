"""What the manager owes for the suite that it holds: the record on disk, the hooks, and whom to kill in the end."""

from __future__ import annotations

import asyncio

import structlog

from mitosis.v1 import hook_pb2
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr.binding import BindingRefusedError
from mitosis_nodemgr.child import ProcessId
from mitosis_nodemgr.environment import Environment, reap_everything
from mitosis_nodemgr.hooks import Hook, failed_preparation
from mitosis_nodemgr.intents import Intent, IntentStore

_log = structlog.get_logger(__name__)


class Obligations:
    """Keeps the record of intent true, from before a suite is touched until it is cleaned up."""

    def __init__(self, environment: Environment, intents: IntentStore, inherited: Intent | None = None) -> None:
        self._env = environment
        self._intents = intents
        self._intent = inherited
        self._hook: Hook | None = None

    async def record(self, suite: stream.SuiteAssigned, manager_uuid: str) -> stream.HookReport | None:
        """Puts on disk what the suite will owe; returns a failed preparation's report when it cannot be run here."""
        intent = Intent(
            suite=suite,
            manager_uuid=manager_uuid,
            mark=self._env.mark,
            ipc_domain=self._env.domain(manager_uuid).prefix,
        )
        try:
            # Before the preparation, which may take long and would be for nothing.
            self._env.bind(suite, suite.worker_count)
            await asyncio.to_thread(self._intents.write, intent)
        except (BindingRefusedError, OSError) as error:
            _log.error(
                "suite_refused",
                assignment_id=suite.assignment_id,
                suite_uuid=suite.suite_uuid,
                problem=str(error),
            )
            return failed_preparation(suite.assignment_id, str(error))
        self._intent = intent
        return None

    async def prepare(self) -> stream.HookReport:
        """Runs the preparation hook."""
        assert self._intent is not None
        return await self._run(self._intent, self._intent.suite.env_preparation, hook_pb2.HOOK_TYPE_PREPARATION)

    async def clean_up(self) -> stream.HookReport | None:
        """Runs the cleanup hook, if there is one, kills what is left of the suite, and erases the record."""
        report = None
        if self._intent is not None and self._intent.suite.HasField("env_cleanup"):
            report = await self._run(self._intent, self._intent.suite.env_cleanup, hook_pb2.HOOK_TYPE_CLEANUP)
        # Services that the preparation started were for the suite, and the cleanup may have needed them: now they go.
        killed = reap_everything()
        if killed:
            _log.info("leftovers_killed", count=killed)
        self.erase()
        return report

    def stop_hook(self) -> None:
        """Ends the hook that runs, if any."""
        if self._hook is not None:
            self._hook.stop()

    def process_started(self, process: ProcessId) -> None:
        """Adds a worker or hook to the record, so that the next manager finds it if this one is killed."""
        if self._intent is not None:
            self._intent.processes = {known for known in self._intent.processes if known.exists()} | {process}
            self._intents.amend(self._intent)

    def erase(self) -> None:
        """Removes the record: nothing is owed."""
        self._intents.erase()
        self._intent = None

    async def _run(self, intent: Intent, spec: hook_pb2.EnvHookSpec, hook_type: hook_pb2.HookType) -> stream.HookReport:
        context = self._env.hook_context(intent.suite, intent.manager_uuid)
        self._hook = Hook(spec, hook_type, context, self.process_started)
        try:
            report = await self._hook.run()
        finally:
            self._hook = None
        _log.info(
            "hook_ended",
            assignment_id=intent.suite.assignment_id,
            suite_uuid=intent.suite.suite_uuid,
            hook=hook_pb2.HookType.Name(hook_type),
            result=hook_pb2.HookResult.Name(report.result),
            error=report.error,
            seconds=round(report.duration_seconds, 3),
        )
        return report
