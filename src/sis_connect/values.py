"""How values arrive on the wire, read tolerantly: for use in a plugin's mappings. Pure.

Servers write numbers where text belongs, `"true"` for true, one item for a list of one, and `""` for nothing. What cannot be read
raises `InvalidRow`, which names the field and never the value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from sis_connect.provider import InvalidRow

T = TypeVar("T")
#: A single value as JSON may hold it.
Value = str | int | float | bool | None
#: A list, or its only item without the list, or nothing.
Many: TypeAlias = list[T] | T | str | None

_TRUE, _FALSE = frozenset(("true", "1", "yes", "y", "t")), frozenset(("false", "0", "no", "n", "f", ""))


def text(value: Value) -> str | None:
    """What the office typed, or None. A lone `true` was text once, in these letters."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def number(value: Value, name: str) -> int | None:
    """A whole number, however it is written."""
    if value is None or value == "":
        return None
    try:
        return int(value)
    except ValueError:
        raise InvalidRow(f"{name} is not a whole number", key=None, fields=(name,)) from None


def truth(value: Value, name: str) -> bool | None:
    """A truth value, as JSON has it or spelled out."""
    if value is None or isinstance(value, bool):
        return value
    spelled = str(value).strip().lower()
    if spelled in _TRUE or spelled in _FALSE:
        return spelled in _TRUE if spelled else None
    raise InvalidRow(f"{name} is neither true nor false", key=None, fields=(name,))


def day(value: Value, name: str) -> date | None:
    """A date; of a date with a time, the date as it is written. `0001-01-01` and `9999-12-31` are how some
    servers write none."""
    if value is None or value == "":
        return None
    try:
        found = date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise InvalidRow(f"{name} is not a date", key=None, fields=(name,)) from None
    return None if found in (date.min, date.max) else found


def day_after(value: Value, name: str) -> date | None:
    """The first day after a last day."""
    last = day(value, name)
    return last + timedelta(days=1) if last else None


def moment(value: Value) -> datetime | None:
    """A point in time, with or without fractions. Without a zone it is taken for UTC; what is none is None, since it is evidence
    only and decides nothing."""
    try:
        found = datetime.fromisoformat(str(value).strip()) if value else None
    except ValueError:
        return None
    if found is None:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def many(value: Many[T]) -> list[T]:
    """The items of a collection: one item may come without its list, none as `""` or not at all."""
    if isinstance(value, list):
        return value
    return [] if value is None or isinstance(value, str) else [value]


def given(**values: Any) -> dict[str, Any]:
    """Only what was delivered."""
    return {name: value for name, value in values.items() if value is not None}


def identifiers(**values: Value) -> dict[str, str]:
    """Identifiers by name, without the blank ones."""
    return {name: written for name, value in values.items() if (written := (text(value) or "").strip())}


def first(values: Iterable[T | None]) -> T | None:
    """The first that is there."""
    return next((value for value in values if value is not None), None)
