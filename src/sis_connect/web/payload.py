"""What anybody may send, read as hints, where it is not in the form of the SIS itself. Pure.

{"kind": "students", "id": "4711"}
{"hints": [{"kind": "students", "name": "student_number", "value": "900123"}, {"kind": "sections"}]}
{"type": "student.updated", "data": {"id": "4711"}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from sis_connect.capabilities import KINDS, Kind
from sis_connect.discovery import load
from sis_connect.provider import Hint

#: What the kinds are called elsewhere.
_CALLED: Mapping[str, Kind] = {
    **{kind: kind for kind in KINDS},
    **{kind.removesuffix("s"): kind for kind in KINDS},
    "pupil": "students",
    "pupils": "students",
    "teacher": "staff",
    "teachers": "staff",
    "class": "sections",
    "classes": "sections",
    "org": "schools",
    "orgs": "schools",
    "academicsession": "terms",
    "academicsessions": "terms",
}
_IDS = ("id", "sis_id", "value", "sourcedId", "sourced_id")


def hints_in(headers: Mapping[str, str], body: bytes, *, form: str | None) -> Sequence[Hint]:
    """The hints in a delivery: in the form of the SIS, which `ProviderInfo.hints` names, or else in ours."""
    return (load(form)(headers, body) if form else ()) or hints(headers, body)


def hints(headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
    """The hints in a body of JSON; none where it is about something else. Raises `ValueError` where it is no JSON at all."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("no JSON") from None
    return list(_hints(document))


def _hints(document: Any) -> Iterator[Hint]:
    if isinstance(document, list):
        for each in document:
            if isinstance(each, dict):
                yield from _of(each)
    elif isinstance(document, dict):
        listed = document.get("hints")
        yield from _hints(listed) if isinstance(listed, list) else _of(document)


def _of(entry: Mapping[str, Any]) -> Iterator[Hint]:
    named = entry.get("kind") or entry.get("type")
    if not isinstance(named, str):
        return
    kind = _CALLED.get(named.lower()) or _CALLED.get(named.partition(".")[0].lower())
    data = entry.get("data")
    place = cast("Mapping[str, Any]", data) if isinstance(data, dict) else entry
    value = next((_text(place[name]) for name in _IDS if _text(place.get(name))), "")
    name = place.get("name") if "value" in place and isinstance(place.get("name"), str) else "sis_id"
    if kind is not None:
        yield Hint(kind, str(name), value)


def _text(value: object) -> str:
    return "" if isinstance(value, bool) else str(value) if isinstance(value, (str, int)) else ""
