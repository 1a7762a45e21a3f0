"""What is asked of PowerSchool, how its errors are understood, and what an operator is told. The server is the sandbox."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from sis_connect.capabilities import KINDS
from sis_connect.connection import Connection, connect
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    ConfigurationError,
    NotOffered,
    ProviderError,
    SISError,
    UnexpectedResponse,
)
from sis_connect.provider import Finding, Scope
from sis_connect.rest_provider import Asked
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect_powerschool import INFO, findings
from sis_connect_powerschool.errors import read_error
from sis_connect_powerschool.mapping import TermRow
from sis_connect_powerschool.provider import ENDPOINTS
from sis_connect_powerschool.settings import PowerSchoolSettings

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(INFO, students=60) as running:
        yield running


@asynccontextmanager
async def connected(sandbox: RunningSandbox, **settings: Any) -> AsyncIterator[Connection]:
    values: dict[str, Any] = {"base_url": sandbox.base_url, "rate_limit": "off", "max_attempts": 1}
    values |= {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    async with connect("powerschool", **(values | settings)) as sis:
        yield sis


def asked(fields: str = "", preferred_name: str | None = None, **context: str) -> Asked:
    return Asked(context, dict.fromkeys(KINDS, frozenset(fields.split())), PowerSchoolSettings(preferred_name=preferred_name))


def paths(sandbox: RunningSandbox) -> Mapping[str, int]:
    by_path: Mapping[str, int] = sandbox.stats()["by_path"]
    return by_path


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expansions"),
    [
        ("", "school_enrollment"),
        ("gender birth_date", "demographics,school_enrollment"),
        ("emails contacts", "contact,contact_info,school_enrollment"),
        ("addresses demographics phones", "addresses,ethnicity_race,phones,school_enrollment"),
    ],
)
def test_p7_only_the_expansions_that_the_requested_fields_need_are_asked_for(fields: str, expansions: str) -> None:
    assert BY_NAME["students"].params_for(asked(fields)) == {"expansions": expansions}


def test_the_extension_that_holds_the_preferred_name_is_asked_for() -> None:
    params = BY_NAME["students"].params(asked(preferred_name="u_students_extension.preferredname"))
    assert params["extensions"] == "u_students_extension"


def test_p1_the_year_is_asked_for_where_the_server_would_choose_one() -> None:
    year = asked(school="3", school_year="2027")
    assert BY_NAME["terms"].filters(year) == {"q": "start_year==2026"}
    assert BY_NAME["sections"].filters(year) == {"q": "term.start_year==2026"}
    assert BY_NAME["sections"].filters(asked(school="3")) == {}


def test_p1_students_of_a_school_are_asked_for_in_every_status() -> None:
    assert "enroll_status_code=gt=" in BY_NAME["school_students"].filters(asked(school="3"))["q"]
    assert BY_NAME["students"].filters(asked()) == {}


def test_a_preferred_name_is_named_by_table_and_field() -> None:
    with pytest.raises(ConfigurationError, match="must be TABLE"):
        connect("powerschool", base_url="https://sis.example.org", preferred_name="preferredname")


async def test_pages_are_as_large_as_the_server_allows(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as sis:
        sizes = {(page.asked, page.declared_size) async for page in sis.pages({"students"})}
    assert sizes == {(100, 100)}


async def test_a_page_size_is_never_larger_than_the_server_allows(sandbox: RunningSandbox) -> None:
    async with connected(sandbox, page_size=20) as sis:
        assert {page.asked async for page in sis.pages({"students"})} == {20}
    async with connected(sandbox, page_size=5000) as sis:
        assert {page.asked async for page in sis.pages({"students"})} == {100}


async def test_p1_pages_carry_the_year_that_was_asked_for(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as sis:
        years = {page.school_year async for page in sis.pages({"sections", "terms"})}
    assert years == {2027}
    async with connected(sandbox, school_year=2026) as sis:
        assert {page.school_year async for page in sis.pages({"sections", "terms"})} == {2026}


async def test_one_school_costs_the_requests_of_one_school(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as sis:
        school = await anext(sis.schools())
        scope = Scope(schools=frozenset({school.sis_id}), school_year=2027)
        pages = [page async for page in sis.pages({"schools", "students", "staff", "sections", "enrollments"}, scope)]
    assert {page.school for page in pages} == {school.sis_id}
    assert [record.sis_id for page in pages if page.endpoint == "school" for record in page.records()] == [school.sis_id]
    assert {path.split("/")[4] for path in paths(sandbox) if path.startswith("/ws/v1/school/")} == {school.sis_id}
    assert "/ws/v1/district/student" not in paths(sandbox)


async def test_p1_the_students_of_a_school_include_those_who_have_left(sandbox: RunningSandbox) -> None:
    sandbox.set_day(60)
    async with connected(sandbox) as sis:
        every = [student async for student in sis.students()]
        home = next(student.school for student in every if student.status_reason == "transferred")
        scope = Scope(schools=frozenset({str(home)}))
        here = {student.sis_id async for student in sis.students(scope=scope)}
    assert here == {student.sis_id for student in every if student.school == home}


async def test_one_student_is_one_request(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as sis:
        known = await anext(sis.students())
        before = sandbox.stats()["requests"]
        scope = Scope(students=frozenset({known.sis_id}))
        (page,) = [page async for page in sis.pages({"students", "school_enrollments", "enrollments"}, scope)]
    assert [record for record in page.records() if record.kind == "students"] == [known]
    assert (page.total, page.received, page.more) == (1, 1, False)
    assert sandbox.stats()["requests"] - before == 1


async def test_p1_a_student_that_is_not_there_is_an_error_and_no_absence(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as sis:
        (page,) = [page async for page in sis.pages({"students"}, Scope(students=frozenset({"1"})))]
    assert isinstance(page.error, NotOffered)


# -- errors ------------------------------------------------------------------------------------------------------------

NO_ACCESS = b'{"errorMessage":{"message":"Plugin is missing required accessLevelV1Api READ permission"}}'
NO_COLUMN = b'{"message":"At least one column lacks sufficient permission","errors":[{"code":"NoAccess","field":"students.dob"}]}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, NO_ACCESS, AuthorizationError, "no access to the v1 interface"),
        (401, b'{"error":"invalid_client"}', AuthenticationError, "client id"),
        (403, NO_COLUMN, AuthorizationError, "students.dob"),
        (400, NO_COLUMN, AuthorizationError, "students.dob"),
        (403, b"", AuthorizationError, "this resource"),
        (404, b"", NotOffered, "nothing at this address"),
        (400, b'{"message":"Stone is not valid for last_name"}', ProviderError, "does not understand"),
    ],
)
def test_error_answers_are_understood(status: int, body: bytes, kind: type[SISError], words: str) -> None:
    error = read_error(status, {}, body)
    assert type(error) is kind
    assert words in str(error)
    assert "Stone" not in str(error)


@pytest.mark.parametrize(("status", "body"), [(401, b""), (500, b"oops"), (429, b""), (302, b"")])
def test_what_a_status_says_by_itself_is_left_to_the_common_rules(status: int, body: bytes) -> None:
    assert read_error(status, {"location": "https://elsewhere.example.org"}, body) is None


def test_downtime_is_told_from_other_redirects() -> None:
    error = read_error(302, {"location": "https://message.powerschool.com/?server=sis.example.org"}, b"")
    assert isinstance(error, UnexpectedResponse)
    assert "down" in error.message


async def test_p9_missing_v1_access_is_named_and_nobody_signs_in_again_for_it() -> None:
    with running_sandbox(INFO, students=60, settings={"access": "NONE"}) as sandbox:
        async with connected(sandbox) as sis:
            with pytest.raises(AuthorizationError, match="accessLevelV1Api"):
                [student async for student in sis.students()]
        assert paths(sandbox)["/oauth/access_token"] == 1


async def test_a_token_that_expires_on_the_way_is_replaced(sandbox: RunningSandbox) -> None:
    sandbox.fault("token_expiry", 8, count=1)
    async with connected(sandbox) as sis:
        assert len([section async for section in sis.sections()]) > 0
    assert paths(sandbox)["/oauth/access_token"] == 2


async def test_a_wrong_secret_is_named(sandbox: RunningSandbox) -> None:
    async with connected(sandbox, client_secret="wrong") as sis:
        with pytest.raises(AuthenticationError):
            [school async for school in sis.schools()]


# -- doctor ------------------------------------------------------------------------------------------------------------


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.topic: finding.level for finding in found}


async def doctor(sandbox: RunningSandbox, **settings: Any) -> list[Finding]:
    async with connected(sandbox, **settings) as sis:
        return list(await sis.check())


async def test_doctor_says_that_all_is_well_and_what_a_sync_costs() -> None:
    with running_sandbox(INFO, students=60, settings={"page_size": "1000"}) as sandbox:
        found = await doctor(sandbox, rate_limit="60/60")
        before = sandbox.stats()["requests"]
        async with connected(sandbox) as sis:
            async for _ in sis.pages(INFO.capabilities.offered()):
                pass
        requests = sandbox.stats()["requests"] - before
    assert set(levels(found).values()) <= {"ok", "warning"}
    cost = found[-1]
    assert cost.requests is not None
    assert 0.7 * requests < cost.requests < 1.3 * requests
    assert "minute" in cost.message


async def test_doctor_names_small_pages(sandbox: RunningSandbox) -> None:
    (found,) = [finding for finding in await doctor(sandbox) if finding.topic == "page_size"]
    assert found.level == "warning"
    assert "100 rows" in found.message


async def test_doctor_names_missing_access_and_goes_no_further() -> None:
    with running_sandbox(INFO, students=60, settings={"access": "NONE"}) as sandbox:
        found = await doctor(sandbox)
    assert found[-1].topic == "access"
    assert "accessLevelV1Api" in found[-1].remedy


async def test_doctor_names_a_wrong_secret(sandbox: RunningSandbox) -> None:
    assert (await doctor(sandbox, client_secret="wrong"))[-1].topic == "credentials"


async def test_doctor_names_a_server_that_is_not_there() -> None:
    async with connect("powerschool", base_url="http://127.0.0.1:9", client_id="a", client_secret="b", max_attempts=1) as sis:
        (found,) = await sis.check()
    assert (found.topic, found.level) == ("connection", "error")


TERMS = [TermRow(start_year=2026, start_date="2026-08-12", end_date="2027-06-05")]


@pytest.mark.parametrize(
    ("wanted", "terms", "today", "level"),
    [
        (None, TERMS, date(2026, 11, 20), "ok"),
        (None, TERMS, date(2027, 7, 1), "warning"),
        (None, [], date(2026, 11, 20), "error"),
        (2027, TERMS, date(2026, 11, 20), "ok"),
        (2026, TERMS, date(2026, 11, 20), "warning"),
        (2027, [], date(2026, 11, 20), "ok"),
    ],
)
def test_doctor_names_a_year_that_is_wrong_or_missing(wanted: int | None, terms: list[TermRow], today: date, level: str) -> None:
    assert findings.school_year(wanted, terms, today).level == level


def test_where_terms_of_two_years_are_listed_those_of_today_decide() -> None:
    after = TermRow(start_year="2027", start_date="2027-08-11", end_date="2028-06-03")
    assert findings.current_year([*TERMS, after], date(2026, 11, 20)) == 2027
    assert findings.current_year([*TERMS, after], date(2027, 7, 1)) == 2028


def test_doctor_names_a_time_zone_that_nobody_tells() -> None:
    assert findings.time_zone(None).level == "warning"
    assert findings.time_zone("Mars/Olympus").level == "warning"
    assert findings.time_zone("America/Denver").facts == {"time_zone": "America/Denver"}


def test_doctor_knows_a_server_that_is_no_powerschool() -> None:
    assert findings.server({}).level == "error"


async def test_p7_nothing_of_a_pupil_is_logged(sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with connected(sandbox, fields="birth_date,emails") as sis:
        students = [student async for student in sis.students()]
    for secret in (sandbox.client_secret, students[0].family_name, students[0].sis_id):
        assert secret not in caplog.text
