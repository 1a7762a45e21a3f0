"""The sandbox over raw HTTP: addresses, tokens, refusals, pages. The numbers are the sections of the notes on the vendor."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from sis_connect.testing.sandbox import RunningSandbox

TOKEN = "/campus/oauth2/token"
BASE_12 = "/campus/api/oneroster/v1p2/anytown/ims/oneroster/rostering/v1p2"
BASE_11 = "/campus/oneroster/anytown/ims/oneroster/v1p1"
GRADE_BOOK = "/campus/api/oneroster/v1p2/anytown/ims/oneroster/gradebook/v1p2"


@pytest.mark.parametrize("base", [BASE_12, "/campus/api/ims/oneroster/rostering/v1p2", BASE_11])
def test_1_the_rosters_are_at_the_vendors_addresses(client: httpx.Client, base: str) -> None:
    assert client.get(f"{base}/schools").json()["orgs"]


def test_1_an_administrator_is_told_both_addresses(sandbox: RunningSandbox) -> None:
    assert sandbox.base_url.endswith(BASE_12)
    assert sandbox.token_url.endswith(f"{TOKEN}?appName=anytown")


def test_1_elsewhere_there_is_nothing(client: httpx.Client) -> None:
    for path in (
        "/ims/oneroster/v1p1/schools",
        "/campus/api/oneroster/v1p2/other/ims/oneroster/rostering/v1p2/schools",
        "/token",
    ):
        assert client.get(path).status_code == 404


def credentials(sandbox: RunningSandbox) -> dict[str, str]:
    return {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}


def test_3_the_token_is_asked_for_with_the_name_of_the_application(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "client_credentials", **credentials(sandbox)}
    answer = anonymous.post(f"{TOKEN}?appName=anytown", data=form)
    assert answer.status_code == 200
    assert answer.json().keys() >= {"access_token", "token_type", "expires_in", "scope"}
    for query, said in {"": "is missing", "?appName=other": "is not that of"}.items():
        refused = anonymous.post(TOKEN + query, data=form)
        assert (refused.status_code, said in refused.json()["error_description"]) == (400, True)


def test_3_credentials_may_be_basic_and_all_parameters_in_the_query(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    code = base64.b64encode(f"{sandbox.client_id}:{sandbox.client_secret}".encode()).decode()
    scope = "https://purl.imsglobal.org/spec/or/v1p1/scope/roster-core.readonly"
    query: dict[str, str] = {"appName": "anytown", "grant_type": "client_credentials", "scope": scope}
    answer = anonymous.post(TOKEN, params=query, headers={"Authorization": f"Basic {code}"})
    assert (answer.status_code, answer.json()["scope"]) == (200, scope)


def test_10_a_wrong_secret_is_401(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "client_secret": "wrong"}
    answer = anonymous.post(f"{TOKEN}?appName=anytown", data=form)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})


def test_10_without_a_token_there_is_401(anonymous: httpx.Client) -> None:
    for base in (BASE_12, BASE_11):
        answer = anonymous.get(f"{base}/students")
        assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")


@pytest.mark.parametrize(
    "path", [f"{GRADE_BOOK}/lineItems", f"{GRADE_BOOK}/results", f"{BASE_11}/categories", f"{BASE_12}/scoreScales"]
)
def test_3_the_grade_book_wants_a_second_header(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 401
    answer = client.get(path, headers={"x-vendor-authorization": "key:secret"})
    assert (answer.status_code, list(answer.json().values())) == (200, [[]])


def test_3_the_grade_book_is_where_the_standard_has_it(client: httpx.Client) -> None:
    client.headers["x-vendor-authorization"] = "key:secret"
    enrollment = client.get(f"{BASE_12}/studentEnrollments?filter=status='active'&limit=1").json()["enrollments"][0]
    taught, school = f"classes/{enrollment['class']['sourcedId']}", f"schools/{enrollment['school']['sourcedId']}"
    pupil = f"students/{enrollment['user']['sourcedId']}"
    found = ("categories", f"{taught}/lineItems", f"{taught}/{pupil}/results", f"{school}/scoreScales")
    missing = (
        *("x/y/results", "students/results", "lineItems/1/categories", "results/x", f"{school}/results", "a/b/c/d/lineItems"),
        *("classes/0/lineItems", "schools/0/scoreScales", f"{taught}/students/0/results", f"{taught}/lineItems/1/results"),
    )
    for path in found:
        assert list(client.get(f"{GRADE_BOOK}/{path}").json().values()) == [[]], path
    for path in missing:
        assert client.get(f"{GRADE_BOOK}/{path}").status_code == 404, path
    assert client.get(f"{BASE_11}/scoreScales").status_code == 404, "there are none in version 1.1"


def test_3_the_grade_book_holds_no_rosters(client: httpx.Client) -> None:
    assert client.get(f"{GRADE_BOOK}/students").status_code == 404


def test_10_demographics_that_are_not_shared_are_403(anonymous: httpx.Client, sandbox: RunningSandbox) -> None:
    form = {"grant_type": "client_credentials", **credentials(sandbox)}
    for shared, status in (("shared", 200), ("withheld", 403)):
        sandbox.set(demographics=shared)
        token = anonymous.post(f"{TOKEN}?appName=anytown", data=form).json()["access_token"]
        answer = anonymous.get(f"{BASE_12}/demographics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


# -- pages -------------------------------------------------------------------------------------------------------------


def test_5_pages_are_of_100_rows_unless_others_are_asked_for(client: httpx.Client) -> None:
    answer = client.get(f"{BASE_12}/students")
    assert len(answer.json()["users"]) == 100
    assert int(answer.headers["x-total-count"]) > 150
    assert 'rel="next"' in answer.headers["link"]
    assert len(client.get(f"{BASE_12}/students?limit=50000").json()["users"]) == int(answer.headers["x-total-count"])


def test_5_more_than_50000_rows_are_cut_down(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert sandbox._app.sandbox.settings["cap"] == "50000"
    sandbox.set(cap="7")
    assert len(client.get(f"{BASE_12}/students?limit=50001").json()["users"]) == 7


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=many", "offset=-1", "sort=shoeSize", "orderBy=up"])
@pytest.mark.parametrize("base", [BASE_12, BASE_11])
def test_5_wrong_paging_and_sorting_is_refused(client: httpx.Client, base: str, query: str) -> None:
    assert client.get(f"{base}/students?{query}").status_code == 400


def test_5_totals_are_a_switch(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(totals="none")
    answer = client.get(f"{BASE_12}/students")
    assert "x-total-count" not in answer.headers
    assert "link" in answer.headers


@pytest.mark.parametrize(
    "query", ["filter=&limit=5000", "filter=status='active'&limit=5000", "filter=status%3D%27active%27&limit=5000"]
)
def test_9_an_empty_filter_and_one_left_as_it_is_are_understood(client: httpx.Client, query: str) -> None:
    assert len(client.get(f"{BASE_12}/students?{query}").json()["users"]) > 150


def test_9_changes_are_listed_by_their_time(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set_day(3)
    query = {"filter": f"dateLastModified>'{sandbox.date}T00:00:00.000Z'", "limit": "5000"}
    changed = client.get(f"{BASE_12}/enrollments", params=query).json()["enrollments"]
    assert 0 < len(changed) < 200
    assert all(row["dateLastModified"] > str(sandbox.date) for row in changed)


def test_12_what_belongs_to_lists_is_ignored_on_single_objects(client: httpx.Client) -> None:
    student = client.get(f"{BASE_12}/students?limit=1").json()["users"][0]
    for written in (student["sourcedId"], student["sourcedId"].lower()):
        assert client.get(f"{BASE_12}/students/{written}?filter=&limit=5000").json()["user"] == student


@pytest.mark.parametrize("member", ["sourcedId", "roles.org.sourcedId", "primaryOrg.sourcedId"])
def test_9_filters_compare_guids_in_either_case(client: httpx.Client, sandbox: RunningSandbox, member: str) -> None:
    for case in ("upper", "lower"):
        sandbox.set(guid_case=case)
        row = client.get(f"{BASE_12}/students?filter=status='active'&limit=1").json()["users"][0]
        guid = {"sourcedId": row["sourcedId"], "roles.org.sourcedId": row["roles"][0]["org"]["sourcedId"]}.get(
            member, row["primaryOrg"]["sourcedId"]
        )
        for written in (guid.upper(), guid.lower()):
            found = client.get(f"{BASE_12}/students", params={"filter": f"{member}='{written}'", "limit": 5000}).json()["users"]
            assert row in found


def test_10_an_unknown_object_is_404_in_the_words_of_the_version(client: httpx.Client) -> None:
    newer, older = client.get(f"{BASE_12}/users/nobody"), client.get(f"{BASE_11}/users/nobody")
    assert (newer.status_code, older.status_code) == (404, 404)
    assert "imsx_CodeMinor" in newer.json()
    assert "statusInfoSet" in older.json()


def test_4_a_list_that_is_not_offered_is_404(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert client.get(f"{BASE_12}/administrators").status_code == 200
    sandbox.set(not_offered="administrators")
    assert client.get(f"{BASE_12}/administrators").status_code == 404


def test_4_a_slimmer_answer_may_be_asked_for(client: httpx.Client) -> None:
    enrollment: dict[str, Any] = client.get(f"{BASE_12}/studentEnrollments?limit=1").json()["enrollments"][0]
    answer = client.get(f"{BASE_12}/classes/{enrollment['class']['sourcedId']}/students?ext_basic=true")
    assert "roles" not in answer.json()["users"][0]
