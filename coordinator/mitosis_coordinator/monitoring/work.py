"""Counts what transactions did, once they are committed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import assert_never
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Histogram

from mitosis_coordinator.domain.hook import HookResult, HookType
from mitosis_coordinator.domain.lifecycle import Event, Lifecycle, State
from mitosis_coordinator.domain.manager import MANAGER, ManagerState
from mitosis_coordinator.domain.suite import SUITE
from mitosis_coordinator.domain.task import FailureKind, Outcome
from mitosis_coordinator.storage import facts

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# From suites of a few tasks to those of days.
_SUITE_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 72 * 3600)
_HOOK_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_FAILED_HOOKS = (HookResult.FAILURE, HookResult.TIMEOUT)
_RETRIED_KINDS = (FailureKind.TASK, FailureKind.WORKER, FailureKind.NODE)


class WorkMetrics:
    """Suites, managers, hooks and tasks as they change, whoever caused it. `take` listens to `Database.on_facts`.

    Args:
        registry: where the metrics are found.
        max_managers: how many managers may have a series of their own; those that were away longest lose it.
    """

    def __init__(self, registry: CollectorRegistry, max_managers: int) -> None:
        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(name, help, labels, registry=registry)

        self._suites_created = counter(
            "mitosis_suites_created_total", "Suites created, by the state they begin in.", "group_name", "state"
        )
        self._suite_moves = counter(
            "mitosis_suite_state_transitions_total",
            "Suites that entered another state.",
            "from_state",
            "to_state",
        )
        self._suite_seconds = Histogram(
            "mitosis_suite_duration_seconds",
            "From the first manager that took a suite to its completion.",
            ["group_name"],
            buckets=_SUITE_SECONDS,
            registry=registry,
        )
        self._manager_moves = counter(
            "mitosis_manager_state_transitions_total",
            "Managers that entered another state.",
            "from_state",
            "to_state",
        )
        self._reconnections = counter(
            "mitosis_manager_reconnections_total",
            "Further sessions that a manager's process began, with a new stream.",
            "manager_uuid",
        )
        self._hook_seconds = Histogram(
            "mitosis_env_hook_duration_seconds",
            "How long hooks ran, by how they ended.",
            ["hook_type", "result"],
            buckets=_HOOK_SECONDS,
            registry=registry,
        )
        self._hook_failures = counter(
            "mitosis_env_hook_failures_total", "Hooks that failed or ran out of time.", "hook_type"
        )
        self._submitted = counter("mitosis_tasks_submitted_total", "Tasks stored: in a suite, or of none.", "kind")
        self._dispatched = counter(
            "mitosis_tasks_dispatched_total", "Tasks handed to a manager, or to an independent worker.", "via"
        )
        self._executed = counter(
            "mitosis_tasks_executed_total",
            "Attempts that ran to an end of their own: success, or failure of any kind.",
            "via",
            "result",
        )
        self._cancelled = counter("mitosis_tasks_cancelled_total", "Attempts that were stopped.", "via")
        self._reclaimed = counter(
            "mitosis_tasks_reclaimed_total", "Tasks that somebody held and that are Ready again, by why.", "cause"
        )
        self._retried = counter(
            "mitosis_task_retries_total", "Tasks tried again, by the budget that was charged.", "budget"
        )
        self._stale = counter("mitosis_stale_reports_total", "Reports that came too late and were ignored.")
        self._dispatch_seconds = Histogram(
            "mitosis_task_dispatch_seconds",
            "Transactions that handed tasks out, the wait for a connection included.",
            ["via"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._commit_seconds = Histogram(
            "mitosis_task_commit_seconds",
            "Transactions that recorded results, the wait for a connection included.",
            ["via"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._max_managers = max_managers
        self._managers: OrderedDict[UUID, None] = OrderedDict()
        self._begin()

    def _begin(self) -> None:
        """Let every series that can be foreseen begin at 0: the first increase is seen only where one was before."""
        for before, after in _moves(SUITE):
            self._suite_moves.labels(before, after)
        for left, entered in _moves(MANAGER):
            self._manager_moves.labels(left, entered)
        for hook_type in HookType:
            self._hook_failures.labels(_low(hook_type))
            for hook_result in HookResult:
                self._hook_seconds.labels(_low(hook_type), _low(hook_result))
        for kind in ("suite", "independent"):
            self._submitted.labels(kind)
        for via in ("managed", "independent"):
            self._dispatched.labels(via)
            self._cancelled.labels(via)
            self._dispatch_seconds.labels(via)
            self._commit_seconds.labels(via)
            for result in ("success", "failure"):
                self._executed.labels(via, result)
        for cause in facts.Cause:
            self._reclaimed.labels(cause)
        for budget in _RETRIED_KINDS:
            self._retried.labels(_low(budget))

    def take(self, committed: Sequence[facts.Fact], seconds: float) -> None:
        """Count what one transaction did, which took so many seconds."""
        for fact in committed:
            match fact:
                case facts.TasksClaimed():
                    via = _via(fact.managed)
                    self._dispatched.labels(via).inc(fact.count)
                    self._dispatch_seconds.labels(via).observe(seconds)
                case facts.AttemptsEnded():
                    self._ended(fact)
                    self._commit_seconds.labels(_via(fact.managed)).observe(seconds)
                case facts.TasksSubmitted():
                    self._submitted.labels("suite" if fact.in_suite else "independent").inc(fact.count)
                case facts.TasksReclaimed():
                    self._reclaimed.labels(fact.cause).inc(fact.count)
                case facts.TasksRetried():
                    self._retried.labels(_low(fact.kind)).inc(fact.count)
                case facts.ReportsStale():
                    self._stale.inc(fact.count)
                case facts.SuiteCreated():
                    self._suites_created.labels(fact.group_name, SUITE.initial).inc()
                case facts.SuiteMoved():
                    self._suite_moves.labels(fact.before, fact.after).inc()
                case facts.SuiteCompleted():
                    self._suite_seconds.labels(fact.group_name).observe(fact.seconds)
                case facts.HookEnded():
                    self._hook_ended(fact)
                case facts.ManagerMoved():
                    self._manager_moves.labels(fact.before, fact.after).inc()
                    if fact.after is ManagerState.OFFLINE:
                        self._forget(fact.manager_id)
                case facts.ManagerAttached():
                    self._attached(fact)
                case _:
                    assert_never(fact)

    def _ended(self, fact: facts.AttemptsEnded) -> None:
        via = _via(fact.managed)
        for outcome, count in fact.outcomes.items():
            if outcome is Outcome.CANCELLED:
                self._cancelled.labels(via).inc(count)
            else:
                self._executed.labels(via, "success" if outcome is Outcome.COMPLETED else "failure").inc(count)

    def _hook_ended(self, fact: facts.HookEnded) -> None:
        self._hook_seconds.labels(_low(fact.hook_type), _low(fact.result)).observe(fact.seconds)
        if fact.result in _FAILED_HOOKS:
            self._hook_failures.labels(_low(fact.hook_type)).inc()

    def _attached(self, fact: facts.ManagerAttached) -> None:
        self._managers[fact.manager_id] = None
        self._managers.move_to_end(fact.manager_id)
        if len(self._managers) > self._max_managers:
            self._forget(next(iter(self._managers)))
        self._reconnections.labels(str(fact.manager_id)).inc(0 if fact.restarted else 1)

    def _forget(self, manager_id: UUID) -> None:
        if manager_id in self._managers:
            del self._managers[manager_id]
            self._reconnections.remove(str(manager_id))


def _moves(lifecycle: Lifecycle[State, Event]) -> set[tuple[State, State]]:
    return {(before, after) for (before, _), after in lifecycle.transitions.items() if before != after}


def _via(managed: bool) -> str:
    return "managed" if managed else "independent"


def _low(value: HookType | HookResult | FailureKind) -> str:
    return value.lower()
