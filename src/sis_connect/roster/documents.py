"""Documents: records as plain values, the shape in which they are staged, compared and written. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

Values = Mapping[str, Any]

#: Fields whose parts are fields of their own.
NESTED = ("ids", "custom")
_STATUS = ("status", "status_reason")
_ENDS = {"school_enrollments": ("entry_date", "exit_date"), "enrollments": ("begin_date", "end_date")}


@dataclass(frozen=True, slots=True)
class Unasked:
    """The fields of a kind that nobody asks for (any more): they take no part, wherever they still stand (promise P7).

    Of `custom`, all but these parts, where that is told.
    """

    names: frozenset[str] = frozenset()
    custom: frozenset[str] | None = None

    def holds(self, name: str) -> bool:
        """Whether a field is among them, by its flat name."""
        owner, _, part = name.partition(".")
        return owner in self.names or (owner == "custom" and self.custom is not None and part not in self.custom)

    def left_out_of(self, document: Values) -> dict[str, Any]:
        """A document without them."""
        own = document.get("custom") if self.custom is not None else None
        if not own and self.names.isdisjoint(document):
            return dict(document)
        values = {name: value for name, value in document.items() if name not in self.names}
        if own and self.custom is not None:
            values["custom"] = {name: value for name, value in own.items() if name in self.custom}
        return values


def flatten(document: Values) -> dict[str, Any]:
    """A document with the parts of `ids` and `custom` as fields of their own (`ids.student_number`)."""
    values = dict(document)
    for name in NESTED:
        for part, value in (values.pop(name, None) or {}).items():
            values[f"{name}.{part}"] = value
    return values


def nest(values: Values) -> dict[str, Any]:
    """The reverse of `flatten`."""
    document: dict[str, Any] = {}
    for name, value in values.items():
        owner, dot, part = name.partition(".")
        if dot:
            document.setdefault(owner, {})[part] = value
        else:
            document[name] = value
    return document


def is_blank(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value == [] or value == {}


def combine(
    rows: Sequence[Values], parts: Sequence[Values] = (), *, years: Sequence[int] = (), part_years: Sequence[int] = ()
) -> Values:
    """One record from what several source rows say of it, in whatever order they came.

    Lists are united, an identifier that differs keeps all its values, and somebody active anywhere is active. `parts` are of rows
    that do not bring the record: they add their fields, and have no say in its status. Where single values differ, that of the
    latest of the school `years` counts.
    """
    if len(rows) == 1 and not parts:
        return rows[0]
    combined: dict[str, Any] = {}
    for row in (*_in_order(rows, years), *map(_without_status, _in_order(parts, part_years))):
        for name, value in row.items():
            known = combined.get(name)
            if known is None:
                combined[name] = value
            elif isinstance(known, list) or isinstance(value, list) or name.startswith("ids."):
                combined[name] = _united(known, value)
    if len(rows) > 1 and any(row.get("status", "active") == "active" for row in rows):
        combined["status"], combined["status_reason"] = "active", None
    return nest(combined)


def _in_order(rows: Sequence[Values], years: Sequence[int]) -> list[dict[str, Any]]:
    """The rows, those of later years first."""
    dated = zip(years or [0] * len(rows), map(flatten, rows), strict=True)
    return [row for _, row in sorted(dated, key=lambda it: (-it[0], json.dumps(it[1], sort_keys=True)))]


def _without_status(part: Values) -> Values:
    return {name: value for name, value in part.items() if name not in _STATUS}


def _united(known: Any, value: Any) -> Any:
    if known == value:
        return known  # in the order in which the SIS tells it
    union = _listed(known) + [item for item in _listed(value) if item not in _listed(known)]
    single = len(union) == 1 and not isinstance(known, list) and not isinstance(value, list)
    return union[0] if single else sorted(union, key=str)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def at_date(kind: str, document: Values, today: date) -> tuple[dict[str, Any], str | None]:
    """The document as it holds on a day, and the day on which that changes by itself. Days are ISO dates, compared as text.

    A stay that has not begun is `scheduled`, one whose last day has passed is `inactive` with the reason `ended`, and one that
    ends on the day it begins, or by a slip before it, never took place (`no_show`). A status that is stated without a reason has
    none.
    """
    values = dict(document)
    values.setdefault("status", "active")
    values.setdefault("status_reason", None)
    if kind == "school_enrollments":
        values.setdefault("exit_inferred", False)
    if values["status"] == "tobedeleted":
        values["status"], values["status_reason"] = "inactive", values["status_reason"] or "deleted"
    if values["status"] != "active" or kind not in _ENDS:
        return values, None
    begins, ends = _ENDS[kind]
    first, last, day = values.get(begins), values.get(ends), today.isoformat()
    if first is not None and last is not None and last <= first:
        values["status"], values["status_reason"] = "inactive", "no_show"
        return values, None
    if last is not None and last <= day:
        values["status"], values["status_reason"] = "inactive", "ended"
        return values, None
    if first is not None and first > day:
        values["status"] = "scheduled"
        return values, first
    return values, last
