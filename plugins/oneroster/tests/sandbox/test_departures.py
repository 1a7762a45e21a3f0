"""The sandbox by raw HTTP: what ceased to be, in lists and below other objects (row 26)."""

from __future__ import annotations

import httpx
import pytest

from raw_oneroster import BASES, V12, ids, read, whole
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_oneroster.sandbox_collections import COLLECTIONS, Places
from sis_connect_oneroster.sandbox_roster import Roster

VERSIONS = ["1.1", "1.2"]
LISTS = (
    "academicSessions",
    "terms",
    "gradingPeriods",
    "orgs",
    "schools",
    "courses",
    "classes",
    "enrollments",
    "users",
    "demographics",
)


@pytest.mark.parametrize("version", VERSIONS)
def test_row_26_what_ceased_to_be_is_listed_as_deleted_everywhere(
    client: httpx.Client, sandbox: RunningSandbox, version: str
) -> None:
    base = BASES[version]
    before = {name: {row["sourcedId"]: row for row in whole(client, f"{base}/{name}")} for name in ("students", "enrollments")}
    sandbox.set_day(30)
    for name in ("students", "enrollments"):
        after = {row["sourcedId"]: row for row in whole(client, f"{base}/{name}")}
        assert before[name].keys() <= after.keys()
        gone = [after[s] for s, row in before[name].items() if row["status"] == "active" and after[s]["status"] == "tobedeleted"]
        assert gone
        assert all("2026-10-05" < row["dateLastModified"] < "2026-11-17" for row in gone)
        assert read(client, f"{base}/{name}/{gone[0]['sourcedId']}")["status"] == "tobedeleted"
    nested = [
        row for school in ids(whole(client, f"{base}/schools")) for row in whole(client, f"{base}/schools/{school}/enrollments")
    ]
    assert "tobedeleted" in {row["status"] for row in nested}
    assert not [row for row in whole(client, f"{base}/students", filter="status='active'") if row["status"] != "active"]


def test_a_server_may_purge_what_ceased_to_be(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set_day(30)
    deleted = whole(client, f"{V12}/students", filter="status='tobedeleted'")
    sandbox.set(deleted="purged")
    for name in LISTS:
        assert {row["status"] for row in whole(client, f"{V12}/{name}")} == {"active"}
    assert client.get(f"{V12}/students/{deleted[0]['sourcedId']}").status_code == 404


def test_a_new_teacher_has_an_enrollment_of_their_own(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set_day(60)
    rows = [row for row in whole(client, f"{V12}/enrollments") if row["role"] == "teacher"]
    former = [row for row in rows if row["status"] == "tobedeleted"]
    assert former
    active = {row["class"]["sourcedId"]: row["user"]["sourcedId"] for row in rows if row["status"] == "active"}
    assert all(active[row["class"]["sourcedId"]] != row["user"]["sourcedId"] for row in former)


def test_after_the_roll_over_the_past_year_is_deleted(client: httpx.Client, sandbox: RunningSandbox) -> None:
    before = {name: set(ids(whole(client, f"{V12}/{name}"))) for name in ("academicSessions", "classes")}
    sandbox.set_day(200)
    for name, past in before.items():
        after = {row["sourcedId"]: row for row in whole(client, f"{V12}/{name}")}
        assert {after[sourced_id]["status"] for sourced_id in past} == {"tobedeleted"}
        assert {row["dateLastModified"][:10] for s, row in after.items() if s in past} == {"2027-07-01"}
        assert [s for s, row in after.items() if s not in past and row["status"] == "active"]


@pytest.mark.parametrize("version", VERSIONS)
def test_who_has_left_a_class_is_below_it_no_more_unless_asked_for(
    client: httpx.Client, sandbox: RunningSandbox, version: str
) -> None:
    base = BASES[version]
    sandbox.set_day(60)
    rows = whole(client, f"{base}/enrollments")
    here = {(row["class"]["sourcedId"], row["user"]["sourcedId"]) for row in rows if row["status"] == "active"}
    people = {row["sourcedId"]: row["status"] for row in whole(client, f"{base}/users")}
    for role in ("student", "teacher"):
        gone = [row for row in rows if row["role"] == role and people[row["user"]["sourcedId"]] == "active"]
        section, person = next(
            pair for row in gone if (pair := (row["class"]["sourcedId"], row["user"]["sourcedId"])) not in here
        )
        school = next(row["school"]["sourcedId"] for row in gone if row["class"]["sourcedId"] == section)
        lists = {
            f"classes/{section}/{role}s": person,
            f"schools/{school}/classes/{section}/{role}s": person,
            f"{role}s/{person}/classes": section,
            f"users/{person}/classes": section,
        }
        for nested, there in (("active", False), ("all", True)):
            sandbox.set(nested=nested)
            for path, sourced_id in lists.items():
                assert (sourced_id in ids(whole(client, f"{base}/{path}"))) == there, (path, nested)


@pytest.mark.parametrize("nested", ["active", "all"])
def test_a_school_has_no_course_of_which_only_classes_of_past_years_are_left(nested: str) -> None:
    district = District(students=60)
    district.move_to(200)
    roster = Roster(district, "1.2", {"nested": nested})
    places, fewer = Places(roster, COLLECTIONS), 0
    for school, classes in roster.index("class", "school").items():
        taught = {each.links["course"][0] for each in classes if nested == "all" or each.listed == "active"}
        found = places.find(["schools", school, "courses"])
        assert found is not None
        assert {entry.sourced_id for entry in found.entries} == taught
        fewer += len({each.links["course"][0] for each in classes} - taught)
    assert (fewer > 0) == (nested == "active")
