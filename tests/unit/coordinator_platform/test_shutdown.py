"""Owned tasks and bounded steps."""

import asyncio
import time

import pytest

from mitosis_coordinator.shutdown import BackgroundTaskDiedError, BackgroundTasks, Drain


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise RuntimeError("disk on fire")


async def ends() -> None:
    return


async def test_a_task_that_dies_is_told() -> None:
    tasks = BackgroundTasks()
    tasks.start("steady", forever())
    waiting = asyncio.create_task(tasks.wait_failed())
    await asyncio.sleep(0)
    tasks.start("reaper", fails())
    with pytest.raises(BackgroundTaskDiedError, match="reaper") as caught:
        await waiting
    assert isinstance(caught.value.__cause__, RuntimeError)
    await tasks.stop()


async def test_a_task_that_just_ends_is_told_too() -> None:
    tasks = BackgroundTasks()
    tasks.start("sweeper", ends())
    with pytest.raises(BackgroundTaskDiedError, match="sweeper"):
        await tasks.wait_failed()
    await tasks.stop()


async def test_stopping_waits_until_tasks_have_unwound() -> None:
    unwound = False

    async def careful() -> None:
        nonlocal unwound
        try:
            await forever()
        finally:
            await asyncio.sleep(0.01)
            unwound = True

    tasks = BackgroundTasks()
    tasks.start("careful", careful())
    await asyncio.sleep(0)
    await tasks.stop()
    assert unwound


async def test_steps_share_one_budget_and_none_stops_the_next() -> None:
    drain = Drain(0.2)
    done = []

    async def note() -> None:
        done.append("last")

    started = time.monotonic()
    await drain.step("hangs", forever)
    await drain.step("fails", fails)
    await drain.step("hangs again", forever)
    await drain.step("last", note)
    assert done == ["last"]
    assert time.monotonic() - started < 2
