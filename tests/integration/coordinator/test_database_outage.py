"""PostgreSQL is killed while a manager works: callers are told to come back, the stream waits, nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from mitosis.v1 import manager_pb2, suite_pb2
from mitosis.v1 import manager_stream_pb2 as pb
from mitosis_coordinator.storage.embedded import EmbeddedPostgres
from tests.support.api import Api, eventually
from tests.support.coordinator import Refusal, coordinator_config, refusal, running
from tests.support.invariants import assert_counters_agree


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server of the test's own, which comes back by itself when it is killed."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def outage(mortal: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Api]:
    """A coordinator whose database can be killed."""
    directory = tmp_path / "coordinator"
    directory.mkdir()
    quick = {"connection_timeout_seconds": 1}
    async with running(coordinator_config(mortal.url, directory, database=quick)) as coordinator:
        api = Api(coordinator)
        yield api
        await api.close()
    assert_counters_agree(mortal.url)


def kill(server: EmbeddedPostgres) -> None:
    assert server.postmaster_pid is not None
    os.kill(server.postmaster_pid, signal.SIGKILL)


async def suite_or_refusal(api: Api, uuid: str) -> suite_pb2.TaskSuite | Refusal:
    try:
        return await api.suite(uuid)
    except grpc.aio.AioRpcError as error:
        return refusal(error)


async def test_work_goes_on_through_the_death_of_the_database(outage: Api, mortal: EmbeddedPostgres) -> None:
    api = outage
    suite = await api.create()
    ids = await api.submit(suite.uuid, 10)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(4)

    await mortal.stop()
    told = await suite_or_refusal(api, suite.uuid)
    assert isinstance(told, Refusal)
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert told.details["RetryInfo"].retry_delay.seconds == 1
    # The manager ends what it holds, asks for more, and tells how it is; nobody hangs up.
    batches = [manager.reports(tasks[:2]), manager.reports(tasks[2:])]
    for batch in batches:
        await manager.send(task_reports=batch)
    await manager.grant(6)
    metrics = manager_pb2.ManagerMetrics(active_workers=2)
    await manager.send(heartbeat=pb.Heartbeat(metrics=metrics))
    told = await suite_or_refusal(api, suite.uuid)
    assert isinstance(told, Refusal)
    assert manager.waiting("reports_acked") == 0

    await mortal.start()
    acked = await manager.receive("reports_acked")
    while acked.sequence < batches[-1].sequence:
        acked = await manager.receive("reports_acked")
    rest = await manager.tasks(6)
    assert not acked.stale
    await manager.report(rest)
    ended = await api.suite(suite.uuid)
    assert (ended.completed_tasks, ended.pending_tasks) == (10, 0)
    assert {task.task_uuid for task in [*tasks, *rest]} == set(ids)


async def test_nothing_acknowledged_is_lost_when_the_database_is_killed(outage: Api, mortal: EmbeddedPostgres) -> None:
    api = outage
    suite = await api.create()
    ids = await api.submit(suite.uuid, 50)
    manager = await api.connect()
    await manager.start()
    tasks = await manager.fetch(50)
    assert await manager.report(tasks[:20]) == []
    unheard = manager.reports(tasks[20:])
    await manager.send(task_reports=unheard)
    pid = mortal.postmaster_pid
    kill(mortal)

    # Sent before or after the death, committed or not: it is acknowledged in the end and counts once.
    acked = await manager.deliver(unheard)
    assert acked.sequence == unheard.sequence
    stored = await eventually(lambda: suite_or_refusal(api, suite.uuid), lambda s: isinstance(s, suite_pb2.TaskSuite))
    assert isinstance(stored, suite_pb2.TaskSuite)
    assert (stored.total_tasks, stored.completed_tasks, stored.pending_tasks) == (50, 50, 0)
    assert len(set(ids)) == 50
    assert mortal.postmaster_pid not in (pid, None)
    # And new work finds its way.
    await api.submit(suite.uuid)
    await manager.report(await manager.fetch(1))
