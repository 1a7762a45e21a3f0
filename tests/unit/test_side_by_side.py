"""Work beside its caller: it ends with it, whichever of the two fails."""

from __future__ import annotations

import asyncio

import pytest

from sis_connect.roster.side_by_side import side_by_side


async def test_what_was_started_has_finished_at_the_end() -> None:
    done = []

    async def work(name: str) -> str:
        await asyncio.sleep(0)
        done.append(name)
        return name

    async with side_by_side() as start:
        first = start(work("first"))
        start(work("second"))
        assert await first == "first"
    assert sorted(done) == ["first", "second"]


async def test_where_the_caller_fails_what_still_runs_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def caller() -> None:
        async with side_by_side() as start:
            start(endless())
            await asyncio.sleep(0)
            raise ValueError("the caller")

    with pytest.raises(ValueError, match="the caller"):
        await caller()
    assert cancelled.is_set()


async def test_a_failure_that_nobody_awaited_comes_out_at_the_end() -> None:
    async def failing() -> None:
        raise ValueError("the work")

    async def caller() -> None:
        async with side_by_side() as start:
            start(failing())
            await asyncio.sleep(0)

    with pytest.raises(ValueError, match="the work"):
        await caller()


async def test_a_caller_that_is_cancelled_takes_its_work_along() -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def caller() -> None:
        async with side_by_side() as start:
            await start(endless())

    task = asyncio.create_task(caller())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
