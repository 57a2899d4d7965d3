"""Explanations over every combination of what is known of a holder."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from mitosis_coordinator.domain.explain import (
    MANAGER_RULES,
    NEARNESS,
    WORKER_RULES,
    HeldSuite,
    ManagerFacts,
    ObstacleKind,
    SuiteFacts,
    WorkerFacts,
    manager_obstacle,
)
from mitosis_coordinator.domain.explain_answer import explain_suite
from mitosis_coordinator.domain.manager import HOLDING_STATES, ManagerState
from mitosis_coordinator.domain.suite import Selection, SuiteState
from mitosis_coordinator.domain.worker import WorkerState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SUITE = SuiteFacts(
    id=uuid4(),
    group_name="media",
    state=SuiteState.QUEUED,
    reason="",
    priority=0,
    managers_by_hand=False,
    closed=False,
    pending=3,
    total=3,
    ready=True,
    next_retry_at=None,
    completes_at=None,
    finished_at=None,
    assigned_managers=0,
    executing_managers=0,
)
MANAGER = ManagerFacts(
    id=uuid4(),
    name="m",
    visible=True,
    state=ManagerState.IDLE,
    draining=False,
    reason="",
    missing_tags=(),
    works_for_group=True,
    selection=Selection.TAG_MATCHED,
    held=None,
    has_work=True,
    may_join=True,
    heard_recently=True,
    last_heartbeat_at=NOW,
    retry_after=None,
    preparation_failures=0,
)


def holding(state: ManagerState, suite: SuiteFacts | None = None, *, priority: int = 0, seen: bool = True) -> HeldSuite:
    return HeldSuite(suite.id if suite else uuid4(), "held", priority, seen, state, NOW)


def every_manager() -> list[ManagerFacts]:
    """Every combination of the facts that the rules look at."""
    held: list[tuple[ManagerState, HeldSuite | None]] = [
        *((state, None) for state in (ManagerState.IDLE, ManagerState.OFFLINE, ManagerState.FAILED)),
        *((state, holding(state, SUITE)) for state in HOLDING_STATES),
        (ManagerState.EXECUTING, holding(ManagerState.EXECUTING, priority=-1)),
        (ManagerState.EXECUTING, holding(ManagerState.EXECUTING, priority=1)),
        (ManagerState.EXECUTING, holding(ManagerState.EXECUTING, seen=False)),
    ]
    return [
        replace(
            MANAGER,
            id=uuid4(),
            name=f"m{number}",
            state=state,
            held=suite,
            works_for_group=works,
            selection=selection,
            missing_tags=missing,
            has_work=has_work,
            may_join=may_join,
            heard_recently=heard,
            retry_after=retry_after,
            visible=visible,
            draining=draining,
        )
        for number, (
            (state, suite),
            works,
            selection,
            missing,
            has_work,
            may_join,
            heard,
            retry_after,
            visible,
            draining,
        ) in enumerate(
            itertools.product(
                held,
                (True, False),
                (None, *Selection),
                ((), ("gpu",)),
                (True, False),
                (True, False),
                (True, False),
                (None, NOW - timedelta(seconds=1), NOW + timedelta(seconds=60)),
                (True, False),
                (True, False),
            )
        )
    ]


@pytest.mark.parametrize("by_hand", [False, True])
def test_every_combination_is_explained_and_nothing_unseen_is_named(by_hand: bool) -> None:
    suite = replace(SUITE, managers_by_hand=by_hand)
    found = set()
    for manager in every_manager():
        kind = manager_obstacle(suite, manager, NOW)
        found.add(kind)
        said = explain_suite(suite, [manager], NOW, 0)
        assert [one.kind for one in said.obstacles] == ([] if kind is None else [kind])
        assert said.summary.endswith(".")
        assert (manager.name in str(said)) == manager.visible
        assert (str(manager.id) in str(said)) == (manager.visible and kind is not None)
        if manager.held is not None and not manager.held.visible:
            assert str(manager.held.id) not in str(said)
    chosen = {ObstacleKind.NOT_CHOSEN} if by_hand else {ObstacleKind.MISSING_TAGS, ObstacleKind.NOT_MATCHED}
    others = {ObstacleKind.NOT_CHOSEN, ObstacleKind.MISSING_TAGS, ObstacleKind.NOT_MATCHED} - chosen
    assert found == {None, *(kind for kind, _ in MANAGER_RULES)} - others


def test_a_manager_is_about_to_get_it_when_nothing_is_in_the_way_and_only_then() -> None:
    for manager in every_manager():
        free = (
            manager.state is ManagerState.IDLE
            and not manager.draining
            and manager.works_for_group
            and manager.selection is not None
            and manager.has_work
            and manager.may_join
            and manager.heard_recently
            and (manager.retry_after is None or manager.retry_after <= NOW)
        )
        assert (manager_obstacle(SUITE, manager, NOW) is None) == free


def test_the_nearest_to_running_comes_first_and_many_alike_are_one_sentence() -> None:
    other = holding(ManagerState.EXECUTING)
    busy = [
        replace(MANAGER, id=uuid4(), name=name, state=ManagerState.EXECUTING, held=other, visible=name != "hidden")
        for name in ("b", "a", "hidden")
    ]
    away = replace(MANAGER, id=uuid4(), name="away", state=ManagerState.OFFLINE)
    lacking = [
        replace(MANAGER, id=uuid4(), name=f"lacks-{len(tags)}", selection=None, missing_tags=tags)
        for tags in (("gpu", "cuda"), ("gpu",))
    ]
    said = explain_suite(SUITE, [*lacking, away, *busy], NOW, 5)
    assert [one.manager_name for one in said.obstacles] == ["a", "b", "", "away", "lacks-1", "lacks-2"]
    assert said.obstacles[2].unseen_holders == 1
    assert said.summary == "The suite waits. 3 managers that may run it are busy with other suites."
    assert said.holders_left_out == 5
    places = [NEARNESS[one.kind] for one in said.obstacles]
    assert places == sorted(places)


def test_every_kind_that_workers_have_has_a_rule_of_its_own() -> None:
    worker = WorkerFacts(
        id=uuid4(),
        name="w",
        visible=True,
        state=WorkerState.IDLE,
        missing_tags=(),
        works_for_group=True,
        excluded=False,
        holds_tasks=False,
        heard_recently=True,
        last_heartbeat_at=NOW,
    )
    worst = replace(
        worker,
        works_for_group=False,
        missing_tags=("gpu",),
        state=WorkerState.OFFLINE,
        excluded=True,
        holds_tasks=True,
        heard_recently=False,
    )
    assert not any(holds(worker) for _, holds in WORKER_RULES)
    assert all(holds(worst) for _, holds in WORKER_RULES)
