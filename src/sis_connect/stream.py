"""Reading one stream to its end: page after page, with the next ones under way where it is certain that they exist.

What a page shows is handed on as it is; whether that amounts to a complete read is for the engine to say. One thing is looked
after here: a server that silently sends fewer rows than it declares. Where no total is told and a page is short, that may be the
end or such a cap. So a short page counts as the last one only when longer pages of the same endpoint have come through; otherwise
another request makes sure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import xxhash

from sis_connect.endpoint import Endpoint, Params
from sis_connect.errors import NotOffered
from sis_connect.places import cursor_beside_rows, total_beside_rows
from sis_connect.provider import Page
from sis_connect.transport.addresses import own_query
from sis_connect.transport.answers import Response
from sis_connect.transport.paging import Seen, SinglePage, Step, next_link

#: Pages as long as the longest so far are followed by another request, until so many have proved to be their stream's last.
CONFIRMATIONS = 3


@dataclass(slots=True)
class PageSize:
    """What is known about the page size of an endpoint: asked for, declared by the server, and proved by what came."""

    asked: int | None = None
    declared: int | None = None
    proved: int = 0
    confirmed: int = 0

    def proves_end(self, received: int) -> bool:
        """Whether a page of this length is too short to be a capped one: longer ones have come, or several just as long."""
        return received < self.proved or (received == self.proved and self.confirmed >= CONFIRMATIONS)

    def confirm(self, received: int) -> None:
        """A page of this length was its stream's last, though it could have been capped."""
        self.confirmed = self.confirmed + 1 if received == self.proved else 1
        self.proved = max(received, self.proved)

    def observe(self, received: int) -> None:
        """A page came; a full one shows that there is no cap below the size asked for."""
        if self.asked and received >= self.asked:
            self.proved = max(self.proved, received)

    def cap(self, size: int | None) -> None:
        """The server's pages turned out to be capped at this size."""
        self.asked = self.declared = size


@dataclass(slots=True)
class StreamReader:
    """One stream's pages. `ask` fetches a page, `count` the total by a request of its own.

    `page` holds what is the same for all pages. At most `ahead` requests are under way. `since` is the mark that changes are
    asked for from; marks are handed on behind `mark_prefix`, which says what they are good for.
    """

    endpoint: Endpoint[Any]
    page: Page
    size: PageSize
    ask: Callable[[Params], Awaitable[Response]]
    count: Callable[[], Awaitable[int | None]]
    base_url: str
    ahead: int
    since: str | None = None
    mark_prefix: str = ""
    _total: int | None = None
    _expected: int | None = None
    _mark: str | None = None
    _longest: int = 0
    _not_full: bool = False
    _under_way: deque[tuple[Step, asyncio.Task[Response]]] = field(default_factory=deque)

    async def pages(self, resume: str | None) -> AsyncGenerator[Page, None]:
        """All pages, from the one that `resume` names on."""
        self._total = await self.count() if self.endpoint.count else None
        begun = self.endpoint.paging.start(self.size.asked, resume)
        step: Step | None = begun
        held: Page | None = None
        try:
            while step is not None:
                response, rows = await self._page(step, begun)
                self.size.observe(len(rows))
                if held is not None and not rows:
                    self.size.confirm(held.received)
                seen = self._seen(response, rows)
                unsure = seen.total is None and self._may_be_capped(step, len(rows))
                following, seen = await self._after(
                    step, replace(seen, declared_size=None) if unsure else seen, begun is not step
                )
                if following is not None and following.restarted and not step.restarted:
                    # A cap was noticed, and all is read again; what has not been handed over yet need not be.
                    if seen.total is None:  # a wrong total may look like a cap, a page that goes on is one
                        self.size.cap(following.asked)
                    step, held = following, None
                    continue
                if self.endpoint.marks is not None and resume is None:
                    self._mark = self.endpoint.marks(self._mark, response, rows)
                page = self._observed(step, seen, rows, more=following is not None)
                for ready in (held, None if unsure else page):
                    if ready is not None:
                        yield ready
                step, held = following, page if unsure else None
            if held is not None:
                yield held
        finally:
            await self._abandon()

    async def _page(self, step: Step, begun: Step) -> tuple[Response, list[bytes]]:
        """A page's answer and its rows. Past the end some servers answer 404, believed after a page that was not full."""
        try:
            response = await self._fetch(step)
        except NotOffered:
            if step is begun or not self._not_full:
                raise
            return Response(404, {}, b""), []
        rows = self.endpoint.rows_in(response.body)
        self._not_full = len(rows) < max(self._longest, step.asked or 0)
        self._longest = max(self._longest, len(rows))
        return response, rows

    def _may_be_capped(self, step: Step, received: int) -> bool:
        declared = self.size.declared
        return declared is not None and 0 < received < (step.asked or declared) and not self.size.proves_end(received)

    async def _after(self, step: Step, seen: Seen, later: bool) -> tuple[Step | None, Seen]:
        following = self.endpoint.paging.after(step, seen)
        if following is None and later and self.endpoint.count and seen.total is not None:
            # The list may have grown or shrunk while it was read.
            seen = replace(seen, total=await self.count())
            following = self.endpoint.paging.after(step, seen)
        return following, seen

    def _seen(self, response: Response, rows: list[bytes]) -> Seen:
        total = self._total
        if isinstance(self.endpoint.paging, SinglePage):
            total = len(rows)  # everything comes in one answer, that is what such an endpoint is
        elif self.endpoint.total_at and not self.endpoint.count:
            total = total_beside_rows(response, self.endpoint.total_at) if response.body else None
            self._expected = total
        link = next_link(response.headers.get("link"))
        return Seen(
            received=len(rows),
            total=total,
            link=None if link is None else f"?{own_query(self.base_url, link)}",
            fingerprint=xxhash.xxh3_64_intdigest(b"\n".join(rows)),
            next_cursor=self._cursor_in(response),
            declared_size=self.size.declared,
        )

    def _cursor_in(self, response: Response) -> str | None:
        where = self.endpoint.cursor_at
        return cursor_beside_rows(response.body, where) if where and response.body else None

    def _observed(self, step: Step, seen: Seen, rows: list[bytes], *, more: bool) -> Page:
        declared, mark = self.size.declared, self._mark or self.since
        return replace(
            self.page,
            rows=rows,
            asked=step.asked,
            declared_size=None if declared is None else min(declared, step.asked or declared),
            total=seen.total,
            had_next=bool(seen.link or seen.next_cursor),
            more=more,
            cursor=step.cursor,
            mark=None if mark is None else self.mark_prefix + mark,
            changes_only=self.since is not None,
        )

    async def _fetch(self, step: Step) -> Response:
        """A page that is under way already, or is asked for now; and the ones after it as far as they are sure to come."""
        if not self._under_way or self._under_way[0][0].params != step.params:
            await self._abandon()
            self._start(step)
        total = self._total if self.endpoint.count else self._expected
        while total is not None and len(self._under_way) < self.ahead:
            last = self._under_way[-1][0]
            full = Seen(received=last.asked or 0, total=total, fingerprint=-1 - last.position, declared_size=self.size.declared)
            following = self.endpoint.paging.after(last, full) if last.asked else None
            if following is None:
                break
            self._start(following)
        return await self._under_way.popleft()[1]

    def _start(self, step: Step) -> None:
        self._under_way.append((step, asyncio.ensure_future(self.ask(step.params))))

    async def _abandon(self) -> None:
        tasks = [task for _, task in self._under_way]
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
