"""OneRoster exports as tests want them: the standard's columns, and rows by what matters in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_FIRST = "sourcedId,status,dateLastModified,"
COLUMNS = {
    "orgs": _FIRST + "name,type,identifier,parentSourcedId",
    "academicSessions": _FIRST + "title,type,startDate,endDate,parentSourcedId,schoolYear",
    "courses": _FIRST + "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes",
    "classes": _FIRST
    + "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods",
    "enrollments": _FIRST + "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate",
    "users 1.1": _FIRST
    + "enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,"
    "agentSourcedIds,grades,password",
    "users": _FIRST
    + "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,"
    "password,userMasterIdentifier,resourceSourcedIds,preferredGivenName,preferredMiddleName,preferredFamilyName,"
    "primaryOrgSourcedId,pronouns",
    "roles": _FIRST + "userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId",
    "demographics": _FIRST + "birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,"
    "nativeHawaiianOrOtherPacificIslander,white,demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,"
    "stateOfBirthAbbreviation,cityOfBirth,publicSchoolResidenceStatus",
}  # fmt: skip
Row = Mapping[str, str]
#: When the rows of a delta were changed.
CHANGED = "2026-11-20T10:00:00.000Z"


def text(name: str, *rows: Row, extra: str = "") -> str:
    """A file with these rows, each cell in quotes."""
    header = COLUMNS[name] + extra
    lines = [",".join('"' + row.get(column, "").replace('"', '""') + '"' for column in header.split(",")) for row in rows]
    return "\r\n".join([header, *lines, ""])


def manifest(version: str, **modes: str) -> str:
    said = "".join(f"file.{name},{mode}\r\n" for name, mode in modes.items())
    return f"propertyName,value\r\nmanifest.version,1.0\r\noneroster.version,{version}\r\n{said}"


def changed(row: Row, status: str = "active", at: str = CHANGED) -> Row:
    """A row of a delta."""
    return {**row, "status": status, "dateLastModified": at}


def zipped(files: Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(name, content)
    return made.getvalue()


def saved(folder: Path, name: str, files: Mapping[str, str | bytes]) -> Path:
    path = folder / name
    path.write_bytes(zipped(files))
    return path


SCHOOL = {"sourcedId": "s-1", "name": "Any School", "type": "school", "identifier": "101", "parentSourcedId": "d"}
DISTRICT = {"sourcedId": "d", "name": "Any District", "type": "district"}
FALL = {
    "sourcedId": "t-1", "title": "Fall", "type": "semester", "startDate": "2026-08-24", "endDate": "2027-01-16",
    "schoolYear": "2027",
}  # fmt: skip
COURSE = {"sourcedId": "k-1", "title": "Algebra", "courseCode": "A1", "orgSourcedId": "d", "subjects": "Mathematics,Science"}
CLASS = {
    "sourcedId": "c-1", "title": "Algebra 1", "courseSourcedId": "k-1", "classCode": "A1-1", "classType": "scheduled",
    "schoolSourcedId": "s-1", "termSourcedIds": "t-1,t-2", "periods": "1,3",
}  # fmt: skip
ADA = {
    "sourcedId": "u-1",
    "enabledUser": "true",
    "username": "ada",
    "givenName": "Ada",
    "familyName": "Example",
    "grades": "09,10",
}
BEN = {"sourcedId": "u-2", "enabledUser": "true", "username": "ben", "givenName": "Ben", "familyName": "Example"}
ADA_LEARNS = {"sourcedId": "r-1", "userSourcedId": "u-1", "roleType": "primary", "role": "student", "orgSourcedId": "s-1"}
BEN_TEACHES = {"sourcedId": "r-2", "userSourcedId": "u-2", "roleType": "primary", "role": "teacher", "orgSourcedId": "s-1"}
IN_CLASS = {
    "sourcedId": "e-1", "classSourcedId": "c-1", "schoolSourcedId": "s-1", "userSourcedId": "u-1", "role": "student",
    "beginDate": "2026-08-24", "endDate": "2027-01-16",
}  # fmt: skip


def export(version: str = "1.2", **instead: str | None) -> dict[str, str | bytes]:
    """A whole export; files are replaced, or left out with `None`."""
    files: dict[str, str | None] = {
        "orgs": text("orgs", DISTRICT, SCHOOL),
        "academicSessions": text("academicSessions", FALL),
        "courses": text("courses", COURSE),
        "classes": text("classes", CLASS),
        "enrollments": text("enrollments", IN_CLASS),
    }
    if version == "1.2":
        files |= {"users": text("users", ADA, BEN), "roles": text("roles", ADA_LEARNS, BEN_TEACHES)}
    else:
        ada = {**ADA, "role": "student", "orgSourcedIds": "s-1"}
        files["users"] = text("users 1.1", ada, {**BEN, "role": "teacher", "orgSourcedIds": "s-1,s-2"})
    files |= instead
    held = {f"{name}.csv": content for name, content in files.items() if content is not None}
    said = manifest(version, **{name: "absent" if content is None else "bulk" for name, content in files.items()})
    return {"manifest.csv": said, **held}
