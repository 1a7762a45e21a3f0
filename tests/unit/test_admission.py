"""Requests that count towards two limits: neither is exceeded, and neither waits for the other in vain. Time is an argument."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

import pytest

from manual_clock import ManualClock
from sis_connect.transport.admission import admitted
from sis_connect.transport.rate_limit import MARGIN, Limiter, MemoryWindowLog

WINDOW = 60.0


class PatientClock(ManualClock):
    """Moves only when nobody has anything to do but to wait, and then to whoever wakes first."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeping: list[tuple[float, int, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleeping, (self.monotonic() + seconds, id(woken), woken))
        await woken.wait()

    async def run(self, *jobs: Coroutine[Any, Any, None]) -> None:
        working = asyncio.gather(*jobs)
        while not working.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleeping and not working.done():
                at, _, woken = heapq.heappop(self._sleeping)
                self.advance(max(0.0, at - self.monotonic()))
                woken.set()
        await working


def most_in_any(window: float, moments: list[float]) -> int:
    """The most moments that lie within any half-open stretch of that length."""
    return max(sum(begin <= moment < begin + window for moment in moments) for begin in moments)


class Sent:
    """When requests left, by whether they count towards the limit of an endpoint, too."""

    def __init__(self, limit: tuple[int, float], own: tuple[int, float], *, timeout: float = 30.0) -> None:
        self.clock = clock = PatientClock()
        self.common = Limiter(*limit, clock=clock, log=MemoryWindowLog(clock), smooth=False, timeout=timeout)
        self.own = self.common.besides("grades", *own)
        self.connections = asyncio.Semaphore(8)
        self.moments: list[tuple[float, bool]] = []

    async def send(self, *, own: bool) -> None:
        async with admitted(self.connections, self.common, self.own if own else None, nullcontext) as answered:
            self.moments.append((self.clock.monotonic(), own))
            await self.clock.sleep(0.3)
            await answered()

    def at(self, *, own: bool = False) -> list[float]:
        return [moment for moment, counts in self.moments if counts or not own]


@pytest.mark.parametrize(
    ("limit", "own", "timeout"),
    [((20, 60.0), (3, 60.0), 30.0), ((4, 60.0), (3, 10.0), 30.0), ((1, 100.0), (1, 10.0), 5.0), ((2, 100.0), (3, 200.0), 1.0)],
)
async def test_p11_neither_limit_is_exceeded_however_long_a_request_waits_for_the_other(
    limit: tuple[int, float], own: tuple[int, float], timeout: float
) -> None:
    sent = Sent(limit, own, timeout=timeout)
    await sent.clock.run(*(sent.send(own=number % 3 > 0) for number in range(24)))
    assert len(sent.moments) == 24
    assert most_in_any(limit[1], sent.at()) <= limit[0]
    assert most_in_any(own[1], sent.at(own=True)) <= own[0]


async def test_p11_a_limit_of_an_endpoint_is_used_to_the_full() -> None:
    sent = Sent((100, WINDOW), (4, WINDOW))
    await sent.clock.run(*(sent.send(own=True) for _ in range(40)))
    assert sent.clock.monotonic() <= 9 * (WINDOW * MARGIN + 2)


async def test_a_slot_that_waited_too_long_is_taken_anew_if_one_is_free() -> None:
    clock = ManualClock()
    common = Limiter(5, WINDOW, clock=clock, smooth=False, timeout=10)
    own, rival = common.besides("grades", 1, WINDOW), common.besides("grades", 1, WINDOW)
    async with own.slot() as first:
        assert await first.kept()
        clock.advance(10.1)  # longer than it may be held before its request is sent
        assert await first.kept()
        clock.advance(100)  # so long that it came back by itself, and somebody else has it
        assert await rival.take_now()
        assert not await first.kept()


async def test_a_slot_that_was_not_used_is_free_at_once() -> None:
    limiter = Limiter(1, WINDOW, clock=ManualClock(), smooth=False)
    for _ in range(3):
        async with limiter.slot() as slot:
            await slot.unused()
    assert await limiter.take_now()
    assert await limiter.take_now() is None


async def test_where_there_is_no_limit_there_is_none_for_endpoints_either() -> None:
    common = Limiter(None)
    sent: list[int] = []
    for number in range(5):
        async with admitted(asyncio.Semaphore(1), common, common.besides("grades", 1, WINDOW), nullcontext) as answered:
            sent.append(number)
            await answered()
    assert len(sent) == 5


async def test_p11_all_who_share_the_limit_of_a_client_share_those_of_its_endpoints() -> None:
    clock = ManualClock()
    log = MemoryWindowLog(clock)

    def process(client: str) -> Limiter:
        return Limiter(100, WINDOW, clock=clock, log=log, key=client, smooth=False).besides("grades", 1, WINDOW)

    assert await process("lincoln").take_now()
    assert await process("lincoln").take_now() is None
    assert await process("washington").take_now()
