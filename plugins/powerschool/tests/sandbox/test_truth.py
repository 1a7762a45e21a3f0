"""What the sandbox says a perfect client would have, beside what it serves."""

from __future__ import annotations

from typing import Any

import httpx

from raw_v1 import student_id, whole
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_rows import STUDENT_EXPANSIONS
from sis_connect_powerschool.sandbox_wire import list_json, to_json, to_xml

# Days and truth


def test_a_day_later_the_rows_are_those_of_that_day(client: httpx.Client, sandbox: RunningSandbox) -> None:
    before = {row["id"]: row for row in whole(client, "district/student", expansions=STUDENT_EXPANSIONS.replace(" ", ""))}
    sandbox.set_day(5)
    after = {row["id"]: row for row in whole(client, "district/student", expansions=STUDENT_EXPANSIONS.replace(" ", ""))}
    changed = {number for number, row in after.items() if before.get(number) != row}
    assert 0 < len(changed) < 40
    assert before.keys() <= after.keys()


def test_the_truth_has_the_ids_that_the_rows_have(client: httpx.Client, sandbox: RunningSandbox) -> None:
    schools = whole(client, "district/school")

    def listed(child: str, key: str = "id") -> set[str]:
        return {str(row[key]) for school in schools for row in whole(client, f"school/{school['id']}/{child}")}

    def true(kind: str) -> set[str]:
        return {row["sis_id"] for row in sandbox.truth(kind)}

    assert true("schools") == {str(row["id"]) for row in schools}
    assert true("students") == {str(row["id"]) for row in whole(client, "district/student")}
    for kind, child, key in (("terms", "term", "id"), ("courses", "course", "id"), ("sections", "section", "id")):
        assert true(kind) == listed(child, key), kind
    assert true("staff") == listed("staff", "users_dcid")
    rosters = {
        str(row["id"])
        for section in listed("section")
        for row in whole(client, f"section/{section}/section_enrollment")
        if row["student_id"] < 1_000_000_000
    }
    pupils = {row["sis_id"] for row in sandbox.truth("enrollments") if row["role"] == "student"}
    teachers = [row for row in sandbox.truth("enrollments") if row["role"] == "teacher"]
    assert (pupils, len(teachers)) == (rosters, len(listed("section")))
    assert {row["user"] for row in teachers} <= true("staff")
    assert sandbox.truth("guardians") == []


def test_the_truth_about_a_student_is_canonical(sandbox: RunningSandbox) -> None:
    fields = ("birth_date", "emails", "preferred_given_name")
    truth = {row["key"]: row for row in sandbox.truth("students", fields=fields)}
    sam = truth[sandbox.district.hard_cases["preferred_name"][0]]
    assert (sam["given_name"], sam["preferred_given_name"], sam["grade"], sam["grade_text"]) == ("Samantha", "Sam", "07", "7")
    assert sam["emails"][0]["type"] == "school"
    assert "gender" not in sam
    graduate = truth[sandbox.district.hard_cases["graduated"][0]]
    assert (graduate["school"], graduate["grade"], graduate["grade_text"]) == (None, None, "99")
    assert (graduate["status"], graduate["status_reason"]) == ("inactive", "graduated")
    letters = truth[sandbox.district.hard_cases["name_with_combining_marks"][0]]
    assert letters["given_name"] == "Zo\u00eb"
    preschool = truth[sandbox.district.hard_cases["preschool"][1]]
    assert (preschool["grade"], preschool["grade_text"]) == ("PK", "-2")


def test_the_truth_about_staff_is_one_record_a_person(sandbox: RunningSandbox) -> None:
    truth = {row["key"]: row for row in sandbox.truth("staff")}
    shared = truth[sandbox.district.hard_cases["staff_at_two_schools"][0]]
    assert len(shared["schools"]) == len(shared["ids"]["school_staff"]) == 2
    assert sandbox.district.hard_cases["staff_who_left"][0] not in truth


def test_the_truth_about_stints_is_the_present_one_or_all(sandbox: RunningSandbox) -> None:
    present, everything = sandbox.truth("school_enrollments"), sandbox.truth("school_enrollments", history=True)
    assert {row["sis_id"] for row in present} < {row["sis_id"] for row in everything}
    assert len({row["sis_id"] for row in everything}) == len(everything)
    never = str(student_id(sandbox, "no_show"))
    (no_show,) = [row for row in present if row["student"] == never]
    assert (no_show["status"], no_show["status_reason"]) == ("inactive", "no_show")
    twice = str(student_id(sandbox, "same_day_reentry"))
    first, second = (row for row in everything if row["student"] == twice)
    assert (first["exit_date"], first["status"], second["status"]) == (second["entry_date"], "inactive", "active")
    assert str(student_id(sandbox, "graduated")) not in {row["student"] for row in present}


def test_a_share_of_the_students_can_be_invalid(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(invalid="0.5")
    nameless = [row for row in whole(client, "district/student") if "last_name" not in row["name"]]
    assert 70 < len(nameless) < 130
    assert len(sandbox.truth("students")) == 200 - len(nameless)
    sandbox.set(invalid="0")
    assert all("last_name" in row["name"] for row in whole(client, "district/student"))


# The wire


def test_a_list_is_joined_from_rows_that_are_json_already() -> None:
    assert list_json("terms", "term", {}, []) == b'{"terms":{}}'
    assert list_json("terms", "term", {}, [b"1"]) == b'{"terms":{"term":1}}'
    assert list_json("terms", "term", {"@extensions": ""}, [b"1", b"2"]) == b'{"terms":{"@extensions":"","term":[1,2]}}'


def test_one_tree_makes_json_and_xml() -> None:
    tree: dict[str, Any] = {
        "@extensions": "a,b",
        "races": [{"code": "WH"}],
        "fees": {},
        "none": None,
        "rows": [],
        "name": "<O'Neil & Co>",
    }
    assert to_json(tree) == b'{"@extensions":"a,b","races":{"code":"WH"},"fees":"","name":"<O\'Neil & Co>"}'
    assert to_xml("student", tree).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<student extensions="a,b"><races><code>WH</code></races><fees/><name>&lt;O\'Neil &amp; Co&gt;</name></student>'
    )
