"""Rows of a sandbox that tell less, and more, than one record: members on request, and records of other kinds in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx
import pytest

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import Course, Enrollment, Section, Student
from sis_connect.testing.district import District
from sis_connect.testing.sandbox import Listing, Pages, RestSandbox

Row = dict[str, Any]


def pupil(student: Student) -> Row:
    mail = student.emails[0].address if student.emails else None
    return {"id": student.sis_id, "born": student.birth_date, "mail": mail, "phones": len(student.phones)}


def a_class(section: Section, courses: list[Course], enrollments: list[Enrollment]) -> Row:
    return {"id": section.sis_id, "course": courses[0].course_code, "teachers": [each.user for each in enrollments]}


def course(record: Course, sections: list[Section]) -> Row:
    return {"code": record.course_code, "classes": [each.sis_id for each in sections]}


def teaches(enrollment: Enrollment) -> bool:
    return enrollment.role != "student"


class Lists(RestSandbox):
    """Pupils, and classes that name their teachers."""

    paging = Pages(page="", rows="")
    client_authentication = "body"
    listings: ClassVar[tuple[Listing, ...]] = (
        Listing("students", "/pupils", pupil, include="with", on_request={"born": ("born",), "contact": ("mail", "phones")}),
        Listing("students", "/pupils/{id}", pupil, include="with", on_request={"born": ("born",)}),
        Listing("sections", "/classes", a_class, brings={"courses": None, "enrollments": teaches}),
    )

    def authorized(self, request: Any) -> bool:
        return True


class Members(Lists):
    """The same with a list of pupils in classes."""

    listings: ClassVar[tuple[Listing, ...]] = (
        *Lists.listings,
        Listing(
            "enrollments", "/classes/{section}/pupils", lambda each: {"pupil": each.user}, where=lambda one: not teaches(one)
        ),
        Listing("courses", "/courses", course, brings={"sections": None}),
    )


class Empty(Lists):
    """No class is in its lists, and nothing that only classes tell."""

    listings: ClassVar[tuple[Listing, ...]] = (
        Listing("sections", "/classes", a_class, where=lambda one: False, brings={"courses": None, "enrollments": None}),
    )


@pytest.fixture(scope="module")
def district() -> District:
    return District(students=20)


@pytest.fixture
async def client(district: District) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(Members(district, {})) as client:
        yield client


def asking(sandbox: RestSandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app), base_url="http://sis")


async def test_members_that_are_told_on_request_come_only_where_they_are_asked_for(client: httpx.AsyncClient) -> None:
    for asked, members in {
        "": {"id"},
        "born": {"id", "born"},
        "contact": {"id", "mail", "phones"},
        "born,contact": {"id", "born", "mail", "phones"},
        "anything": {"id"},
    }.items():
        rows = (await client.get("/pupils", params={"with": asked} if asked else {})).json()
        assert {frozenset(row) for row in rows} == {frozenset(members)}
    one = rows[0]["id"]
    assert set((await client.get(f"/pupils/{one}")).json()) == {"id", "mail", "phones"}
    assert "born" in (await client.get(f"/pupils/{one}?with=born")).json()


async def test_a_row_is_given_the_records_that_it_brings(client: httpx.AsyncClient, district: District) -> None:
    sandbox = Members(district, {})
    code = {each.sis_id: each.course_code for each in told(sandbox, "courses")}
    rows = {row["id"]: row for row in (await client.get("/classes")).json()}
    for section in told(sandbox, "sections"):
        row = rows[section.sis_id]
        taught = [each.user for each in told(sandbox, "enrollments") if each.section == section.sis_id and teaches(each)]
        assert (row["course"], row["teachers"]) == (code[section.course], taught)
    of_courses = (await client.get("/courses")).json()
    assert {each for row in of_courses for each in row["classes"]} == rows.keys()


def roles(sandbox: RestSandbox) -> set[str]:
    return {each.role for each in told(sandbox, "enrollments")}


def told(sandbox: RestSandbox, kind: Kind) -> list[Any]:
    return [record for _, record in sandbox.truth(kind, history=False)]


def test_what_rows_bring_is_in_the_truth_and_nothing_more(district: District) -> None:
    assert "student" not in roles(Lists(district, {}))
    assert roles(Members(district, {})) == {"student"} | roles(Lists(district, {}))
    assert roles(Empty(district, {})) == set()
    assert told(Empty(district, {}), "courses") == []
    taught = {each.sis_id for each in told(Lists(district, {}), "courses")}
    assert taught < {each.sis_id for each in told(Members(district, {}), "courses")}


def test_a_listing_that_cannot_be_meant_is_refused(district: District) -> None:
    with pytest.raises(ValueError, match="name both, or neither"):
        Listing("students", "/pupils", pupil, include="with")
    with pytest.raises(ConfigurationError, match="no kind 'lessons'"):
        type("Odd", (Lists,), {"listings": (Listing("sections", "/x", a_class, brings={"lessons": None}),)})(district, {})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="a tuple of members belongs"):
        Listing("students", "/pupils", pupil, include="with", on_request={"born": "born"})


async def test_a_client_says_who_it_is_in_the_one_way_that_there_is(client: httpx.AsyncClient, district: District) -> None:
    sandbox = Lists(district, {})
    asked = {"grant_type": "client_credentials"}
    who = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    basic = httpx.BasicAuth(sandbox.client_id, sandbox.client_secret)
    assert (await client.post("/oauth/token", data=asked, auth=basic)).status_code == 401
    assert (await client.post("/oauth/token", data={**asked, **who})).status_code == 200
    async with asking(type("Other", (Lists,), {"client_authentication": "basic"})(district, {})) as other:
        assert (await other.post("/oauth/token", data={**asked, **who})).status_code == 401
        assert (await other.post("/oauth/token", data=asked, auth=basic)).status_code == 200


async def test_tokens_asked_for_at_another_path_are_noted_with_the_right_one(district: District) -> None:
    class Closed(Lists):
        def authorized(self, request: Any) -> bool:
            return False

    sandbox = Closed(district, {})
    async with asking(sandbox) as client:
        assert (await client.post("/auth/token")).status_code == 401
    assert sandbox.notes == ["POST /auth/token is no list. Tokens come from /oauth/token here (token_path)."]
