"""How many requests may be under way at once, where that may change by the hour: some vendors ask for patience by day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class Lanes:
    """`async with` it around a request: it waits while as many are under way as `number` says at that moment (at least one)."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._busy = 0
        self._freed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy < max(1, self._number()))
            self._busy += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._busy -= 1
        async with self._freed:
            self._freed.notify_all()
