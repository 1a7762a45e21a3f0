"""Who was where on a date: by the dates that the SIS gives, and by our own account where it gives none."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from desk_service import service_of
from roster_fixture import Desk, Row, enrollment, school, section, staff, stay, student
from sis_connect.errors import ConfigurationError
from sis_connect.roster.whereabouts import Whereabouts

OTHERS = [f"o{n}" for n in range(12)]


def day(text: str) -> date:
    return date.fromisoformat(text)


async def found(desk: Desk, on: str, **where: str) -> list[Whereabouts]:
    return [one async for one in (await service_of(desk)).as_of("lincoln", day(on), **where)]


async def here(desk: Desk, on: str, **where: str) -> set[str]:
    """Who was there, beside those of whom there is nothing to tell."""
    return {one.person for one in await found(desk, on, **where)} - set(OTHERS)


@pytest.fixture(autouse=True)
async def district(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *[student(name) for name in ("s1", "s2", *OTHERS)])
    desk.sis.put("staff", staff("t1", "t1", badge="1"), staff("t2", "t2", badge="2", preferred_given_name="Kit"))
    desk.sis.put("sections", section("x"), section("y", school="B"))


def enrolled(name: str, **more: Any) -> Row:
    return enrollment(f"{name} in x", user=name, **more)


async def test_stays_answer_by_their_dates_for_any_day(desk: Desk) -> None:
    moved = [
        stay("1", student="s1", exit_date="2026-10-05"),
        stay("2", student="s1", school="B", entry_date="2026-10-05"),
        stay("3", student="s2", entry_date="2026-12-07"),
    ]
    desk.sis.put("school_enrollments", *moved)
    desk.today = day("2026-09-01")
    await desk.sync()
    assert [await here(desk, on, school="A") for on in ("2026-08-11", "2026-08-12", "2026-10-04", "2026-10-05")] == [
        set(), {"s1"}, {"s1"}, set(),
    ]  # fmt: skip
    assert await here(desk, "2026-10-05", school="B") == {"s1"}
    assert await here(desk, "2027-02-01") == {"s1", "s2"}
    desk.today = day("2026-10-06")
    await desk.sync()
    (one,) = await found(desk, "2026-10-04")
    assert one.as_dict() == {
        "person": "s1", "local_id": str((await desk.student("s1"))["id"]), "given_name": "Givens1", "family_name": "Vale",
        "role": "student", "primary": False, "school": "A", "section": None, "begins": "2026-08-12", "ends": "2026-10-05",
        "record": "1",
    }  # fmt: skip


async def test_a_section_answers_with_its_teachers_the_lead_told_from_the_others(desk: Desk) -> None:
    lead = {"role": "teacher", "primary": True}
    enrolments = [enrolled("s1"), enrolled("t1", **lead), enrolled("t2", role="co_teacher")]
    desk.sis.put("enrollments", *enrolments, enrollment("s2 in y", user="s2", section="y", school="B"))
    await desk.sync()
    there = {one.person: (one.role, one.primary, one.given_name) for one in await found(desk, "2026-11-23", section="x")}
    assert there == {
        "s1": ("student", False, "Givens1"), "t1": ("teacher", True, "Ida"), "t2": ("co_teacher", False, "Kit"),
    }  # fmt: skip


async def test_what_the_sis_does_not_date_is_answered_by_our_own_account(desk: Desk) -> None:
    feed = desk.sis.put("enrollments", *[enrolled(name) for name in ("s1", *OTHERS)])
    await desk.sync()
    desk.today = day("2026-11-25")
    feed.drop("s1 in x")
    await desk.sync()
    desk.today = day("2026-11-30")
    feed.rows.append(enrolled("s1"))
    await desk.sync()
    desk.today = day("2026-12-02")
    feed.drop("s1 in x")
    await desk.sync()
    days = ("2026-11-20", "2026-11-23", "2026-11-24", "2026-11-25", "2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02")
    assert [bool(await here(desk, on, section="x")) for on in days] == [False, True, True, False, False, True, True, False]
    ((spans,),) = await desk.ask("SELECT spans FROM sis_enrollment_mapping WHERE sis_id = 's1 in x'")
    assert spans == '[["2026-11-23","2026-11-25"],["2026-11-30","2026-12-02"]]'


async def test_a_record_with_a_begin_and_no_end_ends_when_it_is_withdrawn(desk: Desk) -> None:
    feed = desk.sis.put("enrollments", *[enrolled(name, begin_date="2026-08-12") for name in ("s1", *OTHERS)])
    await desk.sync()
    assert await desk.ask("SELECT DISTINCT spans FROM sis_enrollment_mapping") == [(None,)]  # its dates say it all
    feed.drop("s1 in x")
    desk.today = day("2026-11-25")
    await desk.sync()
    assert [bool(await here(desk, on, section="x")) for on in ("2026-08-11", "2026-08-12", "2026-11-24", "2026-11-25")] == [
        False, True, True, False,
    ]  # fmt: skip


async def test_who_never_came_was_never_there(desk: Desk) -> None:
    desk.sis.put("school_enrollments", stay("1", student="s1"), *[stay(name, student=name) for name in OTHERS])
    await desk.sync()
    desk.sis.feeds["school_enrollments", ""]["1"] = stay("1", student="s1", exit_date="2026-08-12")
    await desk.sync()
    assert await here(desk, "2026-08-12") == await here(desk, "2026-09-01") == set()


async def test_the_apps_own_dates_count(desk: Desk) -> None:
    desk.sis.put("school_enrollments", stay("1", student="s1"))
    await desk.sync()
    await desk.edit("1", "school_enrollments", exit_date="2026-11-02")
    assert await here(desk, "2026-11-02") == set()
    await desk.sync()
    assert [await here(desk, on) for on in ("2026-11-01", "2026-11-02")] == [{"s1"}, set()]


async def test_of_an_sis_without_stays_students_were_where_their_sections_were(desk: Desk) -> None:
    both = enrollment("s1 in y", user="s1", section="y", school="B", begin_date="2026-11-16")
    again = enrollment("s1 in x, too", user="s1", begin_date="2026-08-12")
    teacher = enrolled("t1", role="teacher")
    desk.sis.put("enrollments", enrolled("s1", begin_date="2026-08-12"), again, both, teacher)
    await desk.sync()
    assert {(one.person, one.school) for one in await found(desk, "2026-11-15")} == {("s1", "A")}
    assert sorted(str(one.school) for one in await found(desk, "2026-11-16")) == ["A", "B"]
    assert [one.record for one in await found(desk, "2026-11-16", school="B")] == ["s1 in y"]


async def test_where_the_apps_rows_are_elsewhere_what_was_written_there_answers(desk: Desk) -> None:
    desk.sis.put("school_enrollments", stay("1", student="s1", exit_date="2026-11-30"))
    await desk.sync()
    for kind in ("students", "school_enrollments"):
        await desk.run(f"DELETE FROM roster_{kind}")
    (one,) = await found(desk, "2026-11-29")
    assert (one.given_name, one.school) == ("Givens1", "A")
    assert [await here(desk, on) for on in ("2026-11-29", "2026-11-30")] == [{"s1"}, set()]


async def test_an_answer_longer_than_what_is_read_at_a_time_is_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from sis_connect.roster import whereabouts

    desk.sis.put("school_enrollments", *[stay(name, student=name) for name in ("s1", *OTHERS)])
    await desk.sync()
    monkeypatch.setattr(whereabouts, "BATCH", 5)
    monkeypatch.setattr(
        whereabouts, "_QUERIES", {kind: text.replace("LIMIT 2000", "LIMIT 5") for kind, text in whereabouts._QUERIES.items()}
    )
    assert {one.person for one in await found(desk, "2026-11-23")} == {"s1", *OTHERS}


async def test_p7_who_it_is_is_not_in_the_repr_and_places_that_are_not_known_are_refused(desk: Desk) -> None:
    desk.sis.put("school_enrollments", stay("1", student="s1"))
    await desk.sync()
    (one,) = await found(desk, "2026-11-23")
    assert repr(one) == "<Whereabouts: student>"
    with pytest.raises(ConfigurationError, match="no such school"):
        await found(desk, "2026-11-23", school="Z")
    with pytest.raises(ConfigurationError, match="no such section"):
        await found(desk, "2026-11-23", section="z")
