"""The sandbox over raw HTTP: the queries of an installed package, as the notes on PowerQueries have them (4.3 and 5)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raw_v1 import count, read, student_id, whole
from sis_connect.testing.sandbox import RunningSandbox
from sis_connect_powerschool.sandbox_query_rows import QUERIES

PREFIX = "org.sisconnect.sis_connect.roster"
#: 2026-27, counted from 1990-91.
YEAR = {"yearid": "36"}
ARGUMENTS: dict[str, dict[str, str]] = {
    area: {name: {"yearid": "36", "since": "2024-07-01"}[name] for name in query.arguments} for area, query in QUERIES.items()
}


@pytest.fixture
def installed(client: httpx.Client, sandbox: RunningSandbox) -> httpx.Client:
    sandbox.set(package="installed", package_fields="all")
    return client


def ask(client: httpx.Client, area: str, body: dict[str, str] | None = None, **query: object) -> httpx.Response:
    params = {name: str(value) for name, value in query.items()}
    return client.post(f"/ws/schema/query/{PREFIX}.{area}", params=params, json=body if body is not None else ARGUMENTS[area])


def rows(client: httpx.Client, area: str, body: dict[str, str] | None = None, **query: object) -> list[dict[str, Any]]:
    answer = ask(client, area, body, **{"pagesize": 0, **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json().get("record", [])
    return found


def test_a_query_that_is_not_installed_is_not_found(client: httpx.Client) -> None:
    answer = ask(client, "students")
    assert (answer.status_code, answer.json()) == (404, {"message": f"Query {PREFIX}.students not found"})
    assert ask(client, "students/count", {}).status_code == 404


def test_queries_are_asked_by_post(installed: httpx.Client) -> None:
    assert installed.get(f"/ws/schema/query/{PREFIX}.students").status_code == 405


def test_a_query_needs_a_token_and_no_v1_access(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(access="NONE")
    assert ask(installed, "students").status_code == 200
    del installed.headers["Authorization"]
    assert ask(installed, "students").status_code == 401


def test_pages_have_a_hundred_rows_unless_asked_otherwise_and_zero_means_all(installed: httpx.Client) -> None:
    assert len(ask(installed, "students").json()["record"]) == 100
    assert len(ask(installed, "students", pagesize=150).json()["record"]) == 150
    assert len(rows(installed, "students")) == 200
    assert "record" not in ask(installed, "students", page=3).json()


def test_the_count_comes_on_demand_or_by_a_path_of_its_own(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    assert "count" not in ask(installed, "students").json()
    assert ask(installed, "students", count="true").json()["count"] == 200
    assert ask(installed, "students/count", {}).json() == {"count": 200}
    sandbox.set(count_in_page="off")
    assert "count" not in ask(installed, "students", count="true").json()


def test_values_are_text_and_what_is_empty_is_left_out(installed: httpx.Client) -> None:
    found = rows(installed, "students")
    assert all(isinstance(value, str) for row in found for name, value in row.items() if name != "_id")
    assert all(row["_name"] == "STUDENTS" and str(row["_id"]) == row["id"] for row in found)
    assert not any(value == "" for row in found for value in row.values())
    assert any("middle_name" not in row for row in found)


def test_no_rows_leave_the_key_out_and_one_row_is_a_list(installed: httpx.Client) -> None:
    answer = ask(installed, "history").json()
    assert "record" not in ask(installed, "history", {"since": "2099-01-01"}).json()
    assert isinstance(answer["record"], list)
    assert isinstance(ask(installed, "students", pagesize=1).json()["record"], list)


def test_an_argument_may_be_a_number(installed: httpx.Client) -> None:
    answer = installed.post(f"/ws/schema/query/{PREFIX}.terms", json={"yearid": 36})
    assert answer.json() == ask(installed, "terms").json()


def test_what_the_sandbox_does_not_serve_it_refuses(installed: httpx.Client) -> None:
    assert ask(installed, "students", order="students.dcid;desc").status_code == 400
    assert ask(installed, "students", page=0).status_code == 400
    assert ask(installed, "students", {"$q": "students.grade_level==8"}).status_code == 400


@pytest.mark.parametrize(
    "body", [{}, {"yearid": "36", "other": "1"}, {"yearid": "this year"}], ids=["missing", "unknown", "no number"]
)
def test_wrong_arguments_are_refused(installed: httpx.Client, body: dict[str, str]) -> None:
    assert ask(installed, "sections", body).status_code == 400


@pytest.mark.parametrize("status", [400, 403])
def test_a_missing_grant_fails_validation(installed: httpx.Client, sandbox: RunningSandbox, status: int) -> None:
    sandbox.set(missing_grants="students.dob", missing_grants_status=str(status))
    answer = ask(installed, "students")
    assert answer.status_code == status
    errors = [{"resource": f"{PREFIX}.students", "field": "students.dob", "code": "No access to the field"}]
    assert answer.json() == {"message": "Validation Failed", "errors": errors}
    sandbox.set(package_fields="gender")
    assert ask(installed, "students").status_code == 200


def test_grants_are_needed_for_what_is_joined_on_too_unless_set_otherwise(
    installed: httpx.Client, sandbox: RunningSandbox
) -> None:
    sandbox.set(missing_grants="schools.school_number,cc.termid,studentrace.studentid")
    assert [ask(installed, area).status_code for area in ("students", "enrollments", "courses")] == [403, 403, 200]
    assert ask(installed, "students").json()["errors"][1]["field"] == "studentrace.studentid"
    sandbox.set(grants_needed="selected")
    assert [ask(installed, area).status_code for area in ("students", "enrollments", "courses")] == [200, 200, 200]


def test_a_package_selects_what_it_was_made_for(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    everything = {name for row in rows(installed, "students") for name in row}
    sandbox.set(package_fields="")
    plain = rows(installed, "students")
    assert everything - {name for row in plain for name in row} == {
        "preferred_name", "birth_date", "gender", "email", "home_phone", "street", "city", "state_province", "postal_code",
        "mailing_street", "mailing_city", "mailing_state_province", "mailing_postal_code", "emergency_contact_name1",
        "emergency_phone1", "guardian_email", "mother", "father", "federal_ethnicity", "races",
    }  # fmt: skip
    assert {row["made_for"] for row in plain} == {"1000"}
    sandbox.set(package_fields="birth_date,gender")
    assert {row["made_for"] for row in rows(installed, "students")} == {"1006"}


def test_a_server_may_cap_pages_of_queries(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(query_cap="50")
    assert len(ask(installed, "students", pagesize=1000).json()["record"]) == 50


def test_rows_have_the_keys_of_v1(installed: httpx.Client) -> None:
    listed = whole(installed, "district/student", expansions="school_enrollment")
    by_query = {row["id"]: row for row in rows(installed, "students")}
    assert by_query.keys() == {str(row["id"]) for row in listed}
    for row in listed:
        stay, found = row["school_enrollment"], by_query[str(row["id"])]
        assert (str(row["local_id"]), str(stay["enroll_status_code"])) == (found["local_id"], found["enroll_status_code"])
        assert (stay.get("entry_date"), str(stay.get("school_id"))) == (found.get("entry_date"), found.get("school_id", "None"))


def test_sections_staff_and_terms_are_those_of_the_schools(installed: httpx.Client) -> None:
    schools = [row["id"] for row in whole(installed, "district/school")]
    for area, child in (("sections", "section"), ("staff", "staff"), ("terms", "term")):
        listed = {str(row["id"]) for school in schools for row in whole(installed, f"school/{school}/{child}")}
        assert {row["id"] for row in rows(installed, area) if "school_id" in row} == listed, area


def test_enrollments_are_those_of_the_sections_with_the_dropped_ones(installed: httpx.Client) -> None:
    found = rows(installed, "enrollments")
    section = found[0]["section_id"]
    mine = [row for row in found if row["section_id"] == section]
    assert len(mine) == count(installed, f"section/{section}/section_enrollment")
    assert {row["dropped"] for row in found} == {"0", "1"}


def test_courses_tell_the_department(installed: httpx.Client) -> None:
    assert any(row.get("department") == "Mathematics" for row in rows(installed, "courses"))


def test_the_history_holds_what_the_present_rows_do_not(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    graduate = str(student_id(sandbox, "graduate")) if sandbox.district.hard_cases["graduate"] else None
    former = rows(installed, "history")
    assert former
    assert graduate is None or graduate in {row["student_id"] for row in former}
    assert rows(installed, "history", {"since": "2026-10-01"}) != former


# Versions of the data


ME = {"$dataversion_applicationname": "sis-connect"}


def test_the_version_is_told_to_who_names_an_application_and_a_version(installed: httpx.Client) -> None:
    assert "$dataversion" not in ask(installed, "students").json()
    assert ask(installed, "students", {**ME, "$dataversion": "0"}).json()["$dataversion"].isdecimal()


@pytest.mark.parametrize("alone", [ME, {"$dataversion": "0"}], ids=["application", "version"])
def test_one_without_the_other_is_refused(installed: httpx.Client, alone: dict[str, str]) -> None:
    assert ask(installed, "students", alone).status_code == 400


def test_without_a_subscription_of_that_name_no_version_is_told(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    asked = {**ME, "$dataversion": "0"}
    assert ask(installed, "students", {**asked, "$dataversion_applicationname": "other"}).status_code == 400
    assert installed.get("/ws/dataversion/other/0").status_code == 400
    sandbox.set(subscription="")
    assert ask(installed, "students", asked).status_code == 400


def test_joined_inwardly_rows_are_told_only_when_all_tables_have_changed(
    installed: httpx.Client, sandbox: RunningSandbox
) -> None:
    since = {**ME, "$dataversion": ask(installed, "students", {**ME, "$dataversion": "0"}).json()["$dataversion"], **YEAR}
    sandbox.set_day(5)
    changed = rows(installed, "enrollments", since)
    sandbox.set(changed_rows="all")
    assert len(rows(installed, "enrollments", since)) < len(changed)


def test_with_a_version_only_what_changed_later_is_listed(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    version = ask(installed, "students", {**ME, "$dataversion": "0"}).json()["$dataversion"]
    since = {**ME, "$dataversion": version}
    assert rows(installed, "students", since) == []
    sandbox.set_day(5)
    changed = rows(installed, "students", since)
    assert 0 < len(changed) < 50
    assert ask(installed, "students", since, count="true").json()["count"] == len(changed)
    assert ask(installed, "students", {**ME, "$dataversion": "latest"}).status_code == 400


def test_a_server_may_keep_versions_to_itself_or_refuse_them(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    since = {**ME, "$dataversion": "99999999"}
    sandbox.set(data_versions="untold")
    answer = ask(installed, "students", since, pagesize=0).json()
    assert (len(answer["record"]), "$dataversion" in answer) == (200, False)
    assert "$dataversion" not in installed.get("/ws/dataversion/sis-connect/0").json()
    sandbox.set(data_versions="refused")
    assert ask(installed, "students", since).status_code == 400
    assert installed.get("/ws/dataversion/sis-connect/0").status_code == 404


def test_the_list_of_changes_names_dcids_by_table(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    version = installed.get("/ws/dataversion/sis-connect/0").json()["$dataversion"]
    assert installed.get(f"/ws/dataversion/sis-connect/{version}").json() == {"$dataversion": version, "tables": {}}
    sandbox.set_day(5)
    tables = installed.get(f"/ws/dataversion/sis-connect/{version}").json()["tables"]
    known = {row["id"] for row in whole(installed, "district/student")}
    assert set(tables["students"]) <= known
    assert installed.get("/ws/dataversion/sis-connect/soon").status_code == 400


def test_the_access_list_names_the_fields_of_a_query(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    listed = installed.get(f"/ws/powerqueryaccesslist/{PREFIX}.terms").json()["fields"]
    assert {"table": "TERMS", "field": "YEARID", "access": "ViewOnly"} in listed
    sandbox.set(package="none")
    assert installed.get(f"/ws/powerqueryaccesslist/{PREFIX}.terms").status_code == 404


def test_dates_may_come_with_a_time(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(query_dates="time")
    assert {row["start_date"][10:] for row in rows(installed, "terms")} == {" 00:00:00"}


def test_a_longer_past_can_be_asked_for(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    before = len(rows(installed, "history", {"since": "2020-01-01"}))
    sandbox.set(former_students="30", past_years="2")
    assert len(rows(installed, "students")) == 230
    assert len(rows(installed, "history", {"since": "2020-01-01"})) > before + 2 * 200
    sandbox.set(former_students="0", past_years="0")
    sandbox.set_day(1)


def test_rows_of_who_never_came_and_came_on_that_day_can_be_asked_for(installed: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(returned_no_shows="3")
    sandbox.set_day(1)
    present = {row["id"]: row for row in rows(installed, "students")}
    never = [row for row in rows(installed, "history", {"since": "2020-01-01"}) if row["entry_date"] == row["exit_date"]]
    same = ("school_id", "entry_date")
    assert sum(all(row[name] == present[row["student_id"]].get(name) for name in same) for row in never) == 3


def test_with_the_package_a_client_is_told_to_count_on_it_and_the_truth_has_departments(
    client: httpx.Client, sandbox: RunningSandbox
) -> None:
    assert not any("department" in row for row in sandbox.truth("courses"))
    assert "road" not in sandbox._app.sandbox.told_settings()
    sandbox.set(package="installed")
    assert any(row.get("department") == "Mathematics" for row in sandbox.truth("courses"))
    assert sandbox._app.sandbox.told_settings() == {"road": "bulk"}
    assert read(client, "metadata")
