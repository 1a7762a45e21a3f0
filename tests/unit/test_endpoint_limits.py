"""Endpoints with limits of their own: so many requests at once, so many in a window, and the others go on meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from raw_server import Answer, Heard
from sis_connect.diagnosis import cost
from small_sis import SmallProvider, SmallSIS, ids, items, opened, read, small_district


class Slow:
    """Another SIS in front of one: notes how many requests of each sort are under way at once, and in which order they come."""

    def __init__(self, sis: SmallSIS) -> None:
        self.sis = sis
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.order: list[str] = []

    async def __call__(self, heard: Heard) -> Answer:
        sort = urlsplit(heard.target).path.rpartition("/")[2]
        self.order.append(sort)
        self.under_way[sort] += 1
        self.most[sort] = max(self.most[sort], self.under_way[sort])
        await asyncio.sleep(0.003)
        self.under_way[sort] -= 1
        return self.sis.respond(heard.target)


def limited(**limits: object) -> type[SmallProvider]:
    """The provider, whose lists of students have these limits."""
    *others, students = SmallProvider.endpoints

    class Limited(SmallProvider):
        endpoints = (*others, replace(students, **limits))  # type: ignore[arg-type]

    return Limited


def district() -> SmallSIS:
    sis = SmallSIS({"/schools": items(1, 1), "/schools/1/sections": items(10, 20)})
    for number in range(10, 30):
        sis.lists[f"/sections/{number}/students"] = items(number * 100, 2)
    return sis


async def test_no_more_requests_of_an_endpoint_are_under_way_than_it_allows() -> None:
    slow = Slow(district())
    async with opened(slow, limited(concurrency=2), concurrency=6) as provider:
        streams = await read(provider, {"students"})
    assert len([key for pages in streams.values() for key in ids(pages)]) == 40
    assert slow.most["students"] == 2
    free = Slow(district())
    async with opened(free, concurrency=6) as provider:
        await read(provider, {"students"})
    assert free.most["students"] > 2


async def test_p11_an_endpoint_keeps_its_own_limit_besides_that_of_all() -> None:
    sis = district()
    async with opened(sis, limited(rate_limit=(4, 60.0)), rate_limit="1000/60") as provider:
        streams = await read(provider, {"students"})
        waited = sum(getattr(provider.transport._clock, "slept", ()))
    assert len(streams) == 20
    assert waited >= (sum("/students" in target for target in sis.asked) / 4 - 1) * 60


@pytest.mark.parametrize("name", [None, "lists"])
async def test_p11_endpoints_of_one_limit_name_share_a_limit(name: str | None) -> None:
    sis = district()
    async with opened(sis) as provider:
        await read(provider, {"schools", "sections"})
    of_sections = sum("/sections" in target for target in sis.asked)
    schools, sections, students = SmallProvider.endpoints

    class Shared(SmallProvider):
        endpoints = (
            replace(schools, rate_limit=(of_sections, 60.0), limit_name=name),
            replace(sections, rate_limit=(of_sections, 60.0), limit_name=name),
            students,
        )

    async with opened(district(), Shared, rate_limit="1000/60") as provider:
        await read(provider, {"schools", "sections"})
        slept = sum(getattr(provider.transport._clock, "slept", ()))
    assert (slept > 60) == (name is not None)


@pytest.mark.parametrize("limit", ["off", "1000/60"])
async def test_off_is_off_for_endpoints_too(limit: str) -> None:
    sis = district()
    async with opened(sis, limited(rate_limit=(4, 60.0)), rate_limit=limit) as provider:
        await read(provider, {"schools", "sections", "students"})
        slept = getattr(provider.transport._clock, "slept", ())
    assert (sum(slept) < 1) == (limit == "off")


async def test_one_lane_stays_free_for_the_others_while_an_endpoint_waits_for_its_limit() -> None:
    assert [limited(rate_limit=(4, 60.0)).endpoints[-1].at_once(number) for number in (1, 2, 4)] == [1, 1, 3]
    assert [limited(concurrency=2).endpoints[-1].at_once(number) for number in (1, 2, 4)] == [1, 2, 2]


async def test_doctor_says_how_long_the_narrowest_limit_makes_a_read() -> None:
    async with opened(small_district(), limited(rate_limit=(1, 60.0)), rate_limit="1000/60") as provider:
        found = await cost(provider)
    assert "at 1 students in 60 seconds" in found.message
    assert int(found.facts["minutes"]) >= 6
