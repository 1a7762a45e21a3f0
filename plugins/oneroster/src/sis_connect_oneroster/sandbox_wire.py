"""How the sandbox puts an object on the wire: references with addresses, truth values as words, and the ways of real servers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from sis_connect_oneroster.sandbox_rows import Link, Row
from sis_connect_oneroster.sandbox_settings import CHOICES

_BOOLEANS: Mapping[str, tuple[Any, Any]] = {
    "text": ("false", "true"),
    "json": (False, True),
    "number": (0, 1),
    "capital": ("False", "True"),
}
_DATES = frozenset(("startDate", "endDate", "beginDate", "birthDate"))
_FAR = "2099"


class Wire:
    """Writes objects below one address, as the settings say."""

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self._base, self._settings = base_url, settings
        if settings["hrefs"] == "relative":
            self._base = "/" + base_url.split("/", 3)[3]
        elif settings["hrefs"] == "elsewhere":
            self._base = base_url.replace("127.0.0.1", "inside.example.org")
        self._false, self._true = _BOOLEANS[settings["booleans"]]
        self._nulls = settings["nulls"] == "sent"
        self._padded = settings["padded"] == "on"
        self._references = settings["references"]
        # Whatever is not as the standard has it is done to the finished object.
        self._odd = [change for name, change in _ODD.items() if settings[name] != CHOICES[name][0]]

    def encode(self, row: Row) -> bytes:
        return msgspec.json.encode(self.object(row))

    def object(self, row: Row) -> Row:
        written = self._members(row)
        for change in self._odd:
            change(written, self._settings)
        return written

    def _members(self, row: Mapping[str, Any]) -> Row:
        written: Row = {}
        for name, value in row.items():
            if value is None:
                if self._nulls and name != "metadata":
                    written[name] = None
            elif type(value) is str or name == "metadata":
                written[name] = value
            else:
                written[name] = self._value(value)
        return written

    def _value(self, value: Any) -> Any:
        if isinstance(value, Link):
            return self._reference(value)
        if isinstance(value, bool):
            return self._true if value else self._false
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self._members(value) if isinstance(value, dict) else value

    def _reference(self, link: Link) -> Any:
        sourced_id = f" {link.sourced_id} " if self._padded else link.sourced_id
        if self._references == "id":
            return sourced_id
        reference = {
            "href": f"{self._base}/{link.collection}/{_in_path(link.sourced_id)}",
            "sourcedId": sourced_id,
            "type": link.type,
        }
        return [reference] if self._references == "list" else reference


@lru_cache(maxsize=65_536)
def _in_path(sourced_id: str) -> str:
    """A slash in an id is no slash of the path."""
    return quote(sourced_id, safe="")


def _modified(row: Row, settings: Mapping[str, str]) -> None:
    moment: str = row["dateLastModified"]
    match settings["modified"]:
        case "no_zone":
            row["dateLastModified"] = moment.removesuffix("Z")
        case "no_fraction":
            row["dateLastModified"] = moment[:19] + "Z"
        case "now":
            row["dateLastModified"] = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        case "future":
            row["dateLastModified"] = _FAR + moment[4:]


def _grades(row: Row, settings: Mapping[str, str]) -> None:
    if not row.get("grades"):
        return
    first: str = row["grades"][0]
    written = {"text": first, "number": int(first) if first.isdecimal() else first, "blank": ""}
    row["grades"] = written[settings["grades"]]


def _roles(row: Row, settings: Mapping[str, str]) -> None:
    if "familyName" not in row and "givenName" not in row:
        return
    if settings["roles"] == "missing":
        row.pop("role", None)
        if "roles" in row:
            row["roles"] = []
        return
    if "role" in row:
        row["role"] = row["role"].upper()
    for role in row.get("roles", ()):
        role["role"] = role["role"].upper()


def _dates(row: Row, settings: Mapping[str, str]) -> None:
    for name in _DATES & row.keys():
        row[name] = f"{row[name]}T00:00:00.000Z" if row[name] else row[name]
    for role in row.get("roles", ()):
        _dates(role, settings)


def _school_year(row: Row, settings: Mapping[str, str]) -> None:
    if isinstance(row.get("schoolYear"), str):
        row["schoolYear"] = int(row["schoolYear"])


def _terms_key(row: Row, settings: Mapping[str, str]) -> None:
    if "terms" in row:
        row["term"] = row.pop("terms")[0]


def _references(row: Row, settings: Mapping[str, str]) -> None:
    """Lists of references do not become lists of lists."""
    for name in ("terms", "children", "agents", "orgs"):
        if isinstance(row.get(name), list):
            row[name] = [item[0] if isinstance(item, list) else item for item in row[name]]


def _one_item(row: Row, settings: Mapping[str, str]) -> None:
    for name, value in row.items():
        if isinstance(value, list) and len(value) == 1:
            row[name] = value[0]


_ODD = {
    "references": _references,
    "modified": _modified,
    "grades": _grades,
    "roles": _roles,
    "dates": _dates,
    "school_year": _school_year,
    "terms_key": _terms_key,
    "one_item": _one_item,
}
