"""The sandbox over raw HTTP: who and what is listed, under which ids, and with what metadata. The numbers are of the notes."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

from sis_connect.testing.district import District
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_infinite_campus.sandbox import InfiniteCampusSandbox
from sis_connect_infinite_campus.sandbox_roster import CampusRoster

GUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


def roles(row: dict[str, Any]) -> set[str]:
    return {role["role"] for role in row["roles"]}


def test_7_in_version_1_2_people_and_organisations_go_by_guids(newer: Any) -> None:
    for path in ("users", "orgs", "demographics"):
        for row in newer(path):
            assert GUID.fullmatch(row["sourcedId"])
            assert UUID(row["sourcedId"]).version == 4


def test_7_guids_may_be_lower_case(newer: Any, sandbox: RunningSandbox) -> None:
    sandbox.set(guid_case="lower")
    assert all(row["sourcedId"] == row["sourcedId"].lower() for row in newer("users"))


@pytest.mark.parametrize(
    ("path", "letter"), [("students", "s"), ("teachers", "t"), ("administrators", "a"), ("guardians", "g"), ("relatives", "r")]
)
def test_7_in_version_1_1_an_id_is_the_letter_of_a_role_and_a_number(older: Any, path: str, letter: str) -> None:
    rows = older(path)
    assert rows
    assert all(re.fullmatch(rf"{letter}\d+", row["sourcedId"]) for row in rows)


def test_7_classes_courses_and_sessions_are_numbers_and_enrollments_have_a_letter(newer: Any, older: Any) -> None:
    for path in ("classes", "courses", "academicSessions", "enrollments", "orgs"):
        ids = {row["sourcedId"] for row in newer(path)}
        assert ids == {row["sourcedId"] for row in older(path)}, "the same in both versions"
        if path != "orgs":
            assert all(re.fullmatch(r"[st]\d+" if path == "enrollments" else r"\d+", sourced_id) for sourced_id in ids)


def test_7_version_1_2_tells_the_former_id_as_one_flat_key(newer: Any, older: Any, sandbox: RunningSandbox) -> None:
    before = {row["sourcedId"] for row in older("students")}
    assert {f"s{row['metadata']['ic.legacySourcedId']}" for row in newer("students")} == before
    sandbox.set(legacy_id="letter", legacy_key="lower")
    assert {row["metadata"]["ic.legacysourceId"] for row in newer("students")} == before
    assert all("metadata" not in row for row in older("students"))


def test_7_one_person_is_one_record_in_version_1_2_and_one_for_each_role_in_1_1(newer: Any, older: Any) -> None:
    both = [row for row in newer("users") if roles(row) >= {"teacher", "guardian"}]
    assert len(both) == 1
    number = both[0]["metadata"]["ic.legacySourcedId"]
    assert {row["sourcedId"] for row in older("users")} >= {f"t{number}", f"g{number}"}


def test_12_user_names_and_numbers_of_students_are_digits_and_schools_have_a_parent(newer: Any) -> None:
    for row in newer("students"):
        assert row["username"].isdecimal()
        assert row["identifier"].isdecimal()
        assert int(row["userMasterIdentifier"]) > 0
        assert row["enabledUser"] in ("true", "false")
    assert all(row["username"].isdecimal() for row in newer("users"))
    assert all(row["parent"]["type"] == "org" for row in newer("schools"))


# -- roles and schools -------------------------------------------------------------------------------------------------


def test_8_some_students_belong_to_the_districts_office_first_of_all(newer: Any) -> None:
    (office,) = (row["sourcedId"] for row in newer("districts"))
    places = [row["primaryOrg"]["sourcedId"] == office for row in newer("students", filter="status='active'")]
    assert any(places)
    assert not all(places)
    assert all(role["org"]["sourcedId"] != office for row in newer("students") for role in row["roles"])


def test_8_real_students_may_be_guardians_first_or_have_no_roles(newer: Any, sandbox: RunningSandbox) -> None:
    sandbox.set(odd_roles="on")
    rows = newer("students", filter="status='active'")
    assert any(row["roles"] == [] for row in rows)
    assert any([role["role"] for role in row["roles"]] == ["guardian", "student"] for row in rows)


def test_8_somebody_deleted_has_neither_roles_nor_grades_and_may_still_be_enrolled(newer: Any, sandbox: RunningSandbox) -> None:
    sandbox.set(deleted_enrolled="on")
    gone = {row["sourcedId"]: row for row in newer("students") if row["status"] == "tobedeleted"}
    assert gone
    assert all(row["roles"] == [] and "grades" not in row for row in gone.values())
    assert any(row["user"]["sourcedId"] in gone for row in newer("studentEnrollments", filter="status='active'"))


# -- scope -------------------------------------------------------------------------------------------------------------


def test_6_only_the_active_school_year_is_served(newer: Any, sandbox: RunningSandbox) -> None:
    before = {row["sourcedId"] for row in newer("classes")}
    assert {row["schoolYear"] for row in newer("academicSessions")} == {"2027"}
    sandbox.set_day(195)
    assert {row["schoolYear"] for row in newer("academicSessions")} == {"2028"}
    assert before.isdisjoint(row["sourcedId"] for row in newer("classes"))
    listed = {row["sourcedId"] for row in newer("classes")}
    assert {row["class"]["sourcedId"] for row in newer("enrollments")} <= listed


def test_6_no_shows_and_graduates_are_left_out(newer: Any, sandbox: RunningSandbox) -> None:
    numbers = {row["identifier"] for row in newer("students")}
    students = {student.key: student.number for student in sandbox.district.students.values()}
    for case in ("no_show", "graduated"):
        assert all(students[key] not in numbers for key in sandbox.district.hard_cases[case]), case
    assert students[sandbox.district.hard_cases["no_show_elsewhere"][0]] in numbers


def test_6_who_leaves_is_marked_or_vanishes(newer: Any, sandbox: RunningSandbox) -> None:
    sandbox.set_day(20)
    marked = {row["sourcedId"] for row in newer("students") if row["status"] == "tobedeleted"}
    assert marked
    sandbox.set(departed="vanish")
    assert marked.isdisjoint(row["sourcedId"] for row in newer("students"))


def test_6_guardians_appear_only_with_the_portals_flag(newer: Any, sandbox: RunningSandbox) -> None:
    from sis_connect.testing.district_guardians import guardians

    flagged = [one for one in guardians(sandbox.district).values() if one.portal and one.staff is None]
    assert 0 < len(newer("guardians")) + len(newer("relatives")) <= len(flagged) + 1


# -- lists beyond the standard, and metadata ---------------------------------------------------------------------------


def test_4_the_narrow_lists_add_up_to_the_wide_ones(newer: Any) -> None:
    whole = {row["sourcedId"] for row in newer("enrollments")}
    parts = [{row["sourcedId"] for row in newer(path)} for path in ("studentEnrollments", "teacherEnrollments")]
    assert parts[0] | parts[1] == whole
    assert parts[0].isdisjoint(parts[1])
    people = set().union(
        *(
            {row["sourcedId"] for row in newer(path)}
            for path in ("students", "teachers", "administrators", "guardians", "relatives")
        )
    )
    assert people == {row["sourcedId"] for row in newer("users")}


def test_4_lists_of_one_school(newer: Any) -> None:
    school = newer("schools")[0]["sourcedId"]
    enrollments = newer(f"schools/{school}/studentEnrollments")
    assert {row["school"]["sourcedId"] for row in enrollments} == {school}
    assert {row["role"] for row in newer(f"schools/{school}/teacherEnrollments")} == {"teacher"}


def test_4_classes_are_grouped(newer: Any) -> None:
    school = newer("schools")[0]["sourcedId"]
    groups = newer(f"schools/{school}/classGroups")
    assert groups[0].keys() >= {"sourcedId", "title", "groupType", "classes"}
    grouped = {ref["sourcedId"] for group in groups for ref in group["classes"]}
    assert grouped == {row["sourcedId"] for row in newer(f"schools/{school}/classes")}


def test_4_there_are_no_groups_of_an_unknown_school(client: Any) -> None:
    base = "/campus/api/oneroster/v1p2/anytown/ims/oneroster/rostering/v1p2"
    for path in ("schools/0/classGroups", "schools/0/studentEnrollments", "schools/classGroups", "x/y/programs"):
        assert client.get(f"{base}/{path}").status_code == 404, path


def test_4_lists_that_are_empty_here(newer: Any, client: Any) -> None:
    assert newer("scoreGroups") == newer("programs") == newer("programParticipation") == []
    assert client.get("/campus/oneroster/anytown/ims/oneroster/v1p1/programs").status_code == 404


def test_8_1_relationships_name_guardians_and_what_they_are(newer: Any) -> None:
    people = {row["sourcedId"] for row in newer("users")}
    told = [relation for row in newer("students") for relation in row["metadata"]["ic_relationships"]]
    assert {type(relation["guardian"]) for relation in told} == {bool}
    assert {relation["relationshipType"] for relation in told} >= {"Mother", "Father", "Guardian"}
    assert {relation["sourcedId"] for relation in told} <= people


def test_8_1_the_household_is_told_with_demographics(newer: Any) -> None:
    rows = newer("demographics")
    address = next(row["metadata"]["ic_address"] for row in rows if "ic_address" in row["metadata"])
    assert address.keys() == {
        *("city", "districtResidenceName", "districtResidenceNumber", "number", "sourcedId", "state", "street", "tag", "zipcode"),
    }
    assert all(row["metadata"].keys() >= {"ic_homePhone", "ic_cellPhone", "ic_workPhone"} for row in rows)
    assert {row["sourcedId"] for row in rows} == {row["sourcedId"] for row in newer("students")}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_new_day_takes_over_only_what_is_as_it_was(version: str) -> None:
    settings = {**InfiniteCampusSandbox.known_settings, "odd_roles": "on", "deleted_enrolled": "on"}
    district = District(students=200)
    former = CampusRoster(district, version, settings)
    for day in (1, 2, 3, 192, 193, 194):
        district.move_to(day)
        following, fresh = (CampusRoster(district, version, settings) for _ in range(2))
        following.follow(former)
        for table in ("user", "enrollment"):
            told, expected = ([roster.row(entry) for entry in roster.entries(table).values()] for roster in (following, fresh))
            assert told == expected, (table, day)
        former = following
