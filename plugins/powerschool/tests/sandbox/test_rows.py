"""The sandbox over raw HTTP: identities, rows, faults, and what it tolerates."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raw_v1 import EXPIRED, count, grant, members, read, school_of, student_id, whole
from sis_connect.errors import ConfigurationError
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_rows import serial_of

# 18-22: identities, rows, faults, tolerance


def test_row_18_no_id_is_good_for_another_column(client: httpx.Client) -> None:
    columns: dict[str, set[Any]] = {}

    def note(column: str, values: list[Any]) -> None:
        columns.setdefault(column, set()).update(value for value in values if value is not None)

    students = whole(client, "district/student")
    note("student id", [row["id"] for row in students])
    note("student number", [row["local_id"] for row in students])
    note("state id", [row.get("state_province_id") for row in students])
    for school in whole(client, "district/school"):
        note("school id", [school["id"]])
        note("school number", [school["school_number"]])
        for child in ("term", "course", "section", "staff"):
            rows = whole(client, f"school/{school['id']}/{child}")
            note(f"{child} id", [row["id"] for row in rows])
            note(f"{child} number", [row["local_id"] for row in rows if child == "term"])
            note("person", [row.get("users_dcid") for row in rows])
            for row in rows if child == "section" else ():
                roster = whole(client, f"section/{row['id']}/section_enrollment")
                note("enrollment id", [enrollment["id"] for enrollment in roster])
    everything = [value for values in columns.values() for value in values]
    assert len(everything) == len(set(everything))
    assert len(columns) == 15


def test_row_18_an_id_of_another_table_finds_nothing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    number = student_id(sandbox, "preferred_name")
    assert serial_of("section", number) is None
    for path in (
        f"school/{number}",
        f"section/{number}/section_enrollment",
        f"staff/{number}",
        "student/999",
        "school/101/student",
    ):
        missing = client.get(f"/ws/v1/{path}")
        assert (missing.status_code, set(missing.json())) == (404, {"errorMessage"})


def test_row_19_dropped_rows_future_exits_and_every_grade_are_there(client: httpx.Client, sandbox: RunningSandbox) -> None:
    rows = [
        row
        for school in whole(client, "district/school")
        for section in whole(client, f"school/{school['id']}/section")
        for row in whole(client, f"section/{section['id']}/section_enrollment")
    ]
    assert {row["dropped"] for row in rows} == {True, False}
    assert all(row["exit_date"] <= "2026-10-05" for row in rows if row["dropped"])
    assert {row["exit_date"] for row in rows if not row["dropped"]} >= {"2027-06-05", "2027-01-11"}
    known = {row["id"] for row in whole(client, "district/student")}
    assert len([row for row in rows if row["student_id"] not in known]) == 3
    students = whole(client, "district/student", expansions="school_enrollment")
    assert {row["school_enrollment"]["grade_level"] for row in students} == {*range(-2, 13), 99}
    stays = [row["school_enrollment"] for row in students if row["school_enrollment"]["enroll_status_code"] == 0]
    assert all(stay["exit_date"] > "2026-10-05" for stay in stays)


def test_row_19_lists_come_in_the_servers_order(client: httpx.Client) -> None:
    names = [row["name"] for row in whole(client, "district/school")]
    assert names == sorted(names)
    high = school_of(client, "High")
    sections = [row["id"] for row in whole(client, f"school/{high}/section")]
    assert sections == sorted(sections)
    terms = [(row["portion"], row["start_date"]) for row in whole(client, f"school/{high}/term")]
    assert terms == sorted(terms)
    courses = [str(row["course_number"]) for row in whole(client, f"school/{high}/course")]
    assert courses == sorted(courses)
    roster = [(row["student_id"], row["entry_date"]) for row in whole(client, f"section/{sections[0]}/section_enrollment")]
    assert roster == sorted(roster)


def test_row_20_downtime_is_a_redirect_to_a_web_page(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("redirect", count=1)
    answer = client.get("/ws/v1/district/school", follow_redirects=True)
    assert answer.history[0].status_code == 302
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>PowerSchool page unavailable</title>" in answer.text


def test_row_20_too_many_requests_come_in_the_vendors_words(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("status", 429, count=1)
    refused = client.get("/ws/v1/district/school")
    assert (refused.status_code, "retry-after" in refused.headers, "errorMessage" in refused.json()) == (429, False, True)
    sandbox.fault("retry_after", 3, count=1)
    assert client.get("/ws/v1/district/school").headers["retry-after"] == "3"


def test_row_20_a_row_comes_between_two_pages(client: httpx.Client, sandbox: RunningSandbox) -> None:
    path = "district/student"
    sandbox.fault("drift", path="/ws/v1/district/student*")
    assert count(client, path) == 199
    first, second = members(read(client, path)), members(read(client, path, page=2))
    assert first[-1]["id"] == second[0]["id"]
    assert count(client, path) == 200


def test_row_20_totals_can_be_wrong_or_missing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("wrong_total", 5, count=1)
    assert count(client, "district/student") == 205
    sandbox.fault("drop_total", count=1)
    assert client.get("/ws/v1/district/student/count").status_code == 404
    sandbox.fault("empty", path="/ws/v1/district/student")
    assert count(client, "district/student") == 0
    assert members(read(client, "district/student")) == []


def test_row_20_a_token_can_die_in_the_middle(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("token_expiry", 1, count=1, path="/ws/v1")
    assert client.get("/ws/v1/district/school").status_code == 200
    assert client.get("/ws/v1/district/school").headers["www-authenticate"] == EXPIRED
    token = grant(client, sandbox).json()["access_token"]
    assert client.get("/ws/v1/district/school", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/ws/v1/district/student/count?q=name.first_name==Saman*;school_enrollment.enroll_status==(A,P)",
        "/ws/v1/district/student/count?q=name.first_name%3D%3DSaman%2A%3Bschool_enrollment.enroll_status%3D%3D%28A%2CP%29",
        "//ws/v1//district/student/count?q=name.first_name==Samantha",
        "/ws/v1/district/student/count/?q=name.first_name==Samantha",
    ],
)
def test_row_22_queries_come_raw_and_encoded_and_slashes_double(client: httpx.Client, target: str) -> None:
    request = client.build_request("GET", client.base_url)
    request.extensions["target"] = target.encode()
    assert client.send(request).json() == {"resource": {"count": 1}}


def test_row_22_a_get_may_carry_a_body(client: httpx.Client) -> None:
    for _ in range(2):
        assert client.request("GET", "/ws/v1/district", json={}).json()["district"]["district_number"] == "0042"


@pytest.mark.parametrize(
    "path",
    ["school_enrollment", "district/section", "district/staff", "district/section_enrollment", "district/count", "nothing"],
)
def test_what_the_server_does_not_have_is_not_found(client: httpx.Client, path: str) -> None:
    missing = client.get(f"/ws/v1/{path}")
    assert (missing.status_code, set(missing.json())) == (404, {"errorMessage"})


def test_other_methods_and_other_interfaces_are_not_offered(client: httpx.Client) -> None:
    assert client.delete("/ws/v1/district/student").status_code == 405
    assert client.get("/ws/schema/table").status_code == 404


@pytest.mark.parametrize(
    "settings", [{"access": "SOME"}, {"page_size": "many"}, {"student_page_size": "0"}, {"invalid": "half"}, {"shoe_size": "7"}]
)
def test_a_setting_that_is_none_is_refused(sandbox: RunningSandbox, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        sandbox.set(**settings)
