"""Work that goes on beside its caller and never outlives it: the next batch is read, and the last one written, meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Start(Protocol):
    """Starts a piece of work; await what it returns for the outcome."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]: ...


@asynccontextmanager
async def side_by_side() -> AsyncIterator[Start]:
    """Start work beside the block. At its end all has finished; where the block fails, what still runs is cancelled first."""
    unsettled: set[asyncio.Task[Any]] = set()

    def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        unsettled.add(task)
        task.add_done_callback(settle)
        return task

    def settle(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            unsettled.discard(task)

    try:
        yield start
        for task in list(unsettled):
            await task
    except BaseException:
        for task in unsettled:
            task.cancel()
        await asyncio.gather(*unsettled, return_exceptions=True)
        raise
