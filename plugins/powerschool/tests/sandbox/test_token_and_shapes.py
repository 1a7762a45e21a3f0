"""The sandbox over raw HTTP, row by row of what a strict emulator of `/ws/v1` must do: who is let in, and how values look."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import httpx
import pytest

from raw_v1 import EXPIRED, FACTORY, TOKEN, grant, members, one, read, school_id, school_of, whole
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect_powerschool.sandbox_rows import STUDENT_EXPANSIONS
from sis_connect_powerschool.sandbox_wire import typed

# 1-5: the token and what it opens


def test_row_1_the_token_needs_basic_and_a_form_and_is_the_same_again(anonymous: httpx.Client) -> None:
    with running_sandbox(FACTORY, students=1) as fresh, httpx.Client(base_url=fresh.base_url) as client:
        first, second = grant(client, fresh), grant(client, fresh, f"{TOKEN}/")
    assert first.headers["content-type"].startswith("application/json")
    assert set(first.json()) == {"access_token", "token_type", "expires_in"}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first.json()["access_token"])
    assert (first.json()["token_type"], first.json()["expires_in"]) == ("Bearer", "2592000")
    assert second.json()["access_token"] == first.json()["access_token"]
    assert isinstance(second.json()["expires_in"], str)
    assert int(second.json()["expires_in"]) < 2_592_000


def test_row_1_form_fields_instead_of_basic_are_no_identity(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    assert anonymous.post(TOKEN, data=form).status_code == 401
    identity = (sandbox.client_id, sandbox.client_secret)
    assert anonymous.post(TOKEN, auth=identity, data={"grant_type": "password"}).status_code == 400
    assert anonymous.get(TOKEN, auth=identity).status_code == 405


def test_row_2_a_wrong_secret_is_an_invalid_client(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    refused = grant(anonymous, sandbox, secret="wrong")
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
    assert anonymous.post(TOKEN, headers={"Authorization": "Basic ???"}).status_code == 401


def test_row_3_an_unknown_token_is_refused_in_a_header_only(client: httpx.Client) -> None:
    refused = client.get("/ws/v1/district/school", headers={"Authorization": "Bearer 00000000-0000-0000-0000-000000000000"})
    assert (refused.status_code, refused.content, refused.headers["www-authenticate"]) == (401, b"", EXPIRED)


def test_row_3_no_token_is_refused(anonymous: httpx.Client) -> None:
    refused = anonymous.get("/ws/v1/district/school")
    assert (refused.status_code, refused.content) == (401, b"")


def test_row_3_missing_v1_access_is_the_other_401(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(access="NONE")
    refused = client.get("/ws/v1/district/school")
    message = "Plugin is missing required accessLevelV1Api READ permission"
    assert (refused.status_code, refused.json()) == (401, {"errorMessage": {"message": message}})
    assert client.get("/ws/v1/metadata").status_code == 200


def test_row_3_a_token_dies_when_its_life_is_over(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    old = grant(anonymous, sandbox).json()["access_token"]
    sandbox.set(token_life="0")
    assert anonymous.get("/ws/v1/district", headers={"Authorization": f"Bearer {old}"}).headers["www-authenticate"] == EXPIRED
    sandbox.set(token_life="60")
    sandbox.fault("token_expiry", count=1)
    assert anonymous.get("/ws/v1/district", headers={"Authorization": f"Bearer {old}"}).status_code == 401
    fresh = grant(anonymous, sandbox).json()
    assert (fresh["access_token"] != old, fresh["expires_in"]) == (True, "60")


def test_row_4_reading_is_not_writing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(access="READ")
    assert client.get("/ws/v1/district/school").status_code == 200
    refused = client.post("/ws/v1/student", json={"students": {"student": []}})
    assert (refused.status_code, "FULL" in refused.text) == (401, True)
    sandbox.set(access="FULL")
    assert client.post("/ws/v1/student", json={}).status_code == 405


def test_row_5_metadata_and_time_need_no_token(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert read(client, "metadata")["metadata"]["plugin_id"] == 9001
    del client.headers["Authorization"]
    metadata = read(client, "metadata")["metadata"]
    assert "plugin_id" not in metadata
    assert (metadata["student_max_page_size"], metadata["district_timezone"]) == (100, "America/Denver")
    assert metadata["sso_enabled_admin"] == "false"
    assert isinstance(read(client, "time")["resource"]["timestamp"], int)


# 6-8: shapes


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/html"])
def test_row_6_without_asking_for_json_it_is_xml(client: httpx.Client, accept: str) -> None:
    answer = client.get("/ws/v1/district/school", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(answer.content)  # noqa: S314 - our own
    assert (root.tag, root.attrib["extensions"], len(root.findall("school"))) == ("schools", "s_sch_crdc_x", 5)
    assert root.findtext("school/addresses/physical/postal_code") == "85001"


def test_row_6_accept_is_compared_whatever_its_case(client: httpx.Client) -> None:
    answer = client.get("/ws/v1/district/school/count", headers={"Accept": "application/JSON"})
    assert answer.json() == {"resource": {"count": 5}}
    assert client.get("/ws/v1/district/school/count", headers={"Accept": "*/*"}).text.endswith(
        "<resource><count>5</count></resource>"
    )


def test_row_7_one_row_is_an_object_and_none_removes_the_key(client: httpx.Client, sandbox: RunningSandbox) -> None:
    tiny, empty = school_id(sandbox, "one_of_each"), school_id(sandbox, "empty_school")
    for child, wrapper in (
        ("student", "students"),
        ("staff", "staffs"),
        ("section", "sections"),
        ("term", "terms"),
        ("course", "courses"),
    ):
        row = read(client, f"school/{tiny}/{child}")[wrapper][child]
        assert isinstance(row, dict), child
        assert child not in read(client, f"school/{empty}/{child}")[wrapper]
    section = read(client, f"school/{tiny}/section")["sections"]["section"]["id"]
    roster = read(client, f"section/{section}/section_enrollment")["section_enrollments"]
    assert isinstance(roster["section_enrollment"], dict)
    assert isinstance(read(client, "district/student", pagesize=1)["students"]["student"], dict)


def test_row_7_an_empty_expansion_is_an_empty_text(client: httpx.Client, sandbox: RunningSandbox) -> None:
    for case, expansion in (
        ("without_email", "contact_info"),
        ("without_phone", "phones"),
        ("without_address", "addresses"),
        ("without_contacts", "contact"),
        ("preferred_name", "fees"),
        ("preferred_name", "alerts"),
    ):
        assert one(client, sandbox, case, expansion)[expansion] == "", case


def test_row_7_pages_tell_nothing_about_themselves(client: httpx.Client) -> None:
    assert set(read(client, "district/student")["students"]) == {"@expansions", "@extensions", "student"}
    assert "link" not in client.get("/ws/v1/district/student").headers


def test_row_7_collections_of_one_are_objects_at_every_level(client: httpx.Client, sandbox: RunningSandbox) -> None:
    students = whole(client, "district/student", expansions="ethnicity_race")
    races = [type(student["ethnicity_race"]["races"]) for student in students]
    assert {dict, list} == set(races)
    staff = members(read(client, f"school/{school_of(client, 'Middle')}/staff", expansions="school_affiliations"))
    assert isinstance(staff[0]["school_affiliations"]["school_affiliation"], dict)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10013", 10013),
        ("-1", -1),
        ("0", 0),
        ("00123", "00123"),
        ("-0", "-0"),
        ("+5", "+5"),
        ("0.00", "0.00"),
        ("1e5", "1e5"),
        ("٣", "٣"),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "9223372036854775808"),
        ("True", True),
        ("false", False),
        ("J.Doe", "J.Doe"),
        ("444-555-1234", "444-555-1234"),
        (" 5", " 5"),
        ("", ""),
    ],
)
def test_row_8_text_is_typed_by_its_content(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_row_8_students_have_numbers_where_text_belongs(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert one(client, sandbox, "numeric_username")["student_username"] == 78654
    assert one(client, sandbox, "username_with_leading_zero")["student_username"] == "004512"
    assert one(client, sandbox, "username_like_a_boolean")["student_username"] is True
    assert one(client, sandbox, "state_id_with_leading_zero")["state_province_id"] == "0012345678"
    assert one(client, sandbox, "name_like_a_boolean")["name"]["last_name"] is True
    assert one(client, sandbox, "name_like_a_number")["name"]["last_name"] == 7
    assert isinstance(one(client, sandbox, "preferred_name")["local_id"], int)
    place = one(client, sandbox, "postal_code_with_leading_zero", "addresses")["addresses"]["physical"]
    assert place["postal_code"] == "01234"
    phones = {type(s["phones"]["main"]["number"]) for s in whole(client, "district/student", expansions="phones") if s["phones"]}
    assert phones == {int, str}
    assert one(client, sandbox, "preferred_name", "lunch")["lunch"]["balance_1"] == "0.00"


def test_row_8_staff_courses_and_sections_too(client: httpx.Client) -> None:
    numbers = [row["local_id"] for row in whole(client, f"school/{school_of(client, 'Middle')}/staff")]
    assert {5, "J.Doe", "00123"} <= set(numbers)
    middle = [row["course_number"] for row in whole(client, f"school/{school_of(client, 'Middle')}/course")]
    assert all(isinstance(number, int) for number in middle)
    high = whole(client, f"school/{school_of(client, 'High')}/course")
    assert 1984 in [row["course_name"] for row in high]
    sections = [row["section_number"] for row in whole(client, f"school/{school_of(client, 'High')}/section")]
    assert {"01A", 1} <= set(sections)


def test_row_8_values_that_are_not_there_are_left_out(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert "state_province_id" not in one(client, sandbox, "without_state_id")
    assert b"null" not in client.get("/ws/v1/district/student", params={"expansions": STUDENT_EXPANSIONS}).content.replace(
        b'"Null"', b""
    )
