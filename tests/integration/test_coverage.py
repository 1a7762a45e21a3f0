"""Coverage sentinels: a school that loses its teachers or its classes is noticed, however healthy the district's totals look."""

from __future__ import annotations

from datetime import date

import pytest

from desk_service import service_of
from roster_fixture import Desk, Row, enrollment, row, school, section, staff, student
from sis_connect.capabilities import KindCapabilities
from sis_connect.provider import Scope
from sis_connect.roster.report import SyncReport

SECTIONS = 25


def teaches(n: int, at: str = "A", role: str = "teacher") -> Row:
    return enrollment(f"lead-{at}{n}", section=f"{at}{n}", user="t1", role=role, school=at)


@pytest.fixture(autouse=True)
async def two_schools(desk: Desk) -> None:
    """Each with 25 sections, all of them taught, and 25 students, each in one section."""
    desk.settings = {"absence_grace": 0}
    everywhere = [(n, at) for at in "AB" for n in range(SECTIONS)]
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("staff", staff("1", "t1", badge="1"))
    desk.sis.put("students", *[student(f"{at}{n:02d}", school=at) for n, at in everywhere])
    desk.sis.put("sections", *[section(f"{at}{n}", school=at) for n, at in everywhere])
    inside = [enrollment(f"in-{at}{n}", section=f"{at}{n}", user=f"{at}{n:02d}", school=at) for n, at in everywhere]
    # Many more that nothing happens to, so that no other guard has a word in it.
    inside += [
        enrollment(f"also-{at}{n}-{m}", section=f"{at}{m}", user=f"{at}{n:02d}", school=at)
        for n, at in everywhere
        for m in (1, 2)
    ]
    desk.sis.put("enrollments", *[teaches(n, at) for n, at in everywhere], context="teachers")
    desk.sis.put("enrollments", *inside, context="students")
    assert (await desk.sync()).warnings == []


def lose(desk: Desk, number: int, at: str = "A") -> None:
    desk.sis.feeds["enrollments", "teachers"].drop(*[f"lead-{at}{n}" for n in range(number)])


def covered(report: SyncReport) -> list[tuple[str, str, int, int]]:
    return [(it["school"], it["measure"], it["number"], it["of"]) for it in report.warnings if it["warning"] == "coverage"]


async def test_p3_accident_21_a_school_without_teachers_is_a_warning_though_the_district_looks_healthy(desk: Desk) -> None:
    lose(desk, 5)
    report = await desk.sync()
    assert covered(report) == [("A", "sections_with_teacher", 20, 25)]
    assert [it["message"] for it in report.warnings] == [
        "At school A, 80% of 25 sections have a teacher; before that, it was 100% of 25."
    ]


async def test_just_below_twenty_points_is_no_news(desk: Desk) -> None:
    lose(desk, 4)
    assert (await desk.sync()).warnings == []


async def test_what_was_said_once_is_not_said_again(desk: Desk) -> None:
    lose(desk, 5)
    await desk.sync()
    desk.sis.feeds["students", ""]["A24"] = student("A24", grade="06")
    assert (await desk.sync()).warnings == []


async def test_students_who_lose_their_classes_are_noticed_too(desk: Desk) -> None:
    lost = [f"in-A{n}" for n in range(5)] + [f"also-A{n}-{m}" for n in range(5) for m in (1, 2)]
    desk.sis.feeds["enrollments", "students"].drop(*lost)
    assert covered(await desk.sync()) == [("A", "students_with_section", 20, 25)]


async def test_a_school_too_small_to_tell_is_not_compared(desk: Desk) -> None:
    desk.sis.put("sections", *[section(f"{at}{n}", school=at) for n in range(19) for at in "AB"])
    await desk.sync()
    desk.sis.put("enrollments", *[teaches(n, "B") for n in range(SECTIONS)], context="teachers")
    assert covered(await desk.sync()) == []


async def test_a_co_teacher_is_a_teacher_and_a_new_one_makes_up_for_one_who_left(desk: Desk) -> None:
    feed = desk.sis.feeds["enrollments", "teachers"]
    for n in range(5):
        feed[f"lead-A{n}"] = teaches(n, role="co_teacher")
    feed.drop("lead-A7", "lead-A8")
    feed.rows += [enrollment(f"new{n}", section=f"A{n}", user="t1", role="teacher", school="A") for n in (7, 8)]
    assert (await desk.sync()).warnings == []


async def test_nothing_is_counted_where_nothing_was_written(desk: Desk) -> None:
    await desk.run("DELETE FROM sis_coverage")
    await desk.sync()
    assert await desk.ask("SELECT * FROM sis_coverage") == []


