"""Rows, grades and dates as both products have them: pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from msgspec import Struct, defstruct

from sis_connect.values import Value, day, day_after, text

_WORDS = {"K": "KG", "KG": "KG", "KF": "KG", "TK": "TK", "PK": "PK", "P3": "PK", "P4": "PK", "PS": "PK", "EC": "PK"}


def row_of(attributes: str, rename: Callable[[str], str] | None = None) -> type[Struct]:
    """A row of which so much is read, its key first. What is not there reads like what is blank."""
    return defstruct("Row", [(name, Value, None) for name in attributes.split()], rename=rename, gc=False)


def grade(value: Value) -> str | None:
    """The CEDS code: 0 is kindergarten, what comes before it PK. What is no known grade is none; its text is kept beside it."""
    written = (text(value) or "").strip().upper()
    if written in _WORDS:
        return _WORDS[written]
    if not written.lstrip("-").isdecimal():
        return None
    level = int(written)
    return "PK" if level < 0 else "KG" if level == 0 else f"{level:02}" if level <= 13 else None


def first_day_out(value: Value, name: str, settings: Any) -> date | None:
    """The end of a stay as the first day that is no longer in it."""
    return day_after(value, name) if settings.end_dates == "inclusive" else day(value, name)


def excluded(code: Value, settings: Any) -> bool:
    """Whether the district says that the entity of this code is no school."""
    return (text(code) or "").strip() in settings.excluded_entities


def dropped(status: Value, settings: Any) -> bool:
    """Whether the district's words for it say that a row of a class list does not count."""
    return (text(status) or "").strip().lower() in {word.lower() for word in settings.dropped_statuses}
