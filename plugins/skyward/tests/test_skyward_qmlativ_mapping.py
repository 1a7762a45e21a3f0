"""The mapping of Qmlativ, on bytes as the provider hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.provider import InvalidRow
from sis_connect.records import Record
from sis_connect.rest_provider import Asked
from sis_connect_skyward.qmlativ_answers import current_year, flat, listed
from sis_connect_skyward.qmlativ_lists import ENDPOINTS, LOOKUPS
from sis_connect_skyward.qmlativ_mapping import place_among, primary_email, wire
from sis_connect_skyward.settings import QmlativSettings

NAMES = {"Name.FirstName": "Sam", "Name.MiddleName": None, "Name.LastName": "Reyes", "Name.FirstNameLegal": "Samantha"}
STUDENT = {
    "StudentID": 501, "NameID": 10452, "StudentNumber": "00452", "Grade": "KG", "GradeNumeric": 0, "IsGraduated": False,
    "IsCurrentActive": True, "StateID": "77", "School": "400", **NAMES, "Name.LastNameLegal": None,
}  # fmt: skip
STAY = {
    "EntryWithdrawalID": 7, "StudentID": 501, "EntityID": 400, "Entity.Code": "400", "StartDate": "2026-08-12", "EndDate": None,
    "IsNoShow": False, "EntryCode.Code": "E1", "WithdrawalCode.Code": None, "GradeReference.GradeLevel.Code": "03",
}  # fmt: skip
ROSTER = {
    "StudentSectionID": 8, "StudentID": 501, "SectionID": 30, "Section.EntityID": 400, "Section.Entity.Code": "400",
    "StartDate": "2026-08-12", "EndDate": "2026-12-18", "StatusCode": "D",
}  # fmt: skip
PLACE = {"EntityID": 400, "Entity.Code": "400", "Entity.IsDistrictWide": False, "Entity.IsSystemWide": False}


def asked(fields: Mapping[Kind, set[str]] | None = None, context: Mapping[str, str] | None = None, **own: Any) -> Asked:
    settings = QmlativSettings.model_validate({"product": "qmlativ", **own})
    return Asked(context or {}, {kind: frozenset((fields or {}).get(kind, ())) for kind in KINDS}, settings)


def read(endpoint: str, row: Mapping[str, Any], like: Asked | None = None) -> list[dict[str, Any]]:
    """What an endpoint makes of one row."""
    (found,) = (each for each in ENDPOINTS if each.name == endpoint)
    records: tuple[Record, ...] = found.reader(like or asked())(msgspec.json.encode(row)).records
    return [record.model_dump(mode="json", exclude_unset=True) for record in records]


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        ("student_id", "StudentID"),
        ("name_id_guardian", "NameIDGuardian"),
        ("name__first_name_legal", "Name.FirstNameLegal"),
        ("grade_reference__grade_level__code", "GradeReference.GradeLevel.Code"),
    ],
)
def test_attributes_stand_for_fields_over_relations(attribute: str, field: str) -> None:
    assert wire(attribute) == field


def test_fields_over_relations_are_read_flat_and_nested() -> None:
    nested = {"StudentID": 1, "Name": {"FirstName": "Ana", "Other": {"Code": 5}}}
    assert flat(nested) == {"StudentID": 1, "Name.FirstName": "Ana", "Name.Other.Code": 5}
    assert flat({"Name.FirstName": "Ana"}) == {"Name.FirstName": "Ana"}


def test_p2_what_is_not_asked_for_is_not_delivered_and_so_not_blank() -> None:
    spared = "Student.Name.MiddleName,Student.Name.FirstNameLegal,Student.GradeNumeric,Course.Department.Description"
    row = {
        name: value for name, value in STUDENT.items() if name not in ("Name.MiddleName", "Name.FirstNameLegal", "GradeNumeric")
    }
    (student,) = read("students", row | {"Grade": None}, asked(without_fields=spared))
    assert student.keys().isdisjoint({"middle_name", "preferred_given_name", "grade"})
    (course,) = read(
        "courses", {"CourseID": 1, "CourseCode": "A", "Description": "Art", "IsActive": True}, asked(without_fields=spared)
    )
    assert "department" not in course
    (blank,) = read("students", STUDENT)
    assert blank["middle_name"] is None


def test_members_are_read_in_any_case() -> None:
    body = b'{"objects":[{"studentId":1,"name":{"firstname":"Ana"},"Other":2}],"paging":{"next":"/Custom/1/Student/Student/2/5"}}'
    known = {"studentid": "StudentID", "name.firstname": "Name.FirstName"}
    rows, paging = listed(body, "Student/Student", known, single=False)
    assert rows == [{"StudentID": 1, "Name.FirstName": "Ana", "Other": 2}]
    assert paging == {"Next": "/Custom/1/Student/Student/2/5"}
    assert listed(b'{"Objects":null,"Paging":null}', "Student/Student", known, single=False) == ([], {})
    assert listed(b'{"studentid":1}', "Student/Student", known, single=True) == ([{"StudentID": 1}], {})


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"Objects":[1]}', b'{"Objects":"x"}', b'{"Message":"no"}', b"null"])
def test_an_answer_about_something_else_is_an_error_that_names_the_object(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse, match="Student/Student"):
        listed(body, "Student/Student", {}, single=False)


def metadata(*districts: Any) -> dict[str, Any]:
    return {"System": {"EntityID": 1, "Districts": list(districts)}}


def district(entity: int, year: int) -> dict[str, Any]:
    return {"EntityID": entity, "SchoolYearCurrent": {"SchoolYearID": year - 2000, "NumericYear": year}}


@pytest.mark.parametrize(
    ("told", "entity", "year"),
    [
        (metadata(district(2, 2027)), 1, 2027),
        (metadata(district(2, 2027), district(3, 2027)), 1, 2027),
        (metadata(district(2, 2027), district(3, 2026)), 3, 2026),
        ({"system": {"districts": [{"schoolYearCurrent": {"numericYear": 2027}}]}}, 1, 2027),
        (metadata({"EntityID": 2}), 1, None),
        (metadata(), 1, None),
        ({"System": {"Code": "SYS"}}, 1, None),
        ({"System": None}, 1, None),
        ([], 1, None),
    ],
)
def test_the_current_year_is_that_of_the_district(told: Any, entity: int, year: int | None) -> None:
    assert current_year(told, entity).get("numericyear") == year


def test_districts_in_different_years_must_be_told_apart() -> None:
    with pytest.raises(ConfigurationError, match="Set entity to that of the district: 2, 3"):
        current_year(metadata(district(2, 2027), district(3, 2026)), 1)


def test_a_student_has_legal_and_preferred_names_apart() -> None:
    (student,) = read("students", STUDENT)
    assert student == {
        "sis_id": "501",
        "ids": {"student_number": "00452", "person": "10452", "state_id": "77"},
        "status": "active",
        "status_reason": None,
        "school": "400",
        "grade": "KG",
        "grade_text": "KG",
        "given_name": "Samantha",
        "middle_name": None,
        "family_name": "Reyes",
        "preferred_given_name": "Sam",
        "preferred_family_name": None,
    }


def test_who_has_left_stays_on_the_list_and_says_so() -> None:
    (left,) = read("students", {**STUDENT, "IsCurrentActive": False})
    (graduated,) = read("students", {**STUDENT, "IsCurrentActive": False, "IsGraduated": True})
    assert (left["status"], left["status_reason"], graduated["status_reason"]) == ("inactive", "inactive", "graduated")
    with pytest.raises(InvalidRow, match="IsCurrentActive"):
        read("students", {**STUDENT, "IsCurrentActive": None})


CENSUS = {"EntityID": 3, "Entity.Code": " 800 "}


@pytest.mark.parametrize(
    ("rows", "school"),
    [
        ([{"IsDefaultEntity": True}], "400"),
        ([{"IsDefaultEntity": True, "IsActive": False}], "400"),
        ([{"IsDefaultEntity": False}, {"IsDefaultEntity": True, "EntityID": 500}], "500"),
        ([{"IsDefaultEntity": True, **CENSUS}, {"IsDefaultEntity": False}], "400"),
        ([{"IsDefaultEntity": True, **CENSUS}, {"IsDefaultEntity": False, "IsActive": False}], None),
        ([{"IsDefaultEntity": True, **CENSUS}, {"EntityID": 1000}, {"EntityID": 500}], "500"),
        ([{"IsDefaultEntity": True, "Entity.IsDistrictWide": True}], None),
        ([], None),
    ],
)
def test_the_school_of_a_student_is_the_default_entity_or_another_active_one_that_is_a_school(
    rows: list[dict[str, Any]], school: str | None
) -> None:
    among = LOOKUPS["school"].among
    row = {"StudentEntityYearID": 1, "StudentID": 501, "IsActive": True, **PLACE}
    decoded = [among.decode(msgspec.json.encode({**row, **one})) for one in rows]
    assert place_among(decoded, asked(excluded_entities="800")) == school


@pytest.mark.parametrize(
    ("ranks", "address"),
    [((2, 1), "1@example.org"), (("3", "2"), "2@example.org"), ((None, 2), "2@example.org"), ((None,), "None@example.org")],
)
def test_the_address_of_the_lowest_rank_is_that_of_the_staff(ranks: tuple[Any, ...], address: str) -> None:
    among = LOOKUPS["email"].among
    rows = [among.decode(msgspec.json.encode({"Rank": rank, "EmailAddress": f"{rank}@example.org"})) for rank in ranks]
    assert primary_email(rows, asked()) == address
    assert primary_email([], asked()) is None
    row = {"StaffID": 5, "NameID": 6, "StaffNumber": "1", "IsActiveForDistrict": True, "Email": address, **NAMES}
    assert "email" not in read("staff", row)[0]
    assert read("staff", row, asked(staff_emails=True))[0]["email"] == address


def test_staff_are_of_their_entities_and_teachers_where_it_says_so() -> None:
    row = {"StaffEntityYearID": 1, "StaffID": 5, "IsActive": True, "IsTeacher": True, **PLACE}
    assert read("staff_at", row) == [{"sis_id": "5", "schools": ["400"], "role": "teacher"}]
    assert read("staff_at", {**row, "IsTeacher": False, "Entity.IsDistrictWide": True}) == [{"sis_id": "5", "schools": []}]
    assert read("staff_at", {**row, "IsActive": False}) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {"status": "active", "exit_date": None}),
        ({"EndDate": "2026-10-02"}, {"exit_date": "2026-10-03"}),
        (
            {"EndDate": "2026-08-12", "IsNoShow": True},
            {"status_reason": "no_show", "exit_date": "2026-08-12"},
        ),
    ],
)
def test_a_stay_ends_on_the_first_day_out(changes: dict[str, Any], told: dict[str, Any]) -> None:
    (stay,) = read("stays", {**STAY, **changes})
    assert (stay["entry_date"], stay["grade"], stay["entry_code"]) == ("2026-08-12", "03", "E1")
    assert {name: stay.get(name) for name in told} == told


def test_a_roster_row_counts_unless_its_status_is_one_of_those_dropped() -> None:
    (kept,) = read("rosters", ROSTER)
    (dropped,) = read("rosters", ROSTER, asked(dropped_statuses="D"))
    assert (kept["begin_date"], kept["end_date"], kept.get("status")) == ("2026-08-12", "2026-12-19", None)
    assert (dropped["status"], dropped["status_reason"]) == ("inactive", "dropped")
    assert read("rosters", ROSTER, asked(excluded_entities="400")) == []


def test_a_teacher_has_an_id_that_no_student_has() -> None:
    place = {"SectionID": 30, "Section.EntityID": 400, "Section.Entity.Code": "400"}
    row = {
        "StaffMeetID": 8,
        "StaffID": 5,
        "IsPrimary": True,
        "EffectiveStartDate": "2026-08-12",
        "EffectiveEndDate": None,
        **place,
    }
    assert read("teachers", {**row, "IsSubstitute": True}) == [], "who stands in does not teach the section"
    assert "primary" not in read("teachers", {**row, "IsPrimary": None})[0]
    assert read("teachers", {**row, "IsPrimary": False, "IsSubstitute": False})[0]["primary"] is False
    (teacher,) = read("teachers", row)
    assert (teacher["sis_id"], teacher["role"], teacher["primary"]) == ("staff_meet=8", "teacher", True)


def test_departments_are_in_courses_and_sections() -> None:
    row = {"CourseID": 1, "CourseCode": "0100", "Description": "1984", "Department.Description": "English", **PLACE}
    (course,) = read("courses", row)
    assert (course["department"], course["course_code"], course["school"]) == ("English", "0100", "400")
    row = {"SectionID": 2, "CourseID": 1, "Code": "01A", "Course.Department.Description": "English", **PLACE}
    (section,) = read("sections", row)
    assert (section["department"], section["section_number"], section["course"]) == ("English", "01A", "1")


def test_terms_are_of_the_year_that_was_asked_for() -> None:
    row = {"SectionLengthID": 1, "Code": "S1", "Description": "", "StartDate": "2026-08-12", "EndDate": "2027-01-10"}
    (term,) = read("terms", row, asked(context={"school_year": "2027"}))
    assert (term["title"], term["end_date"], term["school_year"]) == ("S1", "2027-01-11", 2027)


def test_what_belongs_to_a_person_is_given_to_its_owner() -> None:
    email = {"NameEmailID": 1, "NameID": 10452, "EmailAddress": "a@example.org", "EmailType.Description": "School", "Owner": 501}
    (part,) = read("students_emails", email)
    assert part == {"sis_id": "501", "emails": [{"address": "a@example.org", "type": "school"}]}
    assert read("students_emails", {**email, "Owner": None}) == []
    assert read("guardians_emails", email)[0]["sis_id"] == "10452", "guardians are known by their number as a person"
    phone = {"NamePhoneID": 1, "NameID": 10452, "PhoneNumber": "555-0100", "Owner": 501}
    assert read("students_phones", phone) == [{"sis_id": "501", "phones": [{"number": "555-0100"}]}]
    assert read("students_phones", {**phone, "IsConfidential": True}) == []
    address = {"NameAddressID": 1, "NameID": 10452, "IsPhysical": True, "IsMailing": True, "Owner": 501}
    (part,) = read("students_addresses", {**address, "Address.FullAddress": "1 Elm St"})
    assert [one["type"] for one in part["addresses"]] == ["physical", "mailing"]


def test_a_guardian_is_known_by_the_number_of_the_person() -> None:
    names = {"NameGuardian.FirstName": "Eva", "NameGuardian.LastName": "Reyes"}
    row = {"StudentGuardianID": 1, "StudentID": 501, "NameIDGuardian": 20, **names}
    (guardian,) = read("guardians", row)
    assert (guardian["sis_id"], guardian["students"], guardian["ids"]) == ("20", ["501"], {"person": "20"})
