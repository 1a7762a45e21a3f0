"""Which page to ask for next: pure functions of what was asked and what was seen.

A paging scheme is data. It turns what the last page showed into the next step, and notices what goes wrong on the way: a loop, a
page that comes twice, a server that sends fewer rows than asked, a total that moves. Whether a read was *complete* is not decided
here: the engine judges that from the observations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from sis_connect.errors import ConfigurationError, UnexpectedResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one page showed.

    `received` rows, the `total` of the whole stream if the server tells it, the `link` to the next page (or only its query), the
    `next_cursor`, the page size that the server itself declares, and a `fingerprint` of the rows: equal rows, equal number.
    """

    received: int
    total: int | None = None
    link: str | None = None
    fingerprint: int = 0
    next_cursor: str | None = None
    declared_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One page to ask for.

    `params` are its query parameters, `asked` its size if one is asked for. `cursor` is text that resumes *at* this page: a
    stream that broke off after it starts by reading it again, so that the engine can see whether the ground has moved.
    `restarted`: the stream began anew with a smaller size, since the server caps its pages: rows read before come again.
    `moved`: the total changed on the way. The rest is what the scheme remembers: its own `position`, `rows` before this page, the
    `total` last told, the size of the page before if it was shorter than asked (`short`), whether the server has `pointed` to a
    next page, and marks of all pages `behind`.
    """

    params: Mapping[str, str]
    cursor: str
    asked: int | None = None
    position: int = 0
    restarted: bool = False
    moved: bool = False
    rows: int = 0
    total: int | None = None
    short: int | None = None
    pointed: bool = False
    behind: frozenset[int | str] = field(default=frozenset(), repr=False)


class Paging(Protocol):
    """A paging scheme."""

    def start(self, size: int | None, resume: str | None = None) -> Step:
        """The first step, or the one that `resume` (a step's `cursor`) names. `size` is rows a page, or the server's own."""
        ...

    def after(self, step: Step, seen: Seen) -> Step | None:
        """The step after this one, or `None` at the end. Raises `UnexpectedResponse` where the server goes in circles."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePage:
    """Everything comes in one answer."""

    def start(self, size: int | None, resume: str | None = None) -> Step:
        return Step(params={}, cursor="", asked=None)

    def after(self, step: Step, seen: Seen) -> Step | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNumberPaging:
    """`?page=3&pagesize=100`.

    A page number means nothing without its size, so where the server's cap turns out smaller than the size asked for, the stream
    starts again at its first page with that smaller size, once. Where the server says whether there is a next page
    (`Endpoint.cursor_at`), that is heeded; a last page that points to itself is not.
    """

    page_param: str = "page"
    size_param: str | None = "pagesize"
    first: int = 1

    def start(self, size: int | None, resume: str | None = None) -> Step:
        if not resume:
            return self._step(Step(params={}, cursor=""), self.first, size)
        page, known_size, rows, restarted = _numbers(resume, 4)
        begun = Step(params={}, cursor="", rows=rows, restarted=bool(restarted))
        return self._step(begun, page, known_size or None)

    def after(self, step: Step, seen: Seen) -> Step | None:
        on = _observed(step, seen)
        if _is_last(step, seen, on.rows):
            return None
        cap = _cap(step, seen, step.position - self.first)
        if cap is not None:
            anew = Step(params={}, cursor="", restarted=True, moved=on.moved, total=on.total)
            return self._step(anew, self.first, cap)
        return self._step(on, step.position + 1, step.asked)

    def _step(self, state: Step, page: int, size: int | None) -> Step:
        params = {self.page_param: str(page)}
        if size is not None and self.size_param is not None:
            params[self.size_param] = str(size)
        cursor = f"{page}/{size or 0}/{state.rows}/{int(state.restarted)}"
        return replace(state, params=params, cursor=cursor, asked=size, position=page)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPaging:
    """`?offset=200&limit=100`. The offset advances by the rows received, so a smaller cap leaves no gap.

    A cap is asked for once it is noticed.
    Links to the next page are evidence of whether there is one. They are followed only where they lead on by something else than
    an offset, since servers err in their arithmetic. `first` is the offset of the first row.
    """

    offset_param: str = "offset"
    size_param: str | None = "limit"
    first: int = 0

    def start(self, size: int | None, resume: str | None = None) -> Step:
        if resume and "?" in resume:
            numbers, _, query = resume.partition("?")
            rows, known_size = _numbers(numbers, 2)
            return self._led(Step(params={}, cursor="", rows=rows, pointed=True), query, known_size or None)
        rows, known_size = _numbers(resume, 2) if resume else (0, size or 0)
        return self._step(Step(params={}, cursor="", rows=rows), known_size or None)

    def after(self, step: Step, seen: Seen) -> Step | None:
        query = urlsplit(seen.link).query if seen.link else ""
        led = bool(query) and self.offset_param not in _query(query)
        on = _observed(step, seen, mark=query if led else None)
        if _is_last(step, seen, on.rows):
            return None
        capped = seen.received if _is_short(step, seen) and seen.total is not None else step.asked
        return self._led(on, query, step.asked) if led else self._step(on, capped)

    def _step(self, state: Step, size: int | None) -> Step:
        params = {self.offset_param: str(self.first + state.rows)}
        if size is not None and self.size_param is not None:
            params[self.size_param] = str(size)
        return replace(state, params=params, cursor=f"{state.rows}/{size or 0}", asked=size, position=state.rows)

    def _led(self, state: Step, query: str, size: int | None) -> Step:
        cursor = f"{state.rows}/{size or 0}?{query}"
        return replace(state, params=_query(query), cursor=cursor, asked=size, position=state.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorPaging:
    """`?cursor=…`: each page names the next one by a text that means something to the server only.

    It stands in the answer (`Endpoint.cursor_at`) or, with `link_param`, in the link to the next page, under that name or ours.
    """

    cursor_param: str = "cursor"
    size_param: str | None = "limit"
    link_param: str | None = None

    def start(self, size: int | None, resume: str | None = None) -> Step:
        known_size, _, cursor = (resume or f"{size or 0}/").partition("/")
        return self._step(Step(params={}, cursor=""), cursor, _numbers(known_size, 1)[0] or None)

    def after(self, step: Step, seen: Seen) -> Step | None:
        cursor = self._following(seen)
        on = _observed(step, seen, mark=cursor)
        return self._step(on, cursor, step.asked) if cursor else None

    def _following(self, seen: Seen) -> str | None:
        if self.link_param is None or not seen.link:
            return seen.next_cursor
        query = _query(urlsplit(seen.link).query)
        cursor = query.get(self.link_param) or query.get(self.cursor_param)
        if not cursor:
            raise UnexpectedResponse(
                "The server points to a next page without saying which.", remedy="Report this to the maker of the SIS."
            )
        return cursor

    def _step(self, state: Step, cursor: str, size: int | None) -> Step:
        params = {self.cursor_param: cursor} if cursor else {}
        if size is not None and self.size_param is not None:
            params[self.size_param] = str(size)
        return replace(state, params=params, cursor=f"{size or 0}/{cursor}", asked=size, position=state.position + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPaging:
    """The header `Link: <…>; rel="next"`. Only the query of the link is used, on our own address."""

    size_param: str | None = "limit"

    def start(self, size: int | None, resume: str | None = None) -> Step:
        known_size, _, query = (resume or f"{size or 0}/").partition("/")
        asked = _numbers(known_size, 1)[0] or None
        params = {self.size_param: str(asked)} if asked is not None and self.size_param is not None else {}
        return Step(params=params | _query(query), cursor=f"{asked or 0}/{query}", asked=asked, position=1)

    def after(self, step: Step, seen: Seen) -> Step | None:
        if not seen.link:
            _observed(step, seen)
            return None
        query = urlsplit(seen.link).query
        if not query:
            raise UnexpectedResponse(
                "The server points to a next page without saying which.", remedy="Report this to the maker of the SIS."
            )
        on = _observed(step, seen, mark=query)
        return replace(on, params=_query(query), cursor=f"{step.asked or 0}/{query}", position=step.position + 1)


def next_link(header: str | None) -> str | None:
    """The target with the relation `next` in a `Link` header (RFC 8288), as written there: maybe relative, maybe elsewhere."""
    for match in _LINK.finditer(header or ""):
        relations = next((m[1] or m[2] for m in _REL.finditer(match[2])), "")
        if "next" in relations.lower().split():
            return match[1].strip()
    return None


# `<target>` and its parameters up to the next link; a comma or semicolon inside quotes belongs to the value.
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,"]+\s*(?:=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


def _observed(step: Step, seen: Seen, *, mark: str | None = None) -> Step:
    """Take note of a page; raise where it, or the `mark` of the page to come, was there before."""
    if seen.received and seen.fingerprint in step.behind:
        raise UnexpectedResponse(
            "The server sent the same page twice.",
            remedy="Try again; if it happens each time, the server does not heed the page number: report it to its maker.",
        )
    if mark and mark in step.behind:
        raise UnexpectedResponse("The server's pages go in a circle.", remedy="Try again, or report it to the maker of the SIS.")
    marks: set[int | str] = {seen.fingerprint} if seen.received else set()
    if seen.next_cursor:
        marks.add(seen.next_cursor)
    moved = step.total is not None and seen.total is not None and seen.total != step.total
    return replace(
        step,
        rows=step.rows + seen.received,
        total=seen.total if seen.total is not None else step.total,
        moved=step.moved or moved,
        short=seen.received if _is_short(step, seen) else None,
        pointed=step.pointed or _points_on(step, seen),
        behind=step.behind | marks | ({mark} if mark else set()),
    )


def _is_short(step: Step, seen: Seen) -> bool:
    return step.asked is not None and 0 < seen.received < step.asked


def _points_on(step: Step, seen: Seen) -> bool:
    """Whether the server says that there is a next page. What points to where we are already says nothing."""
    return bool(seen.link) or (seen.next_cursor is not None and seen.next_cursor not in step.behind)


def _is_last(step: Step, seen: Seen, rows: int) -> bool:
    """The end is told by an empty page, by the total, by no link to a next page from a server that sent some before, or by a page
    shorter than the size that the server itself declares."""
    if seen.received == 0:
        return True
    if seen.total is not None:
        return rows >= seen.total
    if seen.link or seen.next_cursor:
        return False
    if step.pointed:
        return True
    if seen.declared_size is None:
        return False
    return seen.received < min(seen.declared_size, step.asked or seen.declared_size)


def _cap(step: Step, seen: Seen, pages_before: int) -> int | None:
    """The size that the server caps its pages at, if this page (not the last one) shows that it does.

    A single short page further on is no cap: rows may have vanished while we read. Noticed once; the second time it is none.
    """
    if step.restarted:
        return None
    short = seen.received if _is_short(step, seen) else None
    if pages_before == 0:
        told_of_more = seen.total is not None or seen.declared_size is not None
        return short if told_of_more else None
    if pages_before == 1 and step.short is not None:
        return step.short  # the first page was short, and yet there was another one
    return short if short == step.short else None


def _numbers(text: str, count: int) -> tuple[int, ...]:
    parts = text.split("/")
    if len(parts) != count or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigurationError(
            "The place where the last read broke off cannot be understood.", remedy="Run the sync again with --full."
        )
    return tuple(int(part) for part in parts)


def _query(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))
