"""The same calls over REST and over gRPC, in turn, one at a time: what the gateway adds.

Both clients keep one connection open. The floor beside each REST call is the gRPC call that it stands for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import aiohttp
import grpc.aio

from benchmarks.harness import Mitosis, mitosis_up
from benchmarks.results import Report, below, median, scaled
from mitosis.v1 import suite_service_pb2, suite_service_pb2_grpc, task_pb2, task_service_pb2, task_service_pb2_grpc

NAME = "rest"
SAMPLES = 500
WARM_UP = 50
LIMIT_MILLISECONDS = 3


def run(scale: float) -> Report:
    """Measure reading a suite and submitting a task."""
    with mitosis_up(workers=1) as mitosis:
        samples = asyncio.run(_measure(mitosis, scaled(SAMPLES, scale, 20)))
    rows = []
    for call in ("GetSuite", "SubmitTask"):
        rest, rpc = median(samples[f"rest {call}"]), median(samples[f"grpc {call}"])
        rows.append(
            below(
                f"{call}: REST beyond gRPC, median",
                (rest - rpc) * 1000,
                "ms",
                LIMIT_MILLISECONDS,
                beside=f"{rest * 1000:.2f} ms and {rpc * 1000:.2f} ms",
                ratio=f"{rest / rpc:.2f}",
            )
        )
    return Report(NAME, rows, dict(samples))


async def _measure(mitosis: Mitosis, count: int) -> dict[str, list[float]]:
    metadata = (("authorization", f"Bearer {mitosis.token}"),)
    headers = {"Authorization": f"Bearer {mitosis.token}", "Accept-Encoding": "identity"}
    async with (
        grpc.aio.insecure_channel(mitosis.address) as channel,
        aiohttp.ClientSession(mitosis.http, headers=headers) as session,
    ):
        suites: suite_service_pb2_grpc.SuiteServiceAsyncStub = suite_service_pb2_grpc.SuiteServiceStub(channel)
        tasks: task_service_pb2_grpc.TaskServiceAsyncStub = task_service_pb2_grpc.TaskServiceStub(channel)
        # No manager has the tag: nothing runs while this measures.
        request = suite_service_pb2.CreateSuiteRequest(name=NAME, group_name="default", tags=["nobody"])
        uuid = (await suites.CreateSuite(request, metadata=metadata)).suite.uuid

        async def rest(method: str, path: str, body: object = None) -> None:
            async with session.request(method, path, json=body) as response:
                response.raise_for_status()
                json.loads(await response.read())

        spec = task_pb2.TaskSpec(command="true", payload='{"batch":1}')
        read = suite_service_pb2.GetSuiteRequest(uuid=uuid)
        submit = task_service_pb2.SubmitTaskRequest(suite_uuid=uuid, task_spec=spec)
        body = {"suite_uuid": uuid, "task_spec": {"command": "true", "payload": {"batch": 1}}}
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "grpc GetSuite": lambda: suites.GetSuite(read, metadata=metadata),
            "rest GetSuite": lambda: rest("GET", f"/suites/{uuid}"),
            "grpc SubmitTask": lambda: tasks.SubmitTask(submit, metadata=metadata),
            "rest SubmitTask": lambda: rest("POST", "/tasks", body),
        }
        samples: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(WARM_UP + count):
            for name, call in calls.items():
                began = time.perf_counter()
                await call()
                if number >= WARM_UP:
                    samples[name].append(time.perf_counter() - began)
    return samples
