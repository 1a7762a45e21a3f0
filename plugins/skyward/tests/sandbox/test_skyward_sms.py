"""The SMS 2.0 sandbox over raw HTTP. The numbers are those of the checks in the notes on the API."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox


def following(answer: httpx.Response) -> dict[str, str]:
    """The query of the link to the next page."""
    link = answer.links.get("next")
    return dict(parse_qsl(urlsplit(link["url"]).query)) if link else {}


def whole(client: httpx.Client, path: str, size: int = 50) -> list[dict[str, Any]]:
    """All pages of a list, as clients read them: the cursor goes back under another name."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(path, params={"paging.limit": str(size), "paging.cursor": cursor})
        assert answer.status_code == 200, answer.text
        rows += answer.json()
        cursor = following(answer).get("cursor")
    return rows


@pytest.mark.parametrize("way", ["password", "client_credentials", "password_with_empty_basic"])
def test_1_the_token_is_given_for_key_and_secret_in_a_form(sms: RunningSandbox, way: str) -> None:
    key, secret = sms.client_id, sms.client_secret
    forms = {
        "password": {"grant_type": "password", "username": key, "password": secret},
        "client_credentials": {"grant_type": "client_credentials", "client_id": key, "client_secret": secret},
    }
    headers = {"Authorization": f"Basic {base64.b64encode(b':').decode()}"} if way == "password_with_empty_basic" else {}
    answer = httpx.post(sms.token_url, data=forms.get(way, forms["password"]), headers=headers)
    assert answer.status_code == 200
    assert isinstance(answer.json()["expires_in"], int)
    assert isinstance(answer.json()["access_token"], str)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": "nobody", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
    ],
)
def test_1_anything_else_is_refused_with_a_reason(sms: RunningSandbox, form: dict[str, str], error: str) -> None:
    answer = httpx.post(sms.token_url, data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    right = {"grant_type": "password", "username": sms.client_id, "password": sms.client_secret}
    assert httpx.post(sms.token_url, json=right).status_code == 400
    assert httpx.post(f"{sms.base_url}/v1/token", data=right).status_code == 401


def test_1_a_grant_can_be_unknown(sms: RunningSandbox) -> None:
    sms.set(grants="client_credentials")
    form = {"grant_type": "password", "username": sms.client_id, "password": sms.client_secret}
    assert httpx.post(sms.token_url, data=form).json()["error"] == "unsupported_grant_type"


def test_1_and_2_tokens_end_for_real(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    assert sms_client.get("/v1/schools").status_code == 200
    for header in ({"Authorization": ""}, {"Authorization": "Bearer of-another"}):
        assert sms_client.get("/v1/schools", headers=header).status_code == 401
    sms.set(token_life="0")
    form = {"grant_type": "password", "username": sms.client_id, "password": sms.client_secret}
    dead = sms_client.post("/token", data=form).json()["access_token"]
    assert sms_client.get("/v1/schools", headers={"Authorization": f"Bearer {dead}"}).status_code == 401


def test_3_lists_are_bare_and_the_link_calls_the_cursor_by_another_name(sms_client: httpx.Client) -> None:
    first = sms_client.get("/v1/students", params={"paging.limit": "50"})
    assert [len(first.json()), "NameId" in first.json()[0]] == [50, True]
    assert {"cursor", "paging.limit"} == set(following(first))
    blind = sms_client.get(first.links["next"]["url"])
    assert blind.json() == first.json(), "the link as it stands leads to the first page"
    second = sms_client.get("/v1/students", params={"paging.limit": "50", "paging.cursor": following(first)["cursor"]})
    assert second.json()[0] != first.json()[0]
    last = sms_client.get("/v1/students", params={"paging.limit": "1000"})
    assert (len(last.json()), following(last)) == (113, {})
    assert len(whole(sms_client, "/v1/students")) == 113


def test_3_unprefixed_parameters_are_ignored_or_accepted(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    assert len(sms_client.get("/v1/students", params={"limit": "7"}).json()) == 113
    sms.set(unprefixed="accepted")
    assert len(sms_client.get("/v1/students", params={"limit": "7"}).json()) == 7
    assert sms_client.get("/v1/students", params={"paging.cursor": "no such"}).status_code == 400


def test_3_whole_lists_may_come_whatever_is_asked(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    sms.set(paging="none")
    answer = sms_client.get("/v1/students", params={"paging.limit": "7"})
    assert (len(answer.json()), following(answer)) == (113, {})


def test_4_entities_are_schools_one_of_which_is_the_census(sms_client: httpx.Client) -> None:
    codes = [row["SchoolId"] for row in whole(sms_client, "/v1/schools")]
    assert "800" in codes
    students = whole(sms_client, "/v1/students")
    assert any(row["DefaultSchoolId"] == "800" and len(row["SchoolIds"]) > 1 for row in students)
    listed = [row["NameId"] for code in codes for row in whole(sms_client, f"/v1/schools/{code}/students")]
    assert len(listed) > len(set(listed)) == len(students), "students of several entities are repeated"


def test_5_only_what_was_seen_exists(sms_client: httpx.Client) -> None:
    some = sms_client.get("/v1/students").json()[0]["NameId"]
    for path in (f"/v1/students/{some}", f"/v1/names/{some}", f"/v1/students/{some}/enrollments", "/V1/Students"):
        assert sms_client.get(path).status_code == 200, path
    unknown = ("/v1/students/1", "/v1/schools/999", "/v1/names/1", "/v1/students/1/enrollments", "/v1/staff", "/v1/sections")
    for path in (*unknown, "/v1/attendance", "/v1/students/x/enrollments", "/students"):
        assert sms_client.get(path).status_code == 404, path
    assert sms_client.post("/v1/students", json={}).status_code == 405
    assert sms_client.delete(f"/v1/students/{some}").status_code == 405


def test_6_leading_zeros_are_kept_and_keypad_numbers_are_numbers(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    sms.set(code_width="5")
    assert {row["SchoolId"] for row in whole(sms_client, "/v1/schools")} >= {"00101", "800"}
    assert all(isinstance(row["FoodServiceKeyPadNumber"], int) for row in whole(sms_client, "/v1/students"))


def test_enrolments_have_dates_with_a_time_and_the_smallest_date_for_none(sms_client: httpx.Client) -> None:
    rows = [
        row
        for student in whole(sms_client, "/v1/students")[:30]
        for row in sms_client.get(f"/v1/students/{student['NameId']}/enrollments").json()
    ]
    assert all(row["StartDate"].endswith("T00:00:00") for row in rows)
    assert {"0001-01-01T00:00:00", "2027-06-04T00:00:00"} <= {row["EndDate"] for row in rows}


def test_guardians_come_as_a_list_or_of_one_student(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    everybody = whole(sms_client, "/v1/guardians")
    one = everybody[0]["Students"][0]["StudentNameId"]
    theirs = sms_client.get("/v1/guardians", params={"studentNameId": one}).json()
    assert everybody[0] in theirs
    assert len(theirs) < len(everybody)
    sms.set(guardians="by_student")
    assert sms_client.get("/v1/guardians").status_code == 404
    assert sms_client.get("/v1/guardians", params={"studentNameId": one}).json() == theirs


def test_names_can_be_spelled_otherwise_and_lists_can_hold_nothing(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    sms.set(spelling="ID", nulls="on")
    rows = sms_client.get("/v1/students").json()
    assert "NameID" in rows[0]
    assert rows[-1] is None


def test_who_has_left_is_not_listed_any_more(sms: RunningSandbox, sms_client: httpx.Client) -> None:
    before = {row["NameId"] for row in whole(sms_client, "/v1/students")}
    sms.set_day(30)
    assert before - {row["NameId"] for row in whole(sms_client, "/v1/students")}
