"""The ledger of stays, where the SIS tells only the current one."""

from __future__ import annotations

from datetime import date
from typing import Any

from roster_fixture import CAPABILITIES, Desk, Row, school, stay, student
from sis_connect.capabilities import KindCapabilities

OTHERS = 30


async def district(desk: Desk, **fields: Any) -> None:
    """A student whose one stay is told by her own row, and others who stay."""
    desk.sis.put("schools", *[school(at) for at in "ABC"])
    rows = [told("s1", "first", **fields), *[told(f"o{n}", f"o{n}") for n in range(OTHERS)]]
    desk.sis.put("students", *rows, also=("school_enrollments",))
    del desk.sis.feeds["school_enrollments", ""]
    assert (await desk.sync()).status == "succeeded"


def told(who: str, sis_id: str, **fields: Any) -> Row:
    """A student's row that tells of one stay."""
    return {**student(who), **{k: v for k, v in stay(sis_id, student=who, grade="05", **fields).items() if k != "key"}}


async def tell(desk: Desk, sis_id: str, **fields: Any) -> Row:
    """Her row tells of this stay from now on. Returns the first one as it stands then."""
    desk.sis.feeds["students", ""]["s1"] = told("s1", sis_id, **fields)
    report = await desk.sync()
    assert report.status == "succeeded"
    return (await desk.roster("school_enrollments"))["first"]


def end_of(found: Row) -> tuple[Any, ...]:
    return found["status"], found.get("status_reason"), found.get("exit_date"), found["exit_inferred"]


async def test_a_transfer_closes_the_former_stay_at_the_new_entry_date(desk: Desk) -> None:
    await district(desk)
    first = await tell(desk, "second", school="B", entry_date="2026-11-16")
    assert end_of(first) == ("inactive", "transfer", "2026-11-16", True)
    assert (await desk.roster("school_enrollments"))["second"]["status"] == "active"


async def test_an_end_that_the_sis_told_is_not_inferred(desk: Desk) -> None:
    desk.today = date(2026, 11, 2)
    await district(desk, exit_date="2026-11-13")
    desk.today = date(2026, 11, 23)
    first = await tell(desk, "second", school="B", entry_date="2026-11-16")
    assert end_of(first)[2:] == ("2026-11-13", False)


async def test_a_re_entry_on_the_day_of_leaving(desk: Desk) -> None:
    await district(desk, exit_date="2026-12-01")
    first = await tell(desk, "second", entry_date="2026-11-16")
    assert end_of(first) == ("inactive", "re_entry", "2026-11-16", True)


async def test_a_promotion_within_a_school(desk: Desk) -> None:
    await district(desk)
    desk.sis.feeds["students", ""]["s1"] = {**told("s1", "second", entry_date="2026-11-16")}
    desk.sis.feeds["students", ""]["s1"]["school_enrollments"]["grade"] = "06"
    await desk.sync()
    assert end_of((await desk.roster("school_enrollments"))["first"]) == ("inactive", "promotion", "2026-11-16", True)


async def test_a_corrected_entry_date_leaves_a_stay_that_never_took_place(desk: Desk) -> None:
    await district(desk)
    first = await tell(desk, "second", entry_date="2026-08-10")
    assert end_of(first) == ("inactive", "correction", "2026-08-12", True)


async def test_a_stay_without_a_successor_ends_today(desk: Desk) -> None:
    await district(desk)
    desk.sis.feeds["students", ""]["s1"] = student("s1", status="inactive", status_reason="withdrawn")
    await desk.sync()
    found = (await desk.roster("school_enrollments"))["first"]
    assert end_of(found) == ("inactive", "withdrawal", "2026-11-23", True)


async def test_p6_a_stay_that_is_told_of_again_is_as_it_was(desk: Desk) -> None:
    await district(desk)
    before = {**(await desk.roster("school_enrollments"))["first"], "revision": 0}
    await tell(desk, "second", school="B", entry_date="2026-11-16")
    again = await tell(desk, "first")
    assert {**again, "revision": 0} == before
    second = (await desk.roster("school_enrollments"))["second"]
    assert end_of(second) == ("inactive", "correction", "2026-11-16", True)


async def test_a_move_that_is_still_to_come_ends_the_stay_on_its_day(desk: Desk) -> None:
    await district(desk)
    first = await tell(desk, "second", school="B", entry_date="2026-12-07")
    assert end_of(first) == ("active", None, "2026-12-07", True)
    assert (await desk.roster("school_enrollments"))["second"]["status"] == "scheduled"
    before = await desk.everything()
    await desk.sync(full=True)
    assert await desk.everything() == before
    desk.today = date(2026, 12, 7)
    report = await desk.sync()
    assert report.changes["school_enrollments"]["withdraw"] == 1
    found = await desk.roster("school_enrollments")
    assert end_of(found["first"]) == ("inactive", "transfer", "2026-12-07", True)
    assert found["second"]["status"] == "active"
    desk.today = date(2026, 12, 8)
    before = await desk.everything()
    await desk.sync()
    assert await desk.everything() == before


async def test_a_move_that_is_called_off_leaves_the_stay_as_it_was(desk: Desk) -> None:
    await district(desk)
    await tell(desk, "second", school="B", entry_date="2026-12-07")
    first = await tell(desk, "first")
    assert end_of(first) == ("active", None, None, False)
    assert (await desk.roster("school_enrollments"))["second"]["status_reason"] == "correction"


async def test_a_student_at_two_schools_is_followed_at_each(desk: Desk) -> None:
    await district(desk)
    desk.sis.put(
        "students", told("s1", "elsewhere", school="B", entry_date="2026-09-01"), context="B", also=("school_enrollments",)
    )
    await desk.sync()
    first = await tell(desk, "moved", school="C", entry_date="2026-11-16")
    assert end_of(first) == ("inactive", "transfer", "2026-11-16", True)
    assert (await desk.roster("school_enrollments"))["elsewhere"]["status"] == "active"


async def test_a_provider_that_tells_all_stays_is_taken_at_its_word(desk: Desk) -> None:
    history = KindCapabilities(offered=True, leaving="status", stint_history=True)
    desk.sis.offer(school_enrollments=history)
    await district(desk)
    report = await desk.sync()
    desk.sis.feeds["students", ""]["s1"] = told("s1", "second", school="B", entry_date="2026-11-16")
    report = await desk.sync()
    assert report.reasons["school_enrollments"] == {"transfer": 2}
    assert (await desk.roster("school_enrollments"))["first"]["exit_inferred"] is False
    assert CAPABILITIES["school_enrollments"].stint_history is False