async def test_between_school_years_nobody_is_in_a_class_and_nothing_is_compared(desk: Desk) -> None:
    desk.sis.offer(terms=KindCapabilities(offered=True, leaving="absence"))
    dates = {"start_date": "2026-08-12", "end_date": "2027-06-05", "school_year": 2027}
    desk.sis.put("terms", row("y", terms={"sis_id": "y", "title": "2026-27", "type": "school_year", "school": "A", **dates}))
    await desk.sync()
    before = await desk.ask("SELECT school, measure, number FROM sis_coverage")
    desk.today = date(2027, 6, 20)
    lose(desk, 10)
    assert covered(await desk.sync()) == []
    assert await desk.ask("SELECT school, measure, number FROM sis_coverage") == before


# -- holding what does it ----------------------------------------------------------------------------------------------


async def test_p3_with_the_setting_hold_the_removals_that_do_it_wait_before_anything_is_written(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0, "coverage": "hold"}
    lose(desk, 5)
    desk.sis.feeds["enrollments", "students"].drop("also-A1-1")
    desk.sis.feeds["students", ""]["A24"] = student("A24", school="A", grade="06")
    report = await desk.sync()
    assert await desk.holds() == [("coverage", "enrollments", "school=A sections_with_teacher", 5)]
    assert report.held == {"enrollments": {"withdraw": 5}}
    assert (await desk.student("A24"))["grade"] == "06"
    found = await desk.statuses("enrollments")
    assert (found["lead-A0"], found["also-A1-1"]) == ("active", "inactive")
    assert covered(report) == []
    await desk.approve(report.holds[0])
    assert (await desk.statuses("enrollments"))["lead-A0"] == "inactive"


async def test_with_the_setting_hold_a_teacher_who_is_replaced_is_not_held(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0, "coverage": "hold"}
    lose(desk, 5)
    feed = desk.sis.feeds["enrollments", "teachers"]
    feed.rows += [enrollment(f"new{n}", section=f"A{n}", user="t1", role="teacher", school="A") for n in range(5)]
    assert (await desk.sync()).holds == []
    assert (await desk.sync()).warnings == []


async def test_a_hold_of_coverage_lapses_when_the_teachers_are_back(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0, "coverage": "hold"}
    feed = desk.sis.feeds["enrollments", "teachers"]
    before = list(feed.rows)
    lose(desk, 5)
    assert (await desk.sync()).status == "held"
    feed.rows = before
    assert ((await desk.sync()).status, await desk.holds()) == ("succeeded", [])


# -- little by little --------------------------------------------------------------------------------------------------


async def test_p3_what_is_lost_little_by_little_within_a_day_is_a_warning_once(desk: Desk) -> None:
    seen = []
    for n in range(1, 7):
        lose(desk, n)
        seen += covered(await desk.sync())
    assert seen == [("A", "sections_with_teacher", 20, 25)]


async def test_after_a_day_a_school_is_compared_with_what_it_is_by_now(desk: Desk) -> None:
    lose(desk, 4)
    assert covered(await desk.sync()) == []
    await desk.clock.sleep(86401)
    lose(desk, 5)
    await desk.sync()
    lose(desk, 8)
    assert covered(await desk.sync()) == []


async def test_what_was_read_of_single_students_is_not_compared(desk: Desk) -> None:
    before = await desk.ask("SELECT * FROM sis_coverage")
    await desk.run("UPDATE sis_enrollment_mapping SET status = 'inactive'")
    desk.sis.feeds["students", ""]["A24"] = student("A24", grade="06")
    report = await desk.sync(scope=Scope(students=frozenset({"A24"})))
    assert (report.changes["students"]["update"], covered(report)) == (1, [])
    assert await desk.ask("SELECT * FROM sis_coverage") == before


async def test_p3_with_the_setting_hold_those_that_a_person_withdraws_count_too(desk: Desk) -> None:
    feed = desk.sis.feeds["enrollments", "teachers"]
    before = list(feed.rows)
    lose(desk, 5)
    await desk.sync()
    feed.rows = before
    back = await desk.sync()
    desk.settings = {"absence_grace": 0, "coverage": "hold"}
    report = await (await service_of(desk)).undo(back.operation, actor="ada")
    assert await desk.holds() == [("coverage", "enrollments", "school=A sections_with_teacher", 5)]
    assert (report.status, report.held) == ("held", {"enrollments": {"withdraw": 5}})
