"""The sandbox by raw HTTP: pages, totals, links, filters, order and selection (rows 6 to 13 and 19 to 24)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from raw_oneroster import BASES, V11, V12, ids, minor, read, whole
from sis_connect.testing.sandbox import RunningSandbox

STUDENTS = f"{V12}/students"


def chosen(client: httpx.Client, expression: str, path: str = STUDENTS) -> list[dict[str, Any]]:
    return whole(client, path, filter=expression)


# Pages


def test_a_page_has_a_hundred_rows_unless_asked(client: httpx.Client) -> None:
    assert len(read(client, STUDENTS)) == 100
    assert len(read(client, STUDENTS, limit=7)) == 7


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=many", "limit=", "limit=1.5", "limit=99999999999", "limit=1&limit=2"]
)
def test_row_6_a_limit_is_a_whole_number_from_one_on(client: httpx.Client, query: str) -> None:
    answer = client.get(f"{STUDENTS}?{query}")
    assert (answer.status_code, minor(answer)) == (400, "invaliddata")


def test_a_limit_that_is_too_large_is_told_the_bound(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert "limit is at most 2147483647." in client.get(f"{STUDENTS}?limit=2147483648").text
    assert client.get(f"{STUDENTS}?limit=2147483647").status_code == 200
    sandbox.set(cap="30", over_cap="reject")
    assert "limit is at most 30." in client.get(f"{STUDENTS}?limit=31").text


@pytest.mark.parametrize("query", ["offset=-1", "offset=first", "offset=2147483648", "offset=0&offset=1"])
def test_row_7_an_offset_is_a_whole_number_from_zero_on(client: httpx.Client, query: str) -> None:
    answer = client.get(f"{STUDENTS}?{query}")
    assert (answer.status_code, minor(answer)) == (400, "invaliddata")


def test_row_8_the_order_is_one_of_two(client: httpx.Client) -> None:
    assert client.get(f"{STUDENTS}?sort=familyName&orderBy=ASC").status_code == 400
    assert client.get(f"{STUDENTS}?sort=familyName&orderBy=desc").status_code == 200


def test_row_6_a_limit_above_the_cap_is_cut_silently_or_refused(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(cap="30")
    assert len(read(client, STUDENTS, limit=1000)) == 30
    sandbox.set(over_cap="reject")
    assert client.get(f"{STUDENTS}?limit=31").status_code == 400


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_pages_follow_each_other_without_gap_or_repetition(client: httpx.Client, version: str) -> None:
    path = f"{BASES[version]}/students"
    pages = [ids(read(client, path, limit=60, offset=offset)) for offset in (0, 60, 120, 180)]
    assert [len(page) for page in pages] == [60, 60, 60, 16]
    assert [sourced_id for page in pages for sourced_id in page] == ids(whole(client, path))


def test_rows_19_and_20_an_empty_list_is_a_list(client: httpx.Client) -> None:
    assert client.get(f"{STUDENTS}?offset=100000").json() == {"users": []}
    assert client.get(f"{STUDENTS}?filter=identifier%3D'nobody'").json() == {"users": []}


# Totals and links


def test_row_21_the_total_is_of_all_that_the_filter_lets_through(client: httpx.Client) -> None:
    totals = {client.get(f"{STUDENTS}?limit=50&offset={offset}").headers["x-total-count"] for offset in (0, 50, 150, 1000)}
    assert totals == {"196"}
    some = client.get(STUDENTS, params={"filter": "status='tobedeleted'", "limit": 1})
    assert int(some.headers["x-total-count"]) == len(chosen(client, "status='tobedeleted'")) > 1


def test_row_22_links_lead_through_the_list_and_keep_the_query(client: httpx.Client) -> None:
    url = f"{client.base_url}{STUDENTS}".replace("//ims", "/ims")
    answer = client.get(f"{STUDENTS}?limit=50&filter=status='active'&sort=familyName&fields=sourcedId,familyName")
    seen: list[str] = []
    while True:
        seen += ids(answer.json()["users"])
        assert all(link["url"].startswith(url) for link in answer.links.values())
        assert {"first", "last"} <= set(answer.links)
        assert ("prev" in answer.links) == (len(seen) > 50)
        if "next" not in answer.links:
            break
        answer = client.get(answer.links["next"]["url"])
        assert {"sourcedId", "familyName"} == set(answer.json()["users"][0])
    assert seen == ids(whole(client, STUDENTS, filter="status='active'", sort="familyName"))
    assert client.get(answer.links["first"]["url"]).links.keys() == {"next", "last", "first"}


@pytest.mark.parametrize(("how", "limit"), [("whole", 50), ("remainder", 46)])
def test_the_last_link_may_shrink_its_limit(client: httpx.Client, sandbox: RunningSandbox, how: str, limit: int) -> None:
    sandbox.set(last_link=how)
    last = client.get(f"{STUDENTS}?limit=50").links["last"]["url"]
    assert last.endswith(f"limit={limit}&offset=150")
    assert len(client.get(last).json()["users"]) == 46


# Filters


@pytest.mark.parametrize(
    "query",
    [
        "filter=familyName%3D%27True%27",
        "filter=familyName='True'",
        "filter=familyName%3D'True'+AND+status%3D'active'",
        "filter=familyName%3D'True'%20AND%20status%3D'active'",
        "filter=familyName='True' AND status='active'",
    ],
)
def test_row_13_every_way_of_encoding_a_filter_is_understood(client: httpx.Client, query: str) -> None:
    assert [row["familyName"] for row in client.get(f"{STUDENTS}?{query}").json()["users"]] == ["True"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("familyName=True", "single quotes"),
        ("grades=3 AND familyName='a'", "single quotes"),
        ("familyName='True", "has no end"),
        ("familyName='O'Brien'", "is doubled"),
        ("familyName = 'True'", "no blanks around a predicate"),
        ("familyName= 'a and (b)'", "no blanks around a predicate"),
        ("familyName='a' and givenName='b'", "capitals"),
        ("familyName='a' Or givenName='b'", "capitals"),
        ("familyName='a' AND givenName='b' AND status='active'", "at most one AND or OR"),
        ("(familyName='a')", "no brackets"),
        ("NOT familyName='a'", "no NOT"),
        ("familyName='a'  AND givenName='b'", "one blank on each side"),
        (" familyName='a'", "one blank on each side"),
        ("familyName=='a'", "a name, one of"),
        ("='a'", "a name, one of"),
        ("familyName", "a name, one of"),
    ],
)
def test_row_9_a_filter_that_breaks_the_grammar_is_refused_and_told_why(client: httpx.Client, expression: str, said: str) -> None:
    answer = client.get(STUDENTS, params={"filter": expression})
    assert (answer.status_code, minor(answer)) == (400, "invalid_filter_field")
    assert said in answer.json()["imsx_description"]


@pytest.mark.parametrize(
    ("version", "field"), [("1.2", "shoeSize"), ("1.2", "role"), ("1.1", "roles"), ("1.2", "primaryOrg.name")]
)
def test_row_10_an_unknown_field_is_refused_by_name(client: httpx.Client, version: str, field: str) -> None:
    answer = client.get(f"{BASES[version]}/students", params={"filter": f"{field}='7'"})
    assert answer.status_code == 400
    assert field in answer.text
    assert "invalid_filter_field" in answer.text


def test_an_empty_filter_is_none_or_a_mistake(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert len(chosen(client, "")) == 196
    sandbox.set(empty_filter="reject")
    assert client.get(f"{STUDENTS}?filter=").status_code == 400


def test_every_predicate_compares_by_code_points(client: httpx.Client) -> None:
    names = sorted(row["familyName"] for row in whole(client, STUDENTS))
    middle = names[90].replace("'", "''")
    compare: dict[str, Callable[[str, str], bool]] = {
        "=": operator.eq,
        "!=": operator.ne,
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
    }
    for predicate, holds in compare.items():
        found = sorted(row["familyName"] for row in chosen(client, f"familyName{predicate}'{middle}'"))
        assert found == [name for name in names if holds(name, names[90])], predicate


def test_a_quote_in_a_value_is_doubled(client: httpx.Client, sandbox: RunningSandbox) -> None:
    (found,) = chosen(client, "givenName='D''Arcy'")
    assert found["givenName"] == "D'Arcy"


def test_contains_minds_no_case_unless_the_server_does(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert [row["familyName"] for row in chosen(client, "familyName~'HAUSENBERGER'")]
    sandbox.set(contains="exact")
    assert chosen(client, "familyName~'HAUSENBERGER'") == []
    assert chosen(client, "familyName~'Hausenberger'")


def test_two_clauses_are_joined_by_and_or_or(client: httpx.Client) -> None:
    both = {row["sourcedId"] for row in chosen(client, "status='active' AND enabledUser='false'")}
    either = {row["sourcedId"] for row in chosen(client, "status='tobedeleted' OR enabledUser='false'")}
    assert both
    assert both < either
    assert {row["enabledUser"] for row in chosen(client, "enabledUser='false'")} == {"false"}


def test_lists_of_values_are_any_of_or_exactly_these(client: httpx.Client) -> None:
    any_of = chosen(client, "grades~'03,KG'")
    assert {row["grades"][0] for row in any_of} == {"03", "KG"}
    assert {row["grades"][0] for row in chosen(client, "grades='03'")} == {"03"}
    assert chosen(client, "grades='03,KG'") == []
    assert {"03"} not in [set(row["grades"]) for row in chosen(client, "grades!='03'")]


def test_members_of_members_may_be_asked_for(client: httpx.Client) -> None:
    school = ids(whole(client, f"{V12}/schools"))[0]
    classes = chosen(client, f"school.sourcedId='{school}'", f"{V12}/classes")
    assert ids(classes) == ids(whole(client, f"{V12}/schools/{school}/classes"))
    guardians = chosen(client, "roles.role='relative'", f"{V12}/users")
    assert guardians
    assert chosen(client, f"roles.org.sourcedId='{school}'")
    assert chosen(client, "metadata.vendor='x'") == []


@pytest.mark.parametrize(
    "moment", ["2026-10-07T00:00:00.000Z", "2026-10-07T00:00:00Z", "2026-10-07", "2026-10-06T18:00:00-06:00"]
)
def test_row_25_changes_are_those_after_an_instant(client: httpx.Client, sandbox: RunningSandbox, moment: str) -> None:
    sandbox.set_day(4)
    for name in ("students", "enrollments", "classes"):
        everything = whole(client, f"{V12}/{name}")
        changed = [row["sourcedId"] for row in everything if row["dateLastModified"] > "2026-10-07T00:00:00.000Z"]
        assert ids(chosen(client, f"dateLastModified>'{moment}'", f"{V12}/{name}")) == changed
    last = max(row["dateLastModified"] for row in everything)
    assert chosen(client, f"dateLastModified>'{last}'", f"{V12}/classes") == []
    assert len(chosen(client, f"dateLastModified>='{last}'", f"{V12}/classes")) == 1
    assert client.get(STUDENTS, params={"filter": "dateLastModified>'soon'"}).status_code == 400


def test_without_changes_there_is_no_delta(client: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set_day(2)
    last = max(row["dateLastModified"] for name in ("users", "enrollments") for row in whole(client, f"{V12}/{name}"))
    for name in ("users", "enrollments", "classes", "courses", "academicSessions", "orgs", "demographics"):
        assert chosen(client, f"dateLastModified>'{last}'", f"{V12}/{name}") == []


# Order


@pytest.mark.parametrize("field", ["familyName", "sourcedId", "dateLastModified", "identifier", "enabledUser"])
def test_row_24_rows_are_sorted_and_equals_stay_in_place(client: httpx.Client, field: str) -> None:
    usual = whole(client, STUDENTS)
    assert ids(whole(client, STUDENTS, sort=field)) == ids(sorted(usual, key=lambda row: row[field]))
    backwards = whole(client, STUDENTS, sort=field, orderBy="desc")
    assert [row[field] for row in backwards] == sorted((row[field] for row in usual), reverse=True)


def test_an_unknown_order_is_no_order_and_1_1_says_so(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert ids(whole(client, STUDENTS, sort="shoeSize")) == ids(whole(client, STUDENTS))
    older = client.get(f"{V11}/students?sort=shoeSize").json()
    assert older["statusInfoSet"][0]["imsx_codeMinor"] == "invalid_sort_field"
    assert len(older["users"]) == 100
    sandbox.set(unknown_sort="reject")
    assert client.get(f"{STUDENTS}?sort=shoeSize").status_code == 400


# Selection


@pytest.mark.parametrize("fields", ["sourcedId,givenName", "sourcedId%2CgivenName", "sourcedId&fields=givenName"])
def test_fields_select_members(client: httpx.Client, fields: str) -> None:
    answer = client.get(f"{STUDENTS}?fields={fields}")
    assert {tuple(row) for row in answer.json()["users"]} == {("sourcedId", "givenName")}
    one = answer.json()["users"][0]["sourcedId"]
    assert set(client.get(f"{STUDENTS}/{one}?fields={fields}").json()["user"]) == {"sourcedId", "givenName"}


def test_row_11_an_unknown_selection_is_an_error_or_a_warning(client: httpx.Client) -> None:
    refused = client.get(f"{STUDENTS}?fields=sourcedId,shoeSize")
    assert (refused.status_code, minor(refused)) == (400, "invalid_selection_field")
    older = client.get(f"{V11}/students?fields=sourcedId,shoeSize").json()
    (warning,) = older["statusInfoSet"]
    assert (warning["imsx_codeMajor"], warning["imsx_severity"]) == ("success", "warning")
    assert warning["imsx_codeMinor"] == "invalid_selection_field"
    assert "familyName" in older["users"][0]


def test_an_empty_selection_is_an_error(client: httpx.Client) -> None:
    assert minor(client.get(f"{STUDENTS}?fields=")) == "invalid_selection_field"
    older = client.get(f"{V11}/students?fields=")
    assert older.status_code == 400
    assert older.json()["statusInfoSet"][0]["imsx_codeMinor"] == "invalid_blank_selection_field"


def test_the_id_may_always_be_there(client: httpx.Client, sandbox: RunningSandbox) -> None:
    assert set(read(client, STUDENTS, fields="givenName")[0]) == {"givenName"}
    sandbox.set(selection="with_id")
    assert set(read(client, STUDENTS, fields="givenName")[0]) == {"sourcedId", "givenName"}


def test_row_12_a_single_object_ignores_what_is_for_lists_or_refuses_it(client: httpx.Client, sandbox: RunningSandbox) -> None:
    one = ids(read(client, STUDENTS))[0]
    query = "filter=&limit=5000&offset=x&sort=y"
    assert client.get(f"{STUDENTS}/{one}?{query}").json()["user"]["sourcedId"] == one
    sandbox.set(single_query="reject")
    assert client.get(f"{STUDENTS}/{one}?{query}").status_code == 400
    assert client.get(f"{STUDENTS}/{one}?fields=sourcedId").status_code == 200
