"""When a request may leave: a connection is free, and every limit that it counts towards has a slot for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

from sis_connect.transport.rate_limit import Limiter

_Value = TypeVar("_Value")
Pause = Callable[[], AbstractContextManager[None]]
Answered = Callable[[], Awaitable[None]]


@asynccontextmanager
async def admitted(
    connections: asyncio.Semaphore, limiter: Limiter, own: Limiter | None, pause: Pause
) -> AsyncIterator[Answered]:
    """Wait for a connection and for a slot; what is yielded is called as soon as the answer's headers are here.

    A request that counts towards a limit of its `own`, too, waits for that first: nobody else's place is taken meanwhile. It
    leaves only with both slots in hand for as long as its answer may take, so that neither limit can be exceeded.
    """
    if own is None:
        async with _entered(connections, pause), _entered(limiter.slot(), pause) as slot:
            yield slot.answered
        return
    while True:
        async with (
            _entered(own.slot(), pause) as first,
            _entered(connections, pause),
            _entered(limiter.slot(), pause) as second,
        ):
            if await first.kept():
                yield _both(first.answered, second.answered)
                return
            await second.unused()


def _both(first: Answered, second: Answered) -> Answered:
    async def answered() -> None:
        await first()
        await second()

    return answered


@asynccontextmanager
async def _entered(context: AbstractAsyncContextManager[_Value], pause: Pause) -> AsyncIterator[_Value]:
    """Enter `context` with the budget standing still."""
    async with AsyncExitStack() as stack:
        with pause():
            value = await stack.enter_async_context(context)
        yield value
