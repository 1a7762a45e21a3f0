"""A district in memory that can list what has changed: like `FakeSIS`, with a counter that moves from read to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from roster_fixture import CAPABILITIES, Desk, FakeSIS, Feed, Row, school
from sis_connect.capabilities import Capabilities
from sis_connect.provider import DONE, Page, Scope, Since, Stream

STUDENTS: Stream = ("students", "")
#: All kinds but schools can be listed by their changes, and who leaves says so.
CHANGING = Capabilities(
    {
        kind: own if kind == "schools" else replace(own, delta="updated_at", leaving="tobedeleted")
        for kind, own in CAPABILITIES.items()
    }
)


@dataclass(repr=False)
class ChangingSIS(FakeSIS):
    """Notes with each read which rows are new or say something else, under a number that only grows; the marks are such numbers.

    `overlap` is by how much a list of changes goes back behind its mark, `since` what the last read was asked, `listed` how many
    rows it listed. `unmarked` streams tell no mark; `whole` ones list everything, whatever they are asked.
    """

    overlap: int = 0
    since: Since | None = None
    listed: dict[Stream, int] = field(default_factory=dict)
    unmarked: set[Stream] = field(default_factory=set)
    whole: set[Stream] = field(default_factory=set)
    number: int = 0
    stamps: dict[Stream, dict[str, tuple[Row, int]]] = field(default_factory=dict)

    async def pages(
        self,
        kinds: Collection[str],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        self.since = since
        self.listed.clear()
        self.number += 1
        for stream, feed in self.feeds.items():
            self._stamp(stream, feed)
        for stream, feed in self.feeds.items():
            outside = scope.schools is not None and feed.school is not None and feed.school not in scope.schools
            at = (cursor or {}).get(stream, "1")
            if set(kinds) & set(feed.kinds) and not outside and at != DONE:
                async for page in self._listing(stream, feed, at, resumed=stream in (cursor or {})):
                    yield page

    async def _listing(self, stream: Stream, feed: Feed, at: str, *, resumed: bool) -> AsyncIterator[Page]:
        mark = self.since.get(stream) if isinstance(self.since, Mapping) else None
        if mark is None or stream in self.whole:
            changes, rows = False, feed.rows
        else:
            stamps = self.stamps[stream]
            changes, rows = True, [row for row in feed.rows if stamps[row["key"]][1] > int(mark) - self.overlap]
        # What is told after an interruption would be wrong: what changed meanwhile on the pages before it is not in this read.
        told = None if stream in self.unmarked else str(self.number if not resumed else 10**6)
        self.listed[stream] = len(rows)
        async for page in self._pages_of(stream, replace(feed, rows=rows), int(at)):
            yield replace(
                page,
                changes_only=changes and page.error is None,
                mark=told if page.error is None and not page.more else "1000000",
            )

    def _stamp(self, stream: Stream, feed: Feed) -> None:
        known = self.stamps.get(stream, {})
        self.stamps[stream] = {
            row["key"]: known[row["key"]] if row["key"] in known and known[row["key"]][0] == row else (row, self.number)
            for row in feed.rows
        }


def changing(desk: Desk) -> ChangingSIS:
    """Let this desk's SIS list its changes."""
    sis = ChangingSIS(clock=desk.clock)
    sis.info = replace(sis.info, capabilities=CHANGING)
    for kind in CAPABILITIES:
        sis.put(kind)
    sis.put("schools", school("A"))
    desk.sis = sis
    return sis


def asked_for_changes(sis: ChangingSIS) -> bool:
    """Whether the last read asked for the changes of the students."""
    return isinstance(sis.since, Mapping) and STUDENTS in sis.since


async def standing(desk: Desk) -> dict[str, Any]:
    """What is known of the students' stream."""
    names = ("state", "rows", "complete_at", "mark", "full_at", "mapping_version")
    ((*values,),) = await desk.ask(f"SELECT {', '.join(names)} FROM sis_stream WHERE endpoint = 'students'")
    return dict(zip(names, values, strict=True))
