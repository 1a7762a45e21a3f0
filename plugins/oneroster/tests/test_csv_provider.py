"""Reading exports from a folder and from a web server: what they bring, what absence in them means, and what is incomplete."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from manual_clock import ManualClock
from oneroster_exports import (
    ADA,
    ADA_LEARNS,
    BEN,
    BEN_TEACHES,
    CLASS,
    DISTRICT,
    IN_CLASS,
    SCHOOL,
    changed,
    export,
    manifest,
    saved,
    text,
    zipped,
)
from raw_server import Heard, answer, serving
from sis_connect.capabilities import Kind
from sis_connect.connection import Connection, connect
from sis_connect.errors import ConfigurationError, SISError, UnexpectedResponse
from sis_connect.provider import DONE, Finding, Page, Scope
from sis_connect.records import Record
from sis_connect.service import SISService
from sis_connect.settings import validated
from sis_connect_oneroster import csv_package

SCHOOLS: tuple[Kind, ...] = ("schools",)
ROSTER: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "students", "sections", "enrollments")


def opened(folder: Path, **settings: Any) -> Connection:
    return connect("oneroster_csv", base_url=folder.as_uri(), **settings)


async def pages(folder: Path, kinds: Sequence[Kind] = ROSTER, scope: Scope | None = None, **settings: Any) -> list[Page]:
    async with opened(folder, **settings) as sis:
        return [page async for page in sis.pages(kinds, scope or Scope())]


def found(read: Sequence[Page], *kinds: Kind) -> dict[str, Record]:
    return {record.sis_id: record for page in read for record in page.records() if record.kind in kinds}


def told(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.model_dump(exclude_unset=True).items() if value not in (None, {}, ())}


# -- one package -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_package_of_either_version_is_the_same_roster(tmp_path: Path, version: str) -> None:
    saved(tmp_path, "any.zip", export(version))
    read = await pages(tmp_path)
    active = {"status": "active"}
    expected: dict[str, dict[str, Any]] = {
        "s-1": {**active, "name": "Any School", "identifier": "101", "ids": {"school_number": "101"}},
        "k-1": {**active, "title": "Algebra", "course_code": "A1", "school": "d", "department": "Mathematics"},
        "c-1": {
            **active, "title": "Algebra 1", "section_number": "A1-1", "period": "1, 3", "school": "s-1", "course": "k-1",
            "term": "t-1",
        },
        "u-1": {
            **active, "given_name": "Ada", "family_name": "Example", "username": "ada", "school": "s-1", "grade": "09",
            "grade_text": "09, 10",
        },
    }  # fmt: skip
    here = found(read, *ROSTER)
    assert set(here) == {*expected, "t-1", "e-1", "u-2"}
    for sis_id, record in expected.items():
        assert told(here[sis_id]) == {"sis_id": sis_id, **record}
    assert told(found(read, "staff")["u-2"])["schools"] == (("s-1",) if version == "1.2" else ("s-1", "s-2"))


async def test_p1_every_stream_says_how_many_rows_its_file_has(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export(orgs=text("orgs", DISTRICT, SCHOOL, SCHOOL)))
    read = await pages(tmp_path)
    assert {page.endpoint: (page.total, page.received, page.more, page.changes_only) for page in read} == {
        "schools": (2, 2, False, False),
        "terms": (1, 1, False, False),
        "courses": (1, 1, False, False),
        "users": (2, 2, False, False),
        "sections": (1, 1, False, False),
        "enrollments": (1, 1, False, False),
    }


async def test_p1_a_file_that_is_absent_is_not_observed_and_never_empty(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export(classes=None, enrollments=None))
    assert {kind for page in await pages(tmp_path) for kind in page.kinds} == {"schools", "terms", "courses", "students", "staff"}


async def test_p2_a_damaged_row_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    saved(
        tmp_path, "any.zip", export(orgs="sourcedId,name,type\ns-1,Any School,school,what\n,Nameless,school\ns-2,Other,school\n")
    )
    async with opened(tmp_path) as sis:
        assert [school.sis_id async for school in sis.schools()] == ["s-2"]
        assert sis.invalid.by_kind == {"schools": 2}


async def test_long_files_come_in_pages_and_a_read_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    orgs = [{**SCHOOL, "sourcedId": f"s-{number}"} for number in range(7)]
    saved(tmp_path, "any.zip", export(orgs=text("orgs", *orgs)))
    async with opened(tmp_path, page_size=3) as sis:
        read = [page async for page in sis.pages(SCHOOLS)]
        again = [page async for page in sis.pages(SCHOOLS, cursor={read[1].stream: str(read[1].cursor)})]
        done = [page async for page in sis.pages(SCHOOLS, cursor={read[1].stream: DONE})]
    assert [(page.received, page.more) for page in read] == [(3, True), (3, True), (1, False)]
    assert [page.rows for page in again] == [page.rows for page in read[1:]]
    assert done == []


# -- what is asked for -------------------------------------------------------------------------------------------------


async def test_p7_demographics_come_only_where_they_are_asked_for(tmp_path: Path) -> None:
    facts = {"sourcedId": "u-1", "birthDate": "2012-04-05", "sex": "female"}
    saved(tmp_path, "any.zip", export(demographics=text("demographics", facts)))
    assert "demographics" not in {page.endpoint for page in await pages(tmp_path)}
    read = [page for page in await pages(tmp_path, fields="gender") if page.endpoint == "demographics"]
    assert [(page.partial, [record.model_dump(exclude_unset=True) for record in page.records()]) for page in read] == [
        (True, [{"sis_id": "u-1", "gender": "female"}])
    ]


async def test_guardians_come_only_where_they_are_asked_for(tmp_path: Path) -> None:
    eve = {"sourcedId": "u-3", "givenName": "Eve", "familyName": "Example", "agentSourcedIds": "u-1"}
    parent = {"sourcedId": "r-3", "userSourcedId": "u-3", "roleType": "primary", "role": "parent", "orgSourcedId": "s-1"}
    saved(tmp_path, "any.zip", export(users=text("users", ADA, eve), roles=text("roles", ADA_LEARNS, parent)))
    assert set(found(await pages(tmp_path), *ROSTER, "guardians")) >= {"u-1"}
    assert "u-3" not in found(await pages(tmp_path), *ROSTER, "guardians")
    guardian = found(await pages(tmp_path, (*ROSTER, "guardians"), fields="guardians"), "guardians")["u-3"]
    assert told(guardian) == {
        "sis_id": "u-3", "status": "active", "given_name": "Eve", "family_name": "Example", "relationship": "parent",
        "students": ("u-1",),
    }  # fmt: skip


async def test_declared_metadata_becomes_custom(tmp_path: Path) -> None:
    row = {**ADA, "metadata.building": "B", "metadata.secret": "never-kept"}
    saved(tmp_path, "any.zip", export(users=text("users", row, BEN, extra=",metadata.building,metadata.secret")))
    read = await pages(tmp_path, custom="building")
    assert found(read, "students")["u-1"].custom == {"building": "B"}
    assert b"never-kept" not in b"".join(row for page in read for row in page.rows)


async def test_one_school_is_read_of_the_whole_export(tmp_path: Path) -> None:
    there = {**CLASS, "sourcedId": "c-2", "schoolSourcedId": "s-2"}
    saved(tmp_path, "any.zip", export(classes=text("classes", CLASS, there)))
    read = await pages(tmp_path, ("sections",), Scope(schools=frozenset({"s-1"})))
    assert ([page.school for page in read], list(found(read, "sections"))) == (["s-1"], ["c-1"])


async def test_one_student_is_one_row(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export())
    (page,) = await pages(tmp_path, ROSTER, Scope(students=frozenset({"u-1"})))
    assert (page.total, page.received, list(found([page], "students"))) == (1, 1, ["u-1"])


async def test_end_dates_follow_the_setting(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export())
    read = await pages(tmp_path, ("enrollments",), end_dates="inclusive")
    assert str(told(found(read, "enrollments")["e-1"])["end_date"]) == "2027-01-17"


# -- several packages --------------------------------------------------------------------------------------------------


def arrived(folder: Path, name: str, files: Mapping[str, str | bytes], hour: int) -> None:
    path = saved(folder, name, files)
    os.utime(path, (hour * 3600, hour * 3600))


def delta(**files: str) -> Mapping[str, str | bytes]:
    return {"manifest.csv": manifest("1.2", **dict.fromkeys(files, "delta"))} | {
        f"{name}.csv": each for name, each in files.items()
    }


async def test_deltas_are_put_over_the_newest_bulk_package_in_order(tmp_path: Path) -> None:
    ghost = {**ADA, "sourcedId": "u-9"}
    arrived(tmp_path, "z-old.zip", export(users=text("users", ghost, ADA)), 1)
    arrived(tmp_path, "c-old-delta.zip", delta(users=text("users", changed({**ADA, "givenName": "Old"}))), 2)
    arrived(tmp_path, "b-bulk.zip", export(), 3)
    arrived(
        tmp_path,
        "d-first.zip",
        delta(users=text("users", changed({**ADA, "givenName": "First"}), changed(BEN, "tobedeleted"))),
        4,
    )
    arrived(tmp_path, "a-second.zip", delta(users=text("users", changed({**ADA, "givenName": "Second"}))), 5)
    read = await pages(tmp_path)
    (users,) = [page for page in read if page.endpoint == "users"]
    assert (users.total, users.changes_only, users.mark) == (2, False, None)
    assert told(found(read, "students")["u-1"])["given_name"] == "Second"
    assert found(read, "staff")["u-2"].status == "tobedeleted"
    assert "u-9" not in found(read, "students")


async def test_who_gets_another_role_in_a_delta_has_it(tmp_path: Path) -> None:
    arrived(tmp_path, "bulk.zip", export(), 1)
    helps = {**BEN_TEACHES, "sourcedId": "r-9", "role": "aide", "orgSourcedId": "s-2"}
    arrived(tmp_path, "delta.zip", delta(roles=text("roles", changed(BEN_TEACHES, "tobedeleted"), changed(helps))), 2)
    staff = told(found(await pages(tmp_path), "staff")["u-2"])
    assert (staff["role"], staff["schools"]) == ("staff", ("s-2",))


async def test_p1_where_there_are_only_deltas_pages_say_so_and_how_far_they_go(tmp_path: Path) -> None:
    later = "2026-11-20T12:00:00.000Z"
    files = delta(
        enrollments=text("enrollments", changed(IN_CLASS), changed({**IN_CLASS, "sourcedId": "e-2"}, "tobedeleted", later))
    )
    arrived(tmp_path, "delta.zip", files, 1)
    (page,) = await pages(tmp_path)
    assert (page.endpoint, page.changes_only, page.mark) == ("enrollments", True, later)
    assert {record.sis_id: record.status for record in page.records()} == {"e-1": "active", "e-2": "tobedeleted"}


# -- from a web server -------------------------------------------------------------------------------------------------


async def web(heard: Heard) -> bytes:
    found_there = heard.path in ("/exports/oneroster.zip", "/exports/bulk%20one.zip")
    return answer(zipped(export()), content_type="application/zip") if found_there else answer(b"", status=404)


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("/exports", {}),
        ("/exports/oneroster.zip", {}),
        ("/exports", {"file": "bulk one.zip"}),
        ("/exports/", {"file": "oneroster.zip"}),
    ],
)
async def test_a_package_is_fetched_from_a_web_server(path: str, settings: dict[str, Any]) -> None:
    async with serving(web) as server:
        there = connect("oneroster_csv", base_url=server.url + path, grant="none", rate_limit="off", **settings)
        async with there as sis:
            assert [student.sis_id async for student in sis.students()] == ["u-1"]
    assert len(server.heard) == 1


async def test_a_package_behind_a_password_is_fetched_with_it() -> None:
    async with serving(web) as server:
        settings: dict[str, Any] = {"grant": "basic", "client_id": "lincoln", "client_secret": "s", "rate_limit": "off"}
        async with connect("oneroster_csv", base_url=f"{server.url}/exports", **settings) as sis:
            assert [school.sis_id async for school in sis.schools()] == ["s-1"]
    assert server.heard[0].headers["authorization"].startswith("Basic ")


async def test_a_package_that_is_not_there_is_an_error() -> None:
    async with serving(web) as server:
        nowhere = connect("oneroster_csv", base_url=f"{server.url}/none", grant="none", rate_limit="off", max_attempts=1)
        async with nowhere as sis:
            with pytest.raises(SISError, match="404"):
                [school async for school in sis.schools()]


# -- what is wrong -----------------------------------------------------------------------------------------------------


async def test_a_folder_without_an_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no export in the folder") as empty:
        await pages(tmp_path)
    assert "users.csv" in empty.value.remedy
    with pytest.raises(ConfigurationError, match=f"There is no file or folder {tmp_path / 'none'}"):
        await pages(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=f"There is no file or folder {tmp_path / 'lost.zip'}"):
        await pages(tmp_path, file="lost.zip")


@pytest.mark.parametrize("file", ["../other.zip", "a/b.zip", ".hidden"])
def test_a_file_is_named_without_folders(tmp_path: Path, file: str) -> None:
    with pytest.raises(ConfigurationError, match="without folders"):
        opened(tmp_path, file=file)


async def test_p1_a_package_that_breaks_off_is_no_export_at_all(tmp_path: Path) -> None:
    (tmp_path / "any.zip").write_bytes(zipped(export())[:-30])
    with pytest.raises(UnexpectedResponse):
        await pages(tmp_path)


async def doctor(folder: Path, **settings: Any) -> dict[str, Finding]:
    async with opened(folder, clock=ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC)), **settings) as sis:
        return {finding.topic: finding for finding in await sis.check()}


async def test_doctor_says_what_is_in_the_export(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export())
    found = await doctor(tmp_path)
    assert (found["package"].level, "users (bulk)" in found["package"].message) == ("ok", True)
    assert (found["rows"].level, found["rows"].facts["users"]) == ("ok", 2)
    assert "2026-27" in found["school_year"].message


async def test_doctor_says_what_is_not_in_the_export_and_what_holds_changes_only(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export(classes=None))
    finding = (await doctor(tmp_path))["package"]
    assert (finding.level, "classes" in finding.message) == ("warning", True)
    saved(tmp_path, "any.zip", {**export(), "courses.csv": text("courses", changed({"sourcedId": "k-1", "title": "Algebra"}))})
    finding = (await doctor(tmp_path))["package"]
    assert (finding.level, "changes only" in finding.message) == ("warning", True)


async def test_doctor_misses_demographics_only_where_they_are_asked_for(tmp_path: Path) -> None:
    saved(tmp_path, "any.zip", export())
    found = await doctor(tmp_path, fields="gender,addresses")
    assert "Not in it: demographics" in found["package"].message
    assert "addresses" in found["fields"].message


@pytest.mark.parametrize(("made", "level"), [((2026, 11, 13), "ok"), ((2026, 11, 12), "warning")])
async def test_doctor_says_how_old_the_export_is(tmp_path: Path, made: tuple[int, int, int], level: str) -> None:
    for name, content in export().items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(tmp_path / name, (datetime(*made, tzinfo=UTC).timestamp(),) * 2)
    assert (await doctor(tmp_path))["age"].level == level


def test_p1_a_zip_that_tells_no_times_has_no_age(tmp_path: Path) -> None:
    untimed = io.BytesIO()
    with zipfile.ZipFile(untimed, "w") as archive:
        for name, content in export().items():
            archive.writestr(zipfile.ZipInfo(name), content)
    assert csv_package.zipped(untimed).made is None
    assert csv_package.zipped(untimed, date(2026, 11, 20)).made == date(2026, 11, 20)


async def test_doctor_names_a_package_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "any.zip").write_bytes(b"no zip")
    async with opened(tmp_path) as sis:
        (finding,) = await sis.check()
    assert (finding.topic, finding.level) == ("package", "error")


# -- synced ------------------------------------------------------------------------------------------------------------


async def test_p1_who_is_not_in_the_next_bulk_package_has_left(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    pupils = [{**ADA, "sourcedId": f"p-{number}"} for number in range(30)]
    learn = [{**ADA_LEARNS, "sourcedId": f"r-p-{number}", "userSourcedId": f"p-{number}"} for number in range(30)]
    everybody: dict[str, Any] = {
        "users": text("users", BEN, *pupils),
        "roles": text("roles", BEN_TEACHES, *learn),
        "enrollments": None,
    }
    arrived(exports, "oneroster.zip", export(**everybody), 1)
    config = validated({"provider": "oneroster_csv", "base_url": exports.as_uri(), "absence_grace": 0}, origin="a test")
    async with SISService.open(f"sqlite:///{tmp_path / 'roster.db'}") as service:
        await service.create_integration("lincoln", config)
        assert (await service.sync("lincoln", kinds=("schools", "staff", "students"))).status == "succeeded"
        arrived(exports, "oneroster.zip", export(**{**everybody, "users": text("users", BEN, *pupils[1:])}), 2)
        report = await service.sync("lincoln", kinds=("schools", "staff", "students"))
        gone = [row async for row in service.export("lincoln", "students") if row["status"] != "active"]
    assert (report.status, [row["sis_id"] for row in gone]) == ("succeeded", ["p-0"])
