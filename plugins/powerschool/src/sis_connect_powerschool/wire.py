"""How PowerSchool writes values: JSON that was made out of XML, with what that does to lists, blanks, numbers and truth values.

One item is an object where several are a list, an empty element is `""`, a value that is not there is left out, and text that
looks like a number or a truth value arrives as one. So every text goes through `text`, every list through `many`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, TypeAlias, TypeVar

from msgspec import UnsetType

from sis_connect.provider import InvalidRow

T = TypeVar("T")
Value = str | int | float | bool | None
Many: TypeAlias = list[T] | T | str | None
Expansion: TypeAlias = T | str | UnsetType | None


def text(value: Value) -> str | None:
    """What the office typed, or None. A lone `true` was text once, in these letters."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def name(value: Value) -> str | None:
    """A name that the office typed. Whether somebody called True keeps the capital on the wire is not sure; here it does."""
    return str(value) if isinstance(value, bool) else text(value)


def number(value: Value, name: str) -> int | None:
    """A whole number, however it is written."""
    if value is None or value == "":
        return None
    try:
        return int(value)
    except ValueError:
        raise InvalidRow(f"{name} is not a whole number", key=None, fields=(name,)) from None


def many(value: Many[T]) -> list[T]:
    """The items of a collection: one item comes without its list, none as `""` or not at all."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, str) else [value]


def opened(value: Expansion[T], empty: T) -> T | None:
    """The content of an expansion that was asked for: `empty` where the server says so, None where it said nothing."""
    if isinstance(value, UnsetType):
        return None
    return empty if value is None or isinstance(value, str) else value


def given(**values: Any) -> dict[str, Any]:
    """Only what was delivered."""
    return {name: value for name, value in values.items() if value is not None}


def numbers(**values: Value) -> dict[str, str]:
    """Identifiers by name, without the blank ones."""
    return {name: written for name, value in values.items() if (written := (text(value) or "").strip())}


def day_after(last_day: str | None, name: str) -> date | None:
    """The first day after a last day."""
    try:
        return date.fromisoformat(last_day) + timedelta(days=1) if last_day else None
    except (ValueError, OverflowError):
        raise InvalidRow(f"{name} is not a date", key=None, fields=(name,)) from None
