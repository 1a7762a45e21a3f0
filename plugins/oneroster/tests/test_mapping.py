"""From bytes as OneRoster servers send them to records: a test for each way in which they bend the standard."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sis_connect.capabilities import KINDS
from sis_connect.provider import InvalidRow, Reading
from sis_connect.records import Enrollment, Guardian, Record, Staff, Student
from sis_connect.rest_provider import Asked
from sis_connect.settings import SISProviderConfig
from sis_connect_oneroster.provider import ENDPOINTS
from sis_connect_oneroster.settings import OneRosterSettings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
STAMP = "2026-11-01T10:00:00.000Z"
BASE = {"sourcedId": "x-1", "status": "active", "dateLastModified": STAMP}
ADA = {**BASE, "givenName": "Ada", "familyName": "Example"}
BEGUN = {"sourcedId": "x-1", "updated_at": datetime(2026, 11, 1, 10, tzinfo=UTC), "status": "active"}


def at(sourced_id: str) -> dict[str, str]:
    return {"href": f"https://sis.example.org/ims/oneroster/rostering/v1p2/x/{sourced_id}", "sourcedId": sourced_id, "type": "x"}


def read(
    name: str, row: dict[str, Any] | bytes, fields: str = "", context: dict[str, str] | None = None, **settings: Any
) -> Reading:
    custom = SISProviderConfig(provider="oneroster", base_url="https://sis.example.org", custom=settings.pop("custom", ())).custom
    wanted = dict.fromkeys(KINDS, frozenset(fields.split()))
    asked = Asked(context or {}, wanted, OneRosterSettings(**settings), custom=custom)
    return BY_NAME[name].reader(asked)(row if isinstance(row, bytes) else json.dumps(row).encode())


def only(name: str, row: dict[str, Any] | bytes, fields: str = "", **settings: Any) -> dict[str, Any]:
    (record,) = read(name, row, fields, **settings).records
    return delivered(record)


def delivered(record: Record) -> dict[str, Any]:
    """What a record tells, without what is the same in most of these tests."""
    common = {"sis_id": "x-1", "updated_at": BEGUN["updated_at"], "status": "active"}
    told = record.model_dump(exclude_unset=True).items()
    return {name: value for name, value in told if (name, value) not in common.items()}


def refused(name: str, row: dict[str, Any], **settings: Any) -> InvalidRow:
    with pytest.raises(InvalidRow) as caught:
        read(name, row, **settings)
    assert "Example" not in str(caught.value)
    return caught.value


# -- what all rows have ------------------------------------------------------------------------------------------------

ORG = {**BASE, "name": "Any School", "type": "school", "identifier": "101"}
SCHOOL = {"name": "Any School", "ids": {"school_number": "101"}, "identifier": "101"}


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ({"status": "active"}, {}),
        ({"status": "Active"}, {}),
        ({"status": None}, {}),
        ({"status": "tobedeleted"}, {"status": "tobedeleted"}),
        ({"status": "toBeDeleted"}, {"status": "tobedeleted"}),
        ({"status": "inactive"}, {"status": "tobedeleted"}),
        ({"status": "", "dateLastModified": ""}, {"status": "inactive", "status_reason": "pre_registered", "updated_at": None}),
    ],
)
def test_the_status_of_version_1_0_means_deleted_and_none_at_all_never_active(
    written: dict[str, Any], status: dict[str, Any]
) -> None:
    assert only("schools", {**ORG, **written}) == {**SCHOOL, **status}


def test_a_row_without_status_is_there() -> None:
    assert only("schools", {name: value for name, value in ORG.items() if name != "status"}) == SCHOOL


def test_p2_a_status_that_nobody_knows_is_neither_active_nor_gone() -> None:
    assert refused("schools", {**ORG, "status": "archived"}).fields == ("status",)


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-11-01T10:00:00.000Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00.1234567Z", datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-01T04:00:00-06:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01 10:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_the_time_of_the_last_change_has_any_precision(stamp: str | None, moment: datetime | None) -> None:
    (record,) = read("schools", {**ORG, "dateLastModified": stamp}).records
    assert record.updated_at == moment


def test_ids_may_be_numbers_and_padded_and_are_taken_as_text() -> None:
    assert only("schools", {**ORG, "sourcedId": 17})["sis_id"] == "17"
    assert only("schools", {**ORG, "sourcedId": " s-1 "})["sis_id"] == "s-1"


def test_a_row_without_id_is_reported() -> None:
    assert refused("schools", {**ORG, "sourcedId": None}).fields == ("sourcedId",)


def test_a_row_of_another_shape_is_reported_by_its_id() -> None:
    error = refused("schools", {**ORG, "name": {"en": "Any"}})
    assert (error.key, error.fields) == ("x-1", ("name",))


@pytest.mark.parametrize("metadata", [None, "", [], {}, {"other": 1}])
def test_metadata_that_is_not_declared_is_not_kept(metadata: Any) -> None:
    assert only("schools", {**ORG, "metadata": metadata}, custom="building") == SCHOOL


def test_declared_metadata_is_kept_under_its_own_name_and_only_single_values_are() -> None:
    metadata = {"building": "B", "vendor.key": 7, "open": True, "list": [1], "object": {"a": 1}, "secret": "s"}
    custom = only("schools", {**ORG, "metadata": metadata}, custom="building, vendor.key,open,list,object,absent")["custom"]
    assert custom == {"building": "B", "vendor.key": 7, "open": True}


# -- organisations, sessions, courses, classes -------------------------------------------------------------------------


def test_of_the_organisations_schools_are_kept() -> None:
    assert only("schools", ORG) == SCHOOL
    assert only("schools", {**ORG, "type": "SCHOOL"}) == SCHOOL
    assert only("schools", {**ORG, "type": None}) == SCHOOL
    for kind in ("district", "department", "state", "national", "local", "ext:campus"):
        assert read("all_schools", {**ORG, "type": kind}).records == ()


SESSION = {**BASE, "title": "Fall", "type": "semester", "startDate": "2026-08-24", "endDate": "2027-01-16", "schoolYear": "2027"}
TERM = {
    "title": "Fall",
    "type": "semester",
    "start_date": date(2026, 8, 24),
    "end_date": date(2027, 1, 16),
    "school_year": 2027,
}


@pytest.mark.parametrize(
    ("written", "term"),
    [
        ({}, {}),
        ({"type": "schoolYear"}, {"type": "school_year"}),
        ({"type": "gradingPeriod"}, {"type": "grading_period"}),
        ({"type": "term"}, {"type": "term"}),
        ({"type": "ext:block"}, {"type": "term"}),
        ({"type": None}, {"type": "term"}),
        ({"schoolYear": 2027}, {}),
        ({"startDate": "2026-08-24T00:00:00.000Z", "endDate": "2027-01-16T00:00:00"}, {}),
        ({"parent": at("y"), "children": []}, {}),
    ],
)
def test_a_session_is_a_term(written: dict[str, Any], term: dict[str, Any]) -> None:
    assert only("terms", {**SESSION, **written}) == {**TERM, **term}


def test_end_dates_may_be_the_last_day_where_the_setting_says_so() -> None:
    assert only("terms", SESSION, end_dates="inclusive")["end_date"] == date(2027, 1, 17)


def test_a_session_without_dates_is_reported() -> None:
    assert "start_date" in refused("terms", {**SESSION, "startDate": None}).fields
    assert refused("terms", {**SESSION, "endDate": "soon"}).fields == ("endDate",)


def test_a_course_has_its_first_subject_as_department() -> None:
    row = {**BASE, "title": "Algebra", "courseCode": "A1", "subjects": ["Mathematics", "Science"], "org": at("d")}
    course = {"title": "Algebra", "course_code": "A1", "department": "Mathematics", "school": "d"}
    assert only("courses", row) == course
    assert only("courses", {**row, "subjects": "Mathematics", "org": "d"}) == course
    bare = {**BASE, "title": "Algebra"}
    assert only("courses", bare) == {"title": "Algebra", "course_code": None, "department": None}
    assert only("courses", {**bare, "subjects": "", "courseCode": 7}) == {
        "title": "Algebra",
        "course_code": "7",
        "department": None,
    }


CLASS = {
    **BASE, "title": "Math 6 - 2", "classCode": "M6-2", "classType": "scheduled", "location": "19", "grades": ["06"],
    "subjects": ["Mathematics"], "periods": ["1", "3"], "course": at("k-3"), "school": at("s-1"), "terms": [at("t-1"), at("t-2")],
}  # fmt: skip
SECTION = {
    "title": "Math 6 - 2", "section_number": "M6-2", "location": "19", "period": "1, 3", "department": "Mathematics",
    "school": "s-1", "course": "k-3", "term": "t-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "section"),
    [
        ({}, {}),
        ({"periods": "1"}, {"period": "1"}),
        ({"periods": 1}, {"period": "1"}),
        ({"periods": None, "location": 19}, {"period": None}),
        ({"school": "s-1", "course": "k-3", "terms": ["t-1"]}, {}),
        ({"school": [at("s-1")], "terms": at("t-1")}, {}),
        ({"terms": None, "term": at("t-1")}, {}),
        ({"school": None, "org": at("s-1")}, {}),
        ({"subjects": ""}, {"department": None}),
    ],
)
def test_a_class_is_a_section(written: dict[str, Any], section: dict[str, Any]) -> None:
    assert only("sections", {**CLASS, **written}) == {**SECTION, **section}


def test_a_class_without_a_school_is_reported_unless_the_school_was_asked_for() -> None:
    row = {**CLASS, "school": None}
    assert "school" in refused("sections", row).fields
    (record,) = read("school_sections", row, context={"school": "s-1"}).records
    assert delivered(record) == SECTION


def test_where_a_list_cannot_be_had_for_one_school_rows_of_others_are_left_out() -> None:
    here, there = {"school": "s-1"}, {"school": "s-2"}
    assert len(read("all_sections", CLASS, context=here).records) == 1
    assert read("all_sections", CLASS, context=there).records == ()
    assert read("all_schools", ORG, context=there).records == ()
    assert len(read("all_users", {**ADA, "role": "student", "orgs": [at("s-1"), at("s-2")]}, context=there).records) == 1


# -- enrolments --------------------------------------------------------------------------------------------------------

ENROLLMENT = {
    **BASE, "role": "student", "user": at("u-1"), "class": at("c-1"), "school": at("s-1"), "beginDate": "2026-08-24",
    "endDate": "2027-01-16",
}  # fmt: skip
IN_CLASS = {
    "section": "c-1", "user": "u-1", "role": "student", "school": "s-1", "primary": False, "begin_date": date(2026, 8, 24),
    "end_date": date(2027, 1, 16),
}  # fmt: skip


@pytest.mark.parametrize(
    ("written", "enrollment"),
    [
        ({}, {}),
        ({"role": "Student", "primary": "true"}, {}),
        ({"role": "teacher", "primary": "true"}, {"role": "teacher", "primary": True}),
        ({"role": "teacher", "primary": True}, {"role": "teacher", "primary": True}),
        ({"role": "teacher", "primary": 1}, {"role": "teacher", "primary": True}),
        ({"role": "teacher", "primary": "True"}, {"role": "teacher", "primary": True}),
        ({"role": "teacher", "primary": "false"}, {"role": "teacher"}),
        ({"role": "teacher", "primary": None}, {"role": "teacher"}),
        ({"role": "administrator"}, {"role": "aide"}),
        ({"role": "proctor"}, {"role": "aide"}),
        ({"role": "ext:coach"}, {"role": "aide"}),
        ({"user": "u-1", "class": "c-1", "school": ["s-1"]}, {}),
        ({"beginDate": None, "endDate": ""}, {"begin_date": None, "end_date": None}),
        ({"beginDate": "2026-08-24T00:00:00.000-06:00"}, {}),
    ],
)
def test_an_enrolment_is_somebody_in_a_section(written: dict[str, Any], enrollment: dict[str, Any]) -> None:
    assert only("enrollments", {**ENROLLMENT, **written}) == {**IN_CLASS, **enrollment}


def test_guardians_in_a_class_are_left_out() -> None:
    assert read("enrollments", {**ENROLLMENT, "role": "Parent"}).records == ()


def test_an_enrolment_without_a_role_is_reported() -> None:
    assert refused("enrollments", {**ENROLLMENT, "role": None}).fields == ("role",)


def test_end_dates_of_enrolments_follow_the_setting() -> None:
    assert only("enrollments", ENROLLMENT, end_dates="inclusive")["end_date"] == date(2027, 1, 17)


@pytest.mark.parametrize("name", ["schools", "terms", "courses", "sections", "students", "teachers", "enrollments"])
def test_what_is_deleted_may_tell_its_id_and_nothing_else(name: str) -> None:
    assert only(name, {**BASE, "status": "tobedeleted"}) == {"status": "tobedeleted"}


def test_what_is_deleted_and_told_in_full_keeps_what_is_told_and_turns_nothing_blank() -> None:
    told = only("enrollments", {**ENROLLMENT, "status": "tobedeleted", "beginDate": None})
    assert told == {**{name: value for name, value in IN_CLASS.items() if name != "begin_date"}, "status": "tobedeleted"}


def test_kinds_of_what_is_read() -> None:
    (enrollment,) = read("enrollments", ENROLLMENT).records
    (student,) = read("students", ADA).records
    (teacher,) = read("teachers", ADA).records
    (guardian,) = read("guardians", {**ADA, "role": "parent"}).records
    assert (type(enrollment), type(student), type(teacher), type(guardian)) == (Enrollment, Student, Staff, Guardian)
