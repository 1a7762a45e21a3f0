"""Jobs that several workers take, the newest first, and of each sort only so many at once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

J = TypeVar("J")


class JobStack(Generic[J]):
    """`sort` says of what sort a job is, `room` how many of that sort may be under way at once.

    Where a sort has no room left, the newest job of another one comes first.
    """

    def __init__(self, sort: Callable[[J], Hashable], room: Callable[[J], int]) -> None:
        self._sort, self._room = sort, room
        self._waiting: dict[Hashable, list[tuple[int, J]]] = defaultdict(list)
        self._under_way: Counter[Hashable] = Counter()
        self._unfinished = 0
        self._order = count()
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        self._finished.set()

    def put(self, job: J) -> None:
        """Put a job on top."""
        self._waiting[self._sort(job)].append((next(self._order), job))
        self._unfinished += 1
        self._finished.clear()
        self._changed.set()

    async def take(self) -> J:
        """The newest job of a sort that has room, as soon as there is one. Call `done` with it in the end."""
        while (sort := self._newest()) is None:
            self._changed.clear()
            await self._changed.wait()
        _, job = self._waiting[sort].pop()
        if not self._waiting[sort]:
            del self._waiting[sort]
        self._under_way[sort] += 1
        return job

    def done(self, job: J) -> None:
        """A job that was taken has been worked on."""
        self._under_way[self._sort(job)] -= 1
        self._unfinished -= 1
        self._changed.set()
        if not self._unfinished:
            self._finished.set()

    async def join(self) -> None:
        """Wait until all jobs are done."""
        await self._finished.wait()

    def _newest(self) -> Hashable | None:
        free = [sort for sort, jobs in self._waiting.items() if self._under_way[sort] < self._room(jobs[-1][1])]
        return max(free, key=lambda sort: self._waiting[sort][-1][0], default=None)
