"""Stays that were over before we heard of them: kept where the SIS tells history, of students whom the roster knows."""

from __future__ import annotations

import pytest

from roster_fixture import Desk, Row, school, stay, student, students
from sis_connect.capabilities import KindCapabilities


@pytest.fixture(autouse=True)
def tells_history(desk: Desk) -> None:
    desk.sis.offer(school_enrollments=KindCapabilities(offered=True, leaving="absence", stint_history=True))


def former(sis_id: str, sis_student: str = "s1", school: str = "A") -> Row:
    return stay(sis_id, student=sis_student, school=school, entry_date="2025-08-13", exit_date="2026-05-29")


async def test_former_stays_of_a_student_are_in_the_roster_from_the_first_sync_on(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    never = stay("never", entry_date="2026-08-10", exit_date="2026-08-10")
    desk.sis.put("school_enrollments", stay("now"), former("then"), never)
    report = await desk.sync()
    assert (report.status, report.changes["school_enrollments"]) == ("succeeded", {"create": 3, "unchanged": 0})
    found = await desk.roster("school_enrollments")
    assert {name: (row["status"], row.get("status_reason")) for name, row in found.items()} == {
        "now": ("active", None),
        "then": ("inactive", "ended"),
        "never": ("inactive", "no_show"),
    }
    assert report.reasons["school_enrollments"] == {"new": 1, "history": 2}


async def test_p5_history_is_written_once(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("school_enrollments", stay("now"), former("then"), former("nobody's", "former pupil"))
    await desk.sync()
    before = await desk.everything()
    for full in (False, True):
        report = await desk.sync(full=full)
        assert report.changes["school_enrollments"] == {"unchanged": 3}
        assert await desk.everything() == before
    assert await desk.ask("SELECT * FROM sis_candidate") == []


async def test_stays_of_former_pupils_wait_nowhere_and_come_with_their_student(desk: Desk) -> None:
    feed = desk.sis.put("students", student("s1"), student("s2", status="inactive"))
    desk.sis.put("school_enrollments", stay("now"), former("hers", "s2"))
    report = await desk.sync()
    assert (report.quarantined, list(await desk.roster("school_enrollments"))) == (0, ["now"])
    feed["s2"] = student("s2")
    report = await desk.sync()
    assert report.changes["school_enrollments"] == {"create": 1, "unchanged": 1}
    assert (await desk.roster("school_enrollments"))["hers"]["status"] == "inactive"


async def test_history_is_no_flood_of_new_records(desk: Desk) -> None:
    desk.sis.put("students", *students(300))
    feed = desk.sis.put("school_enrollments", *[stay(f"now{n}", student=f"s{n:04d}") for n in range(300)])
    await desk.sync()
    feed.rows += [former(f"then{n}", f"s{n:04d}") for n in range(300)]
    report = await desk.sync()
    assert (report.status, report.changes["school_enrollments"]) == ("succeeded", {"create": 300, "unchanged": 300})


async def test_a_stay_at_a_school_that_has_closed_since_is_history_as_well(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", student("s1"))
    feed = desk.sis.put("schools", school("A"), school("B"))
    stays = desk.sis.put("school_enrollments", stay("now"))
    await desk.sync()
    feed.drop("B")
    await desk.sync()
    stays.rows.append(former("then", school="B"))
    await desk.sync()
    assert await desk.statuses("school_enrollments") == {"now": "active", "then": "inactive"}


async def test_history_that_the_sis_forgets_stays(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", student("s1"))
    feed = desk.sis.put("school_enrollments", stay("now"), former("then"))
    await desk.sync()
    before = await desk.everything()
    feed.drop("then")
    assert (await desk.sync()).changes["school_enrollments"] == {"unchanged": 1}
    assert await desk.everything() == before


async def test_without_history_what_was_over_is_left_out(desk: Desk) -> None:
    desk.sis.offer()
    desk.sis.put("students", student("s1"))
    desk.sis.put("school_enrollments", stay("now"), former("then"))
    await desk.sync()
    assert list(await desk.roster("school_enrollments")) == ["now"]
