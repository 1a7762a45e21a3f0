"""What plugins inherit: endpoints as data become pages of rows, and rows become records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from raw_server import Answer, answer, json_answer
from sis_connect.errors import AuthenticationError, AuthorizationError, ConfigurationError, UnexpectedResponse
from sis_connect.provider import DONE, InvalidRow, Scope
from small_sis import SmallProvider, SmallSIS, ids, items, opened, read, small_district


async def test_what_a_row_opens_is_read_below_it() -> None:
    async with opened(small_district()) as provider:
        streams = await read(provider, {"schools", "sections", "students"})
    assert ids(streams["schools", ""]) == ["1", "2"]
    assert ids(streams["sections", "school=2"]) == ["20", "21", "22", "23"]
    assert ids(streams["students", "school=2;section=23"]) == [str(number) for number in range(2300, 2307)]
    assert len(streams) == 1 + 2 + 6


async def test_pages_say_what_they_speak_for() -> None:
    async with opened(small_district()) as provider:
        (page, *_) = (await read(provider, {"students"}))["students", "school=2;section=23"]
    assert (page.kinds, page.school, page.section, page.school_year) == (("students",), "2", "23", None)


async def test_parents_are_read_but_not_handed_over_where_nobody_asked_for_them() -> None:
    async with opened(small_district()) as provider:
        streams = await read(provider, {"students"})
    assert {endpoint for endpoint, _ in streams} == {"students"}


async def test_what_a_scope_names_needs_no_parent() -> None:
    sis = small_district()
    async with opened(sis) as provider:
        streams = await read(provider, {"students"}, Scope(schools=frozenset({"1"})))
    assert set(streams) == {("students", "school=1;section=10"), ("students", "school=1;section=11")}
    assert sis.times("/schools") == 0


async def test_the_settings_limit_what_is_read() -> None:
    async with opened(small_district(), schools="2") as provider:
        assert set(await read(provider, {"sections"})) == {("sections", "school=2")}
        with pytest.raises(ConfigurationError, match="limit this integration to other schools"):
            await read(provider, {"sections"}, Scope(schools=frozenset({"1"})))


async def test_rows_that_open_nothing_are_not_followed() -> None:
    sis = small_district()
    sis.lists["/schools"].append({"id": 3, "name": "closed"})
    async with opened(sis) as provider:
        assert len(await read(provider, {"sections"})) == 2


async def test_the_order_within_a_stream_is_kept_and_pages_are_fetched_ahead() -> None:
    sis = SmallSIS({"/schools": items(1, 60)})
    async with opened(sis, concurrency=4) as provider:
        pages = (await read(provider, {"schools"}))["schools", ""]
    assert ids(pages) == [str(number) for number in range(1, 61)]
    assert 2 <= sis.most_at_once <= 4
    assert sis.times("/schools") == 20  # not one page too many


async def test_no_more_requests_are_under_way_than_the_setting_allows() -> None:
    sis = small_district()
    async with opened(sis, concurrency=2) as provider:
        await read(provider, {"schools", "sections", "students"})
    assert sis.most_at_once == 2


async def test_p1_the_total_comes_with_every_page_and_the_end_is_told() -> None:
    async with opened(small_district()) as provider:
        pages = (await read(provider, {"sections"}))["sections", "school=2"]
    assert [(page.received, page.total, page.more) for page in pages] == [(3, 4, True), (1, 4, False)]


async def test_p1_a_total_that_moves_is_shown() -> None:
    sis = SmallSIS({"/schools": items(1, 5)})

    class Edited(SmallSIS):
        def respond(self, target: str) -> Answer:
            if "page=2" in target:
                self.lists["/schools"] = self.lists["/schools"][1:]  # somebody deletes a row on the first page
            return super().respond(target)

    async with opened(Edited(sis.lists)) as provider:
        pages = (await read(provider, {"schools"}))["schools", ""]
    assert (pages[0].total, pages[-1].total) == (5, 4)


async def test_p1_a_page_that_comes_twice_breaks_the_stream() -> None:
    sis = SmallSIS({"/schools": items(1, 6)})
    sis.broken["/schools?page=2&pagesize=3"] = json_answer({"data": {"item": items(1, 3)}})
    async with opened(sis) as provider:
        *_, last = (await read(provider, {"schools"}))["schools", ""]
    assert isinstance(last.error, UnexpectedResponse)
    assert last.more


async def test_p1_a_cap_is_noticed_and_followed() -> None:
    sis = SmallSIS({"/schools": items(1, 7)}, cap=2)
    async with opened(sis) as provider:
        pages = (await read(provider, {"schools"}))["schools", ""]
    assert ids(pages) == [str(number) for number in range(1, 8)]
    assert [page.asked for page in pages] == [2, 2, 2, 2]


async def test_p1_a_cap_below_the_declared_size_is_noticed_without_any_total() -> None:
    sis = small_district()
    sis.cap = 1
    async with opened(sis) as provider:
        streams = await read(provider, {"students"})
    assert {len(ids(pages)) for pages in streams.values()} == {2, 7}


async def test_p1_a_short_page_is_trusted_only_when_longer_ones_have_come() -> None:
    sis = small_district()
    sis.lists["/sections/23/students"] = items(2300, 2)
    async with opened(sis, concurrency=1) as provider:
        await read(provider, {"students"})
    # Pages of 3 are declared and rosters of 2 come: that might be a cap of 2, so the first ones are made sure of.
    assert [sis.times(f"/sections/{number}/students") for number in (10, 11, 20, 21, 22, 23)].count(2) == 3


async def test_p1_a_full_page_shows_that_there_is_no_cap() -> None:
    sis = small_district()
    async with opened(sis, concurrency=1) as provider:
        await read(provider, {"students"}, Scope(schools=frozenset({"2"})))
    assert [sis.times(f"/sections/{number}/students") for number in (20, 21, 22, 23)] == [1, 1, 1, 3]


async def test_p12_a_stream_that_breaks_takes_only_what_lies_below_it_along() -> None:
    sis = small_district()
    sis.broken["/schools/1/sections"] = answer(b"oops", status=500)
    async with opened(sis) as provider:
        streams = await read(provider, {"schools", "sections", "students"})
    broken = {stream for stream, pages in streams.items() if pages[-1].error}
    assert broken == {("sections", "school=1"), ("students", "school=1")}
    assert len(ids(streams["students", "school=2;section=23"])) == 7


async def test_a_page_cut_off_in_the_middle_keeps_the_pages_before_it() -> None:
    sis = SmallSIS({"/schools": items(1, 36)})
    sis.broken["/schools?page=7&pagesize=3"] = answer(b'{"data": {"item": [{"id": 19')
    async with opened(sis) as provider:
        *before, last = (await read(provider, {"schools"}))["schools", ""]
    assert ids(before) == [str(number) for number in range(1, 19)]
    assert isinstance(last.error, UnexpectedResponse)
    assert last.cursor == before[-1].cursor


async def test_p9_a_dead_token_ends_the_read_at_once() -> None:
    sis = small_district()
    for number in (10, 11, 20, 21, 22, 23):
        sis.broken[f"/sections/{number}/students"] = answer(b"", status=401)
    async with opened(sis, concurrency=1) as provider:
        streams = await read(provider, {"students"})
    assert all(isinstance(pages[-1].error, AuthenticationError) for pages in streams.values())
    assert sum(sis.times(f"/sections/{number}/students") for number in (10, 11, 20, 21, 22, 23)) == 1


async def test_what_is_refused_is_not_asked_for_again() -> None:
    sis = small_district()
    for number in (10, 11, 20, 21, 22, 23):
        sis.broken[f"/sections/{number}/students"] = answer(b"", status=403)
    async with opened(sis, concurrency=1) as provider:
        streams = await read(provider, {"sections", "students"})
    refused = [pages[-1].error for (endpoint, _), pages in streams.items() if endpoint == "students"]
    assert len(refused) == 6
    assert all(isinstance(error, AuthorizationError) for error in refused)
    assert sum(sis.times(f"/sections/{number}/students") for number in (10, 11, 20, 21, 22, 23)) == 1
    assert len(ids(streams["sections", "school=2"])) == 4


async def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_the_others_are_read() -> None:
    lists = {"/schools": items(1, 1), "/schools/1/sections": items(1, 40)}
    sis = SmallSIS(lists)
    sis.broken |= {f"/sections/{number}/students": answer(b"", status=500) for number in range(1, 41)}
    async with opened(sis, concurrency=2) as provider:
        streams = await read(provider, {"sections", "students"})
    assert sum(sis.times(f"/sections/{number}/students") for number in range(1, 41)) < 20
    assert sum(pages[-1].error is not None for pages in streams.values()) == 40
    assert len(ids(streams["sections", "school=1"])) == 40


async def test_p9_a_server_that_is_gone_ends_the_read_after_a_few_requests() -> None:
    class Gone(SmallSIS):
        def respond(self, target: str) -> Answer:
            return super().respond(target) if target.startswith("/schools") else answer(b"", status=503)

    sis = Gone({"/schools": items(1, 30)} | {f"/schools/{number}/sections": items(number * 10, 9) for number in range(1, 31)})
    async with opened(sis) as provider:
        streams = await read(provider, {"students"})
    assert all(pages[-1].error for pages in streams.values())
    assert sum(target.startswith("/sections") for target in sis.asked) < 30


async def test_p2_a_row_that_cannot_be_read_leaves_what_it_would_open_incomplete() -> None:
    sis = small_district()
    sis.lists["/schools"].append({"id": None, "name": "No key"})
    async with opened(sis) as provider:
        streams = await read(provider, {"schools", "sections"})
    assert isinstance(streams["sections", ""][-1].error, InvalidRow)
    assert len(ids(streams["sections", "school=1"])) == 2


async def test_p4_a_read_goes_on_where_it_broke_off() -> None:
    sis = small_district()
    async with opened(sis) as provider:
        whole = await read(provider, {"students"})
        first, second, _ = whole["students", "school=2;section=23"]
        cursor = dict.fromkeys(whole, DONE) | {second.stream: str(second.cursor)}
        again = await read(provider, {"students"}, cursor=cursor)
    assert set(again) == {second.stream}
    # The last page that came is read again, so that it can be seen whether the ground has moved.
    assert ids(again[second.stream]) == ids(whole[second.stream])[3:]
    assert ids([first]) == ["2300", "2301", "2302"]


async def test_p4_a_parent_that_was_read_is_read_again_only_for_what_it_opens() -> None:
    async with opened(small_district()) as provider:
        whole = await read(provider, {"schools", "sections"})
        cursor = {("schools", ""): DONE, ("sections", "school=2"): str(whole["sections", "school=2"][1].cursor)}
        again = await read(provider, {"schools", "sections"}, cursor=cursor)
    assert set(again) == {("sections", "school=1"), ("sections", "school=2")}
    assert ids(again["sections", "school=2"]) == ["23"]


async def test_p4_a_parent_that_broke_off_hands_over_only_the_pages_that_are_left() -> None:
    async with opened(small_district()) as provider:
        whole = await read(provider, {"sections", "students"})
        last = whole["sections", "school=2"][1]
        again = await read(provider, {"sections", "students"}, cursor={last.stream: str(last.cursor)})
    assert ids(again[last.stream]) == ["23"]
    assert set(whole) == set(again)  # the students of all sections, those of the first page too


async def test_a_read_that_is_left_early_stops_asking() -> None:
    sis = small_district()
    async with opened(sis) as provider:
        pages = provider.pages({"students"}, scope=Scope())
        async for _ in pages:
            break
        await pages.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)  # the server finishes what it has heard
        asked = len(sis.asked)
        await asyncio.sleep(0.02)
        assert len(sis.asked) == asked


async def test_a_mistake_in_a_plugin_is_raised_as_what_it_is() -> None:
    class Mistaken(SmallProvider):
        async def page_sizes(self) -> Mapping[str, int]:
            raise KeyError("no such thing")

    async with opened(small_district(), Mistaken) as provider:
        with pytest.raises(KeyError):
            await read(provider, {"students"})


async def test_the_mapping_version_moves_with_the_fields_that_are_asked_for() -> None:
    versions = set()
    for fields in ("", "gender", "students.gender", "birth_date"):
        async with opened(small_district(), fields=fields) as provider:
            versions.add(provider.version(provider.endpoints[2]))
    assert len(versions) == 3  # nothing, the gender of students however it is written, the birth date


async def test_p2_a_row_is_read_with_the_fields_that_were_asked_for_and_no_others() -> None:
    async with opened(small_district(), fields="gender") as provider:
        (page,) = (await read(provider, {"students"}, Scope(schools=frozenset({"1"}))))["students", "school=1;section=10"][:1]
        assert next(page.records()).model_dump(exclude_unset=True)["gender"] == "X"
    async with opened(small_district()) as provider:
        (page,) = (await read(provider, {"students"}, Scope(schools=frozenset({"1"}))))["students", "school=1;section=10"][:1]
        assert "gender" not in next(page.records()).model_fields_set
