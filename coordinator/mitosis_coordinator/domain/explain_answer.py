"""The answer to "why does it not run?", put together from the obstacles of every holder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mitosis_coordinator.domain.explain import (
    MAX_POSITION,
    RUNNABLE_BY,
    Explanation,
    ManagerFacts,
    Obstacle,
    ObstacleKind,
    SuiteFacts,
    WorkerFacts,
    manager_obstacle,
    nearest_first,
    worker_obstacle,
)
from mitosis_coordinator.domain.explain_text import brief, counted, moment, of_manager, of_unseen, of_worker
from mitosis_coordinator.domain.suite import SuiteState
from mitosis_coordinator.domain.task import Task, TaskState


@dataclass(frozen=True, slots=True)
class HolderFacts:
    """Who holds a task or held it last; `name` is empty when the caller may not see it."""

    name: str
    heard_recently: bool
    last_heartbeat_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the standing of a task depends on; `position` is its place in line while it can be handed out."""

    task: Task
    holder: HolderFacts | None
    position: int | None
    last_failure: str


@dataclass(frozen=True, slots=True)
class _Holders:
    """What all holders together come to."""

    noun: str
    free: str | None
    obstacles: tuple[Obstacle, ...]


def explain_suite(suite: SuiteFacts, managers: Sequence[ManagerFacts], now: datetime, left_out: int) -> Explanation:
    """Say why a suite does not run, or who runs it."""
    ended = _ended_suite(suite)
    if ended is not None:
        obstacles = () if suite.state is not SuiteState.FAILED else (_suite_failed(suite),)
        return Explanation(ended, obstacles, now)
    if not suite.ready:
        nothing = _nothing_ready(suite)
        return Explanation(nothing.message, (nothing,), now)
    holders = _managers(suite, managers, now)
    return Explanation(_summary("The suite", holders), holders.obstacles, now, holders_left_out=left_out)


def explain_task(
    facts: TaskFacts, suite: SuiteFacts, managers: Sequence[ManagerFacts], now: datetime, left_out: int
) -> Explanation:
    """Say why a task of a suite does not run, or where it runs, or how it ended."""
    placed = _placed(facts, now)
    if placed is not None:
        return placed
    if suite.state is SuiteState.FAILED:
        failed = _suite_failed(suite)
        return Explanation(failed.message, (failed,), now)
    holders = _managers(suite, managers, now)
    return _waiting(facts, holders, now, left_out)


def explain_independent_task(
    facts: TaskFacts, workers: Sequence[WorkerFacts], now: datetime, left_out: int
) -> Explanation:
    """Say why a task of no suite does not run, or where it runs, or how it ended."""
    placed = _placed(facts, now)
    if placed is not None:
        return placed
    judged = [(worker_obstacle(worker), worker) for worker in workers]
    kept = nearest_first([(kind, worker) for kind, worker in judged if kind is not None])
    group_name = facts.task.group_name
    seen = [of_worker(kind, group_name, worker) for kind, worker in kept if worker.visible]
    unseen = Counter(kind for kind, worker in kept if not worker.visible)
    free = _free([worker for kind, worker in judged if kind is None])
    holders = _Holders("worker", free, _with_unseen(seen, unseen, "worker", nobody=not workers))
    return _waiting(facts, holders, now, left_out)


def _waiting(facts: TaskFacts, holders: _Holders, now: datetime, left_out: int) -> Explanation:
    position = facts.position
    line = ""
    if position is not None and position > 1:
        before = "more than 10,000" if position >= MAX_POSITION else str(position - 1)
        line = f" {before} {'task is' if position == 2 else 'tasks are'} before it."
    summary = _summary("The task", holders) + line
    return Explanation(summary, holders.obstacles, now, position, left_out)


def _placed(facts: TaskFacts, now: datetime) -> Explanation | None:
    """What there is to say of a task that nobody can be given now; None when it can be handed out."""
    task = facts.task
    where = f"on {facts.holder.name or 'a holder that you may not see'}" if facts.holder else ""
    result = task.result
    if result is not None:
        how = {TaskState.COMPLETED: "ended with success", TaskState.FAILED: "failed"}.get(task.state, "was cancelled")
        why = f": {result.error}" if result.error else ""
        summary = " ".join(filter(None, ["The task", how, where, f"at {moment(task.finished_at)}{why}"]))
        return Explanation(f"{summary.rstrip('.')}.", (), now)
    if task.state is TaskState.READY:
        if task.retry_at is None:
            return None
        message = f"The task failed and is tried again at {moment(task.retry_at)}."
        waits = Obstacle(ObstacleKind.RETRY_BACK_OFF, message, until=task.retry_at, detail=facts.last_failure)
        return Explanation(message, (waits,), now)
    obstacles: tuple[Obstacle, ...] = ()
    if facts.holder is not None and not facts.holder.heard_recently:
        message = f"Its holder has not been heard of since {moment(facts.holder.last_heartbeat_at)}."
        obstacles = (Obstacle(ObstacleKind.SILENT, message, since=facts.holder.last_heartbeat_at),)
    summary = f"The task was sent to be run {where} and is not known to have started."
    if task.state is TaskState.RUNNING:
        summary = f"The task has been running {where} since {moment(task.started_at)}."
    return Explanation(" ".join([summary, *(obstacle.message for obstacle in obstacles)]), obstacles, now)


