"""What OneRoster's rows have in common, and how their words, ids, grades and statuses are understood. Pure.

Servers bend the standard in many ways. What a row says counts, however it is written: an id with or without the object around it,
one item with or without its list, a role in any case, a date with or without a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType
from pydantic import ValidationError

from sis_connect.provider import InvalidRow
from sis_connect.records import Record
from sis_connect.rest_provider import Asked, build, part
from sis_connect.values import Value, day, day_after, moment, text

R = TypeVar("R", bound=Record)
Reader = Callable[[Any, Asked], Iterable[Record]]

_STATUS = {"active": "active", "tobedeleted": "tobedeleted", "inactive": "tobedeleted"}


class Row(Struct, rename="camel"):
    """What all objects have."""

    sourcedId: Value = None  # noqa: N815 - errors and the quarantine know it by the vendor's name
    status: Value | UnsetType = UNSET
    date_last_modified: Value = None
    metadata: Any = None

    def schools(self) -> list[str]:
        """The schools that it belongs to; none where it belongs to the district, or does not say."""
        return []


def word(value: Any) -> str:
    """A word of a vocabulary, whose case servers do not keep to."""
    return (text(value) or "").strip().lower() if isinstance(value, (str, int, float)) else ""


def ids(value: Any) -> list[str]:
    """The ids that refer to something: in objects or plain, several or one."""
    found = (item.get("sourcedId") if isinstance(item, dict) else item for item in listed(value))
    return [written for item in found if isinstance(item, (str, int, float)) and (written := (text(item) or "").strip())]


def listed(value: Any) -> list[Any]:
    """A list, or its only item without it; `""` and null are none."""
    return value if isinstance(value, list) else [] if value is None or value == "" else [value]


def one(value: Any) -> str | None:
    """The first id."""
    return next(iter(ids(value)), None)


def words(value: Any) -> str | None:
    """The texts of a list, as one."""
    return ", ".join(written for item in listed(value) if (written := (text(item) or "").strip())) or None


_BEFORE_SCHOOL = {
    **dict.fromkeys(("P", "PREK", "PREKINDERGARTEN", "PRESCHOOL", "P3", "P4", "PK3", "PK4", "K3", "K4", "-1", "-2"), "PK"),
    **dict.fromkeys(("K", "0", "00", "K5", "KF", "KH", "KINDERGARTEN", "KINDER"), "KG"),
}
_CODES = frozenset(("IT", "PR", "PK", "TK", "KG", "PS", "UG"))


def grade(written: str) -> str | None:
    """The CEDS code of a grade, where it is clear which one is meant."""
    code = re.sub(r"[\s._]", "", written).upper()
    code = re.sub(r"^(?:GRADE|GR)(?=\d)", "", code)
    if code in _CODES:
        return code
    if number := re.fullmatch(r"0*([1-9]|1[0-3])(?:ST|ND|RD|TH)?(?:GRADE)?", code):
        return f"{int(number[1]):02}"
    return _BEFORE_SCHOOL.get(code) or _BEFORE_SCHOOL.get(code.replace("-", ""))


def grades(value: Any) -> dict[str, str | None]:
    """The grade that somebody is in: the first that can be understood, and all as they are written."""
    codes = (grade(text(item) or "") for item in listed(value))
    return {"grade": next((code for code in codes if code), None), "grade_text": words(value)}


def standing(row: Row) -> dict[str, str]:
    """The status of a row. Empty is that of an object that was created and never activated."""
    if isinstance(row.status, UnsetType) or row.status is None:
        return {"status": "active"}
    said = word(row.status)
    if not said:
        return {"status": "inactive", "status_reason": "pre_registered"}
    if said not in _STATUS:
        raise InvalidRow("status is none that OneRoster knows", key=None, fields=("status",))
    return {"status": _STATUS[said]}


def record(model: type[R], row: Row, asked: Asked, **values: Any) -> R:
    """A record of this row. Of something deleted, servers may tell hardly more than its id; then nothing else counts as told."""
    known: dict[str, Any] = {"sis_id": text(row.sourcedId), "updated_at": moment(row.date_last_modified), **standing(row)}
    if isinstance(row.metadata, dict) and (custom := asked.custom_of(model.kind, row.metadata)):
        known["custom"] = custom
    if known["status"] != "tobedeleted":
        return build(model, **known, **values)
    told = {name: value for name, value in values.items() if value not in (None, (), [], {})}
    try:
        return build(model, **known, **told)
    except ValidationError:
        return part(model, **known)


def within_school(read: Reader) -> Reader:
    """The same reading of a list that cannot be had for one school alone: rows of other schools feed nothing."""

    def narrowed(row: Row, asked: Asked) -> Iterable[Record]:
        wanted, theirs = asked.context.get("school"), row.schools()
        if wanted is None or wanted in theirs or not theirs:
            yield from read(row, asked)

    return narrowed


def last_day(value: Value, name: str, asked: Asked) -> Any:
    """An end date as the first day out."""
    return (day_after if asked.settings.end_dates == "inclusive" else day)(value, name)
