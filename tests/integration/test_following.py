"""Following changes: hints are read again, districts are looked at again and again, and none is in the way of another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from desk_service import service_of
from raw_server import Answer
from roster_fixture import Desk, DeskClock, students
from sis_connect.cli import serving
from sis_connect.errors import ConfigurationError, ConflictError, NotOffered
from sis_connect.provider import Hint
from sis_connect.roster.hints import SHARE
from sis_connect.roster.report import SyncReport
from sis_connect.service.following import BUSY, LOOK
from sis_connect.service.real_time import Receipt
from telling_sis import HearingOffice, hearing_office

Told = Callable[[SyncReport], None]


def student(sis_id: str) -> Hint:
    return Hint("students", "sis_id", sis_id)


async def watched(
    office: HearingOffice, runs: int, *, every: float = 2.0, told: Told = lambda report: None
) -> tuple[list[SyncReport], list[float]]:
    """The first reports of a watch, and after how many seconds each of them came."""
    reports: list[SyncReport] = []
    times: list[float] = []
    enough, clock = asyncio.Event(), office.service._clock

    def take(report: SyncReport) -> None:
        reports.append(report)
        times.append(clock.monotonic() - began)
        told(report)
        if len(reports) >= runs:
            enough.set()

    began = clock.monotonic()
    watching = asyncio.create_task(office.service.watch("lincoln", every=every, on_report=take))
    await enough.wait()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return reports[:runs], times[:runs]


# -- hints -------------------------------------------------------------------------------------------------------------


async def test_students_are_read_alone_and_the_rest_by_one_read_of_the_district(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        office.sis.rename(2, "Radia Perlman")
        await office.service.hint("lincoln", [student("2"), student("2"), Hint("schools")])
        alone, district = await office.service.drain_hints("lincoln", actor="somebody")
        assert (alone.requests, alone.records["students"], district.records["students"]) == (1, 1, 5)
        assert (await office.names())["2"] == "Radia Perlman"
        assert (await office.waiting(), await office.service.drain_hints("lincoln")) == (0, [])


async def test_without_the_district_only_students_are_read_and_the_rest_waits(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        await office.service.hint("lincoln", [student("2"), Hint("schools")])
        assert len(await office.service.drain_hints("lincoln", district=False)) == 1
        assert await office.waiting() == 1
        assert await office.service.hinted() == ["lincoln"]


async def test_a_student_who_is_not_there_any_more_is_a_matter_of_the_district(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        office.sis.remove(2)
        await office.service.hint("lincoln", [student("2")])
        alone, district = await office.service.drain_hints("lincoln")
        assert (alone.status, district.records["students"], await office.waiting()) == ("failed", 4, 0)


async def test_a_student_of_whom_nobody_knows_is_asked_for_once_and_no_more(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        await office.service.hint("lincoln", [student("4711")])
        (alone,) = await office.service.drain_hints("lincoln")
        assert (alone.status, office.sis.asked, await office.waiting()) == ("failed", ["/students/4711"], 0)
        assert [one.status for one in await office.service.integrations()] == ["active"]


async def test_p4_what_cannot_be_read_now_is_kept_for_later(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        office.sis.go_down()
        await office.service.hint("lincoln", [student("3")])
        (failed,) = await office.service.drain_hints("lincoln")
        assert (failed.status, await office.waiting()) == ("failed", 1)
        office.sis.come_up()
        assert [report.status for report in await office.service.drain_hints("lincoln")] == ["succeeded"]


async def test_p4_what_is_said_while_it_is_read_is_read_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing_office(tmp_path) as office:
        answer = office.sis.respond
        said: list[asyncio.Future[Receipt]] = []

        def changed_right_after(target: str) -> Answer:
            answered = answer(target)
            if not said:
                office.sis.rename(2, "Came Later")
                said.append(asyncio.ensure_future(office.service.hint("lincoln", [student("2")])))
            return answered

        monkeypatch.setattr(office.sis, "respond", changed_right_after)
        await office.service.hint("lincoln", [student("2")])
        await office.service.drain_hints("lincoln")
        assert ((await office.names())["2"], await office.waiting()) == ("Ada No2", 1)
        await office.service.drain_hints("lincoln")
        assert ((await office.names())["2"], await office.waiting()) == ("Came Later", 0)


async def test_p10_two_who_drain_do_not_read_the_same_twice(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        await office.service.hint("lincoln", [student("2")])
        drained = await asyncio.gather(*(office.service.drain_hints("lincoln") for _ in range(3)))
        assert sorted(map(len, drained)) == [0, 0, 1]
        assert office.single_reads() == ["/students/2"]


# -- watching ----------------------------------------------------------------------------------------------------------


async def test_a_district_is_looked_at_every_so_often_and_hints_are_followed_in_between(tmp_path: Path) -> None:
    async with hearing_office(tmp_path, clock=DeskClock()) as office:
        hinted: list[asyncio.Future[Receipt]] = []

        def told(report: SyncReport) -> None:
            if not hinted:
                office.sis.rename(3, "Grace Hopper")
                hinted.append(asyncio.ensure_future(office.service.hint("lincoln", [student("3")])))

        reports, times = await watched(office, 3, every=4.5, told=told)
        assert [report.records["students"] for report in reports] == [5, 1, 5]
        assert times == pytest.approx([0.0, LOOK, 4.5])
        assert (await office.names())["3"] == "Grace Hopper"


async def test_p11_however_often_it_is_asked_to_look_it_keeps_to_its_share_of_the_limit(tmp_path: Path) -> None:
    async with hearing_office(tmp_path, clock=DeskClock()) as office:
        await office.connect(rate_limit=(60, 60.0))
        reports, times = await watched(office, 2, every=1.0)
        assert [report.requests for report in reports] == [4, 4]
        assert times[1] == pytest.approx(4 / SHARE, abs=0.1)


async def test_after_failures_the_pauses_grow_and_success_ends_that(tmp_path: Path) -> None:
    async with hearing_office(tmp_path, clock=DeskClock()) as office:
        office.sis.go_down()
        seen: list[str] = []

        def told(report: SyncReport) -> None:
            seen.append(report.status)
            if len(seen) == 3:
                office.sis.come_up()

        _, times = await watched(office, 5, told=told)
        assert seen[:5] == ["failed"] * 3 + ["succeeded"] * 2
        assert times == pytest.approx([0.0, 4.0, 12.0, 28.0, 30.0])


async def test_p10_that_somebody_else_is_at_work_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hearing_office(tmp_path, clock=DeskClock()) as office:
        busy = SyncReport(operation="", integration="lincoln", status="failed", error=ConflictError("Somebody is at work."))

        async def sync(name: str, **request: object) -> SyncReport:
            return busy

        monkeypatch.setattr(office.service, "sync", sync)
        _, times = await watched(office, 4, every=600.0)
        assert times == pytest.approx([0.0, BUSY, 2 * BUSY, 3 * BUSY])


async def test_p12_a_district_that_is_down_and_a_plugin_that_stumbles_disturb_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hearing_office(tmp_path, clock=DeskClock()) as office:
        await office.connect("roosevelt")
        real, lines, enough = office.service.sync, [], asyncio.Event()

        async def sync(name: str, **request: object) -> SyncReport:
            if name == "roosevelt":
                raise ZeroDivisionError("student 4711")
            return await real(name, **request)  # type: ignore[arg-type]

        def told(report: SyncReport) -> None:
            lines.append(serving.line_of(report.as_dict()))
            if sum(line.startswith("lincoln") for line in lines) >= 3:
                enough.set()

        monkeypatch.setattr(office.service, "sync", sync)
        both = asyncio.gather(*(office.service.watch(name, every=2, on_report=told) for name in ("lincoln", "roosevelt")))
        await enough.wait()
        both.cancel()
        with suppress(asyncio.CancelledError):
            await both
        stumbled = [line for line in lines if line.startswith("roosevelt")]
        assert stumbled[0].startswith(
            "roosevelt failed, 0 changes, 0 requests, 0.0 s: A run has stumbled (ZeroDivisionError), in "
        )
        assert "4711" not in "".join(lines)
        assert [line.partition(",")[0] for line in lines if line.startswith("lincoln")] == ["lincoln succeeded"] * 3


async def test_watching_what_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        with pytest.raises(ConfigurationError, match="no integration 'nowhere'"):
            await office.service.watch("nowhere")


async def test_an_sis_that_cannot_be_told_says_what_to_do_instead(tmp_path: Path) -> None:
    async with hearing_office(tmp_path) as office:
        with pytest.raises(NotOffered, match="Telling SIS cannot be told where to send word of changes"):
            await office.service.subscribe("lincoln", "https://app.example.org")
        with pytest.raises(ConfigurationError, match="must start with https"):
            await office.service.subscribe("lincoln", "http://app.example.org")


async def test_p4_hints_stay_where_a_list_of_the_district_broke_off(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(6), size=2)
    await desk.sync()
    service = await service_of(desk)
    service.sync = lambda name, actor="": desk.sync()  # type: ignore[method-assign, assignment, misc]
    await service.hint("lincoln", [Hint("sections", "sis_id", "x")])
    feed.breaks = 2
    (report,) = await service.drain_hints("lincoln")
    assert (report.status, report.broken, await service.hinted()) == ("incomplete", 1, ["lincoln"])
    feed.breaks, feed.total = None, "many"  # to its end by now, though nothing proves that
    (report,) = await service.drain_hints("lincoln")
    assert (report.broken, await service.hinted()) == (0, [])
