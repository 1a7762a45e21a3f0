"""Reading on: from where a read broke off, and what has changed since the last one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.provider import DONE, Page, Stream
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, NotApplicable, either, listed
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.lists import FEW_ROWS
from sis_connect.testing.suite.outcome import ReadOutcome
from sis_connect.testing.suite.quoting import such_as
from sis_connect.testing.suite.rosters import by_id, differences, gathered, roster_of

Run = Callable[[Bench], Coroutine[Any, Any, None]]
#: Of so many streams, the longest, it is tried to read on.
STREAMS = 3
#: In so many school days much has changed.
LATEST = 20


def needs_changes(bench: Bench) -> str | None:
    """For checks of reads that ask for changes only."""
    return None if _telling(bench) else "It does not offer reads of changes only (no kind has a delta)."


def _telling(bench: Bench) -> tuple[Kind, ...]:
    """The kinds whose changes can be asked for."""
    return tuple(kind for kind in bench.kinds if bench.info.capabilities.of(kind).delta != "none" and kind != "guardians")


def _streams(outcome: ReadOutcome) -> dict[Stream, list[Page]]:
    found: defaultdict[Stream, list[Page]] = defaultdict(list)
    for page in outcome.pages:
        if page.error is None:
            found[page.stream].append(page)
    return found


def _rows(page: Page) -> list[bytes]:
    return [bytes(row) for row in page.rows]


async def resumes_anywhere(bench: Bench) -> None:
    size = await _size(bench)
    streams = _streams(await bench.read(page_size=size))
    longest = sorted(streams, key=lambda stream: -len(streams[stream]))[:STREAMS]
    places = [(stream, place) for stream in longest for place in _places(streams[stream])]
    if not places:
        raise NotApplicable("No list has a second page whose cursor says where to read on.")
    for stream, place in places:
        pages = streams[stream]
        cursor = {each: DONE for each in streams if each != stream} | {stream: str(pages[place].cursor)}
        outcome = await bench.read({kind for page in pages for kind in page.kinds}, cursor=cursor, page_size=size)
        _demand_the_rest(stream, pages[place:], outcome)


async def _size(bench: Bench) -> int:
    """The size of pages of which each of the longest streams has three."""
    rows: Counter[Stream] = Counter()
    for page in (await bench.roster()).pages:
        rows[page.stream] += page.received
    longest = sorted(rows.values())[-STREAMS:]
    return max(FEW_ROWS, min(longest, default=0) // 3)


def _places(pages: list[Page]) -> list[int]:
    """In the middle, and at the end: pages with a cursor, beside the first."""
    return sorted({place for place in (len(pages) // 2, len(pages) - 1) if place and pages[place].cursor})


def _demand_the_rest(stream: Stream, expected: list[Page], outcome: ReadOutcome) -> None:
    if outcome.errors:
        raise Failed(f"Reading on in the list {stream[0]!r} where it broke off ends in an error: {outcome.errors[0]}")
    found = _streams(outcome)
    if others := [each for each in found if each != stream and any(page.rows for page in found[each])]:
        raise Failed(
            f"The list {others[0][0]!r} is read again, though the cursor says that it is done. Leave out streams that are marked "
            "DONE."
        )
    pages = found.get(stream, [])
    if not pages or _rows(pages[0]) != _rows(expected[0]):
        raise Failed(
            f"Reading on in the list {stream[0]!r} does not begin with the page that the cursor names. That page comes once "
            "more, with the same rows, so that the engine sees whether the ground has moved; what was read before it does not."
        )
    mine, right = {row for page in pages for row in _rows(page)}, {row for page in expected for row in _rows(page)}
    if mine != right:
        raise Failed(
            f"Reading on in the list {stream[0]!r} brings {len(mine)} rows where {len(right)} were to come. It must bring the "
            "rest of the list, all of it and nothing else."
        )


# Changes


def _marks(*outcomes: ReadOutcome) -> dict[Stream, str]:
    return {page.stream: page.mark for outcome in outcomes for page in outcome.pages if page.mark is not None}


async def _marked(bench: Bench, kinds: tuple[Kind, ...]) -> tuple[ReadOutcome, dict[Stream, str]]:
    outcome = await bench.read(kinds)
    marks = _marks(outcome)
    if not marks:
        raise Failed(
            f"Reads of changes are declared for {listed(kinds)}, and no page says where they begin. Set Page.mark, or give the "
            'endpoint `changes=ChangesSince(…)`; otherwise declare delta="none".'
        )
    return outcome, marks


async def nothing_new(bench: Bench) -> None:
    kinds = _telling(bench)
    outcome, marks = await _marked(bench, kinds)
    first = await bench.read(kinds, since=marks)
    asked = [page for page in first.pages if page.changes_only]
    if not asked:
        raise Failed(
            f"Reads of changes are declared for {listed(kinds)}, and with the marks of the last read everything is read again. "
            "Ask the SIS for what has changed since the mark, and set Page.changes_only."
        )
    streams = {page.stream for page in asked}
    whole = sum(page.received for page in outcome.pages if page.stream in streams)
    again = sum(page.received for page in asked)
    if whole > FEW_ROWS and again >= whole:
        raise Failed(
            f"Nothing has changed, and a read of changes brings all {whole} rows again. Ask the SIS for what has changed since "
            "the mark: a page with changes_only must not be one of everything."
        )
    second = await bench.read(kinds, since={**marks, **_marks(first)})
    for kind in kinds:
        if grown := second.ids(kind) - first.ids(kind):
            raise Failed(f"Asked for changes twice, with nothing changed, the second read brings {len(grown)} {kind} more.")


async def boundary_rows_come(bench: Bench) -> None:
    kinds = _telling(bench)
    outcome = await bench.read(kinds)
    seen = 0
    for kind in kinds:
        times = {record.sis_id: record.updated_at for record in outcome.records.get(kind, ()) if record.updated_at}
        if bench.info.capabilities.of(kind).delta != "updated_at" or not times:
            continue
        for latest in _boundaries(set(times.values())):
            seen += 1
            due = {sis_id for sis_id, at in times.items() if at >= latest}
            lost = due - (await bench.read({kind}, since=latest)).ids(kind)
            if lost:
                raise Failed(
                    f"{len(lost)} of {len(due)} {kind} that were changed at the very time that changes are asked for since, or "
                    f"after it, do not come{such_as(sorted(lost))}. Others may be changed in the same second after the "
                    "read: the time itself belongs to what is asked for (>=, not >)."
                )
    if not seen:
        raise NotApplicable("No record tells when it was changed.")


def _boundaries(times: set[datetime]) -> list[datetime]:
    """The latest time, and one before it."""
    return sorted(times, reverse=True)[:3:2]


async def changes_are_found(bench: Bench) -> None:
    kinds = _telling(bench)
    _, marks = await _marked(bench, kinds)
    before = {kind: by_id(bench.truth(kind)) for kind in kinds}
    bench.set_day(bench.subject.day + LATEST)
    after = {kind: by_id(bench.truth(kind)) for kind in kinds}
    changed = {kind: [each for each, row in after[kind].items() if before[kind].get(each) != row] for kind in kinds}
    if not any(changed.values()):
        raise NotApplicable(f"Nothing changes in the district in {LATEST} days.")
    outcome = await bench.read(kinds, since=marks)
    if outcome.errors:
        raise Failed(f"A read of changes ends in an error: {outcome.errors[0]}")
    for kind in kinds:
        mine = roster_of(outcome, kind)
        if lost := [each for each in changed[kind] if each not in gathered(outcome.records.get(kind, ()), kind)]:
            raise Failed(
                f"{len(lost)} of {len(changed[kind])} {kind} that are new or have changed since the mark do not come with the "
                f"changes{such_as(lost)}. Let the mark be no later than the beginning of the read that it comes from."
            )
        wrong = list(differences(mine, {each: after[kind][each] for each in changed[kind]}))
        if wrong:
            raise Failed(f"With the changes, {kind} {wrong[0].sis_id} has another {wrong[0].field} than the SIS.")


def _check(run: Run, title: str, promise: str, *, changes: bool = True) -> Check[Bench]:
    needs = either(needs_sandbox, needs_changes) if changes else needs_sandbox
    return Check(name=run.__name__, title=title, run=run, promise=promise, needs=needs)


CHECKS: tuple[Check[Bench], ...] = (
    _check(resumes_anywhere, "A read goes on where it broke off.", "P4", changes=False),
    _check(nothing_new, "Where nothing has changed, a read of changes brings next to nothing, also the second time.", "P5"),
    _check(boundary_rows_come, "What was changed at the very time of the mark comes again.", "P4"),
    _check(changes_are_found, "A read of changes brings all that has changed.", "P4"),
)
