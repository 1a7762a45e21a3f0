"""The sandbox by raw HTTP: what real servers do otherwise, each by a setting (the notes' list of deviations), and the faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from raw_oneroster import V11, V12, ids, read, whole
from sis_connect.errors import ConfigurationError
from sis_connect.testing.sandbox import RunningSandbox

STUDENTS = f"{V12}/students"


def first(client: httpx.Client, path: str = STUDENTS) -> dict[str, Any]:
    row: dict[str, Any] = read(client, path, limit=2)[0]
    return row


# Totals, links, pages


@pytest.mark.parametrize(
    ("where", "header", "member"),
    [("header", "x-total-count", None), ("x_count", "x-count", None), ("body", None, "totalCount"), ("none", None, None)],
)
def test_deviations_1_and_2_the_total_is_somewhere_or_nowhere(
    client: httpx.Client, sandbox: RunningSandbox, where: str, header: str | None, member: str | None
) -> None:
    sandbox.set(totals=where)
    answer = client.get(f"{STUDENTS}?limit=50&offset=100")
    assert {name for name in ("x-total-count", "x-count") if name in answer.headers} == ({header} if header else set())
    body = answer.json()
    if member:
        told = {name: body[name] for name in ("totalCount", "pageCount", "pageNumber", "offset", "limit")}
        assert told == {"totalCount": 196, "pageCount": 4, "pageNumber": 3, "offset": 100, "limit": 50}
    else:
        assert list(body) == ["users"]


LINKS = {
    "none": None,
    "relative": f'<{STUDENTS}?limit=50&offset=50>; rel="next"',
    "one_based": '?limit=50&offset=51>; rel="next"',
    "unbracketed": "?limit=50&offset=50; rel='next'",
    "unquoted": "?limit=50&offset=50>; rel=next",
}


@pytest.mark.parametrize("how", LINKS)
def test_deviations_1_and_3_links_have_many_shapes(client: httpx.Client, sandbox: RunningSandbox, how: str) -> None:
    sandbox.set(links=how)
    link = client.get(f"{STUDENTS}?limit=50").headers.get("link")
    expected = LINKS[how]
    assert link is None if expected is None else expected in link


def test_deviation_4_links_may_lead_round_in_a_circle(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(links="loop")
    url = f"{STUDENTS}?limit=50&offset=50"
    links = client.get(url).links
    assert links["next"]["url"].endswith(url)
    assert links["last"]["url"] == links["next"]["url"]


def test_deviation_6_an_empty_page_may_be_missing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(empty_page="404")
    assert client.get(f"{STUDENTS}?offset=500").status_code == 404
    assert client.get(f"{STUDENTS}?offset=190").status_code == 200


def test_deviation_7_warnings_may_stand_beside_the_rows(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(warnings="on")
    assert client.get(f"{V11}/students").json().keys() == {"users", "statusInfoSet"}
    assert client.get(STUDENTS).json().keys() == {"users"}, "never in 1.2"


def test_deviation_9_one_row_may_come_without_its_list(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(one_item="object")
    alone = client.get(f"{STUDENTS}?limit=1").json()["users"]
    assert alone["grades"] == "03"
    assert isinstance(client.get(f"{STUDENTS}?limit=2").json()["users"], list)


@pytest.mark.parametrize(("ignored", "rows"), [("filter", 196), ("limit,filter", 100), ("offset,filter", 196)])
def test_servers_ignore_what_they_are_asked(client: httpx.Client, sandbox: RunningSandbox, ignored: str, rows: int) -> None:
    sandbox.set(ignored=ignored)
    assert len(read(client, STUDENTS, limit=10_000, offset=0, filter="familyName='True'")) == rows
    if "offset" in ignored:
        assert ids(read(client, STUDENTS, offset=50)) == ids(read(client, STUDENTS))


def test_a_list_may_never_end(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(endless="on")
    seen = [ids(read(client, STUDENTS, limit=98, offset=offset)) for offset in (0, 98, 196, 294, 980)]
    assert seen[0] == seen[2] == seen[4] != seen[1] == seen[3]
    answer = client.get(f"{STUDENTS}?limit=98&offset=980")
    assert answer.links["next"]["url"].endswith("offset=1078")
    assert "x-total-count" not in answer.headers


def test_deviation_26_rows_may_be_there_twice(client: httpx.Client, sandbox: RunningSandbox) -> None:
    usual = ids(whole(client, STUDENTS))
    sandbox.set(duplicates="on")
    answer = client.get(f"{STUDENTS}?limit=10000")
    doubled = ids(answer.json()["users"])
    assert list(dict.fromkeys(doubled)) == usual
    assert len(doubled) == int(answer.headers["x-total-count"]) == 196 + 28
    assert ids(read(client, STUDENTS, limit=7))[-1] == ids(read(client, STUDENTS, limit=7, offset=7))[0], "over the border"


def test_deviations_6_and_19_endpoints_may_be_missing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    school = ids(read(client, f"{V12}/schools"))[0]
    sandbox.set(not_offered="terms, schools/*/courses")
    for path, status in {
        "terms": 404,
        f"schools/{school}/terms": 404,
        f"schools/{school}/courses": 404,
        "courses": 200,
        "academicSessions": 200,
    }.items():
        assert client.get(f"{V12}/{path}").status_code == status, path


def test_deviation_22_a_header_may_tell_that_the_data_moved(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(perm_rev="on")
    before = client.get(STUDENTS).headers["x-perm-rev"]
    sandbox.set_day(1)
    assert client.get(STUDENTS).headers["x-perm-rev"] != before


# Rows


def test_deviation_8_keys_may_be_those_of_the_subtype(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(keys="subtype")
    for name, single in {"students": "student", "terms": "term", "schools": "school", "classes": "class"}.items():
        listed = client.get(f"{V12}/{name}").json()
        assert list(listed) == [name]
        assert list(client.get(f"{V12}/{name}/{listed[name][0]['sourcedId']}").json()) == [single]


@pytest.mark.parametrize(("how", "shape"), [("object", dict), ("list", list), ("id", str)])
def test_deviation_10_references_have_many_shapes(client: httpx.Client, sandbox: RunningSandbox, how: str, shape: type) -> None:
    sandbox.set(references=how)
    taught = first(client, f"{V12}/classes")
    assert isinstance(taught["school"], shape)
    assert isinstance(taught["terms"], list)
    assert not isinstance(taught["terms"][0], list)
    assert isinstance(first(client)["roles"][0]["org"], shape)


def test_deviation_10_terms_may_be_one(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(terms_key="term")
    taught = first(client, f"{V12}/classes")
    assert "terms" not in taught
    assert set(taught["term"]) == {"href", "sourcedId", "type"}


@pytest.mark.parametrize(("how", "expected"), [("list", ["03"]), ("text", "03"), ("number", 3), ("blank", "")])
def test_deviation_11_grades_have_many_shapes(client: httpx.Client, sandbox: RunningSandbox, how: str, expected: object) -> None:
    sandbox.set(grades=how)
    assert first(client)["grades"] == expected


@pytest.mark.parametrize(("how", "expected"), [("text", "true"), ("json", True), ("number", 1), ("capital", "True")])
def test_deviation_12_truth_values_have_many_shapes(
    client: httpx.Client, sandbox: RunningSandbox, how: str, expected: object
) -> None:
    sandbox.set(booleans=how)
    found = first(client)["enabledUser"]
    assert (found, type(found)) == (expected, type(expected))


def test_deviation_13_roles_may_be_in_capitals_or_missing(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(roles="upper")
    assert first(client)["roles"][0]["role"] == "STUDENT"
    assert first(client, f"{V11}/students")["role"] == "STUDENT"
    sandbox.set(roles="missing")
    assert first(client)["roles"] == []
    assert "role" not in first(client, f"{V11}/students")
    assert first(client, f"{V12}/enrollments")["role"] == "student"


def test_deviation_14_members_may_be_null(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert None not in first(client).values()
    sandbox.set(nulls="sent")
    assert first(client)["preferredFirstName"] is None
    assert first(client, f"{V12}/enrollments")["primary"] is None


def test_deviation_15_ids_may_stand_between_blanks(client: httpx.Client, sandbox: RunningSandbox) -> None:
    plain = first(client, f"{V12}/enrollments")["user"]["sourcedId"]
    sandbox.set(padded="on")
    reference = first(client, f"{V12}/enrollments")["user"]
    assert reference["sourcedId"] == f" {plain} "
    assert reference["href"].endswith(f"/{plain}")


def test_deviation_16_people_may_lack_names(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(invalid="0.5")
    nameless = [row for row in whole(client, STUDENTS) if "familyName" not in row]
    assert 70 < len(nameless) < 130
    assert len(sandbox.truth("students")) == 196 - len(nameless)
    assert not [row for row in whole(client, f"{V12}/teachers") if "familyName" not in row]


def test_deviation_17_years_may_be_numbers_and_dates_have_times(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(school_year="number", dates="datetime")
    session = first(client, f"{V12}/academicSessions")
    assert (session["schoolYear"], session["startDate"]) == (2027, "2026-08-12T00:00:00.000Z")
    assert first(client, f"{V12}/demographics")["birthDate"].endswith("T00:00:00.000Z")
    assert first(client)["roles"][0]["beginDate"].endswith("T00:00:00.000Z")


@pytest.mark.parametrize(
    ("how", "pattern"),
    [("no_zone", "%Y-%m-%dT%H:%M:%S.%f"), ("no_fraction", "%Y-%m-%dT%H:%M:%SZ"), ("full", "%Y-%m-%dT%H:%M:%S.%fZ")],
)
def test_deviation_18_moments_have_many_shapes(client: httpx.Client, sandbox: RunningSandbox, how: str, pattern: str) -> None:
    sandbox.set(modified=how)
    assert datetime.strptime(first(client)["dateLastModified"], pattern)


def test_everything_may_have_changed_just_now(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(modified="now")
    before = datetime.now(UTC).replace(tzinfo=None).isoformat()[:16]
    moment = first(client)["dateLastModified"]
    assert moment[:16] >= before
    assert len(whole(client, STUDENTS, filter=f"dateLastModified>'{before}:00.000Z'")) == 196


def test_deviation_29_moments_may_lie_in_the_future(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(modified="future")
    assert first(client)["dateLastModified"].startswith("2099-")


def test_deviation_24_metadata_is_the_vendors_own(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert "metadata" not in first(client)
    sandbox.set(metadata="on")
    assert first(client)["metadata"] == {"vendor.flag": "true", "tags": ["a", "b"], "more": {"level": "1"}}


def test_deviation_25_enrollments_may_be_of_nobody(client: httpx.Client, sandbox: RunningSandbox) -> None:
    people = set(ids(whole(client, f"{V12}/users")))
    sandbox.set(dangling="listed")
    lost = [row for row in whole(client, f"{V12}/enrollments") if row["user"]["sourcedId"] not in people]
    assert len(lost) == 3
    assert not {row["sourcedId"] for row in lost} & {row["sis_id"] for row in sandbox.truth("enrollments")}


@pytest.mark.parametrize(("how", "start"), [("relative", "/ims/"), ("elsewhere", "http://inside.example.org")])
def test_deviation_30_addresses_may_be_of_another_host(
    client: httpx.Client, sandbox: RunningSandbox, how: str, start: str
) -> None:
    sandbox.set(hrefs=how)
    assert first(client)["primaryOrg"]["href"].startswith(start)


def test_last_days_may_be_told_instead_of_first_days_after(client: httpx.Client, sandbox: RunningSandbox) -> None:
    year, enrollment = first(client, f"{V12}/academicSessions"), first(client, f"{V12}/enrollments")
    truth = sandbox.truth("terms")[0]
    sandbox.set(end_dates="inclusive")
    assert (year["endDate"], first(client, f"{V12}/academicSessions")["endDate"]) == ("2027-06-05", "2027-06-04")
    assert (enrollment["endDate"], first(client, f"{V12}/enrollments")["endDate"]) == ("2027-06-05", "2027-06-04")
    assert sandbox.truth("terms")[0] == truth


@pytest.mark.parametrize(
    ("setting", "value"),
    [("version", "1.3"), ("cap", "many"), ("invalid", "half"), ("ignored", "filter,colour"), ("colour", "blue")],
)
def test_a_setting_that_is_none_is_refused(sandbox: RunningSandbox, setting: str, value: str) -> None:
    with pytest.raises(ConfigurationError):
        sandbox.set(**{setting: value})


# Faults


def test_faults_of_lists_are_done_to_ours(client: httpx.Client, sandbox: RunningSandbox) -> None:
    usual = ids(whole(client, STUDENTS))
    done: dict[str, Callable[[], bool]] = {
        "empty": lambda: whole(client, STUDENTS) == [],
        "cap": lambda: len(read(client, STUDENTS)) == 10,
        "repeat_page": lambda: (
            ids(read(client, STUDENTS, offset=100)) == usual[:96] or ids(read(client, STUDENTS, offset=100)) == usual[:100]
        ),
        "drop_total": lambda: "x-total-count" not in client.get(STUDENTS).headers,
        "wrong_total": lambda: client.get(STUDENTS).headers["x-total-count"] == "197",
        "next_elsewhere": lambda: "localhost" in client.get(STUDENTS).links["next"]["url"],
        "drift": lambda: ids(read(client, STUDENTS))[0] == usual[1] and ids(read(client, STUDENTS, offset=100))[0] == usual[100],
    }
    for name, holds in done.items():
        sandbox.fault(name, path=STUDENTS)
        assert holds(), name
        sandbox.clear_faults()
    assert ids(whole(client, STUDENTS)) == usual


def test_with_a_cap_the_next_page_begins_where_this_one_ends(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.fault("cap", "30")
    answer = client.get(f"{STUDENTS}?limit=100&offset=60")
    assert len(answer.json()["users"]) == 30
    assert answer.links["next"]["url"].endswith("offset=90")
