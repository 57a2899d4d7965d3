"""How the tasks of a session end."""

from __future__ import annotations

import asyncio

import pytest

from mitosis_coordinator.sessions import holder


async def test_a_task_that_misses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "CANCEL_AGAIN_SECONDS", 0.01)
    missed = 0

    async def deaf() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed += 1
                if missed > 2:
                    raise

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on its way out")

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await holder.end_tasks(tasks)
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)
    assert missed == 3
