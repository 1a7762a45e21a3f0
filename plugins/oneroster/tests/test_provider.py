"""What is asked of a OneRoster server, how its errors are understood, and what an operator is told. The server is a few lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from raw_server import Heard, RawServer, json_answer, serving
from sis_connect.capabilities import KINDS
from sis_connect.connection import Connection, connect
from sis_connect.discovery import refined
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    ConfigurationError,
    NotOffered,
    ProviderError,
    SISError,
)
from sis_connect.provider import Finding, Scope
from sis_connect.settings import validated
from sis_connect_oneroster import INFO
from sis_connect_oneroster.address import missing, told_version
from sis_connect_oneroster.errors import UnknownObject, UnknownSchool, read_error

NOW = "Fri, 20 Nov 2026 12:00:00 GMT"
STAMP = "2026-11-20T10:00:00.000Z"
STUDENT = {"sourcedId": "u-1", "status": "active", "dateLastModified": STAMP, "givenName": "Ada", "familyName": "Example"}
YEAR = {
    "sourcedId": "y",
    "title": "Year",
    "type": "schoolYear",
    "startDate": "2020-01-01",
    "endDate": "2100-01-01",
    "schoolYear": "2027",
}
LISTS: dict[str, tuple[str, list[Any]]] = {
    "/schools": ("orgs", [{"sourcedId": "s-1", "name": "Any", "type": "school"}]),
    "/orgs": (
        "orgs",
        [{"sourcedId": "s-1", "name": "Any", "type": "school"}, {"sourcedId": "d", "name": "D", "type": "district"}],
    ),
    "/academicSessions": ("academicSessions", [YEAR]),
    "/students": ("users", [STUDENT]),
    "/teachers": ("users", []),
    "/users": ("users", [{**STUDENT, "role": "student"}]),
    "/courses": ("courses", []),
    "/classes": ("classes", []),
    "/enrollments": ("enrollments", []),
    "/demographics": ("demographics", []),
}


class District:
    """Answers as the standard says, but for what a test wants: `odd` has answers by path."""

    def __init__(self, version: str = "1.2", odd: Mapping[str, bytes] | None = None, totals: bool = True) -> None:
        self.base = {"1.1": "/ims/oneroster/v1p1", "1.2": "/ims/oneroster/rostering/v1p2"}[version]
        self.odd, self.totals = odd or {}, totals

    async def answer(self, heard: Heard) -> bytes:
        path = heard.path.removeprefix(self.base)
        if heard.path.endswith("/token"):
            return json_answer({"access_token": "t", "token_type": "bearer", "expires_in": 3600})
        if path in self.odd:
            return self.odd[path]
        if path not in LISTS or not heard.path.startswith(self.base):
            return json_answer({"imsx_codeMajor": "failure", "imsx_severity": "error"}, status=404, date=NOW)
        name, rows = LISTS[path]
        offset = int(parse_qs(urlsplit(heard.target).query).get("offset", ["0"])[0])
        return json_answer({name: rows[offset:]}, date=NOW, x_total_count=str(len(rows)) if self.totals else "")


@asynccontextmanager
async def opened(district: District, base: str | None = None, **settings: Any) -> AsyncIterator[tuple[Connection, RawServer]]:
    async with serving(district.answer) as server:
        values: dict[str, Any] = {
            "client_id": "id",
            "client_secret": "secret",
            "rate_limit": "off",
            "max_attempts": 1,
            "concurrency": 1,
        }
        values |= {"base_url": server.url + (district.base if base is None else base), "token_url": f"{server.url}/token"}
        async with connect("oneroster", **(values | settings)) as sis:
            yield sis, server


def queries(server: RawServer, path: str) -> list[dict[str, str]]:
    found = [urlsplit(heard.target).query for heard in server.heard if heard.path.endswith(path)]
    return [{name: values[0] for name, values in parse_qs(query).items()} for query in found]


async def read(sis: Connection, *kinds: Any, **more: Any) -> list[Any]:
    return [page async for page in sis.pages(kinds, **more)]


# -- where -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "lacking"),
    [
        ("https://sis.example.org", "/ims/oneroster/rostering/v1p2"),
        ("https://sis.example.org/campus/api", "/ims/oneroster/rostering/v1p2"),
        ("https://sis.example.org/campus/api/ims/oneroster", "/rostering/v1p2"),
        ("https://sis.example.org/ims", "/oneroster/rostering/v1p2"),
        ("https://sis.example.org/ims/oneroster/rostering", "/v1p2"),
        ("https://sis.example.org/ims/oneroster/rostering/v1p2", ""),
        ("https://sis.example.org/ims/oneroster/rostering/v1p2/", ""),
        ("https://sis.example.org/IMS/OneRoster/rostering/v1p2", ""),
        ("https://sis.example.org/api/oneroster/v1p2", ""),
        ("https://sis.example.org/oneroster/v1p1", ""),
    ],
)
def test_what_the_base_url_lacks_is_added(base: str, lacking: str) -> None:
    assert missing(base, "/ims/oneroster/rostering/v1p2") == lacking


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("whole", [True, False])
async def test_both_versions_are_found_from_either_base_url(version: str, whole: bool) -> None:
    async with opened(District(version), None if whole else "", version=version) as (sis, _):
        assert [student.sis_id async for student in sis.students()] == ["u-1"]


async def test_the_path_may_be_set() -> None:
    district = District()
    district.base = "/elsewhere"
    async with opened(district, "", service_path="/elsewhere") as (sis, _):
        assert [school.sis_id async for school in sis.schools()] == ["s-1"]


# -- what is asked -----------------------------------------------------------------------------------------------------


async def test_rows_are_asked_for_in_the_order_of_their_ids_unless_a_setting_says_no() -> None:
    async with opened(District()) as (sis, server):
        await read(sis, "students")
    assert queries(server, "/students") == [{"limit": "1000", "offset": "0", "sort": "sourcedId", "orderBy": "asc"}]
    async with opened(District(), sort="false", page_size=50) as (sis, server):
        await read(sis, "students")
    assert queries(server, "/students") == [{"limit": "50", "offset": "0"}]


async def test_people_come_from_the_narrow_lists_unless_a_setting_says_all_users() -> None:
    async with opened(District()) as (sis, server):
        await read(sis, "students", "staff")
    assert (server.count(f"{District().base}/users"), server.count(f"{District().base}/students")) == (0, 1)
    async with opened(District(), people="users") as (sis, server):
        await read(sis, "students", "staff")
    assert (server.count(f"{District().base}/users"), server.count(f"{District().base}/students")) == (1, 0)


async def test_p7_demographics_are_asked_for_only_where_a_field_needs_them() -> None:
    for fields, count in (("emails", 0), ("gender", 1)):
        async with opened(District(), fields=fields) as (sis, server):
            await read(sis, "students")
        assert server.count(f"{District().base}/demographics") == count


@pytest.mark.parametrize(("version", "filters"), [("1.1", {"role!='student'"}), ("1.2", set())])
async def test_guardians_are_looked_for_among_all_users(version: str, filters: set[str]) -> None:
    async with opened(District(version), version=version, fields="guardians") as (sis, server):
        await read(sis, "guardians")
    assert {query["filter"] for query in queries(server, "/users") if "filter" in query} == filters


async def test_changes_are_asked_for_from_before_the_last_one_known() -> None:
    async with opened(District(), overlap="30") as (sis, server):
        pages = await read(sis, "students", "schools")
        marks = {page.stream: page.mark for page in pages if page.mark}
        again = await read(sis, "students", "schools", since=marks)
    assert set(marks) == {("students", "")}
    assert [query.get("filter") for query in queries(server, "/students")] == [
        None,
        "dateLastModified>'2026-11-20T09:30:00.000Z'",
    ]
    assert {page.endpoint: page.changes_only for page in again} == {"students": True, "schools": False}


async def test_marks_are_worth_nothing_in_another_school_year() -> None:
    async with opened(District()) as (sis, _):
        marks = {page.stream: page.mark for page in await read(sis, "students") if page.mark}
    next_year = json_answer({"academicSessions": [{**YEAR, "sourcedId": "z"}]}, date=NOW)
    async with opened(District(odd={"/academicSessions": next_year})) as (sis, server):
        (page,) = await read(sis, "students", since=marks)
    assert (page.changes_only, "filter" in queries(server, "/students")[0]) == (False, False)


def test_where_changes_are_not_to_be_trusted_none_are_offered() -> None:
    config = {"provider": "oneroster", "base_url": "https://sis.example.org"}
    for deltas, offered in (("true", "updated_at"), ("false", "none")):
        info = refined(INFO, validated({**config, "deltas": deltas}, origin="a test"))
        assert info.capabilities.of("students").delta == offered
        assert info.capabilities.of("schools").delta == "none"


@pytest.mark.parametrize(
    ("settings", "scope", "grants"),
    [
        ({}, "v1p2 roster-core roster", ("client_credentials",)),
        ({"version": "1.1"}, "v1p1 roster-core roster", ("client_credentials", "oauth1")),
        ({"fields": "birth_date"}, "v1p2 roster-core roster roster-demographics", ("client_credentials",)),
        ({"version": "9"}, "v1p2 roster-core roster", ("client_credentials",)),
        ({"scope": ""}, None, ("client_credentials",)),
    ],
)
def test_the_version_decides_about_scopes_and_grants(
    settings: dict[str, str], scope: str | None, grants: tuple[str, ...]
) -> None:
    config = validated({"provider": "oneroster", "base_url": "https://sis.example.org", **settings}, origin="a test")
    info = refined(INFO, config)
    version, *names = (scope or "none").split()
    asked = [f"https://purl.imsglobal.org/spec/or/{version}/scope/{name}.readonly" for name in names]
    assert info.scope == (" ".join(asked) or None)
    assert info.auth_grants == grants


@pytest.mark.parametrize(
    ("key", "value"), [("version", "1.3"), ("people", "some"), ("overlap", "0"), ("end_dates", "maybe"), ("unheard", "of")]
)
def test_wrong_settings_are_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=key if key != "unheard" else "unheard"):
        connect(
            "oneroster", validated({"provider": "oneroster", "base_url": "https://sis.example.org", key: value}, origin="a test")
        )


async def test_p1_a_student_who_is_not_there_is_an_error_and_no_absence() -> None:
    async with opened(District()) as (sis, server):
        (page,) = await read(sis, "students", scope=Scope(students=frozenset({"a/b"})))
    assert isinstance(page.error, NotOffered)
    assert [heard.path.rpartition("/")[2] for heard in server.heard if "a%2Fb" in heard.path] == ["a%2Fb", "a%2Fb"]


NOBODY = json_answer({"imsx_codeMinor": "unknown object"}, status=404)


async def test_a_school_that_the_sis_does_not_know_is_named_as_such_and_nothing_is_read_instead() -> None:
    lists = {f"/schools/nope/{name}": NOBODY for name in ("students", "teachers", "courses", "classes", "enrollments")}
    odd = {"/schools/nope": NOBODY, "/orgs/nope": NOBODY, **lists}
    async with opened(District(odd=odd)) as (sis, server):
        pages = await read(sis, "schools", "students", "staff", "sections", scope=Scope(schools=frozenset({"nope"})))
    assert {type(page.error) for page in pages} == {UnknownSchool}
    assert {page.error.message for page in pages} == {"The SIS knows no school of this id."}
    assert len(server.heard) == 4  # the token, one list, and two that prove it


@pytest.mark.parametrize(
    "told", [json_answer({"org": {"sourcedId": "s-1"}}), json_answer({}, status=404)], ids=["there", "unsaid"]
)
async def test_a_school_that_is_not_denied_is_read_from_the_whole_lists(told: bytes) -> None:
    odd = {"/schools/s-1/students": NOBODY, "/schools/s-1": NOBODY, "/orgs/s-1": told}
    async with opened(District(odd=odd)) as (sis, _):
        (page,) = await read(sis, "students", scope=Scope(schools=frozenset({"s-1"})))
    assert (page.endpoint, page.received, page.error) == ("all_users", 1, None)


async def test_a_student_whom_the_sis_does_not_know_is_named_as_such() -> None:
    async with opened(District(odd={"/students/nope": NOBODY, "/users/nope": NOBODY})) as (sis, _):
        (page,) = await read(sis, "students", scope=Scope(students=frozenset({"nope"})))
    assert page.error.message == "The SIS knows no student of this id."


async def test_where_schools_are_not_listed_organisations_are() -> None:
    async with opened(District(odd={"/schools": json_answer({}, status=404)})) as (sis, _):
        assert [school.sis_id async for school in sis.schools()] == ["s-1"]


# -- errors ------------------------------------------------------------------------------------------------------------

V12 = b'{"imsx_codeMajor":"failure","imsx_description":"Stone","imsx_CodeMinor":{"imsx_codeMinorField":[%b]}}'
FIELD = b'{"imsx_codeMinorFieldName":"TargetEndSystem","imsx_codeMinorFieldValue":"%b"}'
V11 = b'{"statusInfoSet":[{"imsx_codeMajor":"failure","imsx_severity":"error","imsx_codeMinor":"%b","imsx_description":"Stone"}]}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, V12 % (FIELD % b"forbidden"), AuthorizationError, "roster-core"),
        (403, V11 % b"forbidden", AuthorizationError, "roster-core"),
        (403, b"", AuthorizationError, "roster-core"),
        (403, V12 % (FIELD % b"unauthorisedrequest"), AuthenticationError, "token"),
        (403, V11 % b"unauthorized", AuthenticationError, "token"),
        (403, b'{"imsx_description":"The access token has expired"}', AuthenticationError, "token"),
        (404, V12 % (FIELD % b"unknownobject"), UnknownObject, "sis_id"),
        (404, V11 % b"unknown object", UnknownObject, "sis_id"),
        (404, b"<html>", NotOffered, "version"),
        (400, V12 % (FIELD % b"invalid_filter_field"), ProviderError, "deltas=false"),
        (400, V11 % b"invalid filter field", ProviderError, "deltas=false"),
        (400, b'{"imsx_codeMinor":"invalid_data"}', ProviderError, "page_size=100"),
        (422, b"[]", ProviderError, "page_size=100"),
    ],
)
def test_error_answers_are_understood_and_not_quoted(status: int, body: bytes, kind: type[SISError], words: str) -> None:
    error = read_error(status, {}, body)
    assert type(error) is kind
    assert words in str(error)
    assert "Stone" not in str(error)


@pytest.mark.parametrize(("status", "body"), [(401, b""), (500, V11 % b"x"), (429, b""), (302, b"")])
def test_what_a_status_says_by_itself_is_left_to_the_common_rules(status: int, body: bytes) -> None:
    assert read_error(status, {}, body) is None


# -- doctor ------------------------------------------------------------------------------------------------------------


def by_topic(found: Any) -> dict[str, Finding]:
    return {finding.topic: finding for finding in found}


async def test_doctor_says_that_all_is_well() -> None:
    async with opened(District(), time_zone="America/Denver") as (sis, _):
        found = by_topic(await sis.check())
    assert {finding.level for topic, finding in found.items() if topic != "clock"} == {"ok"}
    assert "can be proved" in found["totals"].message
    assert found["school_year"].facts == {"school_year": 2027}


async def test_doctor_says_what_a_server_does_not_tell() -> None:
    forbidden = json_answer({}, status=403)
    bare = {**STUDENT, "dateLastModified": None}
    odd = {"/demographics": forbidden, "/students": json_answer({"users": [bare]}, date=NOW)}
    async with opened(District(odd=odd, totals=False), fields="birth_date") as (sis, _):
        found = by_topic(await sis.check())
    assert (found["totals"].level, found["changes"].level, found["demographics"].level) == ("warning", "warning", "error")


async def test_doctor_foretells_once_that_demographics_will_be_missing_and_a_sync_says_what_to_do() -> None:
    odd = {"/demographics": json_answer({}, status=403)}
    async with opened(District(odd=odd), fields="birth_date,gender") as (sis, _):
        found = await sis.check()
        (broken,) = [page.error for page in await read(sis, "students") if page.error]
    (refused,) = [finding for finding in found if finding.level == "error"]
    assert refused.topic == "demographics"
    assert "birth_date and gender" in refused.message
    assert "every sync will be incomplete" in refused.message
    assert "take birth_date and gender out of fields" in refused.remedy
    assert (type(broken), refused.remedy in broken.message) == (AuthorizationError, True)


async def test_doctor_says_which_address_was_tried() -> None:
    async with opened(District(), "/wrong") as (sis, server):
        found = by_topic(await sis.check())
    assert found["connection"].message.endswith(f"Tried: {server.url}/wrong/ims/oneroster/rostering/v1p2/orgs")


async def test_a_sync_says_which_address_was_tried() -> None:
    async with opened(District(odd={"/courses": json_answer({}, status=404)})) as (sis, server):
        (page,) = await read(sis, "courses")
    assert page.error.message.endswith(f"Tried: {server.url}{District().base}/courses")


async def test_doctor_names_a_wrong_version() -> None:
    async with opened(District("1.1"), version="1.2") as (sis, _):
        assert by_topic(await sis.check())["version"].remedy.startswith("Set version=1.1")


def test_the_base_url_may_name_the_version() -> None:
    assert told_version("https://sis.example.org/ims/oneroster/v1p1/") == "1.1"
    assert told_version("https://sis.example.org/api") is None


def test_every_kind_is_offered_but_stays_at_schools() -> None:
    assert set(INFO.capabilities.offered()) == set(KINDS) - {"school_enrollments"}
