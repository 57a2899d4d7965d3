"""What is said about obstacles: one sentence for each holder, and one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mitosis_coordinator.domain.explain import HeldSuite, ManagerFacts, Obstacle, ObstacleKind, SuiteFacts, WorkerFacts


def moment(time: datetime | None) -> str:
    """A time for people, to the second."""
    return "an unknown time" if time is None else time.strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tags(missing: tuple[str, ...]) -> str:
    return f"lacks the tag{'' if len(missing) == 1 else 's'} {', '.join(missing)}"


def _silence(heard: datetime | None) -> str:
    return "is offline and has never connected" if heard is None else f"is offline, last heard of at {moment(heard)}"


def _permission(suite: SuiteFacts, manager: ManagerFacts) -> str:
    more = f", and {_tags(manager.missing_tags)}" if manager.missing_tags else ""
    return f"has not the role Worker in group {suite.group_name}{more}"


def _worn_out(worn_out_at: datetime | None, trouble: str) -> str:
    if worn_out_at is None:
        return "is excluded: the tasks that wait killed its workers too often"
    return f"is excluded: the task killed its workers too often, the last time at {moment(worn_out_at)} ({trouble})"


def _other_suite(held: HeldSuite, priority: int) -> str:
    if not held.visible:
        return "is busy with a suite that you may not see"
    named = f"is busy with suite {held.name} ({held.id})"
    if held.priority < priority:
        return f"{named} of lower priority, and gives way as soon as nobody else can work for this one"
    return f"{named} of {'higher' if held.priority > priority else 'equal'} priority"


def _back_off(suite: SuiteFacts, manager: ManagerFacts) -> str:
    times = "once" if manager.preparation_failures == 1 else f"{manager.preparation_failures} times in a row"
    return f"failed to prepare the environment {times} and keeps away until {moment(manager.retry_after)}"


def _since(held: HeldSuite | None) -> str:
    return f", which it was given at {moment(held.since)}" if held else ""


_MANAGER: Final[Mapping[ObstacleKind, Callable[[SuiteFacts, ManagerFacts], str]]] = {
    ObstacleKind.BUFFER_FULL: lambda suite, manager: "works for the suite and holds as many tasks as it asked for",
    ObstacleKind.PREPARING: lambda suite, manager: f"prepares the environment of the suite{_since(manager.held)}",
    ObstacleKind.CLEANING: lambda suite, manager: "lets go of the suite and cleans up",
    ObstacleKind.SILENT: lambda suite, manager: (
        f"could take it, but has not been heard of since {moment(manager.last_heartbeat_at)}"
    ),
    ObstacleKind.ENOUGH_MANAGERS: lambda suite, manager: (
        "is not needed: the suite has as many managers as pending tasks"
    ),
    ObstacleKind.BUSY: lambda suite, manager: _other_suite(manager.held, suite.priority) if manager.held else "is busy",
    ObstacleKind.ENVIRONMENT_BACK_OFF: _back_off,
    ObstacleKind.EXCLUDED: lambda suite, manager: _worn_out(manager.worn_out_at, manager.trouble),
    ObstacleKind.QUARANTINED: lambda suite, manager: f"is Failed until it restarts: it {manager.reason}",
    ObstacleKind.DRAINING: lambda suite, manager: "was taken out of service and gets no suite until it is resumed",
    ObstacleKind.OFFLINE: lambda suite, manager: _silence(manager.last_heartbeat_at),
    ObstacleKind.NOT_MATCHED: lambda suite, manager: (
        "has the tags and the permission, but was taken off the suite or has not been matched with it since"
    ),
    ObstacleKind.NOT_CHOSEN: lambda suite, manager: "was not added by hand, and only managers that were run the suite",
    ObstacleKind.MISSING_TAGS: lambda suite, manager: _tags(manager.missing_tags),
    ObstacleKind.NO_PERMISSION: _permission,
}

_WORKER: Final[Mapping[ObstacleKind, Callable[[WorkerFacts, str], str]]] = {
    ObstacleKind.BUFFER_FULL: lambda worker, group: "is busy and holds as many tasks as it asked for",
    ObstacleKind.SILENT: lambda worker, group: (
        f"could take it, but has not been heard of since {moment(worker.last_heartbeat_at)}"
    ),
    ObstacleKind.EXCLUDED: lambda worker, group: _worn_out(worker.worn_out_at, worker.trouble),
    ObstacleKind.OFFLINE: lambda worker, group: _silence(worker.last_heartbeat_at),
    ObstacleKind.MISSING_TAGS: lambda worker, group: _tags(worker.missing_tags),
    ObstacleKind.NO_PERMISSION: lambda worker, group: f"may not run tasks of group {group}",
}

# Of several holders, and of those without a name: singular, plural.
_BRIEF: Final[Mapping[ObstacleKind, tuple[str, str]]] = {
    ObstacleKind.BUFFER_FULL: (
        "works for it and holds as many tasks as it asked for",
        "work for it and hold as many tasks as they asked for",
    ),
    ObstacleKind.PREPARING: ("prepares the environment", "prepare the environment"),
    ObstacleKind.CLEANING: ("cleans up", "clean up"),
    ObstacleKind.SILENT: ("has not been heard of lately", "have not been heard of lately"),
    ObstacleKind.ENOUGH_MANAGERS: ("is not needed", "are not needed"),
    ObstacleKind.BUSY: ("is busy with another suite", "are busy with other suites"),
    ObstacleKind.ENVIRONMENT_BACK_OFF: ("failed to prepare the environment", "failed to prepare the environment"),
    ObstacleKind.EXCLUDED: ("lost its workers to it too often", "lost their workers to it too often"),
    ObstacleKind.QUARANTINED: ("is Failed until it restarts", "are Failed until they restart"),
    ObstacleKind.DRAINING: ("was taken out of service", "were taken out of service"),
    ObstacleKind.OFFLINE: ("is offline", "are offline"),
    ObstacleKind.NOT_MATCHED: ("was not matched with it", "were not matched with it"),
    ObstacleKind.NOT_CHOSEN: ("was not added by hand", "were not added by hand"),
    ObstacleKind.MISSING_TAGS: ("lacks tags", "lack tags"),
    ObstacleKind.NO_PERMISSION: ("may not work for the group", "may not work for the group"),
}


def brief(kind: ObstacleKind, number: int) -> str:
    """What several holders have in common, or what is said of one without a name."""
    return _BRIEF[kind][number > 1]


def of_manager(kind: ObstacleKind, suite: SuiteFacts, manager: ManagerFacts) -> Obstacle:
    """What is in the way of a manager that the caller may see."""
    held = manager.held
    other = held is not None and held.visible and held.id != suite.id
    since = {
        ObstacleKind.EXCLUDED: manager.worn_out_at,
        ObstacleKind.OFFLINE: manager.last_heartbeat_at,
        ObstacleKind.SILENT: manager.last_heartbeat_at,
        ObstacleKind.BUSY: held.since if held is not None and held.visible else None,
        ObstacleKind.PREPARING: held.since if held else None,
    }
    return Obstacle(
        kind,
        f"Manager {manager.name} {_MANAGER[kind](suite, manager)}.",
        manager_id=manager.id,
        manager_name=manager.name,
        missing_tags=manager.missing_tags,
        group_name=suite.group_name if kind is ObstacleKind.NO_PERMISSION else "",
        suite_ids=(held.id,) if kind is ObstacleKind.BUSY and held is not None and other else (),
        since=since.get(kind),
        until=manager.retry_after if kind is ObstacleKind.ENVIRONMENT_BACK_OFF else None,
        detail=manager.trouble if kind in (ObstacleKind.ENVIRONMENT_BACK_OFF, ObstacleKind.EXCLUDED) else "",
    )


def of_worker(kind: ObstacleKind, group_name: str, worker: WorkerFacts) -> Obstacle:
    """What is in the way of an independent worker that the caller may see."""
    since = {
        ObstacleKind.EXCLUDED: worker.worn_out_at,
        ObstacleKind.OFFLINE: worker.last_heartbeat_at,
        ObstacleKind.SILENT: worker.last_heartbeat_at,
    }
    return Obstacle(
        kind,
        f"Worker {worker.name} {_WORKER[kind](worker, group_name)}.",
        worker_id=worker.id,
        worker_name=worker.name,
        missing_tags=worker.missing_tags,
        group_name=group_name if kind is ObstacleKind.NO_PERMISSION else "",
        since=since.get(kind),
        detail=worker.trouble if kind is ObstacleKind.EXCLUDED else "",
    )


def of_unseen(kind: ObstacleKind, number: int, noun: str) -> Obstacle:
    """What is in the way of holders that the caller may not see."""
    message = f"{counted(number, noun)} that you may not see {brief(kind, number)}."
    return Obstacle(kind, message, unseen_holders=number)
