"""Is the same record known by the same id, whenever and however it is read? And is a row always understood in the same way?"""

from __future__ import annotations

import asyncio

from sis_connect.capabilities import Kind
from sis_connect.provider import InvalidRow, Page, Reading, Stream
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable
from sis_connect.testing.suite.elsewhere import again, elsewhere
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as
from sis_connect.testing.suite.rosters import by_id, differences, roster_of

#: A page size that fits nothing, so that rows stand at other places of their pages.
ODD_SIZE = 17
_ADVICE = "An id must not depend on where a row stands, on who else is there, or on values that change."

_KEEP_NOTHING = (
    "Many districts share a process, and their ids: keep nothing of a read in a class, a module or a cache, only in what "
    "the read itself hands on."
)


def needs_sandbox(bench: Bench) -> str | None:
    """For checks that ask for another day, another size, a fault, or the truth."""
    return "Recorded payloads cannot be asked for anything else." if bench.recorded else None


def needs_truth(bench: Bench) -> str | None:
    """For checks that compare with what is right."""
    return None if bench.told_kinds else "There is no truth to compare with: recorded payloads have it in truth/KIND.jsonl."


def _same_ids(first: ReadOutcome, second: ReadOutcome, kinds: tuple[Kind, ...], otherwise: str) -> None:
    for kind in kinds:
        changed = first.ids(kind) ^ second.ids(kind)
        if changed:
            raise Failed(
                f"{len(changed)} ids of {kind} are not the same {otherwise}{such_as(sorted(changed))}. "
                "Take sis_id from the vendor's own key; where it gives none, build it with derive_id() from parts that stay."
            )


async def ids_repeat(bench: Bench) -> None:
    _same_ids(await bench.roster(), (await again(bench)).outcome, bench.kinds, "when the same data is read twice")


async def ids_elsewhere(bench: Bench) -> None:
    _same_ids(await bench.roster(), (await elsewhere(bench)).same, bench.kinds, "when another server has the same data")


async def nothing_is_remembered(bench: Bench) -> None:
    """Two districts with the same ids and other values, read in turn; the other one changes between two reads."""
    here, there, later = await bench.roster(), await elsewhere(bench), (await again(bench)).outcome
    compared = 0
    for kind in bench.told_kinds:
        mine, first, second = roster_of(there.renamed, kind), roster_of(here, kind), roster_of(later, kind)
        for sis_id, field, before, after in differences(by_id(bench.truth(kind)), there.truths[kind]):
            compared += sis_id in mine
            if sis_id in mine and (mine[sis_id].get(field) or None) == before:
                raise Failed(
                    f"{field} of {kind} has changed at the SIS, and a read in the same process still shows what was read before, "
                    "there or in another district with the same ids. "
                    f"{_KEEP_NOTHING}"
                )
            if sis_id in second and (second[sis_id].get(field) or None) == after != (first.get(sis_id, {}).get(field) or None):
                raise Failed(
                    f"After a read of another district with the same ids, {field} of {kind} is what it is there. {_KEEP_NOTHING}"
                )
    if not compared:
        raise NotApplicable("The district of the sandbox gives nothing another name, so that there is nothing to tell apart.")


async def ids_any_page_size(bench: Bench) -> None:
    outcome = await bench.read(page_size=ODD_SIZE)
    _same_ids(await bench.roster(), outcome, bench.kinds, f"when {ODD_SIZE} rows a page are asked for")


async def ids_next_day(bench: Bench) -> None:
    before = {kind: {row["key"]: row["sis_id"] for row in bench.truth(kind)} for kind in bench.kinds}
    first, later = await bench.roster(), await bench.later()
    for kind in bench.kinds:
        after = later.keys[kind]
        moved = [sis_id for key, sis_id in before[kind].items() if after.get(key, sis_id) != sis_id]
        if moved:
            raise Failed(
                f"The sandbox itself gives {len(moved)} records of {kind} another id on a later day{such_as(moved)}: "
                "make its ids from the record's serial number."
            )
        stayed = {sis_id for key, sis_id in before[kind].items() if key in after} & first.ids(kind)
        gone = {sis_id for key, sis_id in before[kind].items() if key not in after}
        lost, kept = stayed - later.outcome.ids(kind), gone & later.outcome.ids(kind)
        if lost or kept:
            raise Failed(
                f"The ids of {len(lost | kept)} {kind}{such_as(sorted(lost | kept))} stand for somebody else, or for "
                f"nobody, a few days later. {_ADVICE}"
            )
    ids, ids_later = _ids_by_row(first), _ids_by_row(later.outcome)
    if any(ids[row] != ids_later[row] for row in ids.keys() & ids_later.keys()):
        raise Failed(f"The very same row makes a record with another id a few days later. {_ADVICE}")


def _ids_by_row(outcome: ReadOutcome) -> dict[tuple[Stream, bytes], tuple[str, ...]]:
    """The ids that each row of a read stands for."""
    return {
        (page.stream, bytes(raw)): tuple(record.sis_id for record in reading.records)
        for page in outcome.pages
        for raw in page.rows
        if isinstance(reading := _understood(page, raw), Reading)
    }


def _understood(page: Page, raw: bytes) -> Reading | str:
    try:
        return page.read(raw)
    except InvalidRow as fault:
        return f"{fault.key}: {fault.message}"


async def rows_read_alike(bench: Bench) -> None:
    """After the connection is closed, and in another thread: the engine reads rows when and where it likes."""
    outcome = await bench.roster()
    for page in outcome.pages:
        for raw in page.rows[:5]:
            here = _understood(page, raw)
            there = await asyncio.to_thread(_understood, page, raw)
            if here != there:
                raise Failed(
                    f"Page.read understands the same row of {page.endpoint!r} in two ways when it is called twice. "
                    "It must be a pure function of the bytes: no counters, no clock, no chance, nothing kept from other rows."
                )


async def keys_tell_rows_apart(bench: Bench) -> None:
    outcome = await bench.roster()
    for page in outcome.pages:
        rows: dict[str, bytes] = {}
        for raw in page.rows:
            understood = _understood(page, raw)
            if isinstance(understood, Reading):
                other = rows.setdefault(understood.key, raw)
                if bytes(other) != bytes(raw):
                    raise Failed(
                        f"Two different rows of {page.endpoint!r} have the same key, so that one would take the other's place. "
                        "Name the field that identifies a row in Endpoint.key, or in Reading.key."
                    )


CHECKS: tuple[Check[Bench], ...] = (
    Check(name="ids_repeat", title="Two reads of the same data give the same ids.", run=ids_repeat, promise="P5"),
    Check(
        name="ids_elsewhere",
        title="The same data on another server has the same ids.",
        run=ids_elsewhere,
        promise="P5",
        needs=needs_sandbox,
    ),
    Check(
        name="nothing_is_remembered",
        title="Districts with the same ids are told apart, and what has changed is read as it is now.",
        run=nothing_is_remembered,
        promise="P1",
        needs=needs_sandbox,
    ),
    Check(
        name="ids_any_page_size",
        title="Ids do not depend on how many rows come on a page.",
        run=ids_any_page_size,
        promise="P5",
        needs=needs_sandbox,
    ),
    Check(
        name="ids_next_day",
        title="Who is still there days later has the same id.",
        run=ids_next_day,
        promise="P5",
        needs=needs_sandbox,
    ),
    Check(
        name="rows_read_alike",
        title="A row is always understood in the same way, in any thread and after the connection is closed.",
        run=rows_read_alike,
        promise="P5",
    ),
    Check(name="keys_tell_rows_apart", title="Different rows have different keys.", run=keys_tell_rows_apart, promise="P2"),
)
