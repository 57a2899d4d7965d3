"""Many managers at once that report, fail, hand back, crash and return, while users submit and cancel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

import grpc.aio

from mitosis.v1 import manager_stream_pb2 as pb
from mitosis.v1 import suite_pb2, task_pb2
from tests.support.api import Api
from tests.support.scripted_manager import CANCELLED, COMPLETED, FAILED, TIMED_OUT, WORKER_DIED, ScriptedManager

MANAGERS = 4
ROUNDS = 5
OUTCOMES = [COMPLETED] * 12 + [FAILED, TIMED_OUT, CANCELLED, WORKER_DIED]
SEED = int(os.environ.get("MITOSIS_STORM_SEED", "0")) or random.randrange(1, 1 << 32)


async def work(manager: ScriptedManager, dice: random.Random, over: asyncio.Event) -> None:
    """Take whatever suite comes and do whatever a manager can do to it, until the storm is over."""
    while not over.is_set():
        if manager.waiting("suite_assigned"):
            await one_suite(manager, dice, over)
        await asyncio.sleep(0.01)


async def one_suite(manager: ScriptedManager, dice: random.Random, over: asyncio.Event) -> None:
    await manager.start()
    held: list[pb.AssignedTask] = []
    while not (over.is_set() or await told_to_stop(manager)):
        await manager.grant(dice.randrange(1, 30))
        await asyncio.sleep(0.01)
        held += await arrived(manager)
        dice.shuffle(held)
        done, held = held[: len(held) // 2 + 1], held[len(held) // 2 + 1 :]
        match dice.randrange(16):
            case 0:
                await manager.hand_back(done)
            case 1:
                await manager.drop()
                manager.restart()
                assert (await manager.attach()).verdict == pb.ATTACH_VERDICT_IDLE
                return
            case 2:
                await manager.drop()
                assert (await manager.attach(held=held)).verdict == pb.ATTACH_VERDICT_RESUME
            case _ if done:
                await manager.report(done, dice.choice(OUTCOMES), error="the storm")
    await manager.hand_back([*held, *await arrived(manager)])
    await manager.finish()


async def arrived(manager: ScriptedManager) -> list[pb.AssignedTask]:
    """The tasks that were sent for what the manager holds now."""
    tasks: list[pb.AssignedTask] = []
    while manager.waiting("task_batch"):
        batch = await manager.receive("task_batch")
        if batch.assignment_id == manager.assignment_id:
            tasks += batch.tasks
    return tasks


async def told_to_stop(manager: ScriptedManager) -> bool:
    """Whether the manager was told to let go of what it holds now, and not of something before."""
    told = False
    for kind in ("suite_drained", "cancel_suite"):
        while manager.waiting(kind):
            told |= (await manager.receive(kind)).assignment_id == manager.assignment_id
    return told


async def submit_and_cancel(api: Api, suite_uuid: str, dice: random.Random) -> None:
    """Be a user who cannot decide."""
    for _ in range(ROUNDS):
        spec = task_pb2.TaskSpec(command="true", max_retries=dice.randrange(3), retry_backoff_seconds=0.01)
        ids = await api.submit(suite_uuid, dice.randrange(1, 30), spec)
        for task_uuid in dice.sample(ids, len(ids) // 5):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await api.cancel_task(task_uuid)
        await asyncio.sleep(dice.random() * 0.03)


async def test_after_the_storm_every_task_is_accounted_for(api: Api) -> None:
    print(f"MITOSIS_STORM_SEED={SEED}")
    dice = random.Random(SEED)
    suites = [await api.create(f"suite {number}", priority=number % 2) for number in range(3)]
    managers = [await api.connect(f"manager {number}") for number in range(MANAGERS)]
    over = asyncio.Event()
    workers = [asyncio.create_task(work(manager, random.Random(dice.random()), over)) for manager in managers]
    async with asyncio.timeout(60):
        await asyncio.gather(*(submit_and_cancel(api, suite.uuid, random.Random(dice.random())) for suite in suites))
        await api.cancel(suites[0].uuid, cancel_running_tasks=True)
        for suite in suites[1:]:
            await api.close_suite(suite.uuid)
            await api.suite_when(suite.uuid, lambda s: s.state == suite_pb2.TASK_SUITE_STATE_COMPLETE)
        over.set()
        await asyncio.gather(*workers)
    cancelled = await api.suite(suites[0].uuid)
    assert (cancelled.state, cancelled.pending_tasks) == (suite_pb2.TASK_SUITE_STATE_CANCELLED, 0)
