"""Interfaces of the open kind, read page by page: caps, totals here or there, links, what is not offered, and changes only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import pytest

from list_server import ListServer
from raw_server import Answer, Heard, json_answer
from sis_connect.diagnosis import cost, credentials
from sis_connect.endpoint import Asked, Endpoint, build
from sis_connect.lanes import Lanes
from sis_connect.provider import Page, Scope, Stream
from sis_connect.records import Record, Student, part
from sis_connect.rest_provider import RestProvider
from sis_connect.roster.fetch import StreamRead, Verdict, judge
from sis_connect.transport.answers import Response
from sis_connect.transport.paging import OffsetPaging, PageNumberPaging
from small_sis import opened


class Person(msgspec.Struct):
    id: int | None = None
    name: str = "Ada Example"
    gender: str = ""


def student(row: Person, asked: Asked) -> Iterator[Record]:
    given, _, family = row.name.partition(" ")
    yield build(Student, sis_id=str(row.id), given_name=given, family_name=family)


def demographics(row: Person, asked: Asked) -> Iterator[Record]:
    yield part(Student, sis_id=str(row.id), gender=row.gender)


def changed_since(asked: Asked) -> Mapping[str, str]:
    return {"since": asked.since} if asked.since else {}


def latest(mark: str | None, response: Response, rows: Sequence[bytes]) -> str | None:
    return max([mark or "", *(msgspec.json.decode(row)["changed"] for row in rows)]) or None


STUDENTS = Endpoint(
    name="students",
    path="/students",
    rows="items",
    kinds=("students",),
    row=Person,
    read=student,
    paging=OffsetPaging(),
    total_at=("header:x-total-count", "header:x-count", "totalCount"),
)


class ListProvider(RestProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (STUDENTS,)
    year = "2027"

    async def edition(self) -> str:
        return self.year


def people(count: int, **more: str) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"Ada No{number}", **more} for number in range(1, count + 1)]


@asynccontextmanager
async def reading(server: Any, *endpoints: Endpoint[Any], **settings: Any) -> AsyncIterator[RestProvider]:
    provider = type("Listed", (ListProvider,), {"endpoints": endpoints or (STUDENTS,)})
    async with opened(server, provider, page_size=settings.pop("page_size", 10), **settings) as it:
        yield it


async def pages_of(provider: RestProvider, kind: Any = "students", **more: Any) -> dict[Stream, list[Page]]:
    streams: dict[Stream, list[Page]] = {}
    async for page in provider.pages({kind}, scope=Scope(), **more):
        streams.setdefault(page.stream, []).append(page)
    return streams


def ids(pages: Sequence[Page]) -> list[int]:
    return [int(record.sis_id) for page in pages for record in page.records()]


def verdict(pages: Sequence[Page]) -> Verdict:
    read = StreamRead(pages[0].endpoint)
    for page in pages:
        read.observe(page)
    read.distinct = len({row for page in pages for row in page.rows})
    return judge(read)


async def whole(server: ListServer, **settings: Any) -> list[Page]:
    async with reading(server, **settings) as provider:
        return (await pages_of(provider))["students", ""]


@pytest.mark.parametrize("total", ["header", "other_header", "body"])
async def test_p1_a_total_is_found_wherever_the_server_tells_it(total: Any) -> None:
    server = ListServer({"/students": people(25)}, total=total)
    pages = await whole(server)
    assert ids(pages) == list(range(1, 26))
    assert verdict(pages).reason == "as many distinct rows as the server counts"
    assert server.times("/students") == 3


async def test_p1_without_a_total_an_empty_page_proves_the_end() -> None:
    server = ListServer({"/students": people(25)}, total="nowhere")
    pages = await whole(server)
    assert verdict(pages) == Verdict(True, "it ended with an empty page")
    assert server.times("/students") == 4


async def test_p1_without_a_total_a_server_that_stops_pointing_on_proves_the_end() -> None:
    server = ListServer({"/students": people(25)}, total="nowhere", links=True)
    pages = await whole(server)
    assert verdict(pages) == Verdict(True, "the server stopped pointing to a next page")
    assert server.times("/students") == 3


@pytest.mark.parametrize("total", ["header", "nowhere"])
async def test_a_cap_that_nobody_told_leaves_no_gap(total: Any) -> None:
    server = ListServer({"/students": people(25)}, total=total, cap=4)
    pages = await whole(server, page_size=1000)
    assert ids(pages) == list(range(1, 26))
    assert verdict(pages).complete
    assert server.times("/students") == (7 if total == "header" else 8)


async def test_pages_are_fetched_ahead_once_the_total_is_told_and_the_cap_is_known() -> None:
    server = ListServer({"/students": people(100)}, cap=5)
    assert ids(await whole(server, page_size=1000, concurrency=4)) == list(range(1, 101))
    assert server.most_at_once >= 3
    assert server.times("/students") == 20  # not one page too many


async def test_p1_a_server_that_ignores_the_offset_is_found_out() -> None:
    pages = await whole(ListServer({"/students": people(25)}, total="nowhere", cap=10, heeds_offset=False))
    assert ids(pages) == list(range(1, 11))
    assert "the same page twice" in verdict(pages).reason


async def test_p1_a_404_past_the_end_is_believed_after_a_page_that_was_not_full() -> None:
    pages = await whole(ListServer({"/students": people(25)}, total="nowhere", past_the_end="404"))
    assert verdict(pages) == Verdict(True, "it ended with an empty page")


async def test_p1_a_404_after_a_full_page_proves_nothing() -> None:
    pages = await whole(ListServer({"/students": people(20)}, total="nowhere", past_the_end="404"))
    assert ids(pages) == list(range(1, 21))
    assert not verdict(pages).complete


async def test_a_link_that_leads_on_without_an_offset_is_followed() -> None:
    async def serve(heard: Heard) -> Answer:
        if "token=two" in heard.target:
            return json_answer({"items": people(20)[10:]})
        return json_answer({"items": people(10)}, link='</students?limit=10&token=two>; rel="next"')

    async with reading(serve) as provider:
        pages = (await pages_of(provider))["students", ""]
    assert ids(pages) == list(range(1, 21))
    assert verdict(pages).complete


async def test_the_rows_stand_under_the_first_name_that_is_there() -> None:
    server = ListServer({"/students": people(3)}, key="students")
    async with reading(server, replace(STUDENTS, rows=("items", "students"))) as provider:
        assert ids((await pages_of(provider))["students", ""]) == [1, 2, 3]


async def test_an_answer_about_something_else_is_no_empty_list() -> None:
    server = ListServer({"/students": []}, key="teachers")
    async with reading(server, replace(STUDENTS, rows=("items", "students"))) as provider:
        ((page,),) = (await pages_of(provider)).values()
    assert page.error is not None
    assert "none of 'items', 'students'" in page.error.message


async def test_rows_that_may_be_left_out_are_none() -> None:
    async def serve(heard: Heard) -> Answer:
        return json_answer({"@extensions": ""})

    async with reading(serve, replace(STUDENTS, rows="record", rows_optional=True)) as provider:
        pages = (await pages_of(provider))["students", ""]
    assert [page.received for page in pages] == [0]


async def test_where_a_path_is_unknown_another_is_read_instead_and_only_once() -> None:
    server = ListServer({"/users": people(3)})
    users = replace(STUDENTS, name="users", path="/users", standby=True)
    pupils = replace(STUDENTS, alternative="users")
    teachers = replace(STUDENTS, name="teachers", path="/teachers", alternative="users")
    async with reading(server, pupils, teachers, users) as provider:
        streams = await pages_of(provider)
    assert list(streams) == [("users", "")]
    assert ids(streams["users", ""]) == [1, 2, 3]
    assert server.times("/users") == 1


async def test_what_stands_by_is_not_read_where_nothing_is_missing() -> None:
    server = ListServer({"/students": people(3), "/users": people(3)})
    async with reading(
        server, replace(STUDENTS, alternative="users"), replace(STUDENTS, name="users", path="/users", standby=True)
    ) as provider:
        assert list(await pages_of(provider)) == [("students", "")]


async def test_what_is_optional_and_not_offered_is_left_out() -> None:
    server = ListServer({"/students": people(3)})
    async with reading(server, STUDENTS, replace(STUDENTS, name="others", path="/others", optional=True)) as provider:
        assert list(await pages_of(provider)) == [("students", "")]


async def test_p9_what_is_neither_optional_nor_offered_is_an_error() -> None:
    async with reading(ListServer({})) as provider:
        ((page,),) = (await pages_of(provider)).values()
    assert page.error is not None


async def test_an_endpoint_is_asked_only_where_it_is_needed() -> None:
    rows = [{"id": 1, "gender": "X"}]
    server = ListServer({"/students": people(1), "/demographics": rows})
    more = replace(
        STUDENTS, name="demographics", path="/demographics", read=demographics, partial=True,
        needs=lambda asked: "gender" in asked.fields["students"],
    )  # fmt: skip
    async with reading(server, STUDENTS, more) as provider:
        assert list(await pages_of(provider)) == [("students", "")]
        assert provider.in_parts({"students"}, scope=Scope()) == frozenset()
    async with reading(server, STUDENTS, more, fields="gender") as provider:
        streams = await pages_of(provider)
        assert provider.in_parts({"students"}, scope=Scope()) == frozenset({"students"})
    assert [page.partial for page in streams["demographics", ""]] == [True]
    assert [page.partial for page in streams["students", ""]] == [False]


class Versioned(ListProvider):
    endpoints = (replace(STUDENTS, delta="updated_at", filters=changed_since, mark=latest),)


def aged() -> ListServer:
    return ListServer({"/students": [row | {"changed": f"2026-10-{row['id']:02}"} for row in people(12)]})


async def test_a_whole_read_leaves_a_mark_and_the_next_asks_for_what_has_changed_since() -> None:
    server = aged()
    async with opened(server, Versioned, page_size=5) as provider:
        first = (await pages_of(provider))["students", ""]
        mark = first[-1].mark
        assert mark is not None
        server.lists["/students"][3]["changed"] = "2026-11-01"
        second = (await pages_of(provider, since={("students", ""): mark}))["students", ""]
        third = (await pages_of(provider, since={("students", ""): second[-1].mark}))["students", ""]
    assert [page.changes_only for page in first] == [False] * 3
    assert (ids(second), [page.changes_only for page in second]) == ([4], [True])
    assert ids(third) == []
    assert third[-1].mark == second[-1].mark  # nothing new, and the place is kept


async def test_a_mark_counts_no_more_once_the_edition_or_the_reading_has_changed() -> None:
    server = aged()
    async with opened(server, Versioned, page_size=20) as provider:
        mark = (await pages_of(provider))["students", ""][-1].mark
        provider.year = "2028"  # type: ignore[attr-defined]
        (page,) = (await pages_of(provider, since={("students", ""): mark}))["students", ""]
        assert (page.changes_only, page.received) == (False, 12)
    async with opened(server, Versioned, page_size=20, fields="gender") as provider:
        (page,) = (await pages_of(provider, since={("students", ""): mark}))["students", ""]
    assert (page.changes_only, page.received) == (False, 12)


async def test_changes_since_a_time_are_asked_for_in_utc() -> None:
    server = aged()
    async with opened(server, Versioned, page_size=20) as provider:
        (page,) = (await pages_of(provider, since=datetime(2026, 10, 9, 12, tzinfo=UTC)))["students", ""]
    assert "since=2026-10-09T12%3A00%3A00.000Z" in server.asked[-1]
    assert (page.changes_only, ids([page])) == (True, [10, 11, 12])


async def test_a_list_that_cannot_tell_changes_is_read_whole() -> None:
    async with reading(ListServer({"/students": people(3)})) as provider:
        (page,) = (await pages_of(provider, since=datetime(2026, 10, 9, tzinfo=UTC)))["students", ""]
    assert (page.changes_only, page.received) == (False, 3)


async def test_a_read_that_goes_on_in_the_middle_leaves_no_mark() -> None:
    server = aged()
    async with opened(server, Versioned, page_size=5) as provider:
        first = (await pages_of(provider))["students", ""]
        rest = (await pages_of(provider, cursor={("students", ""): str(first[1].cursor)}))["students", ""]
    assert ids(rest) == list(range(6, 13))
    assert [page.mark for page in rest] == [None, None]


async def test_page_and_size_may_be_part_of_the_path_below_a_prefix() -> None:
    class Below(ListProvider):
        endpoints = (
            replace(STUDENTS, path="/Student/{page}/{size}", paging=PageNumberPaging(size_param="size"), rows="Objects",
                    total_at=None, cursor_at="Paging.Next"),
        )  # fmt: skip

        @property
        def prefix(self) -> str:
            return "/api/v2"

    heard_of: list[str] = []

    async def serve(heard: Heard) -> Answer:
        heard_of.append(heard.target)
        page = int(heard.path.split("/")[-2])
        rows = people(25)[(page - 1) * 10 : page * 10]
        return json_answer({"Objects": rows, "Paging": {"Next": f"/Student/{page + 1}/10" if page < 3 else ""}})

    async with opened(serve, Below, page_size=10) as provider:
        pages = (await pages_of(provider))["students", ""]
    assert heard_of == [f"/api/v2/Student/{page}/10" for page in (1, 2, 3)]
    assert verdict(pages) == Verdict(True, "the server stopped pointing to a next page")


async def test_p1_a_last_page_that_points_to_itself_is_followed_by_a_look_at_the_next() -> None:
    numbered = replace(STUDENTS, paging=PageNumberPaging(), total_at=None, cursor_at="next")

    async def serve(heard: Heard) -> Answer:
        page = int(heard.target.partition("page=")[2].partition("&")[0])
        return json_answer({"items": people(15)[(page - 1) * 10 : page * 10], "next": f"/students/{min(page + 1, 2)}"})

    async with reading(serve, numbered) as provider:
        pages = (await pages_of(provider))["students", ""]
    assert ids(pages) == list(range(1, 16))
    assert verdict(pages) == Verdict(True, "it ended with an empty page")


async def test_lanes_may_narrow_and_widen_while_requests_wait() -> None:
    class ByDay(ListProvider):
        open_now = 1

        def lanes(self, now: datetime) -> int:
            return self.open_now

    server = ListServer({"/students": people(40)})
    async with opened(server, ByDay, page_size=4, concurrency=4) as provider:
        await pages_of(provider)
        assert server.most_at_once == 1
        provider.open_now = 3  # type: ignore[attr-defined]
        await pages_of(provider)
    assert server.most_at_once == 3


async def test_one_lane_is_always_open() -> None:
    async with Lanes(lambda: 0):
        pass


async def test_the_cost_counts_pages_by_the_total_and_by_the_cap_that_the_first_page_shows() -> None:
    server = ListServer({"/students": people(95)}, cap=10)
    async with reading(server, page_size=1000) as provider:
        assert (await cost(provider)).requests == 10


async def test_credentials_are_tried_on_what_stands_by_where_a_path_is_unknown() -> None:
    users = replace(STUDENTS, name="users", path="/users", standby=True)
    async with reading(ListServer({"/users": people(3)}), replace(STUDENTS, alternative="users"), users) as provider:
        assert [finding.level for finding in await credentials(provider)] == ["ok"]
    async with reading(ListServer({})) as provider:
        assert [finding.level for finding in await credentials(provider)] == ["error"]
