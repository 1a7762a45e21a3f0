"""Accidents that have happened to others, each told and made harmless: who is who, who decides, and who comes back.

The numbers are those of the list of accidents that this project keeps.
"""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import HOUR, Desk, Row, enrollment, row, school, section, staff, stay, student, students
from sis_connect.capabilities import KindCapabilities
from sis_connect.provider import Scope
from sis_connect.roster.integrity import list_findings
from sis_connect.settings import FieldPolicy


async def events(desk: Desk) -> int:
    """How many changes the app has been told of."""
    return int((await desk.ask("SELECT COUNT(*) FROM sis_event"))[0][0])


async def taught(desk: Desk) -> None:
    """Twenty students of school A and a teacher in section x, and one who teaches nothing."""
    desk.settings = {"absence_grace": 0}
    desk.sis.put("staff", staff("t1", "t1", badge="1"), staff("t2", "t2", badge="2"))
    desk.sis.put("students", *students(20))
    desk.sis.put("sections", section("x"))
    at_x = [enrollment(f"x{n}", user=f"s{n:04d}", section="x") for n in range(20)]
    desk.sis.put("enrollments", *at_x, enrollment("t", user="t1", section="x", role="teacher"))
    assert (await desk.sync()).status == "succeeded"


async def test_accident_5_a_second_run_tells_nobody_anything(desk: Desk) -> None:
    """A hook ran for every row of every import: 570,800 rows of side effects for 5,845 students."""
    feed = desk.sis.put("students", *students(10, updated_at="2026-11-01T00:00:00Z"))
    await desk.sync()
    told = await events(desk)
    assert told == 11  # ten students and a school
    for day in (2, 3):  # this SIS touches all its rows each night
        feed.rows = students(10, updated_at=f"2026-11-0{day}T00:00:00Z")
        await desk.sync(full=True)
    assert await events(desk) == told
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    assert await events(desk) == told + 1


async def test_accident_7_teachers_stay_the_vanished_leave_and_the_returned_come_back(desk: Desk) -> None:
    """No product did what a partner had to write by hand; and a second sync undid what the first had done."""
    await taught(desk)
    desk.sis.feeds["staff", ""].drop("t1")
    desk.sis.feeds["students", ""].drop("s0000")
    report = await desk.sync()
    assert [(hold.guard, hold.kind) for hold in report.holds] == [("staff", "staff")]
    assert (await desk.statuses("staff"))["t1"] == "active"
    assert (await desk.statuses("students"))["s0000"] == "inactive"
    former = (await desk.student("s0000"))["id"]
    desk.sis.feeds["students", ""].rows.append(student("s0000"))
    report = await desk.sync()
    assert report.changes["students"]["reenroll"] == 1
    assert ((await desk.student("s0000"))["id"], (await desk.student("s0000"))["status"]) == (former, "active")
    before = await desk.everything()
    await desk.sync()
    assert await desk.everything() == before


async def test_accident_10_drift_is_seen_before_it_is_mended_and_mended_school_by_school(desk: Desk) -> None:
    """1,229 were enrolled and 881 were in the team; nobody dared to sync again, or could do so for one course."""
    desk.sis.put("schools", school("A"), school("B"))
    for at in "AB":
        desk.sis.put("students", *[student(f"{at}{n}", school=at) for n in range(10)], context=f"school={at}", school=at)
    del desk.sis.feeds["students", ""]
    await desk.sync()
    for sis_id in ("A1", "A2", "B1"):
        await desk.delete(sis_id)
    planned = await desk.plan()
    assert {name for name, one in (await desk.rows(planned)).items() if one.action == "create"} == {
        "students A1", "students A2", "students B1",
    }  # fmt: skip
    assert len(await desk.roster("students")) == 17
    await desk.sync(scope=Scope(schools=frozenset("A")))
    assert set(await desk.roster("students")) == {f"{at}{n}" for at in "AB" for n in range(10)} - {"B1"}
    await desk.sync()
    assert len(await desk.roster("students")) == 20


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)], ids=str)
async def test_accident_12_and_17_the_order_of_rows_decides_nothing(desk: Desk, order: tuple[int, ...]) -> None:
    """The deleted half of a merged person, coming last, removed her; of two stays of one day, an arbitrary one won."""
    both: list[Row] = [
        row("former", students={"sis_id": "s1", "given_name": "Ada", "family_name": "Vale", "status": "inactive"}),
        row("kept", students={"sis_id": "s1", "given_name": "Ada", "family_name": "Vale", "school": "A", "grade": "05"}),
        row("other", students={"sis_id": "s1", "given_name": "Ida", "family_name": "Vale", "school": "B", "grade": "06"}),
    ]
    stays = [stay(f"stay{at}", student="s1", school=at, entry_date="2026-09-01") for at in "ABC"]
    desk.sis.put("schools", *[school(at) for at in "ABC"])
    desk.sis.put("students", *[both[n] for n in order])
    desk.sis.put("school_enrollments", *[stays[n] for n in order])
    await desk.sync()
    found = await desk.student("s1")
    assert (found["status"], found["given_name"], found["school"], found["grade"]) == ("active", "Ada", "A", "05")
    assert await desk.statuses("school_enrollments") == {"stayA": "active", "stayB": "active", "stayC": "active"}
    before = await desk.everything()
    for kind in ("students", "school_enrollments"):
        desk.sis.feeds[kind, ""].rows.reverse()
    await desk.sync(full=True)
    assert await desk.everything() == before


