"""How long workers wait for the answer to a fetch."""

from __future__ import annotations

import pytest

from mitosis.ipc.v1 import worker_ipc_pb2 as ipc
from mitosis.v1 import manager_stream_pb2 as stream
from mitosis_nodemgr.feed import Feed
from mitosis_nodemgr.latencies import BOUNDS_SECONDS, Latencies
from mitosis_nodemgr.task_book import Counters, TaskBook


def test_a_duration_is_counted_in_every_bucket_that_is_not_below_it() -> None:
    latencies = Latencies()
    for seconds in (-1.0, 0.001, 0.0011, 60.0):
        latencies.add(seconds)
    buckets = dict(latencies.cumulative())
    assert buckets["0.0005"] == 1
    assert buckets["0.001"] == 2
    assert buckets["0.0025"] == 3
    assert buckets[repr(BOUNDS_SECONDS[-1])] == 3
    assert buckets["+Inf"] == 4
    assert latencies.total == pytest.approx(60.0021)


async def test_a_worker_is_kept_waiting_only_while_there_is_something_to_do() -> None:
    now = 100.0
    counters = Counters()
    feed = Feed(TaskBook(1, counters), lambda reports: None, lambda: None, lambda: now)
    feed.worker_started(0, 7)
    assert feed.exchange(ipc.WorkerRequest(worker_index=0, pid=7, fetch=True)) is None
    now = 160.0
    with feed.book() as book:
        book.receive([stream.AssignedTask(task_uuid="a", attempt=1), stream.AssignedTask(task_uuid="b", attempt=1)])
    now = 160.25
    assert feed.unpark(0, 7) is not None
    # A minute without tasks is not the manager's, the quarter of a second after they came is.
    assert counters.fetches.total == pytest.approx(0.25)
    now = 161.0
    assert feed.exchange(ipc.WorkerRequest(worker_index=0, pid=7, fetch=True)) is not None
    assert counters.fetches.total == pytest.approx(0.25)
    assert dict(counters.fetches.cumulative())["+Inf"] == 2
