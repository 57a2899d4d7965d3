"""Explanations as messages."""

from __future__ import annotations

from mitosis.v1 import explain_pb2
from mitosis_coordinator.domain.explain import Explanation, Obstacle
from mitosis_coordinator.rpc import enums
from mitosis_coordinator.rpc.convert import optional_timestamp, text


def explanation_message(explanation: Explanation) -> explain_pb2.Explanation:
    """An explanation."""
    return explain_pb2.Explanation(
        summary=explanation.summary,
        obstacles=map(_obstacle, explanation.obstacles),
        explained_at=optional_timestamp(explanation.explained_at),
        position=explanation.position,
        holders_left_out=explanation.holders_left_out,
    )


def _obstacle(obstacle: Obstacle) -> explain_pb2.Obstacle:
    return explain_pb2.Obstacle(
        kind=enums.OBSTACLE_KIND.number(obstacle.kind),
        message=obstacle.message,
        manager_uuid=text(obstacle.manager_id),
        manager_name=obstacle.manager_name,
        worker_uuid=text(obstacle.worker_id),
        worker_name=obstacle.worker_name,
        missing_tags=obstacle.missing_tags,
        group_name=obstacle.group_name,
        suite_uuids=map(str, obstacle.suite_ids),
        since=optional_timestamp(obstacle.since),
        until=optional_timestamp(obstacle.until),
        detail=obstacle.detail,
        unseen_holders=obstacle.unseen_holders,
    )
