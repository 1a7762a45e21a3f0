"""The CSV sandbox by raw HTTP: packages, manifest, headers, bulk and delta (section 10.2 of the notes)."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from raw_oneroster import CSV_FACTORY
from sis_connect.errors import ConfigurationError
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect_oneroster.sandbox_csv_files import write_package

Rows = list[dict[str, str]]
HEADERS = {
    "academicSessions": "title,type,startDate,endDate,parentSourcedId,schoolYear",
    "orgs": "name,type,identifier,parentSourcedId",
    "courses": "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes",
    "classes": (
        "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods"
    ),
    "enrollments": "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate",
    "demographics": (
        "birthDate,sex,americanIndianOrAlaskaNative,asian,blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,"
        "demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
        "publicSchoolResidenceStatus"
    ),
}
USERS = {
    "1.1": (
        "enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,"
        "agentSourcedIds,grades,password"
    ),
    "1.2": (
        "enabledUser,username,userIds,givenName,familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password,"
        "userMasterIdentifier,resourceSourcedIds,preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,"
        "pronouns"
    ),
}
ROLES = "userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,userProfileSourcedId"
VERSIONS = ["1.1", "1.2"]


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running_sandbox(CSV_FACTORY, students=200) as sandbox:
        yield sandbox


def get(sandbox: RunningSandbox, name: str = "oneroster.zip", **headers: str) -> httpx.Response:
    return httpx.get(f"{sandbox.base_url}/{name}", auth=(sandbox.client_id, sandbox.client_secret), headers=headers)


def texts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tables(sandbox: RunningSandbox, name: str = "oneroster.zip") -> dict[str, Rows]:
    found = texts(get(sandbox, name).content)
    return {file.removesuffix(".csv"): list(csv.DictReader(io.StringIO(text.decode()))) for file, text in found.items()}


def manifest(sandbox: RunningSandbox, name: str = "oneroster.zip") -> dict[str, str]:
    return {row["propertyName"]: row["value"] for row in tables(sandbox, name)["manifest"]}


# The server


def test_who_asks_must_say_so(sandbox: RunningSandbox) -> None:
    assert sandbox.settings == {"rate_limit": "off", "end_dates": "exclusive", "grant": "basic"}
    refused = httpx.get(f"{sandbox.base_url}/oneroster.zip")
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert httpx.get(f"{sandbox.base_url}/oneroster.zip", auth=(sandbox.client_id, "wrong")).status_code == 401
    sandbox.set(auth="none")
    assert httpx.get(f"{sandbox.base_url}/oneroster.zip").status_code == 200


def test_there_is_one_package_under_its_names(sandbox: RunningSandbox) -> None:
    answer = get(sandbox)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.content == get(sandbox, "bulk.zip").content
    assert get(sandbox, "other.zip").status_code == 404
    posted = httpx.post(f"{sandbox.base_url}/oneroster.zip", auth=(sandbox.client_id, sandbox.client_secret))
    assert posted.status_code == 405


def test_what_has_not_changed_is_not_sent_again(sandbox: RunningSandbox) -> None:
    first = get(sandbox)
    again = get(sandbox, **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["last-modified"] == "Mon, 05 Oct 2026 22:00:00 GMT"
    sandbox.set_day(1)
    assert get(sandbox, **{"If-None-Match": first.headers["etag"]}).status_code == 200


def test_a_setting_that_is_none_is_refused(sandbox: RunningSandbox) -> None:
    with pytest.raises(ConfigurationError, match="mode"):
        sandbox.set(mode="weekly")


# Bulk


@pytest.mark.parametrize("version", VERSIONS)
def test_files_have_exactly_their_headers(sandbox: RunningSandbox, version: str) -> None:
    sandbox.set(version=version)
    expected = {**HEADERS, "users": USERS[version], **({"roles": ROLES} if version == "1.2" else {})}
    found = texts(get(sandbox).content)
    assert set(found) == {f"{name}.csv" for name in (*expected, "manifest")}
    for name, header in expected.items():
        lines = found[f"{name}.csv"].decode().split("\r\n")
        assert lines[0] == f"sourcedId,status,dateLastModified,{header}", name
        assert len(lines) > 2, "no file is without rows"
        assert "\n" not in "".join(lines), "no field has a line break"


@pytest.mark.parametrize(("version", "absent"), [("1.1", 6), ("1.2", 13)])
def test_the_manifest_names_every_file_of_the_version(sandbox: RunningSandbox, version: str, absent: int) -> None:
    sandbox.set(version=version)
    told = manifest(sandbox)
    assert (told["manifest.version"], told["oneroster.version"]) == ("1.0", version)
    files = {name.removeprefix("file."): mode for name, mode in told.items() if name.startswith("file.")}
    assert {name for name, mode in files.items() if mode == "bulk"} == set(tables(sandbox)) - {"manifest"}
    assert list(files.values()).count("absent") == absent
    assert len(files) == (13 if version == "1.1" else 21)


@pytest.mark.parametrize("version", VERSIONS)
def test_in_bulk_status_is_blank_and_who_left_is_absent(sandbox: RunningSandbox, version: str) -> None:
    sandbox.set(version=version)
    sandbox.set_day(30)
    found = tables(sandbox)
    assert all((row["status"], row["dateLastModified"]) == ("", "") for name in HEADERS for row in found[name])
    people = {row["sourcedId"] for row in found["users"]}
    assert {row["userSourcedId"] for row in found["enrollments"]} <= people
    truth = {kind: {row["sis_id"] for row in sandbox.truth(kind)} for kind in ("students", "staff", "guardians", "enrollments")}
    assert people == truth["students"] | truth["staff"] | truth["guardians"]
    assert {row["sourcedId"] for row in found["enrollments"]} == truth["enrollments"]
    assert {row["status"] for row in sandbox.truth("students")} == {"active"}


def test_lists_and_ids_are_written_into_one_cell(sandbox: RunningSandbox) -> None:
    people = {row["identifier"]: row for row in tables(sandbox)["users"]}
    case = sandbox.district.hard_cases["preferred_name"][0]
    student = sandbox.district.students[int(case.removeprefix("student-"))]
    row = people[student.number]
    assert row["userIds"] == f"{{stateId:{student.state_id}}}"
    assert (row["preferredGivenName"], row["enabledUser"], row["grades"]) == ("Sam", "true", "07")
    assert len(row["agentSourcedIds"].split(",")) >= 2
    many = [row["termSourcedIds"] for row in tables(sandbox)["classes"] if "," in row["termSourcedIds"]]
    assert many


def test_roles_are_a_file_of_their_own_in_1_2_and_a_column_in_1_1(sandbox: RunningSandbox) -> None:
    found = tables(sandbox)
    assert {row["userSourcedId"] for row in found["roles"]} == {row["sourcedId"] for row in found["users"]}
    assert len({row["sourcedId"] for row in found["roles"]}) == len(found["roles"]) > len(found["users"])
    sandbox.set(version="1.1")
    older = tables(sandbox)["users"]
    assert {"student", "teacher", "administrator", "parent"} <= {row["role"] for row in older}
    assert any("," in row["orgSourcedIds"] for row in older)


# Delta


@pytest.mark.parametrize("version", VERSIONS)
def test_a_delta_has_what_changed_on_the_day(sandbox: RunningSandbox, version: str) -> None:
    sandbox.set(version=version, mode="delta")
    seen: set[str] = set()
    for day in (3, 4, 5, 6, 7, 8):
        sandbox.set_day(day)
        found, told = tables(sandbox), manifest(sandbox)
        assert {told[f"file.{name}"] for name in found if name != "manifest"} <= {"delta"}
        for name, rows in found.items():
            if name != "manifest":
                assert rows, "no file is without rows"
                assert {row["dateLastModified"][:10] for row in rows} == {sandbox.date.isoformat()}
                seen |= {row["status"] for row in rows}
        assert told["file.orgs"] == "absent"
    assert seen == {"active", "tobedeleted"}


def test_on_the_first_day_nothing_has_changed(sandbox: RunningSandbox) -> None:
    assert set(tables(sandbox, "delta.zip")) == {"manifest"}


# Variants


def test_packages_come_with_marks_folders_and_columns_of_their_own(sandbox: RunningSandbox) -> None:
    sandbox.set(bom="on", metadata="on", manifest="off", demographics="withheld", folder="export/")
    found = texts(get(sandbox).content)
    assert set(found) == {
        f"export/{name}.csv" for name in ("academicSessions", "classes", "courses", "enrollments", "orgs", "roles", "users")
    }
    header = found["export/orgs.csv"].split(b"\r\n")[0]
    assert header.startswith(b"\xef\xbb\xbfsourcedId")
    assert header.endswith(b",parentSourcedId,metadata.vendor.flag")


def test_a_package_can_be_written_to_a_folder(tmp_path: Path) -> None:
    district = District(students=50)
    written = write_package(tmp_path / "oneroster.zip", district, version="1.1")
    assert "users.csv" in texts(written.read_bytes())
    assert written.read_bytes() == write_package(tmp_path / "again.zip", district, version="1.1").read_bytes()
