"""The rows of our queries, from bytes as PowerSchool sends them: text throughout, and what is empty left out."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from sis_connect.endpoint import Asked
from sis_connect.provider import InvalidRow
from sis_connect.records import Enrollment, Record, SchoolEnrollment, Section, Staff, Student
from sis_connect_powerschool import bulk
from sis_connect_powerschool.bulk_mapping import FIELDS, lacking, layout, made_for
from sis_connect_powerschool.settings import PowerSchoolSettings

ENDPOINTS = {endpoint.name.removeprefix("bulk_"): endpoint for endpoint in bulk.ENDPOINTS}
STUDENT = {
    "id": "2156",
    "made_for": str(made_for(1, FIELDS)),
    "local_id": "00417",
    "state_province_id": "9900112233",
    "student_username": "riley.stone",
    "first_name": "Riley",
    "last_name": "Stone",
    "enroll_status_code": "0",
    "grade_level": "-1",
    "school_number": "101",
    "school_id": "3",
    "entry_date": "2026-08-12",
    "exit_date": "2027-06-05",
    "entry_code": "E1",
}


def records(area: str, row: dict[str, Any], *, fields: Collection[str] = (), preferred_name: str | None = None) -> list[Record]:
    settings = PowerSchoolSettings(preferred_name=preferred_name)
    asked = Asked({"school_year": "2027"}, {"students": frozenset(fields)}, settings)
    return list(ENDPOINTS[area].reader(asked)(json.dumps({"_name": "X", "_id": 1, **row}).encode()).records)


def student(row: dict[str, Any], **options: Any) -> Student:
    found = records("students", row, **options)[0]
    assert isinstance(found, Student)
    return found


def test_a_student_and_the_present_stay_are_what_v1_makes_of_them() -> None:
    who, stay = records("students", STUDENT)
    assert isinstance(who, Student)
    assert isinstance(stay, SchoolEnrollment)
    assert (who.sis_id, who.ids) == ("2156", {"student_number": "00417", "state_id": "9900112233"})
    assert (who.school, who.grade, who.grade_text, who.status) == ("3", "PK", "-1", "active")
    assert stay.sis_id == "student=2156;school=3;entry_date=2026-08-12"
    assert "birth_date" not in who.model_fields_set


def test_what_was_asked_for_and_left_out_is_blank() -> None:
    asked = [field for field in FIELDS if field != "preferred_name"]
    who = student(STUDENT, fields=asked, preferred_name="u_x.nickname")
    assert (who.birth_date, who.gender, who.emails, who.phones, who.addresses, who.contacts) == (None, None, (), (), (), ())
    assert {*asked, "preferred_given_name"} <= who.model_fields_set
    assert who.preferred_given_name is None


def test_fields_on_request_come_where_they_are_asked_for() -> None:
    row = {
        **STUDENT,
        "preferred_name": "Ri",
        "birth_date": "2013-04-09",
        "gender": "F",
        "email": "riley@example.org",
        "home_phone": "6025550143",
        "street": "12 Elm St",
        "city": "Anytown",
        "state_province": "AZ",
        "postal_code": "00501",
        "mailing_street": "PO Box 7",
        "mother": "Stone, Pat",
        "federal_ethnicity": "1",
        "races": "AS,WH",
    }
    everything = [field for field in FIELDS if field != "preferred_name"]
    who = student(row, fields=everything, preferred_name="u_x.nickname")
    assert (str(who.birth_date), who.gender, who.preferred_given_name) == ("2013-04-09", "F", "Ri")
    assert [address.model_dump(exclude_unset=True) for address in who.addresses] == [
        {"type": "physical", "street": "12 Elm St", "city": "Anytown", "state": "AZ", "postal_code": "00501"},
        {"type": "mailing", "street": "PO Box 7"},
    ]
    assert who.demographics is not None
    assert (who.demographics.ethnicity, who.demographics.races) == ("YES", ("AS", "WH"))
    assert [contact.relationship for contact in who.contacts] == ["mother"]
    assert who.phones[0].number == "6025550143"
    assert student(row).model_fields_set.isdisjoint(everything)


def test_p2_a_field_that_the_package_was_made_without_is_not_blank() -> None:
    row = {**STUDENT, "made_for": str(made_for(1, ["gender"]))}
    assert student(row, fields=["gender"]).gender is None
    with pytest.raises(InvalidRow, match="made without birth_date"):
        student(row, fields=["gender", "birth_date"])


def test_the_number_of_a_package_tells_its_fields_and_its_age() -> None:
    asked = Asked({}, {"students": frozenset(["gender", "phones"])}, PowerSchoolSettings())
    assert lacking(str(made_for(3, ["gender"])), asked) == ["phones"]
    assert layout(str(made_for(3, FIELDS))) == 3
    assert lacking(made_for(1, FIELDS), asked) == []


def test_a_graduate_has_no_school_and_no_stay() -> None:
    row = {**STUDENT, "school_number": "999999", "school_id": "4999", "grade_level": "99", "enroll_status_code": "3"}
    (who,) = records("students", row)
    assert isinstance(who, Student)
    assert (who.school, who.grade, who.grade_text, who.status_reason) == (None, None, "99", "graduated")


def test_a_time_behind_a_date_does_not_count() -> None:
    _, stay = records("students", {**STUDENT, "entry_date": "2026-08-12 00:00:00", "exit_date": "2027-06-05T00:00:00"})
    assert isinstance(stay, SchoolEnrollment)
    assert (stay.sis_id, str(stay.exit_date)) == ("student=2156;school=3;entry_date=2026-08-12", "2027-06-05")


def test_a_former_stay_is_over() -> None:
    row = {
        "id": "77",
        "student_id": "2156",
        "school_id": "5",
        "entry_date": "2025-08-12",
        "exit_date": "2026-06-05",
        "grade_level": "0",
    }
    (stay,) = records("history", {**row, "exit_code": "W3"})
    assert isinstance(stay, SchoolEnrollment)
    assert (stay.status, stay.student, stay.grade, stay.exit_code) == ("inactive", "2156", "KG", "W3")
    assert stay.sis_id == "student=2156;school=5;entry_date=2025-08-12"
    assert records("history", {"id": "78", "student_id": "2156"}) == []


@pytest.mark.parametrize("late", ["", " 00:00:00"])
def test_p2_who_left_on_the_day_of_entry_has_no_stay_that_could_be_taken_for_the_one_that_began_then(late: str) -> None:
    row = {"id": "77", "student_id": "2156", "school_id": "3", "entry_date": "2026-08-12", "exit_date": f"2026-08-12{late}"}
    _, present = records("students", STUDENT)
    assert present.sis_id == "student=2156;school=3;entry_date=2026-08-12"
    assert records("history", row) == []


def test_what_an_outer_join_found_no_partner_for_is_left_out() -> None:
    enrollment = {"id": "962", "section_id": "1500", "student_id": "2156", "dropped": "0"}
    assert len(records("enrollments", enrollment)) == 1
    for missing in ("section_id", "student_id"):
        assert records("enrollments", {name: value for name, value in enrollment.items() if name != missing}) == []
    assert records("staff", {"id": "65", "users_dcid": "63", "first_name": "Max", "last_name": "Reed", "status": "1"}) == []


def test_staff_are_people_and_keep_the_key_that_sections_use() -> None:
    row = {"id": "65", "users_dcid": "63", "school_id": "3", "kind": "1", "status": "1", "local_id": "5", "first_name": "Max"}
    (who,) = records("staff", {**row, "last_name": "Reed", "teacher_username": "mreed", "work_email": "m@example.org"})
    assert isinstance(who, Staff)
    assert (who.sis_id, who.ids) == ("63", {"school_staff": "65", "staff_number": "5"})
    assert (who.schools, who.role, who.username, who.email) == (("3",), "teacher", "mreed", "m@example.org")


def test_a_section_and_its_teacher() -> None:
    row = {"id": "1500", "school_id": "3", "course_id": "2135", "term_id": "1989", "staff_id": "65", "section_number": "05"}
    section, teacher = records("sections", {**row, "expression": "8(A-E)"})
    assert isinstance(section, Section)
    assert isinstance(teacher, Enrollment)
    assert (section.sis_id, section.section_number, section.period) == ("1500", "05", "8(A-E)")
    assert (teacher.role, teacher.primary) == ("teacher", True)
    assert len(records("sections", {**row, "staff_id": "0"})) == 1


@pytest.mark.parametrize(("dropped", "status"), [("0", "active"), ("1", "inactive")])
def test_a_dropped_enrollment_is_over(dropped: str, status: str) -> None:
    row = {"id": "962", "section_id": "1500", "student_id": "2156", "school_id": "3", "entry_date": "2026-08-12"}
    (one,) = records("enrollments", {**row, "exit_date": "2027-06-05", "dropped": dropped})
    assert isinstance(one, Enrollment)
    assert (one.status, one.school, one.user) == (status, "3", "2156")


def test_terms_count_their_last_day_and_courses_name_their_department() -> None:
    (term,) = records(
        "terms",
        {"id": "1989", "local_id": "3600", "school_id": "3", "start_year": "2026", "portion": "1", "name": "2026-2027"}
        | {"start_date": "2026-08-12", "end_date": "2027-06-04"},
    )
    assert term.model_dump(mode="json", include={"end_date", "school_year", "type"}) == {
        "end_date": "2027-06-05",
        "school_year": 2027,
        "type": "school_year",
    }
    (course,) = records("courses", {"id": "2135", "course_number": "CSC101", "course_name": "Computers", "department": "Science"})
    assert course.model_dump(include={"department"}) == {"department": "Science"}


@pytest.mark.parametrize(
    ("area", "row", "field"),
    [
        ("students", {**STUDENT, "entry_date": "soon"}, "entry_date"),
        ("students", {**STUDENT, "grade_level": "first"}, "grade_level"),
        ("enrollments", {"id": "1", "section_id": "2", "student_id": "3", "dropped": "perhaps"}, "dropped"),
        ("staff", {"id": "65", "first_name": "Max"}, "users_dcid"),
    ],
)
def test_p2_a_value_that_cannot_be_read_names_its_field_and_stays_out_of_the_message(
    area: str, row: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRow) as raised:
        records(area, row)
    assert raised.value.fields == (field,)
    assert str(row.get(field)) not in str(raised.value)
