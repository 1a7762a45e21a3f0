"""The sandbox over raw HTTP: pages, counts, queries, default filters, expansions."""

from __future__ import annotations

from datetime import date

import httpx
import pytest

from raw_v1 import count, members, one, read, school_of, student_id, whole
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_query import QueryError, parse
from sis_connect_powerschool.sandbox_rows import STUDENT_EXPANSIONS, dcid

# 9-13: pages, counts, queries, filters, expansions


def test_row_9_pages_have_the_size_that_metadata_names(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert len(members(read(client, "district/student"))) == 100
    assert len(members(read(client, "district/student", page=2))) == 100
    assert set(read(client, "district/student", page=3)["students"]) == {"@expansions", "@extensions"}
    assert len(members(read(client, "district/student", pagesize=7))) == 7
    sandbox.set(student_page_size="50", page_size="20")
    metadata = read(client, "metadata")["metadata"]
    assert (metadata["student_max_page_size"], metadata["course_max_page_size"]) == (50, 20)
    assert len(members(read(client, "district/student"))) == 50
    assert len(members(read(client, f"school/{school_of(client, 'High')}/course"))) == 20


def test_row_9_more_than_the_maximum_is_cut_down_or_refused(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert len(members(read(client, "district/student", pagesize=1000))) == 100
    sandbox.set(over_page_size="reject")
    refused = client.get("/ws/v1/district/student?pagesize=101")
    assert (refused.status_code, "errorMessage" in refused.json()) == (400, True)
    assert client.get("/ws/v1/district/student?page=0").status_code == 400


def test_row_10_the_count_honours_the_query(client: httpx.Client) -> None:
    assert client.get("/ws/v1/district/student/count").json() == {"resource": {"count": 200}}
    active = count(client, "district/student", q="school_enrollment.enroll_status==A")
    assert 150 < active < 200
    assert active == len(whole(client, "district/student", q="school_enrollment.enroll_status==A"))
    school = school_of(client, "High")
    for child in ("student", "staff", "section", "term", "course"):
        assert count(client, f"school/{school}/{child}") == len(whole(client, f"school/{school}/{child}")), child


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("school_enrollment.enroll_status_code==0", {0}),
        ("school_enrollment.enroll_status==(a,P)", {0, -1}),
        ("school_enrollment.enroll_status_code==(-1,3)", {-1, 3}),
        ("school_enrollment.enroll_status_code=gt=2", {3, 4}),
        ("school_enrollment.enroll_status_code=ge=2", {2, 3, 4}),
        ("school_enrollment.enroll_status_code=lt=0", {-1}),
        ("school_enrollment.enroll_status_code=le=0", {-1, 0}),
        ("school_enrollment.enroll_status_code=gt=-2147483648", {-1, 0, 1, 2, 3, 4}),
        ("name.Last_name==*;school_enrollment.enroll_status_code==3", {3}),
    ],
)
def test_row_11_statuses_are_asked_for_by_letter_and_code(client: httpx.Client, query: str, expected: set[int]) -> None:
    found = whole(client, "district/student", q=query, expansions="school_enrollment")
    assert {student["school_enrollment"]["enroll_status_code"] for student in found} == expected


