"""One run: load and faults at the same time, then quiet, then a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from mitosis_common import log
from tests.chaos import evidence
from tests.chaos.authors import Authors
from tests.chaos.deployment import Deployment, Size, Timing, deployed
from tests.chaos.injector import Injector
from tests.chaos.schedule import Kind, plan
from tests.chaos.verdict import Evidence, Violation, judge, reruns
from tests.chaos.workload import plans
from tests.e2e.support import sandbox
from tests.support.invariants import contradictions

# A manager that failed to connect again and again waits up to a minute; then all that is left has to be run.
_QUIET_SECONDS = 180.0
_LOOK_SECONDS = 1.0
# Suites come to an end some time after the last of them was submitted, while there are still faults.
_LOAD_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Settings:
    """How long faults strike and how much is submitted meanwhile; the rest follows from the seed."""

    seed: int
    seconds: float
    faults: int
    tasks: int
    mean_suite: int = 500
    size: Size = field(default_factory=Size)
    timing: Timing = field(default_factory=Timing)


@dataclass(slots=True)
class Outcome:
    """What a run has shown."""

    settings: Settings
    struck: dict[Kind, int]
    disks: bool
    mended: int
    acknowledged: int
    suites: int
    reopened: int
    unanswered: int
    executions: int
    reruns: int
    stale_reports: int
    quiet_seconds: float
    violations: dict[Violation, list[str]]
    logs: str

    @property
    def passed(self) -> bool:
        """Whether nothing was violated."""
        return not any(self.violations.values())


async def run(settings: Settings, say: Callable[[str], object] = print) -> Outcome:
    """Runs once. Everything that was started has ended when this returns, and its files are gone."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(sandbox())
        log.configure(output=box.root / "chaos.log")
        async with deployed(box, settings.size, settings.timing) as deployment:
            faults = plan(
                settings.seed,
                settings.seconds,
                settings.faults,
                deployment.cast,
                settings.timing.heartbeat_timeout_seconds,
            )
            executed = box.root / "executions"
            injector = Injector(deployment)
            clients = [deployment.client(number) for number in range(settings.size.clients)]
            authors = Authors(settings.seed, executed, clients)
            say(f"{len(faults)} faults and {settings.tasks} tasks in {settings.seconds:g} s")
            load = plans(settings.seed, settings.seconds * _LOAD_SHARE, settings.tasks, mean_size=settings.mean_suite)
            async with asyncio.TaskGroup() as group:
                group.create_task(authors.perform(load))
                group.create_task(injector.perform(faults))
            say("quiet: whatever is left must come to its end now")
            quiet, left = await _settle(deployment, injector)
            for client in clients:
                await client.close()
            return await asyncio.to_thread(
                _conclude, settings, deployment, authors, injector, executed, quiet, left, await _end(deployment)
            )


async def _settle(deployment: Deployment, injector: Injector) -> tuple[float, list[str]]:
    """Waits for rest, and returns how long that took and what had not come to rest by then."""
    began = time.monotonic()
    url = deployment.postgres.url
    left = ["nothing is known: the database did not answer"]
    while left and time.monotonic() - began < _QUIET_SECONDS:
        await asyncio.sleep(_LOOK_SECONDS)
        injector.look_after()
        # It may be starting again.
        with contextlib.suppress(psycopg.OperationalError):
            left = await asyncio.to_thread(evidence.unsettled, url)
            await injector.mend(await asyncio.to_thread(evidence.quarantined, url))
    return time.monotonic() - began, left


async def _end(deployment: Deployment) -> list[str]:
    """Ends every process but PostgreSQL, and returns what did not end well."""
    try:
        codes = await deployment.stop()
    except AssertionError as error:
        return [str(error)]
    return [f"{name} ended with {code} in the end" for name, code in codes.items() if code != 0]


def _conclude(
    settings: Settings,
    deployment: Deployment,
    authors: Authors,
    injector: Injector,
    executed: Path,
    quiet_seconds: float,
    left: list[str],
    bad_ends: list[str],
) -> Outcome:
    known = authors.acknowledged
    url = deployment.postgres.url
    with psycopg.connect(url, connect_timeout=30) as connection:
        seen = Evidence(
            acknowledged=known.tasks,
            cancelled_tasks=known.cancelled_tasks,
            cancelled_suites=known.cancelled_suites,
            active=evidence.active(connection),
            recorded=evidence.recorded(connection),
            failures=evidence.failures(connection),
            executions=evidence.executions(executed),
            unsettled=left,
            contradictions=contradictions(url),
            bad_ends=[*injector.died, *injector.ended_badly, *bad_ends],
            orphans=_orphans(deployment),
            left_behind=[str(path) for path in deployment.box.shared_memory()],
        )
    violations = judge(seen)
    return Outcome(
        settings=settings,
        struck=dict(injector.struck),
        disks=deployment.cast.disks,
        mended=injector.mended,
        acknowledged=len(known.tasks),
        suites=len(known.suites),
        reopened=known.reopened,
        unanswered=known.unanswered,
        executions=sum(row.event == "start" for row in seen.executions),
        reruns=reruns(seen.executions),
        stale_reports=evidence.stale_reports(deployment),
        quiet_seconds=quiet_seconds,
        violations=violations,
        logs=deployment.output() if any(violations.values()) else "",
    )


def _orphans(deployment: Deployment) -> list[str]:
    # PostgreSQL works in the sandbox, and is still needed.
    return [line for line in deployment.box.processes() if "postgres" not in line]
