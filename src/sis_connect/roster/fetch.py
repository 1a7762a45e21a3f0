"""Was a read complete? Judged by the engine from what the provider observed (promise P1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sis_connect.errors import SISError
from sis_connect.provider import Page
from sis_connect.roster.whole_list import WholeList


@dataclass(slots=True)
class StreamRead:
    """What has been observed of one stream in this pull.

    `nameless` counts rows that cannot even be told apart by their keys, where some that are known did not come: perhaps the same.
    `ways` says of its pages whether they listed changes only. Where the list is longer than the stream, `whole_list` counts it.
    """

    endpoint: str
    context: str = ""
    pages: int = 0
    received: int = 0
    distinct: int = 0
    nameless: int = 0
    totals: set[int] = field(default_factory=set)
    ways: set[bool] = field(default_factory=set)
    last_received: int = 0
    last_declared_size: int | None = None
    pointed_on: bool = False
    ended: bool = False
    points_on_at_end: bool = False
    error: SISError | None = None
    whole_list: WholeList | None = None

    def observe(self, page: Page) -> None:
        """Take in one page's observations."""
        if page.error is not None:
            self.error = page.error
            return
        self.pages += 1
        self.received += page.received
        self.ways.add(page.changes_only)
        if page.all_keys is not None:
            self.whole_list = self.whole_list or WholeList()
            self.whole_list.take(page.all_keys)
        if page.total is not None:
            self.totals.add(page.total)
        self.last_received = page.received
        self.last_declared_size = page.declared_size
        self.points_on_at_end = page.had_next
        self.pointed_on = self.pointed_on or page.had_next
        self.ended = not page.more


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a read proved complete, and by what, or why not."""

    complete: bool
    reason: str


def judge(read: StreamRead) -> Verdict:
    """Judge one stream's read. Without observations it is never complete; each proof is tried in its order of strength."""
    if read.error is not None:
        return Verdict(False, f"broke off: {read.error.message}")
    if not read.ended:
        return Verdict(False, "did not come to its end")
    if len(read.ways) > 1:
        return Verdict(False, "some of its pages listed everything, others changes only")
    if read.nameless:
        return Verdict(False, f"{read.nameless} rows came whose keys cannot be read")
    if len(read.totals) > 1:
        return Verdict(False, "the total moved while it was read")
    distinct = read.distinct if read.whole_list is None else read.whole_list.distinct()
    if read.totals:
        (total,) = read.totals
        if distinct == total:
            return Verdict(True, "as many distinct rows as the server counts")
        return Verdict(False, f"{distinct} distinct rows, but the server counts {total}")
    if distinct < read.received:
        return Verdict(False, "rows came more than once, so others may have been skipped")
    if read.pages and read.last_received == 0:
        return Verdict(True, "it ended with an empty page")
    if read.pointed_on and not read.points_on_at_end:
        return Verdict(True, "the server stopped pointing to a next page")
    if read.last_declared_size is not None and read.last_received < read.last_declared_size:
        return Verdict(True, "the last page was shorter than the server's own page size")
    return Verdict(False, "its end could not be proved")
