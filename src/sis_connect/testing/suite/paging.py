"""Are lists read to their end, however they are cut into pages, and whatever happens to them meanwhile?

Where a list is disturbed, two things are right: all records, or a read that does not look complete. What is wrong is a read that
lacks somebody and seems to be whole.
"""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from math import ceil
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.provider import Scope, Stream
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as

#: Lists long enough to have pages, and short enough to be read again and again.
_USUAL: tuple[Kind, ...] = ("schools", "students", "staff", "courses")
#: Lists of three pages do not have so many; who reads on is going round in circles.
ENDLESS = 40
#: The rows of a page where lists have two of them exactly.
HALF = 6


def few(bench: Bench) -> tuple[Kind, ...]:
    """The kinds that are read here."""
    return tuple(kind for kind in bench.kinds if kind in _USUAL) or bench.kinds


async def _rows(bench: Bench) -> Counter[Stream]:
    """How many rows each list of these kinds has."""
    rows: Counter[Stream] = Counter()
    for page in (await bench.roster()).pages:
        if set(page.kinds) & set(few(bench)):
            rows[page.stream] += page.received
    return rows


async def _longest(bench: Bench) -> int:
    """How many rows the longest of them has."""
    return max((await _rows(bench)).values(), default=0)


def most_pages(outcome: ReadOutcome) -> int:
    """How many pages the longest list came in."""
    return max(Counter(page.stream for page in outcome.pages).values(), default=0)


async def third(bench: Bench) -> int:
    """The size of pages of which the longest list has three."""
    return max(1, ceil(await _longest(bench) / 3))


async def in_thirds(bench: Bench) -> ReadOutcome:
    """An undisturbed read in such pages."""
    size = await third(bench)
    return await bench.once("thirds", lambda undisturbed: undisturbed.read(few(bench), page_size=size))


async def demand_pages(bench: Bench) -> None:
    """End the check where the SIS sends every list whole, however few rows are asked for."""
    if most_pages(await in_thirds(bench)) < 2:
        raise NotApplicable("The SIS sends everything in one answer, however few rows a page are asked for.")


async def _demand_all(bench: Bench, outcome: ReadOutcome, size: int) -> None:
    plain = await bench.roster()
    for kind in few(bench):
        missing = plain.ids(kind) - outcome.ids(kind)
        if missing:
            raise Failed(
                f"With {size} rows a page, {len(missing)} {kind} are missing{such_as(sorted(missing))}: lists are not "
                "read to their end. Declare how the API pages (Endpoint.paging), and let RestProvider follow."
            )
    await demand_pages(bench)
    unproved = [verdict.reason for verdict in outcome.verdicts.values() if not verdict.complete]
    if outcome.errors or unproved:
        reason = outcome.errors[0].message if outcome.errors else unproved[0]
        raise Failed(f"With {size} rows a page, all records come, and the read still does not prove to be complete: {reason}.")


async def three_pages(bench: Bench) -> None:
    await _demand_all(bench, await in_thirds(bench), await third(bench))


async def one_element(bench: Bench) -> None:
    size = max(1, await _longest(bench) - 1)
    await _demand_all(bench, await bench.read(few(bench), page_size=size), size)


async def full_last_page(bench: Bench) -> None:
    """Lists of which nothing is left over when they are cut into two pages."""
    await demand_pages(bench)
    size = HALF
    due = {stream: 2 * size for stream, rows in (await _rows(bench)).items() if rows >= 2 * size}
    outcome = await _disturbed(bench, "first", 2 * size, size=size)
    for stream, right in due.items():
        came = sum(page.received for page in outcome.pages if page.stream == stream)
        verdict = outcome.verdicts.get(stream)
        if verdict is not None and came < right and verdict.complete:
            raise Failed(
                f"Of a list of exactly two pages, {stream[0]!r}, {came} of {right} rows come, and the read looks complete "
                f"({verdict.reason}): the others would be withdrawn. A page that is full may be the last one, and is read like "
                "any other."
            )
        if verdict is None or came < right or not verdict.complete:
            reason = outcome.errors[0].message if outcome.errors else verdict.reason if verdict else "it is not spoken of"
            raise Failed(f"A list of exactly two pages, {stream[0]!r}, does not come to its end: {reason}.")


async def honest(bench: Bench, outcome: ReadOutcome, what: str, advice: str) -> None:
    """Whoever is lacking, the read does not look complete."""
    plain = await bench.roster()
    for kind in few(bench):
        missing = plain.ids(kind) - outcome.ids(kind)
        told = [
            verdict
            for stream, verdict in outcome.verdicts.items()
            if any(page.stream == stream and kind in page.kinds for page in outcome.pages)
        ]
        if missing and told and not outcome.errors and all(verdict.complete for verdict in told):
            raise Failed(
                f"{what}, {len(missing)} {kind} are missing{such_as(sorted(missing))}, and the read looks complete "
                f"({told[0].reason}): they would be withdrawn. {advice}"
            )


