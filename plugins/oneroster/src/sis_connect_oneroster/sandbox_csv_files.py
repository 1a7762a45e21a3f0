"""The synthetic district as a OneRoster CSV package of version 1.1 or 1.2: manifest and roster files, all or changed rows."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sis_connect.testing.district import District
from sis_connect_oneroster.sandbox_roster import Entry, Roster
from sis_connect_oneroster.sandbox_rows import Link, Row

_COMMON = ("sourcedId", "status", "dateLastModified")
_USERS = (
    *("username", "userIds", "givenName", "familyName", "middleName", "identifier", "email", "sms", "phone"),
    *("agentSourcedIds", "grades", "password"),
)


class File(NamedTuple):
    """A file: the class of objects in it, and its columns after the first three."""

    table: str
    columns: tuple[str, ...]


_BOTH: Mapping[str, File] = {
    "academicSessions": File("session", ("title", "type", "startDate", "endDate", "parentSourcedId", "schoolYear")),
    "orgs": File("org", ("name", "type", "identifier", "parentSourcedId")),
    "courses": File(
        "course", ("schoolYearSourcedId", "title", "courseCode", "grades", "orgSourcedId", "subjects", "subjectCodes")
    ),
    "classes": File(
        "class",
        (
            *("title", "grades", "courseSourcedId", "classCode", "classType", "location", "schoolSourcedId"),
            *("termSourcedIds", "subjects", "subjectCodes", "periods"),
        ),
    ),
    "enrollments": File(
        "enrollment", ("classSourcedId", "schoolSourcedId", "userSourcedId", "role", "primary", "beginDate", "endDate")
    ),
    "demographics": File(
        "demographics",
        (
            *("birthDate", "sex", "americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican"),
            *("nativeHawaiianOrOtherPacificIslander", "white", "demographicRaceTwoOrMoreRaces", "hispanicOrLatinoEthnicity"),
            *("countryOfBirthCode", "stateOfBirthAbbreviation", "cityOfBirth", "publicSchoolResidenceStatus"),
        ),
    ),
}
FILES: Mapping[str, Mapping[str, File]] = {
    "1.1": {**_BOTH, "users": File("user", ("enabledUser", "orgSourcedIds", "role", *_USERS))},
    "1.2": {
        **_BOTH,
        "users": File(
            "user",
            (
                *("enabledUser", *_USERS, "userMasterIdentifier", "resourceSourcedIds", "preferredGivenName"),
                *("preferredMiddleName", "preferredFamilyName", "primaryOrgSourcedId", "pronouns"),
            ),
        ),
        "roles": File(
            "role", ("userSourcedId", "roleType", "role", "beginDate", "endDate", "orgSourcedId", "userProfileSourcedId")
        ),
    },
}
#: Files that the manifest names although this package never has them.
ABSENT: Mapping[str, tuple[str, ...]] = {
    "1.1": ("categories", "classResources", "courseResources", "lineItems", "resources", "results"),
    "1.2": (
        *("categories", "classResources", "courseResources", "lineItems", "lineItemLearningObjectiveIds", "lineItemScoreScales"),
        *("resources", "results", "resultLearningObjectiveIds", "resultScoreScales", "scoreScales", "userProfiles"),
        "userResources",
    ),
}
_MEMBERS = {
    "termSourcedIds": "terms",
    "orgSourcedIds": "orgs",
    "agentSourcedIds": "agents",
    "resourceSourcedIds": "resources",
    "preferredGivenName": "preferredFirstName",
    "preferredFamilyName": "preferredLastName",
}
#: The moment that all files of a zip are of, so that the same day gives the same bytes.
_MOMENT = (2026, 1, 1, 0, 0, 0)


def package(district: District, *, version: str = "1.2", mode: str = "bulk", settings: Mapping[str, str] | None = None) -> bytes:
    """The zip of a day: all that there is (`bulk`), or what changed on that day (`delta`)."""
    chosen, names = dict(settings or {}), FILES[version]
    roster = Roster(district, version, {**chosen, "deleted": "purged" if mode == "bulk" else "listed"})
    withheld = {"demographics"} if chosen.get("demographics") == "withheld" else set()
    texts = {name: _text(roster, file, mode, chosen) for name, file in names.items() if name not in withheld}
    manifest = [
        ("propertyName", "value"),
        ("manifest.version", "1.0"),
        ("oneroster.version", version),
        *((f"file.{name}", mode if texts.get(name) else "absent") for name in sorted((*names, *ABSENT[version]))),
        ("source.systemName", "Synthetic district"),
        ("source.systemCode", "0042"),
    ]
    held = {name: text for name, text in texts.items() if text}
    if chosen.get("manifest") != "off":
        held["manifest"] = _lines(manifest)
    return _zipped(held, "\ufeff" if chosen.get("bom") == "on" else "", chosen.get("folder", ""))


def write_package(
    path: Path, district: District, *, version: str = "1.2", mode: str = "bulk", settings: Mapping[str, str] | None = None
) -> Path:
    """Write the zip of a day to a path."""
    path.write_bytes(package(district, version=version, mode=mode, settings=settings))
    return path


def _zipped(texts: Mapping[str, str], mark: str, folder: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            place = zipfile.ZipInfo(f"{folder}{name}.csv", _MOMENT)
            archive.writestr(place, (mark + text).encode(), zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _text(roster: Roster, file: File, mode: str, settings: Mapping[str, str]) -> str:
    """A file's text; blank where it would have no rows."""
    more = ("metadata.vendor.flag",) if settings.get("metadata") == "on" else ()
    today = roster.district.today.isoformat()
    rows = [
        [*_state(row, mode), *(cell(row, column) for column in file.columns), *("true" for _ in more)]
        for row in _rows(roster, file)
        if mode == "bulk" or row["dateLastModified"].startswith(today)
    ]
    return _lines([(*_COMMON, *file.columns, *more), *rows]) if rows else ""


def _lines(rows: list[Any]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\r\n").writerows(rows)
    return held.getvalue()


def _state(row: Row, mode: str) -> tuple[str, str, str]:
    """In a bulk file status and time are left blank."""
    return (row["sourcedId"], "", "") if mode == "bulk" else (row["sourcedId"], row["status"], row["dateLastModified"])


def _rows(roster: Roster, file: File) -> Iterator[Row]:
    if file.table != "role":
        for entry in roster.entries(file.table).values():
            row = roster.row(entry)
            yield row | ({"primary": bool(row["primary"])} if "primary" in row else {})
        return
    for entry in roster.entries("user").values():
        yield from _roles(roster, entry)


def _roles(roster: Roster, entry: Entry) -> Iterator[Row]:
    row = roster.row(entry)
    for place, role in enumerate(row["roles"], 1):
        common = {name: row[name] for name in ("status", "dateLastModified")}
        yield {**role, **common, "sourcedId": f"{entry.sourced_id}.r{place}", "user": Link("users", entry.sourced_id, "user")}


def cell(row: Row, column: str) -> str:
    """What a column has of an object. Lists are comma-separated."""
    value = row.get(_MEMBERS.get(column, column.removesuffix("SourcedId")))
    return ",".join(_plain(item) for item in value) if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Link):
        return value.sourced_id
    return f"{{{value['type']}:{value['identifier']}}}" if isinstance(value, dict) else str(value)
