"""From users, in the shapes of both versions and of servers that keep to neither, to students, staff and guardians."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from sis_connect.capabilities import KINDS
from sis_connect.provider import InvalidRow
from sis_connect.records import Record, Staff, Student
from sis_connect.rest_provider import Asked
from sis_connect_oneroster.provider import ENDPOINTS
from sis_connect_oneroster.settings import OneRosterSettings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
ADA = {"sourcedId": "u-1", "status": "active", "enabledUser": "true", "givenName": "Ada", "familyName": "Example"}
NAMED: dict[str, Any] = {
    "given_name": "Ada", "middle_name": None, "family_name": "Example", "username": None, "preferred_given_name": None,
    "preferred_middle_name": None, "preferred_family_name": None, "ids": {},
}  # fmt: skip
GONE = {"sourcedId": "u-1", "status": "tobedeleted"}


def org(sourced_id: str) -> dict[str, str]:
    return {"href": f"https://sis.example.org/orgs/{sourced_id}", "sourcedId": sourced_id, "type": "org"}


def role(name: str, school: str, kind: str = "primary") -> dict[str, Any]:
    return {"roleType": kind, "role": name, "org": org(school)}


def read(name: str, row: dict[str, Any], fields: str = "") -> tuple[Record, ...]:
    asked = Asked({}, dict.fromkeys(KINDS, frozenset(fields.split())), OneRosterSettings())
    return BY_NAME[name].reader(asked)(json.dumps(row).encode()).records


def only(name: str, row: dict[str, Any], fields: str = "") -> dict[str, Any]:
    (record,) = read(name, row, fields)
    told = record.model_dump(exclude_unset=True)
    return {
        key: value for key, value in told.items() if key not in ("sis_id", "updated_at") and (key, value) != ("status", "active")
    }


# -- students ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roles",
    [
        {"roles": [role("student", "s-1")]},
        {"roles": role("student", "s-1")},
        {"roles": [{"role": "STUDENT", "org": "s-1"}]},
        {"roles": [role("student", "s-2", "secondary"), role("student", "s-1")]},
        {"roles": [role("guardian", "s-9"), role("student", "s-1")]},
        {"roles": [{"role": "student"}], "orgs": [org("s-1")]},
        {"roles": ["student"], "orgs": ["s-1"]},
        {"roles": [role("student", "s-1")], "primaryOrg": org("s-9")},
        {"role": "student", "orgs": [org("s-1"), org("s-2")]},
        {"role": "Student", "orgs": org("s-1")},
        {"role": "student", "orgs": ["s-1"]},
        {"role": "student", "orgs": "s-1"},
        {"role": "student", "org": org("s-1")},
        {"role": "student", "roles": [], "primaryOrg": org("s-1")},
        {"role": "", "orgs": [org("s-1")]},
        {"orgs": [org("s-1")]},
    ],
)
def test_a_student_goes_to_the_school_of_the_first_role_as_one(roles: dict[str, Any]) -> None:
    assert only("students", {**ADA, **roles}) == {**NAMED, "school": "s-1"}


@pytest.mark.parametrize(
    "roles", [{}, {"roles": []}, {"roles": None, "role": None, "orgs": None}, {"roles": [role("parent", "s-9")]}]
)
def test_p2_a_listed_student_without_a_role_is_one_whose_school_is_not_told(roles: dict[str, Any]) -> None:
    assert only("students", {**ADA, **roles}) == NAMED


def test_a_student_with_everything() -> None:
    row = {
        **ADA, "username": 100200, "identifier": "00100200", "userMasterIdentifier": "m-1", "middleName": "M",
        "preferredFirstName": "Addie", "preferredMiddleName": "B", "preferredLastName": "Sample", "grades": ["06"],
        "userIds": [{"type": "stateId", "identifier": "0077"}, {"type": "Fed", "identifier": "f"}, {"type": "x"}, None],
        "roles": [role("student", "s-1")], "email": "ada@example.org", "phone": "555-0100", "sms": "555-0101",
        "password": "never-kept", "userProfiles": [{"credentials": [{"password": "never-kept"}]}],
    }  # fmt: skip
    told = {
        "given_name": "Ada", "middle_name": "M", "family_name": "Example", "username": "100200", "preferred_given_name": "Addie",
        "preferred_middle_name": "B", "preferred_family_name": "Sample", "school": "s-1", "grade": "06", "grade_text": "06",
        "ids": {"student_number": "00100200", "person": "m-1", "state_id": "0077", "fed": "f"},
    }  # fmt: skip
    assert only("students", row) == told
    assert only("students", row, "emails phones") == {
        **told,
        "emails": ({"address": "ada@example.org"},),
        "phones": ({"number": "555-0100"}, {"number": "555-0101"}),
    }
    assert "never-kept" not in repr([record.model_dump() for record in read("students", row, "emails phones custom")])


def test_p2_grades_that_are_told_empty_are_blank_and_left_out_are_not_delivered() -> None:
    assert "grade" not in only("students", ADA)
    assert only("students", {**ADA, "grades": []}) == {**NAMED, "grade": None, "grade_text": None}
    assert only("students", {**ADA, "grades": ["Transition"]}) == {**NAMED, "grade": None, "grade_text": "Transition"}


def test_p2_a_name_that_is_gone_is_blank() -> None:
    assert only("students", {**ADA, "preferredFirstName": ""})["preferred_given_name"] is None


def test_somebody_who_may_not_sign_in_is_there_all_the_same() -> None:
    assert only("students", {**ADA, "enabledUser": "false"}) == NAMED


def test_p2_users_without_a_name_are_reported() -> None:
    with pytest.raises(InvalidRow) as caught:
        read("students", {**ADA, "familyName": " ", "givenName": None})
    assert set(caught.value.fields) == {"given_name", "family_name"}
    assert "Ada" not in str(caught.value)


# -- deleted -----------------------------------------------------------------------------------------------------------


def test_p6_who_is_deleted_with_nothing_but_an_id_is_the_student_that_they_were() -> None:
    assert only("students", GONE) == {"status": "tobedeleted"}
    assert only("teachers", GONE) == {"status": "tobedeleted"}


def test_p6_who_is_deleted_among_all_users_and_has_no_role_any_more_was_one_of_them() -> None:
    found = [*read("users", GONE), *read("guardians", GONE)]
    assert [(record.kind, record.status) for record in found] == [
        ("students", "tobedeleted"),
        ("staff", "tobedeleted"),
        ("guardians", "tobedeleted"),
    ]


def test_p2_who_is_deleted_loses_no_name_that_is_not_told_any_more() -> None:
    told = only("students", {**ADA, "status": "tobedeleted", "grades": [], "middleName": ""})
    assert told == {"status": "tobedeleted", "given_name": "Ada", "family_name": "Example"}


def test_p2_somebody_active_among_all_users_without_a_role_is_reported() -> None:
    for name in ("users", "guardians"):
        with pytest.raises(InvalidRow) as caught:
            read(name, {**ADA, "roles": []})
        assert caught.value.fields == ("role",)


# -- staff -------------------------------------------------------------------------------------------------------------


def test_one_of_the_staff_works_at_all_schools_of_their_roles() -> None:
    row = {**ADA, "identifier": 5, "email": "ada@example.org", "roles": [role("aide", "s-2"), role("teacher", "s-1")]}
    staff = {**NAMED, "ids": {"staff_number": "5"}, "schools": ("s-1", "s-2"), "role": "teacher", "email": "ada@example.org"}
    assert only("teachers", row) == staff
    assert only("teachers", {**row, "roles": None, "role": "teacher", "orgs": ["s-2", "s-1"]}) == staff
    assert only("teachers", {**row, "roles": [], "orgs": ["s-2", "s-1"]}) == staff


@pytest.mark.parametrize(
    "name",
    [
        "administrator",
        "aide",
        "counselor",
        "districtAdministrator",
        "principal",
        "proctor",
        "siteAdministrator",
        "SYSTEMADMINISTRATOR",
    ],
)
def test_all_other_roles_of_staff_are_staff(name: str) -> None:
    (staff,) = read("users", {**ADA, "roles": [role(name, "s-1")]})
    assert isinstance(staff, Staff)
    assert (staff.role, staff.schools) == ("staff", ("s-1",))


def test_who_learns_and_helps_is_both() -> None:
    student, staff = read("users", {**ADA, "roles": [role("student", "s-1"), role("aide", "s-2")]})
    assert isinstance(student, Student)
    assert isinstance(staff, Staff)
    assert (student.school, staff.schools) == ("s-1", ("s-2",))


@pytest.mark.parametrize("name", ["parent", "guardian", "relative", "ext:volunteer", "somebody"])
def test_who_neither_learns_nor_works_there_is_not_among_the_users_read(name: str) -> None:
    assert read("users", {**ADA, "role": name, "orgs": []}) == ()


# -- guardians ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parent", "guardian", "relative"])
def test_guardians_belong_to_their_agents(name: str) -> None:
    row = {**ADA, "role": name.upper(), "agents": [org("u-7"), "u-8"], "email": "ada@example.org", "sms": "555-0101"}
    assert only("guardians", row) == {
        "ids": {},
        "given_name": "Ada",
        "family_name": "Example",
        "relationship": name,
        "students": ("u-7", "u-8"),
        "emails": ({"address": "ada@example.org"},),
        "phones": ({"number": "555-0101"},),
    }


def test_students_say_whose_child_they_are_where_guardians_are_asked_for() -> None:
    row = {**ADA, "role": "student", "agents": org("u-900")}
    assert len(read("students", row)) == 1
    _, guardian = read("students", row, "guardians")
    assert guardian.model_dump(exclude_unset=True) == {"sis_id": "u-900", "students": ("u-1",)}


def test_others_are_no_guardians() -> None:
    assert read("guardians", {**ADA, "role": "student"}) == ()


# -- demographics ------------------------------------------------------------------------------------------------------

FACTS = {
    "sourcedId": "u-1", "status": "active", "birthDate": "2012-04-05", "sex": "female", "asian": "true", "white": True,
    "blackOrAfricanAmerican": "false", "demographicRaceTwoOrMoreRaces": "true", "hispanicOrLatinoEthnicity": "0",
    "cityOfBirth": "Anywhere",
}  # fmt: skip


def test_p7_demographics_complete_a_student_by_what_is_asked_for_and_no_more() -> None:
    assert only("demographics", FACTS, "gender") == {"gender": "female"}
    assert only("demographics", FACTS, "birth_date") == {"birth_date": date(2012, 4, 5)}
    assert only("demographics", FACTS, "demographics") == {
        "demographics": {"ethnicity": "notHispanicOrLatino", "races": ("asian", "white")}
    }


def test_demographics_may_tell_nothing() -> None:
    assert only("demographics", {"sourcedId": "u-1"}, "birth_date gender demographics") == {
        "birth_date": None,
        "gender": None,
        "demographics": {"ethnicity": None, "races": ()},
    }


def test_the_birth_date_may_have_a_time() -> None:
    row = {**FACTS, "birthDate": "2012-04-05T00:00:00.000Z"}
    assert only("demographics", row, "birth_date") == {"birth_date": date(2012, 4, 5)}


def test_p6_that_demographics_are_deleted_deletes_nobody() -> None:
    assert read("demographics", {**FACTS, "status": "tobedeleted"}, "gender") == ()
