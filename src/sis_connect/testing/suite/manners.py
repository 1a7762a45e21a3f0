"""How a provider behaves towards the SIS and its host: limits, memory, cancellation, and the loop that it shares with others."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from sis_connect.clock import SystemClock
from sis_connect.connection import OpenProvider
from sis_connect.provider import Scope
from sis_connect.records import RECORDS
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable
from sis_connect.testing.suite.elsewhere import again
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.lists import FEW_ROWS, List, busiest, busy
from sis_connect.testing.suite.outcome import read_out
from sis_connect.testing.suite.standstill import no_blocking_sleep, watched

#: Requests in a window of so many seconds, for the limit that is tried.
LIMIT, WINDOW = 4, 1.5
#: More requests than this need not be made to see whether a limit is kept.
ENOUGH = 8
#: Of so many pages, most must still be to come when the first is handed over.
MANY_PAGES = 24
#: Memory must be flat over so many.
HUNDRED = 100
#: With so few connections, one that is not given back is missed.
POOL = 2
#: Seconds after which something that should end at once has not.
AT_ONCE = 20.0
#: An answer that takes so many seconds comes when all faults are cleared.
FOR_EVER = 600
#: Who asks past the transport is not seen to have its answers; so often it is looked at all the same.
ENOUGH_LOOKS = 200
Run = Callable[[Bench], Coroutine[Any, Any, str | None]]
_TRANSPORT = "Ask through the transport that the provider is handed, and through nothing else."


async def one_way_out(bench: Bench) -> None:
    await bench.roster()
    arrived, sent = bench.traffic["plain"]
    if arrived > sent:
        raise Failed(
            f"{arrived} requests reached the SIS, and the transport sent {sent} of them. What goes past it knows no "
            f"limit, follows redirects with the token, and is in no statistics. {_TRANSPORT}"
        )


async def limit_kept(bench: Bench) -> None:
    limited = await busiest(bench)
    rate = f"{LIMIT}/{WINDOW}"
    async with bench.another(rate=rate) as other:
        settings: dict[str, Any] = {"rate_limit": rate, "page_size": FEW_ROWS, "max_attempts": 1}
        async with other.open(clock=SystemClock(), **settings) as opened:
            pages: Any = opened.provider.pages({limited.kind}, scope=Scope())
            async with aclosing(pages):
                async for page in pages:
                    if page.error is not None or other.stats()["requests"] > ENOUGH:
                        break
        stats = other.stats()
    if stats["rejected"]:
        raise Failed(
            f"The SIS allows {LIMIT} requests in {WINDOW} seconds, the integration is set to that limit, and {stats['rejected']} "
            f"requests "
            f"came too early. {_TRANSPORT}"
        )
    if stats["requests"] <= LIMIT:
        raise NotApplicable(f"A read takes {stats['requests']} requests, which is too few to tell.")


async def concurrency_kept(bench: Bench) -> None:
    read = await again(bench)
    # A new token may be asked for while requests are under way.
    if read.at_once > read.allowed + 1:
        raise Failed(
            f"With concurrency={read.allowed}, {read.at_once} requests were under way at once. Keep to config.concurrency: "
            "RestProvider does; by hand, an asyncio.Semaphore around each request."
        )


async def cancelled_read_ends(bench: Bench) -> None:
    each = await busy(bench)
    async with bench.open(pool=POOL) as opened:
        for passing in (0, 1, 3):
            around = asyncio.all_tasks()
            bench.fault("slow", FOR_EVER, path=each.path, after=passing)
            reading = asyncio.create_task(_reading(opened, each))
            await _held_back(bench, reading)
            if reading.done():
                reading.result()
                bench.clear_faults()
                continue  # so few requests that it has come to its end
            reading.cancel()
            bench.clear_faults()  # no answer comes before the cancellation does, and who goes on all the same is soon done
            done, _ = await asyncio.wait({reading}, timeout=AT_ONCE)
            if not done or not reading.cancelled():
                await _gone(reading)
                raise Failed(
                    "A read that is cancelled goes on, or ends as if it had come to its end. Let asyncio.CancelledError pass: "
                    "`except Exception` does, `except BaseException` and a bare `except` do not."
                )
            await _demand_no_tasks(around, "A read was cancelled")
        await _demand_another(opened, each, "after one that was cancelled")


async def left_early(bench: Bench) -> None:
    each = await busy(bench)
    async with bench.open(page_size=FEW_ROWS, pool=POOL) as opened:
        around = asyncio.all_tasks()
        pages: Any = opened.provider.pages({each.kind}, scope=Scope())
        async with asyncio.timeout(AT_ONCE), aclosing(pages):
            async for _ in pages:
                break
        await _demand_no_tasks(around, "A read was left after its first page")
        await _demand_another(opened, each, "after one that was left early")


async def _reading(opened: OpenProvider, each: List) -> None:
    await read_out(opened.provider, {each.kind})


async def _held_back(bench: Bench, reading: asyncio.Task[None]) -> None:
    """Wait until answers are held back and no other request is under way, or until the read has come to its end.

    A client may be about to give back a connection, or to fetch a token for all: that is not what is tried here.
    """
    before, known = bench.stats()["requests"] - bench.held(), len(bench.calls)
    looks = 0
    while not reading.done():
        await asyncio.sleep(0.01)
        held, arrived = bench.held(), bench.stats()["requests"] - before
        looks += held > 0
        if held and (arrived == held + len(bench.calls) - known or looks > ENOUGH_LOOKS):
            return


async def _gone(task: asyncio.Task[Any]) -> None:
    for _ in range(50):
        if task.done():
            return
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


async def _demand_no_tasks(around: set[asyncio.Task[Any]], what: str) -> None:
    if ending := {task for task in asyncio.all_tasks() - around if task.cancelling()}:
        await asyncio.wait(ending, timeout=AT_ONCE)  # they have been told, and had no turn yet
    left = [task for task in asyncio.all_tasks() - around if not task.done()]
    if left:
        for task in left:
            await _gone(task)
        raise Failed(
            f"{what}, and {len(left)} tasks that it began are still there. Begin tasks in an asyncio.TaskGroup, or cancel them "
            "in `finally` and wait for them."
        )


async def _demand_another(opened: OpenProvider, each: List, when: str) -> None:
    try:
        async with asyncio.timeout(AT_ONCE):
            outcome = await read_out(opened.provider, {each.kind})
    except TimeoutError:
        raise Failed(f"A read {when} never ends: something is held that was not given back.") from None
    if outcome.errors or outcome.ids(each.kind) != each.clean.ids(each.kind):
        told = f": {outcome.errors[0]}" if outcome.errors else ""
        raise Failed(f"A read {when} does not bring the same records{told}. Keep nothing of a read in the provider itself.")


async def loop_goes_round(bench: Bench) -> None:
    each = await busy(bench)
    async with no_blocking_sleep() as slept:
        await bench.read({each.kind})
    if slept:
        raise Failed(
            f"time.sleep() is called in the event loop (in {slept[0]}): every other district stands still meanwhile. Wait with "
            "`await self.clock.sleep(…)`, or not at all: limits and attempts are the transport's."
        )
    for _ in range(3):  # what was chance does not come three times
        bench.fault("slow", 0.8, count=1, path=each.path)
        async with watched() as standstill:
            await bench.read({each.kind})
        bench.clear_faults()
        if not standstill.found:
            return
    raise Failed(
        f"The event loop stands still while the SIS takes its time (in {standstill.where}): every other district waits, too. "
        f"{_TRANSPORT} What must block belongs into asyncio.to_thread()."
    )


async def pages_as_they_come(bench: Bench) -> None:
    each = await busiest(bench)
    bench.calls.clear()
    count = ahead = 0
    async with bench.open(page_size=_size_for(each, 2 * MANY_PAGES), concurrency=1) as opened:
        pages: Any = opened.provider.pages({each.kind}, scope=Scope())
        async with aclosing(pages):
            async for _ in pages:
                count += 1
                if count == 1:
                    await _quiet(bench)
                    ahead = len(bench.calls)
    if count < MANY_PAGES:
        raise NotApplicable(f"Its lists have {count} pages in all, which is too few to tell.")
    if ahead > len(bench.calls) / 2:
        raise Failed(
            f"When the first page was handed over, {ahead} of {len(bench.calls)} requests had been made: a whole district is "
            "held in memory. Yield each page as it comes, and begin few requests ahead of who reads."
        )


def _size_for(each: List, pages: int) -> int:
    """A page size at which a list has about so many pages."""
    return max(1, sum(page.received for page in each.clean.pages) // pages)


async def _quiet(bench: Bench) -> None:
    """Wait until no more requests are made."""
    calls, still = -1, 0
    while still < 5:
        await asyncio.sleep(0.03)
        still = still + 1 if len(bench.calls) == calls else 0
        calls = len(bench.calls)


async def nothing_is_held(bench: Bench) -> str:
    each = await busiest(bench)
    rows: list[bytes] = []
    alive: list[int] = []
    count = held = 0
    async with bench.open(page_size=_size_for(each, HUNDRED)) as opened:
        pages: Any = opened.provider.pages({each.kind}, scope=Scope())
        async with aclosing(pages):
            async for page in pages:
                count += 1
                rows.extend(page.rows[:1])
                if count % MANY_PAGES == 0:
                    alive.append(_records_alive())
                    held = sum(number > _REFERENCES for number in _references(rows[: len(rows) // 2]))
                del page
    if count < MANY_PAGES:
        raise NotApplicable(f"Its lists have {count} pages in all, which is too few to tell.")
    grown = max(alive) - min(alive)
    if held > 2 or grown > count / 2:
        what = f"rows of {held} early pages" if held > 2 else f"{grown} records"
        raise Failed(
            f"After {count} pages, {what} are still held, though nobody else needs them: memory grows with the district. Keep no "
            "rows, pages or records, only what the next request needs."
        )
    return f"Over {count} pages" + ("." if count >= HUNDRED else f", as the lists have no more; {HUNDRED} say more (--students).")


def _references(rows: list[bytes]) -> list[int]:
    """How often each of these rows is referred to."""
    return [sys.getrefcount(row) for row in rows]


def _unheld() -> int:
    rows = [bytes([number]) * 9 for number in range(4)]
    return max(_references(rows[:2]))


#: What is counted for a row that nobody holds but the check itself.
_REFERENCES = _unheld()


def _records_alive() -> int:
    kinds = frozenset(RECORDS.values())  # isinstance() asks the class of each of a million objects
    return sum(type(each) in kinds for each in gc.get_objects())


def _check(run: Run, title: str, promise: str) -> Check[Bench]:
    return Check(name=run.__name__, title=title, run=run, promise=promise, needs=needs_sandbox)


CHECKS: tuple[Check[Bench], ...] = (
    _check(one_way_out, "Every request goes through the transport.", "P8"),
    _check(limit_kept, "The limit of the SIS is kept.", "P11"),
    _check(concurrency_kept, "No more requests are under way at once than the settings allow.", "P11"),
    _check(cancelled_read_ends, "A read that is cancelled ends at once and leaves nothing behind.", "P12"),
    _check(left_early, "A read that is left early leaves nothing behind.", "P12"),
    _check(loop_goes_round, "The event loop never stands still.", "P12"),
    _check(pages_as_they_come, "Pages are handed on as they come.", "P12"),
    _check(nothing_is_held, "Memory does not grow with the number of pages.", "P12"),
)
