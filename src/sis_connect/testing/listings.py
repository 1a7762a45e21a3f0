"""The lists of a REST sandbox as data: what is at which path, and how an answer is paged. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal
from urllib.parse import quote, urlencode

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.faults import Shown
from sis_connect.testing.refused import Refused
from sis_connect.transport.redact import path_template

Row = Mapping[str, object]
_EVERYTHING = 2**62


#: What a name in a path stands for.
PARENTS: Mapping[str, Kind] = {
    "school": "schools",
    "term": "terms",
    "course": "courses",
    "section": "sections",
    "student": "students",
    "staff": "staff",
    "teacher": "staff",
    "guardian": "guardians",
}


def _all(record: Any) -> bool:
    return True


@dataclass(frozen=True)
class Listing:
    """Rows of one kind at a path.

    `row` writes a record as the vendor does. Names in the path are ids: `{school}` (and `{term}`, `{course}`, `{section}`,
    `{student}`, `{staff}`, `{teacher}`, `{guardian}`) limits the list to what belongs there, and one that is not known is
    answered with 404; `{id}` is the record's own, and the answer that row alone. `filters` are parameters that limit alike:
    `{"school_id": "school"}`. `since` is the parameter with a time from which on (that time included) changes are listed.
    `where` picks some of the records. `rows` and `paging` say it otherwise than the sandbox. `count` is a path that tells the
    total only. Two listings at one path are one list, of several kinds.

    `on_request` names members of a row that come only where the parameter `include` has the word for them, by these words:
    `include="with", on_request={"contact": ("mail", "phone")}` is `?with=contact`. `row` writes them always.
    `brings` is for rows that tell of records of other kinds, too, such as a section with its teachers: by kind, which of those
    that belong to the record, or to which it belongs (None: all). `row` is given them by the name of their kind.
    """

    kind: Kind
    path: str
    row: Callable[..., Row]
    since: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    where: Callable[[Any], bool] = _all
    rows: str | None = None
    paging: Pages | None = None
    count: str = ""
    method: Literal["GET", "POST"] = "GET"
    include: str = ""
    on_request: Mapping[str, Collection[str]] = field(default_factory=dict)
    brings: Mapping[Kind, Callable[[Any], bool] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.include) != bool(self.on_request):
            raise ValueError(f"{self.path}: include is the parameter, on_request what it asks for: name both, or neither.")
        for word, members in self.on_request.items():
            if isinstance(members, str):
                raise ValueError(f"{self.path}: on_request has {members!r} for {word!r}, where a tuple of members belongs.")
        for name in (*self.parents, *self.filters.values()):
            if name not in PARENTS:
                raise ValueError(f"{self.path}: {{{name}}} is nothing that records belong to. Known: {', '.join(PARENTS)}.")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(_NAME.findall(self.path))

    @property
    def single(self) -> bool:
        """Whether it is one record."""
        return "id" in self.names

    @property
    def parents(self) -> tuple[str, ...]:
        """What the records in it belong to."""
        return tuple(name for name in self.names if name != "id")

    def find(self, path: str) -> Iterator[Place]:
        """This listing, where a path leads to it or to its count."""
        for template in (self.path, self.count):
            match = _pattern(template).fullmatch(path) if template else None
            if match:
                yield Place(self, match.groupdict(), is_count=template is self.count)

    def nearly(self, path: str) -> bool:
        """Whether a path is this listing's but for the names that stand before either."""
        ours, asked = self.path.strip("/").split("/"), path_template(path).strip("/").split("/")
        length = min(len(ours), len(asked))
        same = all(mine == other or _NAME.fullmatch(mine) for mine, other in zip(ours[-length:], asked[-length:], strict=True))
        return same and not any("{" in each for each in (*ours[:-length], *asked[:-length]))

    def shown(self, row: Row, asked: Mapping[str, str]) -> Row:
        """A row without what was not asked for."""
        if not self.on_request:
            return row
        words = set(re.split(r"[,\s]+", asked.get(self.include, "")))
        wanted = {member for word in words & self.on_request.keys() for member in self.on_request[word]}
        hidden = {member for members in self.on_request.values() for member in members} - wanted
        return {name: value for name, value in row.items() if name not in hidden}

    def tells(self, record: Record) -> bool:
        """Whether its rows tell of a record that they bring."""
        if record.kind not in self.brings:
            return False
        where = self.brings[record.kind]
        return where is None or where(record)

    def __hash__(self) -> int:
        return hash((self.kind, self.path, self.method))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: a listing, and the ids in the path."""

    listing: Listing
    context: Mapping[str, str]
    is_count: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page is asked for: by its number, counted from 1, or by the rows before it."""

    size: int
    number: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How lists are paged, and where in an answer things are (`meta.total` is in an object, `""` nowhere).

    The page is asked for by `page` (its number, the first one being `first`), by `offset` (rows before it) or by `cursor` (a text
    from the page before); with none of them, lists come whole. `size` asks for rows a page: at most `most`, `usual` unless asked.
    `rows` says where the rows are (`""`: the answer is the bare list), `total` where their number is; `header:NAME` is a header.
    With `lone`, a list of one comes as that row alone, as in interfaces that are made from XML.
    `next` is where the next page is told: its cursor, or its whole address where there are none. `more` is where a truth value
    says whether there is one. With `link` a header `Link` tells it.
    """

    page: str = "page"
    size: str = "per_page"
    rows: str = "data"
    total: str = "total"
    most: int = 100
    usual: int = 50
    offset: str = ""
    cursor: str = ""
    next: str = ""
    more: str = ""
    link: bool = False
    lone: bool = False
    first: int = 1

    def wanted(self, asked: Mapping[str, str]) -> Wanted:
        """The page that parameters ask for."""
        if not (self.page or self.offset or self.cursor):
            return Wanted(_EVERYTHING, offset=0)
        size = _number(asked, self.size, self.usual, least=1) if self.size else self.usual
        size = min(size, self.most)
        if self.cursor:
            return Wanted(size, offset=_rows_before(asked.get(self.cursor, "")))
        if self.offset:
            return Wanted(size, offset=_number(asked, self.offset, 0, least=0))
        return Wanted(size, number=_number(asked, self.page, self.first, least=self.first) - self.first + 1)

    def answer(
        self,
        rows: Sequence[Row],
        shown: Shown[Any],
        wanted: Wanted,
        asked: Mapping[str, str],
        *,
        own: str,
        elsewhere: str | None = None,
        place: str | None = None,
    ) -> tuple[object, dict[str, str]]:
        """Body and headers. `own` is the address without its query, `elsewhere` one that links lead to instead."""
        told, headers = self.counted(shown.total)
        where = self.rows if place is None else place
        following = self._following(shown, wanted, asked) if shown.more else None
        address = None
        if following is not None:
            query = urlencode(following, quote_via=quote)
            address = f"{elsewhere}&{query}" if elsewhere else f"{own}?{query}"
        if self.next:
            _put(told, self.next, following[self.cursor] if self.cursor and following else address)
        if self.more:
            _put(told, self.more, shown.more)
        if self.link and address:
            headers["Link"] = f'<{address}>; rel="next"'
        listed: object = rows[0] if self.lone and len(rows) == 1 else list(rows)
        if not where:
            return listed, headers
        _put(told, where, listed)
        return told, headers

    def counted(self, total: int | None) -> tuple[dict[str, object], dict[str, str]]:
        """The total alone, in a body or in headers."""
        kind, _, name = self.total.rpartition(":")
        if not name or total is None:
            return {}, {}
        if kind == "header":
            return {}, {name: str(total)}
        told: dict[str, object] = {}
        _put(told, name, total)
        return told, {}

    def one(self, row: Row, place: str) -> object:
        """A single record, bare or in its place."""
        if not place:
            return row
        told: dict[str, object] = {}
        _put(told, place, row)
        return told

    def _following(self, shown: Shown[Any], wanted: Wanted, asked: Mapping[str, str]) -> dict[str, str]:
        """The parameters of the page to come."""
        kept = dict(asked)
        if self.size:
            kept[self.size] = str(wanted.size)
        if self.cursor:
            return {**kept, self.cursor: cursor_after(shown.end)}
        if self.offset:
            return {**kept, self.offset: str(shown.end)}
        return {**kept, self.page: str((wanted.number or 1) + self.first)}


def parsed(text: str) -> datetime:
    """A time in a query; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise Refused(400, "A time cannot be understood.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_NAME = re.compile(r"\{(\w+)\}")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts)))


def _number(asked: Mapping[str, str], name: str, usual: int, *, least: int) -> int:
    text = asked.get(name, "")
    if not text:
        return usual
    if not (text.isascii() and text.isdecimal() and int(text) >= least):
        raise Refused(400, f"{name} is not a number from {least} on.")
    return int(text)


def cursor_after(rows: int) -> str:
    """A text that leads on after so many rows."""
    return base64.urlsafe_b64encode(f"after {rows}".encode()).decode()


def rows_before(cursor: str) -> int | None:
    """The rows before a cursor; None where it is not one of ours."""
    if not cursor:
        return 0
    try:
        word, _, rows = base64.urlsafe_b64decode(cursor).decode().partition(" ")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return int(rows) if word == "after" and rows.isdecimal() else None


def _rows_before(cursor: str) -> int:
    found = rows_before(cursor)
    if found is None:
        raise Refused(400, "The cursor is not one of ours.")
    return found


def _put(told: dict[str, object], place: str, value: object) -> None:
    """Set what is at a dotted place."""
    *above, last = place.split(".")
    for name in above:
        inner = told.setdefault(name, {})
        if not isinstance(inner, dict):
            raise TypeError(f"{place} is in something that is no object.")
        told = inner
    told[last] = value
