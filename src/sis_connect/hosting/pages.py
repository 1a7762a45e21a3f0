"""What a page, and what a row is read as, must be. Pure: said of objects of a stranger's, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.provider import Page, Reading, Stream
from sis_connect.records import RECORDS, Record

#: So many pages, one like the other, are no list any more; a server that repeats a page by mistake does so once or twice.
MOST_ALIKE = 1000
#: No district has so many pages: at sixty a minute they would take eleven days.
MOST_PAGES = 1_000_000
#: A key or a cursor that is longer is none.
MOST_CHARACTERS = 10_000

_BYTES: frozenset[type] = frozenset((bytes, bytearray, memoryview, msgspec.Raw))


@cache
def _kind_of(model: type) -> Kind | None:
    """What kind the records of a class are; None where that is no class of ours."""
    kind = model.kind if issubclass(model, Record) else None
    return kind if kind is not None and issubclass(model, RECORDS[kind]) else None


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_CHARACTERS


def _text_or_none(value: object) -> bool:
    return value is None or _text(value)


def _number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def _rows(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


_TESTS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("endpoint", lambda value: _text(value) and value != "", "text"),
    ("context", _text, "text"),
    ("read", callable, "a function"),
    ("rows", _rows, "a list"),
    ("mapping_version", _text, "text"),
    *((name, _text_or_none, "text") for name in ("school", "section", "cursor", "mark")),
    *((name, _number_or_none, "a number") for name in ("school_year", "asked", "declared_size", "total")),
    *((name, _yes_or_no, "True or False") for name in ("had_next", "more", "changes_only", "partial")),
    ("error", lambda value: value is None or isinstance(value, SISError), "an SISError"),
)


@dataclass(slots=True)
class PageWatch:
    """Looks at the pages of one read, one after the other."""

    offered: frozenset[Kind]
    pages: int = 0
    alike: int = 0
    _last: tuple[Stream, Sequence[bytes]] = (("", ""), ())
    _ended: set[Stream] = field(default_factory=set)

    def objection(self, page: object) -> str | None:
        """What is wrong with a page, in the middle of a sentence; None where it is sound."""
        return objection_to_page(page, self.offered) or self._endless(page)  # type: ignore[arg-type]

    def _endless(self, page: Page) -> str | None:
        self.pages += 1
        # Two lists of rows differ in their first row as a rule, so that looking costs nothing.
        alike = page.more and self._last[0] == page.stream and self._last[1] == page.rows
        self.alike = self.alike + 1 if alike else 0
        self._last = page.stream, page.rows
        if page.stream in self._ended and page.error is None:
            return f"its {page.endpoint} go on after their end"
        if not page.more:
            self._ended.add(page.stream)
        if self.alike >= MOST_ALIKE or self.pages > MOST_PAGES:
            return f"its {page.endpoint} have no end"
        return None


def objection_to_page(page: object, offered: frozenset[Kind]) -> str | None:
    """What is wrong with a single page."""
    if not isinstance(page, Page):
        return f"it brings {type(page).__name__} where a Page belongs"
    for name, is_right, what in _TESTS:
        value = getattr(page, name)
        if not is_right(value):
            return f"what a page has as {name} is not {what} but {type(value).__name__}"
    if not isinstance(page.kinds, tuple) or not page.kinds:
        return "a page does not say what kinds it is about"
    if not offered.issuperset(page.kinds):
        return "a page is about kinds that it does not offer"
    if not _BYTES.issuperset(map(type, page.rows)):
        return "the rows of a page are not bytes"
    return None


def objection_to_reading(reading: object, offered: Collection[Kind]) -> str | None:
    """What is wrong with what a row was read as. A row may feed kinds beside those that its page was asked for."""
    if not isinstance(reading, Reading):
        return f"the plugin reads it as {type(reading).__name__} where a Reading belongs"
    if not _text(reading.key) or not reading.key:
        return "the plugin does not say its key"
    if not isinstance(reading.records, tuple | list):
        return "the plugin reads no records in it"
    for record in reading.records:
        kind = _kind_of(type(record))
        if kind is None:
            return f"the plugin reads {type(record).__name__} in it where a record belongs"
        if kind not in offered:
            return f"the plugin reads {kind} in it, which it does not offer"
        if type(record.sis_id) is not str or not record.sis_id:
            return f"the plugin reads {kind} without an id in it"
    return None
