"""From bytes as Infinite Campus sends them to records: a test for each row of the vendor's peculiarities."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import Address, Guardian, Phone, Record, Staff, Student
from sis_connect.rest_provider import Asked
from sis_connect.settings import SISProviderConfig
from sis_connect_infinite_campus.provider import ENDPOINTS
from sis_connect_infinite_campus.settings import InfiniteCampusSettings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
SCHOOL = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"
OFFICE = "00000000-0000-4000-8000-000000000001"
MOTHER = "0E984725-C51C-4BF4-9960-E1C80E27ABA0"
ADA = "6F9619FF-8B86-4011-B42D-00CF4FC964FF"

STUDENT_12 = b"""{"sourcedId":"6F9619FF-8B86-4011-B42D-00CF4FC964FF","status":"active",
 "dateLastModified":"2026-11-03T14:05:09.000Z","metadata":{"ic.legacySourcedId":"s90210","ic_indexSuffix":"2","ic_relationships":[
  {"sourcedId":"0E984725-C51C-4BF4-9960-E1C80E27ABA0","guardian":true,"relationshipType":"Mother"},
  {"sourcedId":"9C858901-8A57-4791-81FE-4C455B099BC9","guardian":false,"relationshipType":"Aunt"}]},
 "username":90210,"enabledUser":"true","givenName":"Ada","familyName":"Example","identifier":90210,"email":"ada@example.org",
 "roles":[{"roleType":"primary","role":"student","org":{"href":"http://h/orgs/x","sourcedId":"7C9E6679-7425-40DE-944B-E07FC1F90AE7",
   "type":"org"}}],
 "primaryOrg":{"href":"http://h/orgs/y","sourcedId":"00000000-0000-4000-8000-000000000001","type":"org"},
 "grades":["06"],
 "agents":[{"href":"http://h/users/z","sourcedId":"0E984725-C51C-4BF4-9960-E1C80E27ABA0","type":"user"}]}"""


def read(name: str, row: bytes, *fields: str, **settings: Any) -> tuple[Record, ...]:
    wanted: dict[Kind, frozenset[str]] = dict.fromkeys(KINDS, frozenset(fields))
    custom = SISProviderConfig(provider="oneroster", base_url="https://sis.example.org", custom=settings.pop("custom", ())).custom
    return BY_NAME[name].reader(Asked({}, wanted, InfiniteCampusSettings(**settings), custom=custom))(row).records


def student(row: bytes, *fields: str, **settings: Any) -> dict[str, Any]:
    """What is delivered of the student in a row."""
    (found,) = (record for record in read("students", row, *fields, **settings) if isinstance(record, Student))
    return found.model_dump(exclude_unset=True)


def guardians(row: bytes, **settings: Any) -> list[dict[str, Any]]:
    found = [record for record in read("students", row, **settings) if isinstance(record, Guardian)]
    return [record.model_dump(exclude_unset=True) for record in found]


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_a_student_of_version_1_2_keeps_the_guid_as_it_is_written_and_the_former_ids_beside_it() -> None:
    found = student(STUDENT_12)
    assert found["sis_id"] == ADA
    assert found["ids"]["student_number"] == "90210"
    assert found["ids"]["legacy_sourced_id"] == ("s90210", "90210")
    assert (found["username"], found["grade"], found["school"]) == ("90210", "06", SCHOOL)


@pytest.mark.parametrize("key", [b"ic.legacySourcedId", b"ic.legacysourceId"])
def test_the_former_id_may_come_without_its_letter_and_under_either_key(key: bytes) -> None:
    row = STUDENT_12.replace(b'"ic.legacySourcedId":"s90210"', b'"' + key + b'":"90210"')
    assert student(row)["ids"]["legacy_sourced_id"] == ("90210", "s90210")


def test_a_record_of_version_1_1_has_its_role_in_its_id_and_no_former_one() -> None:
    row = (
        b'{"sourcedId":"s90210","status":"active","dateLastModified":"2026-11-03T14:05:09Z","username":"90210","enabledUser":true,'
        b'"givenName":"Ada","familyName":"Example","identifier":"90210","role":"student","grades":["06"],'
        b'"orgs":[{"href":"http://h","sourcedId":"7C9E6679-7425-40DE-944B-E07FC1F90AE7","type":"org"}]}'
    )
    found = student(row, version="1.1")
    assert (found["sis_id"], found["school"]) == ("s90210", SCHOOL)
    assert "legacy_sourced_id" not in found["ids"]


def test_one_of_the_staff_may_have_been_teacher_or_administrator_before() -> None:
    row = (
        b'{"sourcedId":"0E984725-C51C-4BF4-9960-E1C80E27ABA0","status":"active","metadata":{"ic.legacySourcedId":"42"},'
        b'"givenName":"Tess","familyName":"Example","roles":[{"roleType":"primary","role":"ROLE","org":{"sourcedId":"X"}}]}'
    )
    for name, role in (("teachers", b"teacher"), ("administrators", b"siteAdministrator")):
        (found,) = read(name, row.replace(b"ROLE", role))
        assert isinstance(found, Staff)
        assert found.ids["legacy_sourced_id"] == ("42", "t42", "a42")
        assert found.role == ("teacher" if role == b"teacher" else "staff")


def test_metadata_may_be_anything_but_what_was_agreed() -> None:
    for metadata in (b"null", b'""', b"[]", b'"text"', b"7"):
        row = STUDENT_12.replace(STUDENT_12[STUDENT_12.index(b'{"ic.') : STUDENT_12.index(b"]},") + 2], metadata)
        assert student(row)["sis_id"] == ADA


def test_declared_metadata_is_kept_as_an_extra_field_and_nothing_else_of_it() -> None:
    assert student(STUDENT_12, custom="ic_indexSuffix")["custom"] == {"ic_indexSuffix": "2"}
    assert "custom" not in student(STUDENT_12)


# -- roles, schools ----------------------------------------------------------------------------------------------------


def test_the_districts_office_as_primary_organisation_is_no_school() -> None:
    blank = STUDENT_12[: STUDENT_12.index(b'"roles"')] + b'"roles":[],' + STUDENT_12[STUDENT_12.index(b'"primaryOrg"') :]
    found = student(blank)
    assert "school" not in found
    assert found["grade"] == "06"


def test_a_real_student_may_be_a_guardian_first() -> None:
    first = b'"roles":[{"roleType":"primary","role":"guardian","org":{"sourcedId":"00000000-0000-4000-8000-000000000001"}},'
    later = STUDENT_12.replace(b'"roleType":"primary","role":"student"', b'"roleType":"secondary","role":"Student"')
    assert student(later.replace(b'"roles":[', first))["school"] == SCHOOL


def test_somebody_deleted_comes_without_roles_and_grades_and_loses_neither() -> None:
    row = (
        b'{"sourcedId":"6F9619FF-8B86-4011-B42D-00CF4FC964FF","status":"tobedeleted","dateLastModified":"2026-11-03T14:05:09.000Z",'
        b'"metadata":{"ic.legacySourcedId":"90210"},"givenName":"Ada","familyName":"Example","roles":[],"grades":[]}'
    )
    found = student(row)
    assert found["status"] == "tobedeleted"
    assert found.keys().isdisjoint({"school", "grade", "grade_text"})


# -- guardians ---------------------------------------------------------------------------------------------------------


def test_a_students_row_says_what_their_guardians_are_to_them() -> None:
    told = [found for found in guardians(STUDENT_12) if "relationship" in found]
    assert told == [{"sis_id": MOTHER, "students": (ADA,), "relationship": "Mother"}]


def test_relatives_count_where_they_are_asked_for() -> None:
    told = [found["relationship"] for found in guardians(STUDENT_12, relatives=True) if "relationship" in found]
    assert told == ["Mother", "Aunt"]


def test_a_guardians_role_is_less_than_what_the_students_row_says_unless_it_is_all_there_is() -> None:
    row = (
        b'{"sourcedId":"0E984725-C51C-4BF4-9960-E1C80E27ABA0","status":"active","givenName":"Mia","familyName":"Example",'
        b'"metadata":{"ic.legacySourcedId":"55"},"role":"guardian","roles":[{"roleType":"primary","role":"guardian","org":{"sourcedId":"X"}}],'
        b'"agents":[{"sourcedId":"6F9619FF-8B86-4011-B42D-00CF4FC964FF","type":"user"}]}'
    )
    (newer,) = read("guardians", row)
    (older,) = read("guardians", row, version="1.1")
    assert isinstance(newer, Guardian)
    assert isinstance(older, Guardian)
    assert ("relationship" in newer.model_fields_set, older.relationship) == (False, "guardian")
    assert (newer.students, newer.ids["legacy_sourced_id"]) == ((ADA,), ("55", "g55", "r55"))


# -- demographics ------------------------------------------------------------------------------------------------------

DEMOGRAPHICS = (
    b'{"sourcedId":"6F9619FF-8B86-4011-B42D-00CF4FC964FF","status":"active","birthDate":"2014-05-06","sex":"female",'
    b'"metadata":{"ic_address":{"number":"12","street":"Oak","tag":"Ave","city":"Anytown","state":"MN","zipcode":"01234"},'
    b'"ic_homePhone":"602-555-0101","ic_cellPhone":"","ic_workPhone":null}}'
)


def test_address_and_telephones_come_with_demographics_where_they_are_asked_for() -> None:
    told: dict[str, Any] = {}
    for found in read("demographics", DEMOGRAPHICS, "addresses", "phones", "birth_date"):
        assert (found.sis_id, found.kind) == (ADA, "students")
        told |= {name: getattr(found, name) for name in found.model_fields_set}
    assert told["addresses"] == (Address(street="12 Oak Ave", city="Anytown", state="MN", postal_code="01234"),)
    assert told["phones"] == (Phone(number="602-555-0101", type="home"),)
    assert str(told["birth_date"]) == "2014-05-06"


def test_what_is_not_asked_for_is_not_read() -> None:
    for found in read("demographics", DEMOGRAPHICS):
        assert found.model_fields_set == {"sis_id"}


@pytest.mark.parametrize("field", ["addresses", "phones", "birth_date", "gender", "demographics"])
def test_demographics_are_asked_for_where_one_of_their_fields_is(field: str) -> None:
    fields: dict[Kind, frozenset[str]] = dict.fromkeys(KINDS, frozenset())
    assert not BY_NAME["demographics"].needs(Asked({}, fields, InfiniteCampusSettings()))
    assert BY_NAME["demographics"].needs(Asked({}, {**fields, "students": frozenset((field,))}, InfiniteCampusSettings()))


@pytest.mark.parametrize("key", [b"users", b"NAME"])
def test_lists_beyond_the_standard_may_have_their_own_name_as_key(key: bytes) -> None:
    for name in ("administrators", "guardians", "relatives"):
        body = b'{"' + key.replace(b"NAME", name.encode()) + b'": [{"sourcedId": "X"}]}'
        assert BY_NAME[name].rows_in(body) == [b'{"sourcedId": "X"}']
        assert BY_NAME[name].optional