def test_row_11_names_and_numbers_are_asked_for(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert [row["name"]["first_name"] for row in whole(client, "district/student", q="name.first_name==Saman*")] == ["Samantha"]
    assert [row["id"] for row in whole(client, "district/student", q="student_username==78654")] == [
        student_id(sandbox, "numeric_username")
    ]
    shared = one(client, sandbox, "shared_state_id")["state_province_id"]
    assert count(client, "district/student", q=f"state_province_id=={shared}") == 2
    reissued = one(client, sandbox, "reissued_number")["local_id"]
    assert count(client, "district/student", q=f"local_id=={reissued}") == 2


def test_row_11_dates_are_compared_as_dates(client: httpx.Client) -> None:
    today = "2026-10-05"
    later = whole(client, "district/student", q=f"school_enrollment.entry_date=gt={today}", expansions="school_enrollment")
    assert later
    assert all(date.fromisoformat(row["school_enrollment"]["entry_date"]) > date.fromisoformat(today) for row in later)
    assert client.get("/ws/v1/district/student?q=school_enrollment.entry_date=gt=soon").status_code == 400


def test_row_11_an_unknown_field_is_refused_or_ignored(client: httpx.Client, sandbox: RunningSandbox) -> None:
    refused = client.get("/ws/v1/district/student?q=shoe_size==7")
    assert (refused.status_code, "shoe_size" in refused.json()["errorMessage"]["message"]) == (400, True)
    sandbox.set(unknown_field="ignore")
    assert count(client, "district/student", q="shoe_size==7") == 200
    with pytest.raises(QueryError):
        parse("name.last_name<>Smith")


def test_row_12_lists_have_their_default_filters(client: httpx.Client, sandbox: RunningSandbox) -> None:
    middle, high = school_of(client, "Middle"), school_of(client, "High")
    everybody = whole(client, "district/student", expansions="school_enrollment")
    assert {row["school_enrollment"]["enroll_status_code"] for row in everybody} == {-1, 0, 1, 2, 3, 4}
    pupils = whole(client, f"school/{middle}/student", expansions="school_enrollment")
    assert {(row["school_enrollment"]["enroll_status_code"], row["school_enrollment"]["school_id"]) for row in pupils} == {
        (0, middle)
    }
    everyone = "school_enrollment.enroll_status_code=gt=-2147483648"
    assert count(client, f"school/{middle}/student", q=everyone) > len(pupils)
    gone = sandbox.district.hard_cases["staff_who_left"][0]
    former = next(dcid("school_staff", a.serial) for a in sandbox.district.affiliations.values() if f"staff-{a.staff}" == gone)
    assert former not in [row["id"] for row in whole(client, f"school/{high}/staff")]
    assert read(client, f"staff/{former}", expansions="school_affiliations")["staff"]["school_affiliations"] == {
        "school_affiliation": {"school_id": high, "type": 2, "status": 2}
    }


def test_row_12_sections_and_terms_are_of_the_current_year_until_another_is_asked_for(
    client: httpx.Client, sandbox: RunningSandbox
) -> None:
    high = school_of(client, "High")
    before = {row["id"] for row in whole(client, f"school/{high}/section")}
    sandbox.set_day(200)
    assert {row["start_year"] for row in whole(client, f"school/{high}/term")} == {2027}
    assert {row["start_year"] for row in whole(client, f"school/{high}/term", q="start_year==2026")} == {2026}
    now = {row["id"] for row in whole(client, f"school/{high}/section")}
    assert now
    assert now.isdisjoint(before)
    assert before <= {row["id"] for row in whole(client, f"school/{high}/section", q="term.start_year==2026")}


def test_row_12_the_school_of_graduates_is_not_listed_but_can_be_read(client: httpx.Client, sandbox: RunningSandbox) -> None:
    graduate = one(client, sandbox, "graduated", "school_enrollment")["school_enrollment"]
    assert (graduate["school_number"], graduate["grade_level"], graduate["enroll_status_code"]) == (999999, 99, 3)
    assert 999999 not in [row["school_number"] for row in whole(client, "district/school")]
    assert read(client, f"school/{graduate['school_id']}")["school"]["school_number"] == 999999
    sandbox.set(graduated_school="listed")
    assert 999999 in [row["school_number"] for row in whole(client, "district/school")]


def test_row_13_what_can_be_expanded_is_told_with_and_without_a_space(client: httpx.Client, sandbox: RunningSandbox) -> None:
    listed = read(client, "district/student", pagesize=1)["students"]
    assert listed["@expansions"] == STUDENT_EXPANSIONS
    assert listed["@extensions"] == "s_stu_x,u_students_extension,studentcorefields"
    assert "@expansions" not in listed["student"]
    single = one(client, sandbox, "preferred_name")
    assert single["@expansions"] == STUDENT_EXPANSIONS
    assert set(single) - {"@expansions", "@extensions"} == {"id", "local_id", "state_province_id", "student_username", "name"}


def test_row_13_every_expansion_can_be_asked_for(client: httpx.Client, sandbox: RunningSandbox) -> None:
    expanded = one(client, sandbox, "preferred_name", STUDENT_EXPANSIONS.replace(" ", ""))
    assert set(STUDENT_EXPANSIONS.split(", ")) <= set(expanded)
    assert expanded["school_enrollment"].keys() >= {
        "enroll_status",
        "enroll_status_description",
        "entry_date",
        "exit_date",
        "track",
    }
    section = members(read(client, f"school/{school_of(client, 'High')}/section", pagesize=1, expansions="term"))[0]
    assert section["term"]["id"] == section["term_id"]


def test_row_13_extensions_bring_tables_and_unknown_names_nothing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    number = student_id(sandbox, "preferred_name")
    one_table = read(client, f"student/{number}", extensions="u_students_extension,u_unknown")["student"]["_extension_data"]
    assert one_table == {
        "_table_extension": {
            "recordFound": False,
            "name": "u_students_extension",
            "_field": [{"name": "preferredname", "type": "String", "value": "Sam"}],
        }
    }
    two = read(client, f"student/{number}", extensions="u_students_extension,studentcorefields")["student"]["_extension_data"]
    assert [table["name"] for table in two["_table_extension"]] == ["u_students_extension", "studentcorefields"]
    assert "_extension_data" not in read(client, f"student/{number}", extensions="u_unknown", expansions="unknown")["student"]
