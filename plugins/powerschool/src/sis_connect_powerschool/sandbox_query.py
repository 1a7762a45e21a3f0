"""The subset of FIQL that `q` understands: comparisons joined by `;`, lists of values, and `*` in text."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

Value = str | int | date | None
_TERM = re.compile(r"\s*([\w.]+)\s*(==|=gt=|=ge=|=lt=|=le=)(.*)", re.DOTALL)
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=gt=": operator.gt,
    "=ge=": operator.ge,
    "=lt=": operator.lt,
    "=le=": operator.le,
}


class QueryError(ValueError):
    """The server does not understand a `q`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    field: str
    operation: str
    values: tuple[str, ...]

    def holds(self, value: Value) -> bool:
        """Whether a row with this value is asked for. No value is never equal to anything, and in no order."""
        if value is None or value == "":
            return False
        if self.operation == "==":
            return any(_equal(value, wanted) for wanted in self.values)
        return _ORDERS[self.operation](value, _like(value, self.values[0]))


def parse(text: str) -> list[Comparison]:
    """Field names count in lower case, letters of a status in upper case. Raises `QueryError`."""
    comparisons = []
    for part in text.split(";"):
        if not part.strip():
            continue
        match = _TERM.fullmatch(part)
        if match is None:
            raise QueryError(f"Invalid query: {part.strip()}")
        name, operation, value = match[1].lower(), match[2], match[3].strip()
        value = value.upper() if name.endswith("enroll_status") else value
        inner = value[1:-1].split(",") if value.startswith("(") and value.endswith(")") else [value]
        comparisons.append(Comparison(name, operation, tuple(item.strip() for item in inner)))
    return comparisons


def _equal(value: Value, wanted: str) -> bool:
    if isinstance(value, str):
        return fnmatchcase(value, re.sub(r"([\[?])", r"[\1]", wanted))
    return wanted == "*" or value == _like(value, wanted)


def _like(value: Value, text: str) -> Value:
    """The text as what the column holds: a number, a date, or text."""
    try:
        if isinstance(value, int):
            return int(text)
        return date.fromisoformat(text) if isinstance(value, date) else text
    except ValueError:
        raise QueryError(f"Invalid value in query: {text}") from None
