"""The mapping of SMS 2.0, on bytes as the interface sends them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
import pytest

from sis_connect.capabilities import KINDS, Kind
from sis_connect.provider import InvalidRow
from sis_connect.records import Record
from sis_connect.rest_provider import Asked
from sis_connect_skyward.reading import grade
from sis_connect_skyward.settings import SmsSettings
from sis_connect_skyward.sms_provider import ENDPOINTS, lower_case

STUDENT = (
    b'{"NameId":10452,"DisplayId":"00452","StateId":"7712345678","FirstName":"Ana","MiddleName":"","LastName":"Reyes","GradYr":2029,'
    b'"GradeLevel":"10","Gender":"F","HispanicLatinoEthnicity":false,"FederalRace":"AW","DateOfBirth":"2011-03-04T00:00:00",'
    b'"SchoolEmail":"areyes@example.org","DefaultSchoolId":"800","SchoolIds":["800","0400"],"StreetAddress":"1 Elm St",'
    b'"City":"Town","State":"WI","ZipCode":"05444","PhoneNumber":"7155550100","PhoneNumberType":"Home","PhoneNumber2":"",'
    b'"PhoneNumber2Type":"","PhoneNumber3":"7155550101","PhoneNumber3Type":"Cellular","FoodServiceKeyPadNumber":123}'
)
ENROLLMENT = (
    b'{"EnrollmentId":9,"CourseId":70,"SectionId":"01","SchoolId":"0400","NameId":10452,"EnrType":"C","EnrStatus":"A",'
    b'"StartDate":"2026-08-12T00:00:00","EndDate":"0001-01-01T00:00:00"}'
)
GUARDIAN = (
    b'{"GuardianNameId":20,"FirstName":"Eva","LastName":"Reyes","Email":"eva@example.org","PhoneNumber":"7155550102",'
    b'"PhoneNumberType":"Work","Students":[{"StudentNameId":10452,"RelationshipDesc":"Mother"},{"StudentNameId":10453,'
    b'"RelationshipDesc":"Aunt"}]}'
)


def read(
    endpoint: str, raw: bytes, fields: Mapping[Kind, set[str]] | None = None, context: Mapping[str, str] | None = None, **own: Any
) -> list[Record]:
    """What an endpoint makes of one row."""
    settings = SmsSettings.model_validate({"product": "sms", **own})
    asked = Asked(context or {}, {kind: frozenset((fields or {}).get(kind, ())) for kind in KINDS}, settings)
    (found,) = (each for each in ENDPOINTS if each.name == endpoint)
    return list(found.reader(asked)(lower_case(raw)).records)


def values(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_unset=True)


def test_a_student_is_known_by_the_number_of_the_person() -> None:
    (student,) = read("students", STUDENT, excluded_entities="800")
    assert values(student) == {
        "sis_id": "10452",
        "ids": {"student_number": "00452", "state_id": "7712345678"},
        "status": "active",
        "status_reason": None,
        "given_name": "Ana",
        "middle_name": None,
        "family_name": "Reyes",
        "school": "0400",
        "grade": "10",
        "grade_text": "10",
    }


def test_fields_on_request_come_where_they_are_asked_for_only() -> None:
    wanted = {"birth_date", "gender", "emails", "phones", "addresses", "demographics"}
    (student,) = read("students", STUDENT, {"students": wanted})
    assert {name: value for name, value in values(student).items() if name in wanted} == {
        "birth_date": "2011-03-04",
        "gender": "F",
        "emails": [{"address": "areyes@example.org", "type": "school"}],
        "phones": [{"number": "7155550100", "type": "home"}, {"number": "7155550101", "type": "cellular"}],
        "addresses": [{"street": "1 Elm St", "city": "Town", "state": "WI", "postal_code": "05444"}],
        "demographics": {"ethnicity": "false", "races": ["A", "W"]},
    }


def test_who_is_in_excluded_entities_only_is_at_no_school_any_more() -> None:
    (student,) = read("students", STUDENT, excluded_entities="800,0400")
    assert (student.status, student.status_reason, values(student)["school"]) == ("inactive", "inactive", None)


@pytest.mark.parametrize("spelled", [b"NameId", b"NameID", b"nameid"])
def test_names_of_members_are_read_without_regard_to_case(spelled: bytes) -> None:
    (student,) = read("students", STUDENT.replace(b"NameId", spelled))
    assert student.sis_id == "10452"


def test_empty_entries_of_lists_are_left_out() -> None:
    assert lower_case(b'[{"SchoolId":"400"},null]') == b'[{"schoolid":"400"}]'


def test_an_enrolment_tells_of_its_section_too() -> None:
    section, enrollment = read("enrollments", ENROLLMENT)
    assert section.sis_id == "school=0400;course=70;section=01"
    assert (section.derived, section.ids) == (True, {"course": "70", "section": "01"})
    told = values(enrollment)
    assert (told["section"], told["user"], told["role"]) == (section.sis_id, "10452", "student")
    assert "end_date" not in told, "the smallest date is how the server writes none"


@pytest.mark.parametrize(("convention", "out"), [("inclusive", date(2026, 10, 3)), ("exclusive", date(2026, 10, 2))])
def test_the_last_date_is_in_or_out_as_the_district_has_it(convention: str, out: date) -> None:
    raw = ENROLLMENT.replace(b"0001-01-01", b"2026-10-02")
    assert values(read("enrollments", raw, end_dates=convention)[1])["end_date"] == out.isoformat()


def test_what_codes_mean_is_for_the_district_to_say() -> None:
    assert [record.status for record in read("enrollments", ENROLLMENT)] == ["active", "active"]
    dropped = read("enrollments", ENROLLMENT, dropped_statuses="a,x")[1]
    assert (dropped.status, dropped.status_reason) == ("inactive", "dropped")
    assert read("enrollments", ENROLLMENT, enrollment_types="X,Y") == []
    assert read("enrollments", ENROLLMENT, excluded_entities="0400") == []


def test_an_enrolment_without_its_section_is_invalid() -> None:
    for blank in (b'""', b"null", b'" "'):
        with pytest.raises(InvalidRow) as raised:
            read("enrollments", ENROLLMENT.replace(b'"01"', blank))
        assert (raised.value.fields, raised.value.key) == (("sectionid",), "9")


def test_codes_of_entities_are_compared_without_the_blanks_around_them() -> None:
    assert read("enrollments", ENROLLMENT.replace(b'"0400"', b'"0400 "'), excluded_entities="0400") == []
    school = b'{"SchoolId":" 0400 ","SchoolName":"Elm School"}'
    assert read("schools", school, excluded_entities="0400") == []
    (kept,), (_, enrollment) = read("schools", school), read("enrollments", ENROLLMENT.replace(b'"0400"', b'"0400 "'))
    assert kept.sis_id == values(enrollment)["school"] == "0400"


def test_a_guardian_is_one_person_and_a_contact_of_each_student() -> None:
    (guardian,) = read("guardians", GUARDIAN)
    told = values(guardian)
    assert (told["sis_id"], told["students"], told["relationship"]) == ("20", ["10452", "10453"], "Mother")
    assert (told["emails"], told["phones"]) == ([{"address": "eva@example.org"}], [{"number": "7155550102", "type": "work"}])
    contacts = read("contacts", GUARDIAN, {"students": {"contacts"}})
    relationships = [(one.sis_id, values(one)["contacts"][0]["relationship"]) for one in contacts]
    assert relationships == [("10452", "Mother"), ("10453", "Aunt")]


def test_p2_a_row_without_its_key_is_invalid_and_says_no_value() -> None:
    row = msgspec.json.decode(STUDENT)
    with pytest.raises(InvalidRow) as raised:
        read("students", msgspec.json.encode({**row, "NameId": None}))
    assert raised.value.fields == ("nameid",)
    with pytest.raises(InvalidRow) as raised:
        read("students", msgspec.json.encode({**row, "DateOfBirth": "Reyes"}), {"students": {"birth_date"}})
    assert "Reyes" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("10", "10"),
        ("9", "09"),
        ("09", "09"),
        (9, "09"),
        ("K", "KG"),
        (0, "KG"),
        ("-1", "PK"),
        ("pk", "PK"),
        ("99", None),
        ("", None),
    ],
)
def test_grades_are_understood_however_they_are_written(written: str | int, code: str | None) -> None:
    assert grade(written) == code


def test_a_school_says_its_grades_and_the_census_is_none() -> None:
    raw = b'{"SchoolId":"0400","SchoolName":"Elm School","GradeLow":"PK","GradeHigh":"02"}'
    (school,) = read("schools", raw)
    assert values(school)["grades"] == ["PK", "KG", "01", "02"]
    assert read("schools", raw, excluded_entities="0400") == []