def _ended_suite(suite: SuiteFacts) -> str | None:
    because = f": {suite.reason}" if suite.reason else ""
    at = f"since {moment(suite.finished_at)}{because}"
    match suite.state:
        case SuiteState.COMPLETE:
            return f"The suite is Complete since {moment(suite.finished_at)}; a task submitted to it opens it again."
        case SuiteState.CANCELLED:
            return f"The suite is Cancelled {at}."
        case SuiteState.FAILED:
            return f"The suite is Failed {at}."
        case _:
            return None


def _suite_failed(suite: SuiteFacts) -> Obstacle:
    message = f"The suite is Failed until it is retried: {suite.reason}."
    return Obstacle(ObstacleKind.SUITE_FAILED, message, since=suite.finished_at, detail=suite.reason)


def _nothing_ready(suite: SuiteFacts) -> Obstacle:
    until = None
    if suite.pending:
        on = f"{counted(suite.executing_managers, 'manager')} that run{'s' * (suite.executing_managers == 1)} the suite"
        message = (
            f"Nothing waits for a manager: {counted(suite.pending, 'pending task')} with {on}, or wait for a retry"
        )
        until = suite.next_retry_at
    elif not suite.total:
        message = "No task was submitted to the suite yet"
    elif suite.closed:
        message = "All tasks have ended; the suite is about to complete"
    else:
        message = "All tasks have ended; the suite completes when it is closed or stays quiet"
        until = suite.completes_at
    return Obstacle(ObstacleKind.NOTHING_READY, message + (f" until {moment(until)}." if until else "."), until=until)


def _managers(suite: SuiteFacts, managers: Sequence[ManagerFacts], now: datetime) -> _Holders:
    judged = [(manager_obstacle(suite, manager, now), manager) for manager in managers]
    kept = nearest_first([(kind, manager) for kind, manager in judged if kind is not None])
    seen = [of_manager(kind, suite, manager) for kind, manager in kept if manager.visible]
    unseen = Counter(kind for kind, manager in kept if not manager.visible)
    free = _free([manager for kind, manager in judged if kind is None])
    return _Holders("manager", free, _with_unseen(seen, unseen, "manager", nobody=not managers))


def _free(holders: Sequence[ManagerFacts] | Sequence[WorkerFacts]) -> str | None:
    """The name of a holder that is about to take it; empty for one without a name, None when there is none."""
    if not holders:
        return None
    return next((holder.name for holder in holders if holder.visible), "")


def _with_unseen(
    seen: Sequence[Obstacle], unseen: Counter[ObstacleKind], noun: str, *, nobody: bool
) -> tuple[Obstacle, ...]:
    if nobody:
        return (Obstacle(ObstacleKind.NO_HOLDER, f"No {noun} is registered."),)
    kinds = list(ObstacleKind)
    counts = [of_unseen(kind, number, noun) for kind, number in unseen.items()]
    # Stable: what is seen stays in its order, and goes before what is only counted.
    return tuple(sorted([*seen, *counts], key=lambda obstacle: kinds.index(obstacle.kind)))


def _summary(subject: str, holders: _Holders) -> str:
    if holders.free is not None:
        name = f"{holders.noun} {holders.free}" if holders.free else f"a {holders.noun} that you may not see"
        return f"{subject} is about to go to {name}."
    nearest = holders.obstacles[0]
    if nearest.kind is ObstacleKind.NO_HOLDER:
        return f"{subject} waits. {nearest.message}"
    if nearest.kind not in RUNNABLE_BY:
        return f"No {holders.noun} may run it. The closest: {nearest.message}"
    alike = sum(one.unseen_holders or 1 for one in holders.obstacles if one.kind is nearest.kind)
    if alike == 1:
        return f"{subject} waits. {nearest.message}"
    return f"{subject} waits. {counted(alike, holders.noun)} that may run it {brief(nearest.kind, alike)}."