async def _disturbed(bench: Bench, name: str, value: object = "", *, size: int | None = None) -> ReadOutcome:
    """A read while a fault is in force that lists know."""
    bench.fault(name, value)
    settings: dict[str, Any] = {} if size is None else {"page_size": size}
    outcome = await bench.read(few(bench), **settings)
    if not bench.struck():
        raise NotApplicable(f"The lists of this SIS do not come in pages, or know no {name.replace('_', ' ')}.")
    bench.clear_faults()
    return outcome


async def empty_lists(bench: Bench) -> None:
    await bench.roster()  # so that there would be something to remember
    outcome = await _disturbed(bench, "empty")
    for kind in few(bench):
        if outcome.ids(kind):
            raise Failed(
                f"Every list of the SIS is empty, and {len(outcome.ids(kind))} {kind} are delivered. "
                "Deliver what this read brought, and nothing that is remembered or made up."
            )


async def smaller_pages(bench: Bench) -> None:
    await demand_pages(bench)
    size = max(6, ceil(await _longest(bench) / 2))
    await honest(
        bench,
        await _disturbed(bench, "cap", 5, size=size),
        "When the server sends 5 rows a page, fewer than it was asked for",
        "A short page alone is no end: ask on until one is empty, or the total is reached.",
    )


async def repeated_page(bench: Bench) -> None:
    """A server that does not understand the number of a page, and always sends the first."""
    size = await third(bench)
    bench.fault("repeat_page")
    counts: Counter[Stream] = Counter()
    async with bench.open(page_size=size) as opened:
        pages: Any = opened.provider.pages(few(bench), scope=Scope(), since=None, cursor=None)
        try:
            async with aclosing(pages):
                async for page in pages:
                    counts[page.stream] += 1
                    if counts[page.stream] > ENDLESS:
                        raise Failed(
                            "When the server sends the first page again and again, the read never ends. Stop where a page is "
                            "the same as the one before; RestProvider does."
                        )
        except SISError:
            return  # whoever notices and says so is right
    bench.clear_faults()
    bench.fault("repeat_page", count=1)
    outcome = await bench.read(few(bench), page_size=size)
    await honest(
        bench,
        outcome,
        "When one page comes twice in the place of another",
        "Hand over every page as it came, with the total that the server tells; do not sort out repeated rows.",
    )


async def wrong_total(bench: Bench) -> None:
    size = await third(bench)
    for added in (7, -7):
        what = f"When the server counts 7 rows {'more' if added > 0 else 'fewer'} than it has"
        outcome = await _disturbed(bench, "wrong_total", added, size=size)
        await honest(bench, outcome, what, "A total is told in Page.total; it does not decide where to stop.")


async def inserted_row(bench: Bench) -> None:
    size = await third(bench)
    await honest(
        bench,
        await _disturbed(bench, "drift", 1, size=size),
        "When a row is inserted while the list is being read",
        "Hand over repeated rows as they came, and the total of each page: the engine sees by them that the list has moved.",
    )


async def no_total(bench: Bench) -> None:
    size = await third(bench)
    bench.fault("drop_total")  # the other one changes nothing, and shows whether there are lists that come in pages
    outcome = await _disturbed(bench, "cap", 10**6, size=size)
    several = {stream for stream, count in Counter(page.stream for page in outcome.pages if page.rows).items() if count > 1}
    invented = [page for page in outcome.pages if page.stream in several and page.total is not None]
    if invented:
        raise Failed(
            f"Pages of {invented[0].endpoint!r} tell a total of {invented[0].total}, though the server tells none. Page.total is "
            "what the server says, never a count of the rows that came: otherwise every read would look complete."
        )
    plain = await bench.roster()
    for kind in few(bench):
        if plain.ids(kind) - outcome.ids(kind):
            raise Failed(
                f"When the server tells no total, {len(plain.ids(kind) - outcome.ids(kind))} {kind} are missing. "
                "Without a total, read on until a page is empty or the server points to no next one."
            )


def _check(name: str, title: str, run: Any) -> Check[Bench]:
    return Check(name=name, title=title, run=run, promise="P1", needs=needs_sandbox)


CHECKS: tuple[Check[Bench], ...] = (
    _check("three_pages", "A list of three pages is read to its end.", three_pages),
    _check("one_element", "A last page with a single row is read like any other.", one_element),
    _check("full_last_page", "A last page that is full is read like any other.", full_last_page),
    _check("empty_lists", "Empty lists bring no records, and no failure.", empty_lists),
    _check("smaller_pages", "A server that sends fewer rows a page than it was asked for loses nobody unnoticed.", smaller_pages),
    _check("repeated_page", "A page that comes again loses nobody unnoticed, and the read comes to an end.", repeated_page),
    _check("wrong_total", "A total that is wrong loses nobody unnoticed.", wrong_total),
    _check("inserted_row", "A row that is inserted between two pages loses nobody unnoticed.", inserted_row),
    _check("no_total", "Where the server tells no total, none is made up, and everything is read.", no_total),
)