async def test_accident_14_what_a_teacher_concluded_stays_concluded(desk: Desk) -> None:
    """A teacher took a student out of a course, and the next upload put him back, night after night."""
    await taught(desk)
    await desk.edit("x3", "enrollments", status="inactive")
    feed = desk.sis.feeds["enrollments", ""]
    for day in (20, 21):
        feed["x3"] = enrollment("x3", user="s0003", section="x", end_date=f"2026-12-{day}")
        await desk.sync(full=True)
        found = (await desk.roster("enrollments"))["x3"]
        assert (found["status"], found["end_date"]) == ("inactive", f"2026-12-{day}")


async def test_accident_15_a_new_name_makes_no_new_person_and_the_same_name_no_old_one(desk: Desk) -> None:
    """Accounts were made in two ways; a change of name made a second user, without an id of the SIS."""
    desk.settings = {"policies": {"students.preferred_given_name": FieldPolicy(owner="local")}}
    feed = desk.sis.put("students", student("s1", given_name="Ada", family_name="Vale", username="ada"))
    await desk.sync()
    local_id = (await desk.student("s1"))["id"]
    await desk.edit("s1", preferred_given_name="Addie")
    feed["s1"] = student("s1", given_name="Eda", family_name="Roe", username="eda", preferred_given_name="E.")
    feed.rows.append(student("s2", given_name="Ada", family_name="Vale"))
    await desk.sync()
    found = await desk.roster("students")
    assert (found["s1"]["id"], found["s1"]["username"], found["s1"]["preferred_given_name"]) == (local_id, "eda", "Addie")
    assert len(found) == 2
    assert found["s2"]["id"] != local_id


async def test_accident_16_who_was_removed_does_not_keep_coming_back(desk: Desk) -> None:
    """Two loops that repaired each other's work, and a read that was late, brought a removed student back each time."""
    desk.settings = {"policies": {"students.*": FieldPolicy(strategy="local_wins")}}
    feed = desk.sis.put("students", *students(20))
    await desk.sync()
    await desk.delete("s0003")
    await desk.sync()
    for grade in ("06", "07"):
        feed["s0003"] = student("s0003", grade=grade)
        await desk.sync(full=True)
        assert "s0003" not in await desk.roster("students")
    assert await desk.ask("SELECT status FROM sis_student_mapping WHERE sis_id = 's0003'") == [("deleted",)]


async def test_accident_18_no_number_makes_two_children_one(desk: Desk) -> None:
    """Different children bore one state id; and 37 state ids were shared by duplicates of the same child."""
    shared: dict[str, Any] = {"ids": {"state_id": "9001"}}
    feed = desk.sis.put("students", *students(30), student("one", **shared), student("other", **shared))
    report = await desk.sync()
    assert report.integrity == {"shared_numbers": 2}
    assert len(await desk.roster("students")) == 32
    feed["one"] = student("one", **shared, status="inactive")
    await desk.sync()
    feed.rows.append(student("again", **shared))
    report = await desk.sync()
    assert {"one", "other", "again"} <= set(await desk.roster("students"))
    found = [(it.check, it.sis_id) async for it in list_findings(desk.store, 1, desk.today)]
    assert found == [
        ("shared_numbers", "again"),
        ("shared_numbers", "other"),
        ("reissued_numbers", "again"),
        ("reissued_numbers", "other"),
    ]
    assert not any("9001" in message for message in report.integrity)


async def test_accident_19_a_stale_date_rewrites_no_history_and_is_found(desk: Desk) -> None:
    """A contact's record was used again with its old first day, and a child that had left was there once more."""
    desk.settings = {"absence_grace": 0}
    desk.sis.offer(school_enrollments=KindCapabilities(offered=True, leaving="absence", stint_history=True))
    desk.sis.put("students", *students(30))
    feed = desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n:04d}") for n in range(30)])
    await desk.sync()
    feed["stay0"] = stay("stay0", student="s0000", exit_date="2026-11-02")
    await desk.sync()
    feed.drop("stay0")  # the SIS tells only what it takes for current
    feed.rows.append(stay("reused", student="s0000", entry_date="2026-08-12"))
    report = await desk.sync()
    history = (await desk.roster("school_enrollments"))["stay0"]
    assert (history["status"], history["entry_date"], history["exit_date"]) == ("inactive", "2026-08-12", "2026-11-02")
    assert report.integrity.get("overlapping_stays") == 1
    [found] = [it async for it in list_findings(desk.store, 1, desk.today, check="overlapping_stays")]
    assert (found.kind, found.sis_id, found.school) == ("school_enrollments", "reused", "A")


async def test_accident_13_what_hangs_from_a_student_leaves_and_comes_back_with_her(desk: Desk) -> None:
    """Enrolments that were derived from another were dropped by a clean-up, and never came back to life."""
    await taught(desk)
    row_of = student("s0000")
    enrolled = enrollment("x0", user="s0000", section="x")
    desk.sis.feeds["students", ""].drop("s0000")
    desk.sis.feeds["enrollments", ""].drop("x0")
    await desk.sync()
    assert (await desk.statuses("enrollments"))["x0"] == "inactive"
    desk.clock.advance(HOUR)
    desk.sis.feeds["students", ""].rows.append(row_of)
    desk.sis.feeds["enrollments", ""].rows.append(enrolled)
    await desk.sync()
    assert ((await desk.statuses("students"))["s0000"], (await desk.statuses("enrollments"))["x0"]) == ("active", "active")
