"""The vendor's request limit, never exceeded in any sliding window and yet used to the full.

There are as many slots as the vendor allows requests in a window. A request takes a free slot; the slot comes back one window
(and 1 %) after the *answer* arrived. The server counted the request before it answered, so no delay on the way can break the
window, which a count from the sending could not promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from aiolimiter import AsyncLimiter

from sis_connect.clock import Clock, SystemClock

#: How much longer than the vendor's window a slot rests: clocks and networks are not exact.
MARGIN = 1.01
#: The shortest pause, in seconds: what rounding leaves of a wait may be too little to move a clock.
_TICK = 0.001


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot is ours until the moment `until`, at which it comes back by itself should we die. `left` more are free now."""

    slot: int
    until: float
    left: int


@dataclass(frozen=True, slots=True)
class Full:
    """All slots are busy. None is free before `seconds` have passed."""

    seconds: float


def decide(free_at: Mapping[int, float], limit: int, now: float, hold: float) -> Taken | Full:
    """Take a slot, or say how long there is none. `free_at` tells of each slot ever used when it is free again.

    What counts is how many slots are busy, whatever their numbers, so a limit that is raised or lowered is right at once.
    """
    busy = sorted(moment for moment in free_at.values() if moment > now)
    if len(busy) >= limit:
        return Full(busy[len(busy) - limit] - now)
    free = (slot for slot, moment in free_at.items() if moment <= now)
    slot = min(free, default=max(free_at, default=-1) + 1)
    return Taken(slot, now + hold, limit - len(busy) - 1)


def heal(free_at: Mapping[int, float], now: float, hold: float) -> dict[int, float]:
    """Slots whose time lies further ahead than any of ours could: the machine's clock was set back. They count from now."""
    return {slot: now + hold for slot, moment in free_at.items() if moment > now + 2 * hold}


class WindowLog(Protocol):
    """Where the slots are kept: in memory, or in a store that all processes share."""

    async def take(self, key: str, limit: int, hold: float) -> Taken | Full:
        """Take a free slot for `hold` seconds, or say how long there is none."""
        ...

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        """The request is answered: the slot is free again after `rest` seconds."""
        ...

    def now(self) -> float:
        """The time that slots are counted in."""
        ...


class MemoryWindowLog:
    """Slots of this process only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at: dict[str, dict[int, float]] = {}

    async def take(self, key: str, limit: int, hold: float) -> Taken | Full:
        slots = self._free_at.setdefault(key, {})
        taken = decide(slots, limit, self._clock.monotonic(), hold)
        if isinstance(taken, Taken):
            slots[taken.slot] = taken.until
        return taken

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        slots = self._free_at[key]
        # A request that outlived its hold lost its slot to another one: its end counts in a slot of its own.
        slot = taken.slot if slots[taken.slot] == taken.until else max(slots) + 1
        slots[slot] = self._clock.monotonic() + rest

    def now(self) -> float:
        return self._clock.monotonic()


class Slot:
    """The right to send one request. Without a `limiter` there is nothing to give back."""

    def __init__(self, limiter: Limiter | None = None, taken: Taken | None = None) -> None:
        self._limiter = limiter
        self._taken = taken

    async def answered(self) -> None:
        """The answer's headers are here: the slot begins its rest. Only the first call counts."""
        await self._give_back(used=True)

    async def unused(self) -> None:
        """No request was sent: the slot is free at once."""
        await self._give_back(used=False)

    async def kept(self) -> bool:
        """Whether it is still ours for as long as an answer may take. One that waited long is taken anew, if one is free now."""
        if self._limiter is None or self._taken is None or self._limiter.outlasts_an_answer(self._taken):
            return True
        await self.unused()
        self._taken = await self._limiter.take_now()
        return self._taken is not None

    async def _give_back(self, *, used: bool) -> None:
        taken, self._taken = self._taken, None
        if self._limiter is not None and taken is not None:
            await self._limiter.give_back(taken, used=used)


class Limiter:
    """Hands out slots, first come first served. One per district and credential.

    `limit` requests in `window` seconds, or `None` for no limit. `timeout` is the longest that a request waits for its answer: a
    slot whose holder was killed comes back when that and the window have passed. `smooth` takes the edge off bursts. `patience`
    is how much longer a slot may be held before its request is sent, where that has to wait for something else.
    """

    def __init__(
        self,
        limit: int | None,
        window: float = 60.0,
        *,
        log: WindowLog | None = None,
        key: str = "",
        clock: Clock | None = None,
        timeout: float = 30.0,
        smooth: bool = True,
        patience: float = 0.0,
    ) -> None:
        self.limit = limit
        self.window = window
        self._clock = clock or SystemClock()
        self._log = log or MemoryWindowLog(self._clock)
        self._key = key
        self._timeout = timeout
        self._rest = window * MARGIN
        self._hold = patience + timeout + self._rest
        self._turn = asyncio.Lock()
        self._pacer = _pacer(limit, window) if limit is not None and smooth else None
        self._left = limit
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def window_left(self) -> int | None:
        """Requests left in the window as of the last one; `None` without a limit."""
        return self._left

    def besides(self, name: str, limit: int, window: float) -> Limiter:
        """A limit for some of the requests, besides this one: kept in the same place, so shared by whom this one is shared by.

        Where this one lets everything through, so does that.
        """
        return Limiter(
            None if self.limit is None else limit,
            window,
            log=self._log,
            key=f"{self._key} {name}",
            clock=self._clock,
            timeout=self._timeout,
            smooth=False,
            patience=self._timeout,
        )

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it: until `answered()` is called on it, or else until the request has failed."""
        if self.limit is None:
            yield Slot()
            return
        slot = Slot(self, await self._take(self.limit))
        try:
            yield slot
        finally:
            await slot.answered()

    async def _take(self, limit: int) -> Taken:
        async with self._turn:  # a fair lock: its waiters are served in order, and one that is cancelled leaves the queue
            if self._pacer is not None:
                await self._pacer.acquire()
            while True:
                outcome = await self._log.take(self._key, limit, self._hold)
                if isinstance(outcome, Taken):
                    self._left = outcome.left
                    return outcome
                self._left = 0
                await self._clock.sleep(max(self._pause(outcome.seconds), _TICK))

    def _pause(self, seconds: float) -> float:
        # A slot under way has no known end yet: it may come back much sooner than its hold says, so look again now and then.
        return seconds if seconds <= self._rest else min(seconds - self._rest, self.window / 100, 1.0)

    def outlasts_an_answer(self, taken: Taken) -> bool:
        """Whether a slot stays ours while a request that is sent now is answered, and rests."""
        return taken.until - self._log.now() >= self._timeout + self._rest

    async def take_now(self) -> Taken | None:
        """A slot, if one is free at this moment."""
        outcome = await self._log.take(self._key, self.limit or 0, self._hold)
        return outcome if isinstance(outcome, Taken) else None

    async def give_back(self, taken: Taken, *, used: bool) -> None:
        """Let a slot rest, or have it free at once where it was not used."""
        ending = asyncio.create_task(self._log.give_back(self._key, taken, self._rest if used else 0.0))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)  # whoever is cancelled just now must not leave the slot to its crash rule


def unlimited() -> Limiter:
    """A limiter that lets everything through."""
    return Limiter(None)


def _pacer(limit: int, window: float) -> AsyncLimiter:
    """Half of the limit may go at once, the rest twenty times as fast as the limit allows on average: no quota is lost."""
    return AsyncLimiter(max(1, limit // 2), window / 20 * max(1, limit // 2) / limit)
