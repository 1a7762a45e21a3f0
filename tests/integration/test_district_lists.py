"""An SIS with lists of the whole district only, read for some schools: whose rows count, and what becomes of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from list_server import ListServer
from roster_fixture import Desk
from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.endpoint import Asked, Endpoint, build
from sis_connect.errors import NotOffered
from sis_connect.provider import DONE, InvalidRow, Page, Scope, Stream
from sis_connect.records import Enrollment, Record, School, Section, Student
from sis_connect.rest_provider import RestProvider
from sis_connect.transport.paging import OffsetPaging
from small_sis import INFO, opened

Streams = dict[Stream, list[Page]]


class Named(msgspec.Struct):
    id: int
    name: str = "Ada Example"
    school: int | None = None


class Member(msgspec.Struct):
    id: int
    section: int
    person: int


def school(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(School, sis_id=str(row.id), name=row.name)


def student(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(Student, sis_id=str(row.id), given_name="Ada", family_name=row.name, school=str(row.school))


def section(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(Section, sis_id=str(row.id), title=row.name, school=str(row.school))


def member(row: Member, asked: Asked) -> Iterator[Record]:
    yield build(Enrollment, sis_id=str(row.id), section=str(row.section), user=str(row.person), role="student")


def listed(kind: Kind, read: Callable[[Any, Asked], Iterator[Record]], row: type[Any], within: str | None) -> Endpoint[Any]:
    return Endpoint(
        name=kind, path=f"/{kind}", rows="items", kinds=(kind,), row=row, read=read, within=within,
        paging=OffsetPaging(), total_at="header:x-total-count",
    )  # fmt: skip


class FlatProvider(RestProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (
        listed("schools", school, Named, "id"),
        listed("students", student, Named, "school"),
        listed("sections", section, Named, "school"),
        listed("enrollments", member, Member, None),
    )


KINDS: tuple[Kind, ...] = ("schools", "students", "sections", "enrollments")
FLAT = replace(INFO, capabilities=Capabilities(dict.fromkeys(KINDS, KindCapabilities(offered=True, leaving="absence"))))


def district() -> ListServer:
    """Two schools with ten students and a section each."""
    people: list[dict[str, Any]] = [{"id": n, "name": f"No{n}", "school": 1 if n < 110 else 2} for n in range(100, 120)]
    members = [{"id": 500 + each["id"], "section": 10 * each["school"], "person": each["id"]} for each in people]
    lists = {"/students": people, "/enrollments": members, "/schools": [{"id": n, "name": f"School {n}"} for n in (1, 2)]}
    return ListServer(lists | {"/sections": [{"id": 10 * n, "name": f"Section {n}", "school": n} for n in (1, 2)]})


SCHOOL_1 = Scope(schools=frozenset(("1",)))
BOTH = Scope(schools=frozenset(("1", "2")))


@asynccontextmanager
async def reading(server: ListServer, *endpoints: Endpoint[Any], **settings: Any) -> AsyncIterator[RestProvider]:
    provider = type("Flat", (FlatProvider,), {"endpoints": endpoints or FlatProvider.endpoints, "info": FLAT})
    async with opened(server, provider, page_size=7, **settings) as it:
        yield it


async def pages_of(provider: RestProvider, kind: Kind = "students", scope: Scope = SCHOOL_1, **more: Any) -> Streams:
    streams: Streams = {}
    async for page in provider.pages({kind}, scope=scope, **more):
        streams.setdefault(page.stream, []).append(page)
    return streams


def ids(pages: Sequence[Page]) -> list[int]:
    return [int(record.sis_id) for page in pages for record in page.records()]


async def test_p1_rows_of_other_schools_count_as_read_and_bring_nobody() -> None:
    async with reading(server := district()) as provider:
        streams = await pages_of(provider)
    ((stream, pages),) = streams.items()
    assert stream == ("students_of_school", "school=1")
    assert ids(pages) == list(range(100, 110))
    assert (pages[-1].school, pages[-1].total, sum(page.received for page in pages)) == ("1", 20, 20)
    assert server.times("/students") == 3


async def test_one_reading_serves_all_the_schools_that_are_asked_for() -> None:
    async with reading(server := district()) as provider:
        streams = await pages_of(provider, scope=BOTH)
    assert {context: ids(pages) for (_, context), pages in streams.items()} == {
        "school=1": list(range(100, 110)),
        "school=2": list(range(110, 120)),
    }
    assert server.times("/students") == 3


async def test_a_read_of_the_district_leaves_nobody_out() -> None:
    async with reading(district()) as provider:
        assert len(ids((await pages_of(provider, scope=Scope()))["students", ""])) == 20


async def test_a_school_that_is_not_there_brings_nobody() -> None:
    async with reading(district()) as provider:
        for schools in ({"9"}, set()):
            streams = await pages_of(provider, scope=Scope(schools=frozenset(schools)))
            assert [ids(pages) for pages in streams.values()] == [[] for _ in schools]


async def test_a_row_may_belong_to_several_schools_and_one_that_names_none_belongs_to_all() -> None:
    class Course(Named):
        school: list[int] | None = None  # type: ignore[assignment]

    shared = replace(FlatProvider.endpoints[0], row=Course, within=lambda row: row.school)
    server = ListServer({"/schools": [{"id": n, "name": "A", "school": told} for n, told in enumerate(([1, 3], [2], None, []))]})
    async with reading(server, shared) as provider:
        (pages,) = (await pages_of(provider, "schools")).values()
    assert ids(pages) == [0, 2, 3]


async def test_p2_what_cannot_be_read_of_other_schools_is_not_looked_at() -> None:
    server = district()
    for person in (server.lists["/students"][0], server.lists["/students"][15]):
        person["name"] = ""
    async with reading(server) as provider:
        (pages,) = (await pages_of(provider)).values()
    faults = []
    for raw in (raw for page in pages for raw in page.rows):
        try:
            pages[0].read(raw)
        except InvalidRow as error:
            faults.append(error.key)
    assert faults == ["100"]


MEMBERS = replace(FlatProvider.endpoints[3], path="/sections/{section}/members", parent="sections")


async def test_only_rows_of_these_schools_open_what_lies_below_them() -> None:
    server = district()
    for number in (10, 20):
        server.lists[f"/sections/{number}/members"] = [{"id": number, "section": number, "person": 100}]
    endpoints = replace(FlatProvider.endpoints[2], gives="section"), MEMBERS
    async with reading(server, *endpoints) as provider:
        assert list(await pages_of(provider, "enrollments")) == [("enrollments", "section=10")]
        assert sorted(await pages_of(provider, "enrollments", BOTH)) == sorted(await pages_of(provider, "enrollments", Scope()))


async def test_p4_schools_of_which_less_was_read_are_read_on_by_themselves() -> None:
    async with reading(server := district()) as provider:
        after = (await pages_of(provider))["students_of_school", "school=1"][1].cursor or ""
        server.asked.clear()
        of_1, of_2 = (("students_of_school", f"school={n}") for n in (1, 2))
        streams = await pages_of(provider, scope=BOTH, cursor={of_1: DONE, of_2: after})
        assert {stream: ids(pages) for stream, pages in streams.items()} == {of_2: list(range(110, 120))}
        assert server.times("/students") == 2
        streams = await pages_of(provider, scope=BOTH, cursor={of_1: after})
        assert {stream: ids(pages) for stream, pages in streams.items()} == {
            of_1: list(range(107, 110)),
            of_2: list(range(110, 120)),
        }


async def test_a_list_of_the_district_may_stand_by_for_that_of_a_school() -> None:
    of_school = replace(
        FlatProvider.endpoints[1], name="of_school", path="/schools/{school}/students", only="schools", alternative="students"
    )
    async with reading(district(), of_school, replace(FlatProvider.endpoints[1], standby=True)) as provider:
        streams = await pages_of(provider, scope=BOTH)
    assert {context: len(ids(pages)) for (_, context), pages in streams.items()} == {"school=1": 10, "school=2": 10}


async def test_a_list_that_breaks_off_is_incomplete_for_each_school() -> None:
    server = district()
    del server.lists["/students"]
    async with reading(server) as provider:
        streams = await pages_of(provider, scope=BOTH)
    assert {stream: [type(page.error) for page in pages] for stream, pages in streams.items()} == {
        ("students_of_school", "school=1"): [NotOffered],
        ("students_of_school", "school=2"): [NotOffered],
    }


# -- the roster --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def district_at(desk: Desk, server: ListServer, *endpoints: Endpoint[Any], **settings: Any) -> AsyncIterator[None]:
    """Let the desk read the lists of a server."""
    desk.settings = {"absence_grace": 0, **settings}
    async with reading(server, *endpoints, **settings) as provider:
        desk.sis = provider  # type: ignore[assignment]
        yield


async def active(desk: Desk, kind: Kind = "students") -> set[int]:
    return {int(sis_id) for sis_id, status in (await desk.statuses(kind)).items() if status == "active"}


async def test_p1_a_sync_of_one_school_withdraws_nobody_of_another(desk: Desk) -> None:
    server = district()
    async with district_at(desk, server):
        await desk.sync()
        assert await active(desk) == set(range(100, 120))
        for gone in (119, 109):
            del server.lists["/students"][gone - 100]
        for _ in range(2):
            report = await desk.sync(scope=SCHOOL_1)
            assert report.incomplete == []
        assert 119 in await active(desk)
        await desk.sync()
        assert await active(desk) == set(range(100, 119)) - {109}


async def test_who_changes_schools_leaves_one_and_comes_to_the_other(desk: Desk) -> None:
    server = district()
    async with district_at(desk, server, schools=["1"]):
        await desk.sync(scope=SCHOOL_1)
        assert await active(desk) == set(range(100, 110))
        server.lists["/students"][3]["school"], server.lists["/students"][13]["school"] = 2, 1
        report = await desk.sync(scope=SCHOOL_1)
        assert report.reasons["students"] == {"no_longer_stated": 1, "new": 1}
        assert await active(desk) == {*range(100, 110), 113} - {103}


async def test_the_latest_word_counts_whether_it_came_with_the_school_or_with_the_district(desk: Desk) -> None:
    server = district()
    person = server.lists["/students"][3]
    async with district_at(desk, server):
        for scope, name in (
            (Scope(), "Early"),
            (SCHOOL_1, "Later"),
            (BOTH, "Later still"),
            (Scope(), "Last"),
            (SCHOOL_1, "Ever"),
        ):
            person["name"] = name
            await desk.sync(scope=scope)
            assert (await desk.student("103"))["family_name"] == name


async def test_p12_enrolments_without_a_school_wait_where_their_section_is_not_read(desk: Desk) -> None:
    async with district_at(desk, district(), schools=["1"]):
        report = await desk.sync(scope=SCHOOL_1)
        assert (report.status, report.quarantined, report.holds) == ("succeeded", 10, [])
        assert await active(desk, "enrollments") == set(range(600, 610))
