"""A server that counts the way vendors do: so many requests in any sliding window, whatever comes above is rejected."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from raw_server import Answer, Heard, answer, json_answer, serving


@dataclass
class StrictServer:
    """`arrivals` are the moments of all requests, `rejected` how many were too many."""

    limit: int
    window: float
    url: str = ""
    arrivals: list[float] = field(default_factory=list)
    rejected: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _milestones: dict[int, asyncio.Event] = field(default_factory=dict)

    async def heard(self, count: int) -> None:
        """Wait until so many requests have come."""
        if len(self.arrivals) < count:
            await self._milestones.setdefault(count, asyncio.Event()).wait()

    async def __call__(self, heard: Heard) -> Answer:
        self.arrivals.append(heard.at)
        if milestone := self._milestones.get(len(self.arrivals)):
            milestone.set()
        while self._recent and self._recent[0] <= heard.at - self.window:
            self._recent.popleft()
        if len(self._recent) >= self.limit:
            self.rejected += 1
            return answer(status=429)
        self._recent.append(heard.at)
        return json_answer({})

    def share_of_quota_used(self) -> float:
        """Between a request and the one that took its place, whole windows later: how much of the quota was used."""
        windows = (len(self.arrivals) - 1) // self.limit
        spans = [later - earlier for earlier, later in zip(self.arrivals, self.arrivals[windows * self.limit :], strict=False)]
        return windows * self.window / median(spans)


@asynccontextmanager
async def strict_server(limit: int, window: float) -> AsyncIterator[StrictServer]:
    strict = StrictServer(limit, window)
    async with serving(strict) as raw:
        strict.url = raw.url
        yield strict
