"""Two districts with the same ids, read in turn in one process: each read is made once for all checks that compare with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakKeyDictionary

from sis_connect.capabilities import Kind
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.outcome import ReadOutcome, read_out
from sis_connect.testing.suite.rosters import Roster, by_id
from sis_connect.transport.rate_limit import Limiter, Slot


class CountingLimiter(Limiter):
    """No limit, but a count of the requests under way at once."""

    def __init__(self) -> None:
        super().__init__(None)
        self.now = self.most = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        async with super().slot() as slot:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                yield slot
            finally:
                self.now -= 1


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another server: read with the same data as here, and once more when everything had another name, with the truth then."""

    same: ReadOutcome
    renamed: ReadOutcome
    truths: dict[Kind, Roster]


_known: WeakKeyDictionary[Bench, Elsewhere] = WeakKeyDictionary()


async def elsewhere(bench: Bench) -> Elsewhere:
    """What another district is read as, after this one."""
    if bench not in _known:
        await bench.roster()
        async with bench.another() as other:
            same = await other.read()
            other.rename()
            truths = {kind: by_id(other.truth(kind)) for kind in other.told_kinds}
            _known[bench] = Elsewhere(same, await other.read(), truths)
    return _known[bench]


@dataclass(frozen=True, slots=True)
class Again:
    """This district, read once more. `at_once`: the most requests that were under way at one time, of so many allowed."""

    outcome: ReadOutcome
    at_once: int
    allowed: int


_again: WeakKeyDictionary[Bench, Again] = WeakKeyDictionary()


async def again(bench: Bench) -> Again:
    """A second read thirty hours later by the clock, after that of the other district, and with few requests at once."""
    if bench not in _again:
        await bench.roster()
        if not bench.recorded:
            await elsewhere(bench)
        limiter, allowed = CountingLimiter(), 2
        bench.clock.put_forward(timedelta(hours=30))
        async with bench.open(limiter=limiter, concurrency=allowed) as opened:
            outcome = await read_out(opened.provider, bench.kinds)
        _again[bench] = Again(outcome, limiter.most, allowed)
    return _again[bench]
