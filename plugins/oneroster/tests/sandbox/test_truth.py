"""What the sandbox says a perfect client would have, beside what it serves."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raw_oneroster import BASES, ids, whole
from sis_connect.testing.sandbox import RunningSandbox

LISTS = {
    "schools": "schools",
    "terms": "academicSessions",
    "courses": "courses",
    "sections": "classes",
    "students": "students",
    "enrollments": "enrollments",
}


@pytest.fixture(params=["1.1", "1.2"])
def base(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> str:
    """The base of a version, about which the truth is told."""
    sandbox.set(version=request.param)
    return BASES[request.param]


def words(row: dict[str, Any]) -> set[str]:
    return {row["role"]} if "role" in row else {role["role"] for role in row["roles"]}


@pytest.mark.parametrize("day", [0, 40, 200])
def test_the_truth_has_the_ids_and_the_standing_that_the_rows_have(
    client: httpx.Client, sandbox: RunningSandbox, base: str, day: int
) -> None:
    sandbox.set_day(day)
    for kind, name in LISTS.items():
        listed = {row["sourcedId"]: row["status"] for row in whole(client, f"{base}/{name}")}
        assert {row["sis_id"]: row["status"] for row in sandbox.truth(kind)} == listed, kind
    people = {row["sourcedId"]: words(row) for row in whole(client, f"{base}/users")}
    guardians = {one for one, roles in people.items() if roles & {"parent", "guardian", "relative"}}
    staff = {one for one, roles in people.items() if roles - {"parent", "guardian", "relative", "student"}}
    assert {row["sis_id"] for row in sandbox.truth("guardians")} == guardians
    assert {row["sis_id"] for row in sandbox.truth("staff")} == staff
    assert sandbox.truth("school_enrollments") == []


def test_a_purged_past_is_in_the_truth_neither(client: httpx.Client, sandbox: RunningSandbox, base: str) -> None:
    sandbox.set_day(40)
    sandbox.set(deleted="purged")
    for kind, name in LISTS.items():
        assert [row["sis_id"] for row in sandbox.truth(kind)] == ids(whole(client, f"{base}/{name}")), kind
        assert {row["status"] for row in sandbox.truth(kind)} == {"active"}


def test_references_of_the_truth_hold(sandbox: RunningSandbox, base: str) -> None:
    sandbox.set_day(40)
    known = {kind: {row["sis_id"] for row in sandbox.truth(kind)} for kind in (*LISTS, "staff", "guardians")}
    for row in sandbox.truth("sections"):
        assert row["school"] in known["schools"]
        assert row["course"] in known["courses"]
        assert row["term"] in known["terms"]
    for row in sandbox.truth("enrollments"):
        assert row["section"] in known["sections"]
        assert row["user"] in known["students" if row["role"] == "student" else "staff"]
    assert all(set(row["students"]) <= known["students"] for row in sandbox.truth("guardians"))


def test_the_truth_about_a_student_is_canonical(sandbox: RunningSandbox, base: str) -> None:
    truth = {row["key"]: row for row in sandbox.truth("students", fields=("birth_date", "emails", "gender", "demographics"))}
    sam = truth[sandbox.district.hard_cases["preferred_name"][0]]
    assert (sam["given_name"], sam["grade"], sam["grade_text"], sam["status"]) == ("Samantha", "07", "07", "active")
    assert sam.get("preferred_given_name", "unsaid") == ("Sam" if base == BASES["1.2"] else "unsaid")
    assert sam["emails"] == [{"address": f"{sam['username']}@students.example.org"}]
    assert sam["gender"] in ("male", "female")
    assert sam["demographics"]["ethnicity"] in ("hispanicOrLatino", "notHispanicOrLatino")
    assert "phones" not in sam
    assert "contacts" not in sam
    left = truth[sandbox.district.hard_cases["transferred"][0]]
    assert (left["status"], "birth_date" in left) == ("tobedeleted", False)
    assert sandbox.district.hard_cases["pre_registered"][0] not in truth


def test_the_truth_about_staff_is_one_record_a_person(sandbox: RunningSandbox, base: str) -> None:
    truth = {row["key"]: row for row in sandbox.truth("staff")}
    shared = truth[sandbox.district.hard_cases["staff_at_two_schools"][0]]
    assert (len(shared["schools"]), shared["role"]) == (2, "teacher")
    assert truth[sandbox.district.hard_cases["staff_who_left"][0]]["status"] == "tobedeleted"
    (both,) = [
        row
        for row in sandbox.truth("guardians")
        if row["family_name"] == shared["family_name"] and row["relationship"] == "guardian"
    ]
    assert (both["sis_id"] == shared["sis_id"]) == (base == BASES["1.2"])


def test_both_versions_tell_of_the_same_district(sandbox: RunningSandbox) -> None:
    sandbox.set_day(12)
    told = {}
    for version in BASES:
        sandbox.set(version=version)
        told[version] = {kind: {row["key"] for row in sandbox.truth(kind)} for kind in (*LISTS, "staff", "guardians")}
    assert told["1.1"] == told["1.2"]
