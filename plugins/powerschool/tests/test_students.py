"""Students and their stints, from bytes as PowerSchool sends them: a test for each quirk of the wire."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sis_connect.capabilities import KINDS, Kind
from sis_connect.provider import InvalidRow
from sis_connect.records import Address, Contact, Demographics, EmailAddress, Phone, Record
from sis_connect.rest_provider import Asked
from sis_connect.settings import SISProviderConfig
from sis_connect_powerschool.provider import ENDPOINTS
from sis_connect_powerschool.settings import PowerSchoolSettings

(STUDENTS,) = (endpoint for endpoint in ENDPOINTS if endpoint.name == "students")
STAY = b'"enroll_status_code": 0, "grade_level": 7, "school_number": 101, "school_id": 3'


def records(row: bytes, *, preferred_name: str | None = None, fields: str = "") -> tuple[Record, ...]:
    asked: dict[Kind, frozenset[str]] = dict.fromkeys(KINDS, frozenset(fields.split()))
    reading = STUDENTS.reader(Asked({}, asked, PowerSchoolSettings(preferred_name=preferred_name)))(row)
    assert reading.key == "2156"
    return reading.records


def student(row: bytes, **options: Any) -> dict[str, Any]:
    return delivered(records(row, **options)[0])


def delivered(record: Record) -> dict[str, Any]:
    return record.model_dump(exclude_unset=True)


def student_row(stay: bytes = STAY, more: bytes = b"") -> bytes:
    return (
        b'{"id": 2156, "local_id": 20417, "state_province_id": 9900112233, "student_username": "riley.stone", '
        b'"name": {"first_name": "Riley", "middle_name": "Q", "last_name": "Stone"}, '
        b'"school_enrollment": {"enroll_status": "A", ' + stay + b"}" + more + b"}"
    )


def test_a_student_goes_by_dcid_and_every_number_is_text() -> None:
    assert student(student_row()) == {
        "sis_id": "2156",
        "ids": {"student_number": "20417", "state_id": "9900112233"},
        "status": "active",
        "status_reason": None,
        "given_name": "Riley",
        "middle_name": "Q",
        "family_name": "Stone",
        "username": "riley.stone",
        "school": "3",
        "grade": "07",
        "grade_text": "7",
    }


@pytest.mark.parametrize(
    ("stay", "status", "reason"),
    [
        (b'"enroll_status_code": 0', "active", None),
        (b'"enroll_status_code": "0"', "active", None),
        (b'"enroll_status_code": -1', "inactive", "pre_registered"),
        (b'"enroll_status_code": 2', "inactive", "transferred"),
        (b'"enroll_status_code": 3', "inactive", "graduated"),
        (b'"enroll_status_code": 4', "inactive", "withdrawn"),
        (b'"enroll_status_code": 1', "inactive", "inactive"),
        (b'"enroll_status_code": 57', "inactive", "inactive"),
        (b'"enroll_status_description": "Active"', "active", None),
    ],
)
def test_every_status_is_understood_by_code_else_by_letter(stay: bytes, status: str, reason: str | None) -> None:
    found = student(student_row(stay))
    assert (found["status"], found["status_reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("level", "grade", "written"),
    [
        (b"-2", "PK", "-2"),
        (b"-1", "PK", "-1"),
        (b"0", "KG", "0"),
        (b"1", "01", "1"),
        (b'"12"', "12", "12"),
        (b"99", None, "99"),
        (b"14", None, "14"),
    ],
)
def test_grades_become_codes_and_keep_their_own_writing(level: bytes, grade: str | None, written: str) -> None:
    found = student(student_row(b'"enroll_status_code": 0, "grade_level": ' + level))
    assert (found["grade"], found["grade_text"]) == (grade, written)


def test_a_graduate_is_at_no_school_and_has_no_stint() -> None:
    stay = b'"enroll_status_code": 3, "grade_level": 99, "school_number": 999999, "school_id": 9, "entry_date": "2020-08-12"'
    found = student(student_row(stay))
    assert (found["school"], found["grade"], found["status_reason"]) == (None, None, "graduated")


def test_p2_values_that_are_left_out_of_a_student_are_blank() -> None:
    row = b'{"id": 2156, "name": {"first_name": "Riley", "last_name": "Stone"}, "school_enrollment": {"enroll_status_code": 0}}'
    found = student(row)
    assert found["ids"] == {}
    assert [found[name] for name in ("middle_name", "username", "school", "grade", "grade_text")] == [None] * 5


@pytest.mark.parametrize("stay", [b"", b', "school_enrollment": ""', b', "school_enrollment": {}'])
def test_p2_a_student_of_unknown_status_is_invalid_and_not_active(stay: bytes) -> None:
    with pytest.raises(InvalidRow) as caught:
        records(b'{"id": 2156, "name": {"first_name": "Riley", "last_name": "Stone"}' + stay + b"}")
    assert caught.value.key == "2156"


def test_names_and_user_names_that_look_like_numbers_or_truth_values_are_text() -> None:
    row = student_row().replace(b'"riley.stone"', b"78654").replace(b'"Riley"', b"true").replace(b'"Stone"', b"false")
    found = student(row)
    assert (found["username"], found["given_name"], found["family_name"]) == ("78654", "True", "False")
    assert student(student_row().replace(b'"riley.stone"', b"true"))["username"] == "true"


def test_leading_zeros_are_kept() -> None:
    assert student(student_row().replace(b"20417", b'"00417"'))["ids"]["student_number"] == "00417"


@pytest.mark.parametrize("name", ["Łukasz 🎒", "עדי", "‌می‌", "A" * 300])
def test_names_in_any_writing_come_through(name: str) -> None:
    found = student(student_row().replace(b'"Stone"', f'"{name}"'.encode()))
    assert found["family_name"] == name.strip()


def test_p7_a_row_of_another_shape_is_refused_without_its_values() -> None:
    with pytest.raises(InvalidRow) as caught:
        records(student_row().replace(b'{"first_name": "Riley", "middle_name": "Q", "last_name": "Stone"}', b'["Stone"]'))
    assert caught.value.key == "2156"
    assert caught.value.fields == ("name",)
    assert "Stone" not in str(caught.value)


# -- stints ------------------------------------------------------------------------------------------------------------


def stint(stay: bytes) -> dict[str, Any]:
    _, record = records(student_row(b'"school_number": 101, "school_id": 3, "grade_level": 7, ' + stay))
    return delivered(record)


def test_the_present_stay_is_a_stint_and_its_exit_date_is_the_first_day_out() -> None:
    stay = b'"enroll_status_code": 0, "entry_date": "2026-08-12", "exit_date": "2027-06-05", "entry_code": "E1"'
    assert stint(stay) == {
        "sis_id": "student=2156;school=3;entry_date=2026-08-12",
        "derived": True,
        "student": "2156",
        "school": "3",
        "entry_date": date(2026, 8, 12),
        "exit_date": date(2027, 6, 5),
        "status": "active",
        "status_reason": None,
        "grade": "07",
        "entry_code": "E1",
    }


def test_who_leaves_on_the_day_of_entry_never_came() -> None:
    found = stint(b'"enroll_status_code": 2, "entry_date": "2026-08-12", "exit_date": "2026-08-12", "exit_code": "NS"')
    assert (found["status"], found["status_reason"], found["exit_code"]) == ("inactive", "no_show", "NS")


def test_a_former_student_keeps_an_inactive_stint() -> None:
    assert stint(b'"enroll_status_code": 2, "entry_date": "2026-08-12", "exit_date": "2026-10-01"')["status"] == "inactive"


def test_no_entry_date_no_stint() -> None:
    assert len(records(student_row())) == 1


# -- what is read on request only --------------------------------------------------------------------------------------

MORE = (
    b', "demographics": {"gender": "F", "birth_date": "2013-04-09"}, "contact_info": {"email": "rstone@student.example.org"}, '
    b'"phones": {"main": {"number": 6025550143}}, "addresses": {"physical": {"street": "12 Elm St", "city": "Anytown", '
    b'"state_province": "AZ", "postal_code": 85001}, "mailing": {"street": "PO Box 7", "postal_code": "01234"}}, '
    b'"contact": {"emergency_contact_name1": "Stone, Pat", "emergency_phone1": "602-555-0144", '
    b'"guardian_email": "pat@example.org", "mother": "Stone, Pat", "father": "Stone, Lee"}, '
    b'"ethnicity_race": {"federal_ethnicity": "NO", "races": {"district_race_code": "WH"}}'
)
ALL = "birth_date gender emails phones addresses contacts demographics"


def test_every_field_on_request() -> None:
    found = student(student_row(more=MORE), fields=ALL)
    expected = records(student_row())[0].model_copy(
        update={
            "birth_date": date(2013, 4, 9),
            "gender": "F",
            "emails": (EmailAddress(address="rstone@student.example.org", type="school"),),
            "phones": (Phone(number="6025550143", type="main"),),
            "addresses": (
                Address(type="physical", street="12 Elm St", city="Anytown", state="AZ", postal_code="85001"),
                Address(type="mailing", street="PO Box 7", postal_code="01234"),
            ),
            "contacts": (
                Contact(name="Stone, Pat", relationship="emergency", phones=(Phone(number="602-555-0144"),)),
                Contact(name="Stone, Pat", relationship="mother"),
                Contact(name="Stone, Lee", relationship="father"),
                Contact(relationship="guardian", emails=(EmailAddress(address="pat@example.org"),)),
            ),
            "demographics": Demographics(ethnicity="NO", races=("WH",)),
        }
    )
    assert found == delivered(expected)


@pytest.mark.parametrize("field", ALL.split())
def test_p7_nothing_is_kept_that_was_not_asked_for(field: str) -> None:
    plain = set(student(student_row(more=MORE)))
    assert set(student(student_row(more=MORE), fields=field)) - plain == {field}


def test_p2_empty_expansions_are_blank_and_missing_ones_are_not_delivered_but_for_contact() -> None:
    empty = b"".join(
        b', "%b": ""' % name for name in (b"demographics", b"contact_info", b"phones", b"addresses", b"ethnicity_race")
    )
    found = student(student_row(more=empty), fields=ALL)
    assert [found[name] for name in ("birth_date", "gender", "emails", "phones", "addresses", "contacts")] == [
        None,
        None,
        (),
        (),
        (),
        (),
    ]
    assert set(student(student_row(), fields=ALL)) & set(ALL.split()) == {"contacts"}


def test_several_races_come_as_a_list() -> None:
    more = b', "ethnicity_race": {"races": [{"district_race_code": "WH"}, {"district_race_code": 7}]}'
    found = student(student_row(more=more), fields="demographics")
    assert found["demographics"] == {"ethnicity": None, "races": ("WH", "7")}


TABLE = b'{"recordFound": false, "name": "u_students_extension", "_field": '
FIELD = b'{"name": "preferredname", "type": "String", "value": "Sam"}'


@pytest.mark.parametrize(
    "table",
    [
        TABLE + FIELD + b"}",
        TABLE + b'[{"name": "x", "value": 7}, ' + FIELD.replace(b"preferred", b"Preferred") + b"]}",
        b'[{"name": "other", "_field": []}, ' + TABLE.replace(b"u_s", b"U_S") + FIELD + b"}]",
    ],
)
def test_the_preferred_name_comes_from_the_field_that_the_district_keeps_it_in(table: bytes) -> None:
    row = student_row(more=b', "_extension_data": {"_table_extension": ' + table + b"}")
    found = student(row, preferred_name="u_students_extension.preferredname")
    assert (found["given_name"], found["preferred_given_name"]) == ("Riley", "Sam")
    assert "preferred_given_name" not in student(row)


def test_p2_a_preferred_name_that_is_empty_is_blank() -> None:
    row = student_row(more=b', "_extension_data": {"_table_extension": {"name": "u_students_extension", "_field": []}}')
    assert student(row, preferred_name="u_students_extension.preferredname")["preferred_given_name"] is None
    unanswered = student(student_row(), preferred_name="u_students_extension.preferredname")
    assert "preferred_given_name" not in unanswered


def test_declared_fields_of_extensions_are_kept_in_their_type_and_asked_for_by_their_table() -> None:
    more = b', "_extension_data": {"_table_extension": {"name": "u_students_extension", "_field": [%s, %s]}}' % (
        b'{"name": "Bus_Route", "type": "String", "value": "7"}',
        b'{"name": "secret", "type": "String", "value": "never-kept"}',
    )
    declared = SISProviderConfig(
        provider="powerschool",
        base_url="https://sis.example.org",
        custom="students.bus_route:integer=u_students_extension.bus_route",
    ).custom
    asked = Asked({}, dict.fromkeys(KINDS, frozenset()), PowerSchoolSettings(preferred_name="u_x.preferredname"), custom=declared)
    assert STUDENTS.params_for(asked) == {"expansions": "school_enrollment", "extensions": "u_students_extension,u_x"}
    found, *_ = STUDENTS.reader(asked)(student_row(more=more)).records
    assert found.custom == {"bus_route": 7}
