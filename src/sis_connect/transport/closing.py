"""Reading an answer and closing it, so that whoever is cancelled meanwhile keeps no connection from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from typing import Any, cast


def chunks(stream: object) -> AsyncIterator[bytes]:
    """The body as it comes, from an answer's `stream`: its `aiter_raw()` closes at the end by itself, unshielded."""
    return aiter(cast("AsyncIterable[bytes]", stream))


async def to_the_end(closing: Coroutine[Any, Any, None]) -> None:
    """Close, also where this task is cancelled meanwhile: half closed, a connection is lost to the pool, which stands still."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
