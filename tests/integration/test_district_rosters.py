"""The roster where an SIS has lists of the whole district only: as if each school had a list of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flat_sis import (
    BOTH,
    FLAT,
    KINDS,
    ODD,
    SCHOOL_1,
    FlatProvider,
    Named,
    active,
    district,
    district_at,
    staged,
    student,
)
from roster_fixture import Desk, Killed, open_desk
from sis_connect.capabilities import Capabilities, KindCapabilities, Leaving
from sis_connect.endpoint import Asked, Endpoint
from sis_connect.provider import Page, Scope
from sis_connect.records import Record
from sis_connect.rest_provider import RestProvider


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
        assert report.reasons["students"] == {"absence": 1, "new": 1}
        assert await active(desk) == {*range(100, 110), 113} - {103}


async def test_p1_a_read_of_the_school_that_somebody_left_withdraws_nobody(desk: Desk) -> None:
    server = district()
    async with district_at(desk, server, schools=["1", "2"], absence_grace=12):
        await desk.sync(scope=BOTH)
        server.lists["/students"][3]["school"] = 2
        report = await desk.sync(scope=SCHOOL_1)
        assert (report.reasons, report.missing) == ({}, {"students": 1})
        assert 103 in await active(desk)
        report = await desk.sync(scope=BOTH)
        assert (report.reasons, report.missing) == ({"students": {"transfer": 1}}, {})
        assert await active(desk) == set(range(100, 120))
        assert (await desk.student("103"))["school"] == "2"


OF_EACH_SCHOOL = (
    replace(FlatProvider.endpoints[0], within=None, gives="school"),
    replace(FlatProvider.endpoints[1], within=None, path="/schools/{school}/students", parent="schools"),
)


async def told_of_a_leaver(desk: Desk, endpoints: Sequence[Endpoint[Any]], leaving: Leaving, gone_to: int | None) -> list[Any]:
    """What several reads say of somebody who has left school 1 after the first of them."""
    server, told = district(), []
    people = server.lists["/students"]
    info = replace(FLAT, capabilities=Capabilities(dict.fromkeys(KINDS, KindCapabilities(offered=True, leaving=leaving))))
    async with district_at(desk, server, *endpoints, info=info, schools=["1", "2"], absence_grace=12):
        for scope, hours in ((BOTH, 0), (SCHOOL_1, 7), (SCHOOL_1, 6), (BOTH, 24)):
            for number in (1, 2):
                server.lists[f"/schools/{number}/students"] = [each for each in people if each["school"] == number]
            await desk.clock.sleep(3600 * hours)
            report = await desk.sync(scope=scope, kinds=("schools", "students"))
            told.append((report.status, report.reasons, report.missing, report.held, (await desk.statuses("students"))["103"]))
            people[3] = {"id": 120, "name": "New", "school": 2} if gone_to is None else people[3] | {"school": gone_to}
    return told


@pytest.mark.parametrize(("leaving", "gone_to", "status"), [("absence", None, "inactive"), ("status", 2, "active")])
async def test_p1_who_has_left_a_school_is_missed_as_if_each_school_had_a_list_of_its_own(
    tmp_path: Path, leaving: Leaving, gone_to: int | None, status: str
) -> None:
    told = []
    for name, endpoints in (("one", FlatProvider.endpoints[:2]), ("each", OF_EACH_SCHOOL)):
        (tmp_path / name).mkdir()
        async with open_desk(tmp_path / name) as desk:
            told.append(await told_of_a_leaver(desk, endpoints, leaving, gone_to))
    assert told[0] == told[1]
    assert [each[-1] for each in told[0]] == ["active", "active", "active", status]


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


async def test_p5_each_school_keeps_its_own_rows_and_the_second_read_reads_none_of_them(desk: Desk) -> None:
    read: list[int] = []

    def seen(row: Named, asked: Asked) -> Iterator[Record]:
        read.append(row.id)
        yield from student(row, asked)

    async with district_at(desk, district(), replace(FlatProvider.endpoints[1], read=seen)):
        await desk.sync(scope=BOTH, kinds=("students",))
        assert await staged(desk) == [("school=1", 10), ("school=2", 10)]
        assert sorted(read) == list(range(100, 120))
        before, read[:] = await desk.everything(), []
        report = await desk.sync(scope=BOTH, kinds=("students",))
        assert (report.incomplete, report.changes["students"]) == ([], {"unchanged": 20})
        assert await desk.everything() == before
        assert read == []


async def test_p1_one_row_twice_for_another_shows_wherever_they_belong(desk: Desk) -> None:
    server = district()
    async with district_at(desk, server):
        await desk.sync(scope=SCHOOL_1)
        people = server.lists["/students"]
        del people[3]
        people[15] = people[14]
        people.append({"id": 130, "name": "New", "school": 2})
        report = await desk.sync(scope=SCHOOL_1)
        assert [each["reason"] for each in report.incomplete] == ["19 distinct rows, but the server counts 20"]
        assert 103 in await active(desk)


class Slow:
    """A provider each of whose pages takes long enough for a checkpoint. After so many pages the process dies."""

    def __init__(self, desk: Desk, provider: RestProvider, pages: int) -> None:
        self.desk, self.provider, self.left, self.info = desk, provider, pages, provider.info

    async def pages(self, *kinds: Any, **more: Any) -> AsyncIterator[Page]:
        async for page in self.provider.pages(*kinds, **more):
            if self.left == 0:
                raise Killed
            self.left -= 1
            self.desk.clock.advance(3.0)
            yield page


KEYS_KEPT = "SELECT COUNT(*) FROM sis_fingerprint WHERE stream_id < 0"


@pytest.mark.parametrize(
    ("pause", "swapped", "requests"),
    [(0, (0, 0), 2), (700, (0, 0), 3), (0, (6, 7), 5), (0, (13, 14), 5)],
    ids=["goes on", "too late", "own rows have moved", "rows of others have moved"],
)
async def test_p4_an_interrupted_read_of_one_school_knows_what_came_of_the_others(
    desk: Desk, pause: float, swapped: tuple[int, int], requests: int
) -> None:
    server = district()
    people = server.lists["/students"]
    async with district_at(desk, server, FlatProvider.endpoints[1]):
        slow = desk.sis = Slow(desk, desk.sis, 2)  # type: ignore[arg-type, assignment]
        with pytest.raises(Killed):
            await desk.sync(scope=SCHOOL_1, kinds=("students",))
        assert await desk.ask(KEYS_KEPT) == [(2,)]
        server.asked.clear()
        desk.clock.advance(pause)
        one, other = swapped
        people[one], people[other] = people[other], people[one]
        slow.left = 100
        report = await desk.sync(scope=SCHOOL_1, kinds=("students",))
        assert (report.incomplete, server.times("/students")) == ([], requests)
        assert await desk.ask(KEYS_KEPT) == [(0,)]
        assert await active(desk) == set(range(100, 110))


async def test_p4_an_interrupted_read_counts_no_row_twice_where_the_sis_tells_no_total(desk: Desk) -> None:
    server = district()
    server.lists["/students"].append({"id": 120, "name": "No120", "school": 2})
    async with district_at(desk, server, replace(FlatProvider.endpoints[1], total_at=None)):
        slow = desk.sis = Slow(desk, desk.sis, 2)  # type: ignore[arg-type, assignment]
        with pytest.raises(Killed):
            await desk.sync(scope=SCHOOL_1, kinds=("students",))
        server.asked.clear()
        slow.left = 100
        report = await desk.sync(scope=SCHOOL_1, kinds=("students",))
        assert (report.incomplete, server.times("/students")) == ([], 3)


@pytest.mark.parametrize("told", [{"at": {"id": 1}}, {"id": 1}, {"at": 1.5}, {"at": True}, {"at": [1, [2]]}])
async def test_p2_a_row_that_does_not_say_whose_it_is_waits_and_its_record_stays(desk: Desk, told: Any) -> None:
    server = district()
    async with district_at(desk, server, ODD):
        await desk.sync(scope=SCHOOL_1, kinds=("students",))
        server.lists["/students"][3]["school"] = told
        report = await desk.sync(scope=SCHOOL_1, kinds=("students",))
        assert (report.incomplete, report.quarantined, report.reasons) == ([], 1, {})
        assert 103 in await active(desk)
