"""An SIS with lists of the whole district only, read for some schools: whose rows count, and what becomes of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from flat_sis import BOTH, KINDS, ODD, FlatProvider, Named, Odd, district, ids, of_school, pages_of, reading
from list_server import ListServer
from sis_connect.errors import NotOffered
from sis_connect.hosting.pages import PageWatch, own_page
from sis_connect.provider import DONE, InvalidRow, Page, Reading, Scope
from sis_connect.roster.whole_list import WholeList


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


def test_p1_keys_that_came_twice_count_once_however_many_there_are() -> None:
    whole_list = WholeList()
    for _ in range(2):
        whole_list.take(f"k{number}" for number in range(70_000))
    whole_list.take(["\ud800", ""])
    assert whole_list.distinct() == 70_002


def a_page(*keys: Any, **more: Any) -> Page:
    return Page(endpoint="students", kinds=("students",), read=lambda row: Reading("1", ()), all_keys=keys, **more)


def test_p12_a_long_list_with_nobody_of_a_school_has_an_end_and_one_that_repeats_has_none() -> None:
    watch, other = PageWatch(frozenset(KINDS)), PageWatch(frozenset(KINDS))
    assert [watch.objection(a_page(str(number), more=True)) for number in range(1100)] == [None] * 1100
    assert [other.objection(a_page("1", more=True)) for _ in range(1100)][-1] == "its students have no end"


@pytest.mark.parametrize("page", [a_page(7), a_page("1", rows=(b"1", b"2")), replace(a_page(), all_keys="12")])
def test_p12_keys_that_are_none_are_no_page(page: Page) -> None:
    assert PageWatch(frozenset(KINDS)).objection(page)


# -- rows that do not say whose they are -------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [1, "1", ["2", 1], None, "", [], [None]])
async def test_a_row_names_its_schools_as_it_likes(told: Any) -> None:
    server = ListServer({"/students": [{"id": 1, "school": told}, {"id": 2, "school": 3}]})
    async with reading(server, ODD) as provider:
        (pages,) = (await pages_of(provider)).values()
    ((raw,),) = (page.rows for page in pages)
    assert (msgspec.json.decode(raw)["id"], pages[0].all_keys) == (1, ["1", "2"])


async def test_p1_rows_of_others_without_a_sound_key_count_and_spoil_nothing() -> None:
    people = [{"id": 1, "name": "Ada", "school": 1}]
    people += [{"id": number, "name": name, "school": 2} for number, name in ((2, ""), (3, ""), (4, "x" * 20_000), (5, "\n"))]
    async with reading(ListServer({"/students": people}), replace(ODD, key="name")) as provider:
        (pages,) = (await pages_of(provider)).values()
    page = pages[0]
    assert (len(page.rows), len(set(page.all_keys or ())), PageWatch(frozenset(KINDS)).objection(own_page(page))) == (1, 5, None)


async def test_p12_what_lies_below_a_row_that_does_not_say_whose_it_is_is_incomplete() -> None:
    server = district()
    for number in (10, 20):
        server.lists[f"/sections/{number}/members"] = [{"id": number, "section": number, "person": 100}]
    server.lists["/sections"][1]["school"] = {"id": 2}
    endpoints = replace(FlatProvider.endpoints[2], gives="section", row=Odd, within=of_school), MEMBERS
    async with reading(server, *endpoints) as provider:
        streams = await pages_of(provider, "enrollments")
    assert {stream: [page.error and page.error.message for page in pages] for stream, pages in streams.items()} == {
        ("enrollments", "section=10"): [None],
        ("enrollments", ""): ["it cannot be told which schools it belongs to (KeyError)"],
    }


async def test_p12_what_lies_below_a_row_that_does_not_say_what_it_opens_is_incomplete() -> None:
    server = district()
    server.lists["/sections/10/members"] = [{"id": 10, "section": 10, "person": 100}]
    chosen = replace(FlatProvider.endpoints[2], gives="section", within=None, opens=lambda row: {10: True}[row.id])
    async with reading(server, chosen, MEMBERS) as provider:
        streams = await pages_of(provider, "enrollments", Scope())
    assert {stream: [page.error and page.error.message for page in pages] for stream, pages in streams.items()} == {
        ("enrollments", "section=10"): [None],
        ("enrollments", ""): ["it cannot be told what it opens (KeyError)"],
    }
