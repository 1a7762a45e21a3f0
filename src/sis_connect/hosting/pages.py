"""What a page, and what a row is read as, must be. Pure: said of objects of a stranger's, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.hosting.faults import bare, is_sound, is_text, passes
from sis_connect.provider import InvalidRow, Page, Reading, Stream
from sis_connect.records import RECORDS, Record

#: So many pages, one like the other, are no list any more; a server that repeats a page by mistake does so once or twice.
MOST_ALIKE = 1000
#: No district has so many pages: at sixty a minute they would take eleven days.
MOST_PAGES = 1_000_000
#: A key or a cursor that is longer is none.
MOST_CHARACTERS = 10_000
#: No database keeps a number that is larger.
_LARGEST = 2**63 - 1

_FIXED: frozenset[type] = frozenset((bytes, msgspec.Raw))
_BYTES: frozenset[type] = _FIXED | {bytearray, memoryview}


@cache
def _kind_of(model: type) -> Kind | None:
    """What kind the records of a class are; None where that is no class of ours."""
    kind = model.kind if issubclass(model, Record) else None
    return kind if kind is not None and issubclass(model, RECORDS[kind]) else None


def _text(value: object) -> bool:
    return is_text(value) and len(value) <= MOST_CHARACTERS  # type: ignore[arg-type]


def _text_or_none(value: object) -> bool:
    return value is None or _text(value)


def _number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST)


def _yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def _rows(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)


def _keys(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and all(map(_text, value)))


_TESTS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("endpoint", lambda value: _text(value) and value != "", "text"),
    ("context", _text, "text"),
    ("read", callable, "a function"),
    ("rows", _rows, "a list"),
    ("mapping_version", _text, "text"),
    *((name, _text_or_none, "text") for name in ("school", "section", "cursor", "mark")),
    *((name, _number_or_none, "a number") for name in ("school_year", "asked", "declared_size", "total")),
    *((name, _yes_or_no, "True or False") for name in ("had_next", "more", "changes_only", "partial")),
    ("all_keys", _keys, "a list of texts"),
    ("error", lambda value: value is None or (isinstance(value, SISError) and is_sound(value)), "an SISError"),
)


@dataclass(slots=True)
class PageWatch:
    """Looks at the pages of one read, one after the other."""

    offered: frozenset[Kind]
    pages: int = 0
    alike: int = 0
    _last: tuple[Stream, Sequence[object]] = (("", ""), ())
    _ended: set[Stream] = field(default_factory=set)

    def objection(self, page: object) -> str | None:
        """What is wrong with a page, in the middle of a sentence; None where it is sound."""
        return objection_to_page(page, self.offered) or self._endless(page)  # type: ignore[arg-type]

    def _endless(self, page: Page) -> str | None:
        self.pages += 1
        # Two lists of rows differ in their first row as a rule, so that looking costs nothing.
        came = page.rows if page.all_keys is None else page.all_keys
        alike = page.more and self._last[0] == page.stream and self._last[1] == came
        self.alike = self.alike + 1 if alike else 0
        self._last = page.stream, came
        if page.stream in self._ended and page.error is None:
            return f"its {page.endpoint} go on after their end"
        if not page.more:
            self._ended.add(page.stream)
        if self.alike >= MOST_ALIKE or self.pages > MOST_PAGES:
            return f"its {page.endpoint} have no end"
        return None


# -- in objects of ours ------------------------------------------------------------------------------------------------


def own_page(page: object) -> object:
    """The same page in objects of ours, where it is one: what is looked at once may be another thing when it is used.

    Raises whatever a stranger's objects raise.
    """
    if not isinstance(page, Page):
        return page
    values = {name: _own(getattr(page, name)) for name in _FIELDS}
    rows: Any = page.rows
    keys: Any = page.all_keys
    if _rows(rows):
        rows = tuple(rows)
        rows = rows if _FIXED.issuperset(map(type, rows)) else tuple(map(_own_bytes, rows))
    values |= {"rows": rows, "all_keys": tuple(map(_own, keys)) if _rows(keys) else keys}
    if isinstance(values["error"], SISError):
        values["error"] = bare(values["error"])
    return Page(**values)


_FIELDS = tuple(each.name for each in fields(Page) if each.name not in ("rows", "all_keys"))


def _own(value: Any) -> Any:
    """Text, numbers and small lists are what they are, and not of a class that says otherwise later."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int) and kind is not bool:
        return int.__index__(value)
    if issubclass(kind, tuple):
        return tuple(map(_own, value))
    return value


def _own_bytes(row: Any) -> Any:
    return bytes(row) if isinstance(row, bytearray | memoryview) else row


def own_reading(reading: object) -> object:
    """The same reading in an object of ours, where it is one."""
    if not isinstance(reading, Reading) or (type(reading) is Reading and type(reading.key) is str):
        return reading
    return Reading(**{each.name: _own(getattr(reading, each.name)) for each in fields(Reading)})


def own_invalid(error: InvalidRow) -> InvalidRow:
    """The same objection to a row, of which only what is text is kept."""
    try:
        reason = error.message if is_text(error.message) else "the plugin does not say in words what is wrong with it"
        told = (error.fields,) if isinstance(error.fields, str) else tuple(error.fields or ())
        key = _own(error.key) if _text(error.key) else None
        return InvalidRow(str.__str__(reason), key=key, fields=tuple(str.__str__(each) for each in told if is_text(each)))
    except BaseException as problem:  # of a class of the plugin's, or never set up
        if passes(problem):
            raise
        return InvalidRow(f"the plugin stumbles over it ({type(error).__name__})", key=None)


# -- what is wrong -----------------------------------------------------------------------------------------------------


def objection_to_page(page: object, offered: frozenset[Kind]) -> str | None:
    """What is wrong with a single page."""
    if not isinstance(page, Page):
        return f"it brings {type(page).__name__} where a Page belongs"
    for name, is_right, what in _TESTS:
        value = getattr(page, name)
        if not is_right(value):
            return f"what a page has as {name} is {_otherwise(value, what)}"
    if not isinstance(page.kinds, tuple) or not page.kinds:
        return "a page does not say what kinds it is about"
    if not offered.issuperset(page.kinds):
        return "a page is about kinds that it does not offer"
    if not _BYTES.issuperset(map(type, page.rows)):
        return "the rows of a page are not bytes"
    if page.received < len(page.rows):
        return "a page has fewer keys than rows"
    return None


def _otherwise(value: object, what: str) -> str:
    if (what, type(value)) in (("text", str), ("a number", int)):
        return f"{what} that cannot be kept"
    return f"not {what} but {type(value).__name__}"


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
