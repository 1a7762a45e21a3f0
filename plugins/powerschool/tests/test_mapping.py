"""From bytes as PowerSchool sends them to records: a test for each quirk of the wire."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sis_connect.capabilities import KINDS, Kind
from sis_connect.provider import InvalidRow, Reading
from sis_connect.records import Enrollment, Record, Ref
from sis_connect.rest_provider import Asked
from sis_connect_powerschool.provider import ENDPOINTS
from sis_connect_powerschool.settings import PowerSchoolSettings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
SCHOOL = {"school": "3", "school_year": "2027"}


def read(name: str, row: bytes, **context: str) -> Reading:
    nothing: dict[Kind, frozenset[str]] = dict.fromkeys(KINDS, frozenset())
    return BY_NAME[name].reader(Asked(context or SCHOOL, nothing, PowerSchoolSettings()))(row)


def only(name: str, row: bytes, **context: str) -> Record:
    (record,) = read(name, row, **context).records
    return record


def delivered(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude_unset=True)


# -- schools, terms, courses -------------------------------------------------------------------------------------------


def test_a_school_goes_by_its_dcid_and_keeps_its_number_apart() -> None:
    row = b'{"id": 3, "name": "Any Middle", "school_number": 101, "state_province_id": 77123, "low_grade": 6, "high_grade": 8}'
    assert delivered(only("schools", row)) == {
        "sis_id": "3",
        "ids": {"school_number": "101", "state_id": "77123"},
        "name": "Any Middle",
        "identifier": "101",
        "grades": ("06", "07", "08"),
    }


@pytest.mark.parametrize(
    ("low", "high", "grades"),
    [
        (b"-2", b"1", ("PK", "KG", "01")),
        (b"0", b"0", ("KG",)),
        (b"9", b"12", ("09", "10", "11", "12")),
        (b'"10"', b"12", ("10", "11", "12")),
    ],
)
def test_preschool_years_are_negative_and_all_of_them_are_pk(low: bytes, high: bytes, grades: tuple[str, ...]) -> None:
    row = b'{"id": 3, "name": "Any", "low_grade": ' + low + b', "high_grade": ' + high + b"}"
    assert delivered(only("schools", row))["grades"] == grades


def test_the_school_of_the_graduates_is_no_school() -> None:
    reading = read("schools", b'{"id": 9, "name": "Graduated Students", "school_number": 999999}')
    assert (reading.key, reading.records) == ("9", ())


def test_what_is_left_out_of_a_school_is_not_delivered() -> None:
    assert set(delivered(only("schools", b'{"id": 3, "name": "Any"}'))) == {"sis_id", "ids", "name"}


@pytest.mark.parametrize(("portion", "kind"), [(b"1", "school_year"), (b"2", "semester"), (b"4", "term"), (b'"3"', "term")])
def test_a_term_ends_on_the_day_after_its_last_and_belongs_to_the_year_it_ends_in(portion: bytes, kind: str) -> None:
    row = b'{"id": 1989, "local_id": 3600, "school_id": 3, "start_year": 2026, "portion": %b, "start_date": "2026-08-12", '
    row = row.replace(b"%b", portion) + b'"end_date": "2027-06-05", "abbreviation": "26-27", "name": "2026-2027"}'
    assert delivered(only("terms", row)) == {
        "sis_id": "1989",
        "ids": {"term_id": "3600"},
        "title": "2026-2027",
        "type": kind,
        "school": "3",
        "school_year": 2027,
        "start_date": date(2026, 8, 12),
        "end_date": date(2027, 6, 6),
    }


def test_a_course_belongs_to_the_district_wherever_it_is_listed() -> None:
    row = b'{"id": 2135, "course_number": "CSC101", "course_name": "Computer Science I"}'
    assert only("courses", row, school="3") == only("courses", row, school="4")
    assert delivered(only("courses", row)) == {"sis_id": "2135", "title": "Computer Science I", "course_code": "CSC101"}


def test_text_that_looks_like_a_number_comes_as_one() -> None:
    course = only("courses", b'{"id": 2135, "course_number": 1984, "course_name": 1984}')
    assert delivered(course) == {"sis_id": "2135", "title": "1984", "course_code": "1984"}


# -- sections and rosters ----------------------------------------------------------------------------------------------

SECTION = (
    b'{"id": 1500, "school_id": 3, "course_id": 2135, "term_id": 1989, "staff_id": 65, "section_number": 5, '
    b'"expression": "8(A-E)", "external_expression": "6(M-F)", "gradebooktype": "PTP"}'
)


def test_a_section_brings_its_lead_teacher_by_the_number_that_staff_have_at_this_school() -> None:
    section, teacher = read("sections", SECTION).records
    assert delivered(section) == {
        "sis_id": "1500",
        "school": "3",
        "course": "2135",
        "term": "1989",
        "section_number": "5",
        "period": "6(M-F)",
    }
    assert teacher.sis_id == "section=1500;school_staff=65"
    assert isinstance(teacher, Enrollment)
    assert teacher.user == Ref("staff", school_staff="65")
    assert (teacher.derived, teacher.role, teacher.primary, teacher.school) == (True, "teacher", True, "3")


def test_a_section_without_a_teacher_brings_none() -> None:
    (section,) = read("sections", b'{"id": 1500, "school_id": 3, "section_number": "05", "expression": "1(A)"}').records
    assert delivered(section) == {"sis_id": "1500", "school": "3", "section_number": "05", "period": "1(A)"}


ROSTER = (
    b'{"id": 962, "section_id": 1500, "student_id": 2156, "entry_date": "2026-08-12", "exit_date": "2027-06-05", "dropped": %s}'
)


def test_a_roster_entry_is_active_although_its_exit_date_is_set() -> None:
    entry = only("section_enrollments", ROSTER.replace(b"%s", b"false"), school="3", section="1500")
    assert delivered(entry) == {
        "sis_id": "962",
        "section": "1500",
        "user": "2156",
        "role": "student",
        "status": "active",
        "status_reason": None,
        "begin_date": date(2026, 8, 12),
        "end_date": date(2027, 6, 5),
        "school": "3",
    }


@pytest.mark.parametrize("dropped", [b"true", b'"true"'])
def test_a_dropped_row_stays_in_the_roster_and_says_so(dropped: bytes) -> None:
    entry = only("section_enrollments", ROSTER.replace(b"%s", dropped), school="3", section="1500")
    assert (entry.status, entry.status_reason) == ("inactive", "dropped")


# -- staff -------------------------------------------------------------------------------------------------------------

STAFF = (
    b'{"id": 65, "local_id": "J.Doe", "admin_username": "mreed", "teacher_username": "mreed.t", '
    b'"name": {"first_name": "Max", "last_name": "Reed"}, "emails": %emails, "addresses": "", '
    b'"school_affiliations": {"school_affiliation": %affiliation}, "users_dcid": 63}'
)


def staff_row(
    local: bytes = b'"J.Doe"', emails: bytes = b'{"work_email": "mreed@example.org"}', affiliation: bytes = b""
) -> bytes:
    affiliation = affiliation or b'{"school_id": 3, "type": 1, "status": 1}'
    return STAFF.replace(b"%local", local).replace(b"%emails", emails).replace(b"%affiliation", affiliation)


def test_a_person_goes_by_the_number_of_the_person_not_of_the_post() -> None:
    assert delivered(only("staff", staff_row())) == {
        "sis_id": "63",
        "ids": {"school_staff": "65", "staff_number": "J.Doe"},
        "given_name": "Max",
        "middle_name": None,
        "family_name": "Reed",
        "username": "mreed.t",
        "status": "active",
        "schools": ("3",),
        "role": "teacher",
        "email": "mreed@example.org",
    }


def test_several_posts_come_as_a_list_and_the_one_here_decides() -> None:
    posts = b'[{"school_id": 4, "type": 1, "status": 1}, {"school_id": 3, "type": 2, "status": 2}, {"school_id": 0, "type": 2}]'
    person = delivered(only("staff", staff_row(affiliation=posts)))
    assert (person["schools"], person["role"], person["status"]) == (("3", "4"), "staff", "inactive")


def test_p2_an_empty_expansion_is_blank_and_one_that_is_not_there_is_not_delivered() -> None:
    assert delivered(only("staff", staff_row(emails=b'""')))["email"] is None
    bare = b'{"id": 65, "local_id": 5, "name": {"first_name": "Max", "last_name": "Reed"}, "users_dcid": 63}'
    person = delivered(only("staff", bare))
    assert "email" not in person
    assert (person["status"], person["schools"], person["ids"]["staff_number"]) == ("active", ("3",), "5")


def test_staff_without_a_number_of_the_person_cannot_be_told_apart() -> None:
    with pytest.raises(InvalidRow) as caught:
        read("staff", staff_row().replace(b', "users_dcid": 63', b""))
    assert (caught.value.key, caught.value.fields) == ("65", ("users_dcid",))
