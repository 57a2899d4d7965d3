"""Two managers share a few long tasks, whichever was there first; nobody sits on what the other could start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis_client.specs import NewTask
from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.support import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster(managers=2, workers=2) as running:
        yield running


def held(cluster: Cluster) -> list[tuple[str, int]]:
    """How many unfinished tasks each manager was sent."""
    query = """SELECT a.manager_id::text, count(*) FROM active_tasks t JOIN assignments a ON a.id = t.assignment_id
        GROUP BY a.manager_id ORDER BY count(*)"""
    with cluster.database() as database:
        return [(manager, count) for manager, count in database.execute(query).fetchall()]


def test_a_manager_that_comes_late_gets_half_of_four_long_tasks(cluster: Cluster, tmp_path: Path) -> None:
    first, late = (part.uuid for part in cluster.managers)
    gate = tmp_path / "gate"
    with cluster.client() as client:
        assert client.drain_manager(late).draining
        suite = client.create_suite(name="long", group_name="default", worker_schedule={"worker_count": 2})
        # They end when the test says so: where they run is decided by what is recalled, and not by time.
        waits = f"while [ ! -e {gate} ]; do sleep 0.05; done"
        client.submit_many([NewTask(command=waits) for _ in range(4)], suite_uuid=suite.uuid)
        client.close_suite(suite.uuid)
        until(lambda: held(cluster) == [(first, 4)], 20, cluster.output)
        assert not client.resume_manager(late).draining
        until(lambda: sorted(held(cluster)) == sorted([(first, 2), (late, 2)]), 30, cluster.output)
        gate.touch()
        ended = client.wait_for_suite(suite.uuid, timeout=30, until_released=True)
        assert (ended.state, ended.completed_tasks) == ("Complete", 4)
        found = [client.get_task(task.uuid) for task in client.list_tasks(suite_uuid=suite.uuid)]
    assert sorted(task.manager_uuid for task in found) == sorted([first, first, late, late])
    assert not [task for task in found if task.failures]
