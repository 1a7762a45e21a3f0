"""Who was withdrawn here by a person, and has gone from the SIS as well, comes back when the SIS tells of them again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from desk_service import service_of
from roster_fixture import CAPABILITIES, Desk, enrollment, school, section, stay, student, students

HOUR = 3600


@pytest.mark.parametrize("grace", [0, 12])
async def test_p6_who_was_withdrawn_by_hand_left_the_sis_and_returns_is_revived(desk: Desk, grace: float) -> None:
    desk.settings = {"absence_grace": grace}
    desk.sis.put("schools", school("A"))
    desk.sis.put("sections", section("x"))
    of_them = [
        desk.sis.put("students", *students(40)),
        desk.sis.put("school_enrollments", *[stay(f"y{n}", student=f"s{n:04d}") for n in range(40)]),
        desk.sis.put("enrollments", *[enrollment(f"e{n}", user=f"s{n:04d}", begin_date="2026-08-12") for n in range(40)]),
    ]
    await desk.sync()
    before = [await desk.statuses(kind) for kind in ("students", "school_enrollments", "enrollments")]
    await (await service_of(desk)).withdraw("lincoln", students=["s0001"], actor="ada")
    gone = [(feed, feed[key]) for feed, key in zip(of_them, ("s0001", "y1", "e1"), strict=True)]
    for feed, row in gone:
        feed.drop(row["key"])
    for _ in range(3):
        desk.clock.advance(24 * HOUR)
        report = await desk.sync()
        assert (report.holds, sum(counts.get("withdraw", 0) for counts in report.changes.values())) == ([], 0)
        assert (await desk.student("s0001"))["status_reason"] == "withdrawn"  # nothing is written
    for feed, row in gone:
        feed.rows.append(row)
    desk.clock.advance(24 * HOUR)
    assert (await desk.sync()).changes["students"]["reenroll"] == 1
    assert [await desk.statuses(kind) for kind in ("students", "school_enrollments", "enrollments")] == before
    assert (await desk.roster("school_enrollments"))["y1"].get("exit_date") is None
    assert (await desk.roster("enrollments"))["e1"].get("end_date") is None


async def test_p6_a_creation_that_was_undone_is_made_good_by_a_return(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(40))
    await desk.sync()
    feed.rows.append(student("n1"))
    operation = (await desk.sync()).operation
    await (await service_of(desk)).undo(operation, actor="ada")
    await desk.sync()
    assert (await desk.student("n1"))["status"] == "inactive"  # nothing new was said
    row = feed["n1"]
    feed.drop("n1")
    await desk.sync()
    feed.rows.append(row)
    await desk.sync()
    assert (await desk.student("n1"))["status"] == "active"


async def test_a_decision_about_something_else_does_not_make_an_edit_older(desk: Desk) -> None:
    """The SIS changed the grade, then the app did, then a person withdrew the student: the app was later."""
    desk.settings = {"strategy": "newest_wins"}
    desk.sis.offer(students=replace(CAPABILITIES["students"], reliable_updated_at=True))
    told = [student(f"s{n}", updated_at=desk.clock.now().isoformat()) for n in range(10)]
    feed, service = desk.sis.put("students", *told), await service_of(desk)
    await desk.sync()
    changed = desk.clock.now() + timedelta(hours=1)
    feed["s1"] = student("s1", grade="06", updated_at=changed.isoformat())
    desk.clock.advance(2 * HOUR)
    await service.edit("lincoln", "students", "s1", {"grade": "07"}, actor="ada")
    desk.clock.advance(HOUR)
    await service.withdraw("lincoln", students=["s1"], actor="ada")
    desk.clock.advance(HOUR)
    assert (await desk.sync()).clashes == {"newest_wins": {"local": 1}}
    assert (await desk.student("s1"))["grade"] == "07"


async def test_who_was_away_for_a_while_was_not_there_whenever_that_is_asked(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("sections", section("x"))
    desk.sis.put("students", *students(20))
    rows = [enrollment(f"e{n}", user=f"s{n:04d}", begin_date="2026-08-12") for n in range(20)]
    feed = desk.sis.put("enrollments", *rows)
    desk.today = date(2026, 9, 1)
    await desk.sync()

    async def there(day: int, month: int = 10) -> bool:
        service = await service_of(desk)
        return "s0001" in [one.person async for one in service.as_of("lincoln", date(2026, month, day), section="x")]

    desk.today = date(2026, 10, 1)
    feed.drop("e1")
    await desk.sync()
    first = [await there(1, 9), await there(15)]
    desk.today = date(2026, 11, 1)
    feed.rows.append(rows[1])
    await desk.sync()
    assert [await there(1, 9), await there(15)] == first == [True, False]
    assert await there(1, 11)


async def test_an_end_that_the_sis_takes_back_leaves_no_gap(desk: Desk) -> None:
    feed = desk.sis.put("school_enrollments", *[stay(f"y{n}", student=f"s{n:04d}") for n in range(20)])
    desk.sis.put("students", *students(20))
    await desk.sync()
    for day, exit_date in ((1, "2026-12-01"), (5, "2027-01-31")):
        desk.today = date(2026, 12, day)
        feed["y1"] = stay("y1", student="s0001", exit_date=exit_date)
        await desk.sync()
    service = await service_of(desk)
    assert "s0001" in [one.person async for one in service.as_of("lincoln", date(2026, 12, 3))]
