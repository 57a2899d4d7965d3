"""What one manager process is, and what it hands down to hooks and workers."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_common import reaping
from mitosis_common.open_files import soft_limit
from mitosis_nodemgr import binding, defaults
from mitosis_nodemgr.config import ManagerConfig
from mitosis_nodemgr.hooks import HookContext
from mitosis_nodemgr.ipc import IpcDomain, worker_argv, worker_environment
from mitosis_nodemgr.pool import Launch
from mitosis_nodemgr.respawn import RespawnPolicy

# Names of variables that are the manager's own business: a hook or a task has no use for its token file.
_PRIVATE = ("MANAGER_TOKEN_FILE", "MITOSIS_COORDINATOR__TOKEN_FILE")
MARK_NAME = "MITOSIS_MANAGER_SESSION"


@dataclass(frozen=True, slots=True)
class Environment:
    """The configuration, the process's own UUID, and everything that follows from both for one assignment."""

    config: ManagerConfig
    session_uuid: str = field(default_factory=lambda: str(uuid4()))
    inherited: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    # The soft limit before the manager raises its own, which is no concern of programs that use `select`.
    inherited_open_files: int = field(default_factory=soft_limit)

    @property
    def mark(self) -> str:
        """The variable, as `NAME=value`, by which every process below this manager is found, wherever it went."""
        return f"{MARK_NAME}={self.session_uuid}"

    @property
    def base(self) -> dict[str, str]:
        """What hooks and workers inherit."""
        kept = {name: value for name, value in self.inherited.items() if name not in _PRIVATE}
        return {**kept, MARK_NAME: self.session_uuid}

    @property
    def policy(self) -> RespawnPolicy:
        """What becomes of dead workers."""
        chosen = self.config.worker_defaults
        return RespawnPolicy(chosen.restart_on_failure, chosen.max_restarts)

    def domain(self, manager_uuid: str) -> IpcDomain:
        """Names this process's shared memory."""
        return IpcDomain.unique(self.config.ipc.service_prefix, manager_uuid)

    def hook_context(self, suite: stream.SuiteAssigned, manager_uuid: str) -> HookContext:
        """Returns what the hooks of an assignment have in common."""
        return HookContext(
            assignment_id=suite.assignment_id,
            suite_uuid=suite.suite_uuid,
            suite_name=suite.suite_name,
            group_name=suite.group_name,
            worker_count=suite.worker_count,
            manager_uuid=manager_uuid,
            environment={**self.base, **self.config.hooks.env},
            timeout_seconds=self.config.hooks.timeout_seconds,
            stop_grace_seconds=self.config.manager.stop_grace_seconds,
            open_files=self.inherited_open_files,
        )

    def launch(self, suite: stream.SuiteAssigned, manager_uuid: str) -> Launch:
        """Returns how to start the workers of an assignment."""
        domain = self.domain(manager_uuid)
        merged = defaults.merge(suite.task_defaults, self.config.worker_defaults)
        setup = ipc.WorkerSetup(
            task_defaults=merged,
            suite_uuid=suite.suite_uuid,
            suite_name=suite.suite_name,
            group_name=suite.group_name,
            manager_uuid=manager_uuid,
            stop_grace_seconds=self.config.manager.stop_grace_seconds,
        )
        base = {**self.base, **merged.envs}
        return Launch(
            argv=lambda worker: worker_argv(domain, worker, domain.root.parent / f"{domain.prefix}marker_{worker}"),
            marker=lambda worker: domain.root.parent / f"{domain.prefix}marker_{worker}",
            setup=setup.SerializeToString(),
            environment=lambda worker: worker_environment(base, manager_uuid, worker),
            working_directory=merged.working_directory or None,
            open_files=self.inherited_open_files,
        )

    def bind(self, suite: stream.SuiteAssigned, worker_count: int) -> list[frozenset[int]]:
        """Deals out the cores. Raises `BindingRefusedError`."""
        plan = suite.worker_schedule
        kind = defaults.cpu_binding(plan, self.config.worker_defaults)
        return binding.bind(kind, worker_count, os.sched_getaffinity(0), plan.cores)


# A dead worker's tasks may have left processes, which are ours once it is gone. Hooks' children carry no such mark.
reap_after_worker = functools.partial(reaping.kill_orphans, mark=b"MITOSIS_WORKER_INDEX=")


def reap_everything(keep: Collection[int] = ()) -> int:
    """Kills every process below this one, and returns how many there were."""
    return reaping.kill_orphans(keep)
