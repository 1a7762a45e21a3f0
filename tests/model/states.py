"""The states that the reference knows: what the SIS says of a record, what is remembered of it, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sis_connect.capabilities import Kind

Values = dict[str, Any]
Key = tuple[Kind, str]
#: In order of dependency.
ORDER: tuple[Kind, ...] = ("schools", "staff", "students", "school_enrollments", "sections", "enrollments")
#: What a record cannot be without, and of which kind that is.
NEEDS: Mapping[Kind, tuple[str, ...]] = {
    "sections": ("school",),
    "school_enrollments": ("student", "school"),
    "enrollments": ("section", "user"),
}
DATES: Mapping[Kind, tuple[str, str]] = {
    "school_enrollments": ("entry_date", "exit_date"),
    "enrollments": ("begin_date", "end_date"),
}
OVER = ("inactive", "deleted")
NEVER: Any = object()


def owner_of(kind: Kind, name: str, document: Values) -> Kind:
    """The kind that a reference leads to."""
    if name == "user":
        return "students" if document.get("role") == "student" else "staff"
    return {"school": "schools", "student": "students", "section": "sections"}[name]  # type: ignore[return-value]


def flat(document: Mapping[str, Any]) -> Values:
    """A document with the parts of `ids` as fields of their own."""
    values = {name: value for name, value in document.items() if name != "ids"}
    return values | {f"ids.{name}": value for name, value in (document.get("ids") or {}).items()}


def told(values: Mapping[str, Any]) -> Values:
    """What is not blank."""
    return {name: value for name, value in values.items() if value not in (None, [], {}, False)}


@dataclass
class Told:
    """What one row of one list said last. `missing` counts the complete reads since that did not bring it."""

    records: dict[Kind, Values]
    missing: int = 0
    since: datetime | None = None


@dataclass
class Known:
    """What was decided last about a record: its status, what the SIS said then, and what the app had right after we wrote."""

    status: str
    sis: Values
    local: Values


@dataclass
class Seen:
    """What is known of a record's S: its document as of today, and whether all its rows are missing since then.

    `lists` are those that brought it, `said` is what they said, word for word.
    """

    document: Values
    missing: int = 0
    since: datetime | None = None
    lists: frozenset[str] = frozenset()
    said: str = ""
    ended: str = ""


@dataclass
class Change:
    """What is to become of one record. `asked` are fields that only a person can decide about, with both values.

    `settled` are those about which there is no question now. An `idle` change has nothing to remember. `said` is what the SIS
    said when it was proposed.
    """

    action: str
    status: str
    sis: Values
    writes: Values = field(default_factory=dict)
    asked: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    idle: bool = False
    said: str = ""


@dataclass
class Rules:
    """The settings that decide. `owners` and `strategies` are exceptions by `kind.field`, `leaving` is how students leave."""

    strategy: str = "sis_wins"
    strategies: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    leaving: str = "absence"
    grace: timedelta = timedelta(hours=12)

    def of(self, kind: Kind, name: str) -> tuple[str, str]:
        key = f"{kind}.{name}" if f"{kind}.{name}" in self.owners else f"{kind}.*"
        return self.strategies.get(key, self.strategy), self.owners.get(key, "shared")


def is_identity(name: str) -> bool:
    return name in ("username", "email", "emails") or name.startswith("ids.")


def united(rows: list[Values]) -> Values:
    """One record from several rows, in an order that is always the same. Somebody active anywhere is active."""
    rows = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
    document = dict(rows[0])
    for row in rows[1:]:
        document |= {name: value for name, value in row.items() if document.get(name) is None}
    if len(rows) > 1 and any(row.get("status", "active") == "active" for row in rows):
        document |= {"status": "active", "status_reason": None}
    return document


def as_of(kind: Kind, document: Values, today: date) -> Values:
    """A record as it holds on a day: what has not begun is scheduled, what has ended is inactive."""
    values = {"status": "active", "status_reason": None, **document}
    values.pop("sis_id", None)
    if kind == "school_enrollments":
        values.setdefault("exit_inferred", False)
    if values["status"] == "tobedeleted":
        values |= {"status": "inactive", "status_reason": values["status_reason"] or "deleted"}
    if values["status"] != "active" or kind not in DATES:
        return values
    first, last = (values.get(name) for name in DATES[kind])
    if first and last and last <= first:
        return values | {"status": "inactive", "status_reason": "no_show"}
    if last and last <= today.isoformat():
        return values | {"status": "inactive", "status_reason": "ended"}
    return values | ({"status": "scheduled"} if first and first > today.isoformat() else {})
