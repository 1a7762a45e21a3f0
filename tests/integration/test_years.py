"""A new school year: what the new year brings counts, and what only the last one had stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import Desk, part_of, row, school, staff, student, students
from sis_connect.provider import Scope

OLD, NEW = "school_year=2026", "school_year=2027"


@pytest.fixture(autouse=True)
def without_grace(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0, "fields": ("birth_date",)}
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *students(30))


def turn(desk: Desk, kind: Any, *rows: Any, before: str = OLD, now: str = NEW, **told: Any) -> None:
    """From now on the SIS is asked for the new year."""
    del desk.sis.feeds[kind, before]
    desk.sis.put(kind, *rows, context=now, **told)


def courses(*titles: str) -> list[Any]:
    return [row(title[0], courses={"sis_id": title[0], "title": title}) for title in titles]


async def test_what_the_new_year_says_of_a_record_counts_although_the_old_row_comes_first_by_its_text(desk: Desk) -> None:
    del desk.sis.feeds["courses", ""]
    desk.sis.put("courses", *courses("Algebra", "Biology"), context=OLD)
    await desk.sync()
    turn(desk, "courses", *courses("Arithmetic"))
    assert (await desk.sync()).changes["courses"] == {"update": 1, "unchanged": 0}
    found = await desk.roster("courses")
    assert {name: (it["title"], it["status"]) for name, it in found.items()} == {
        "A": ("Arithmetic", "active"),
        "B": ("Biology", "active"),  # only the old year knows it: it stays
    }
    before = await desk.everything()
    assert (await desk.sync(full=True)).status == "succeeded"
    assert await desk.everything() == before


async def test_who_vanishes_in_the_new_year_is_not_kept_by_the_old_one(desk: Desk) -> None:
    del desk.sis.feeds["students", ""]
    desk.sis.put("students", *students(30), context=OLD)
    await desk.sync()
    turn(desk, "students", *students(30))
    await desk.sync()
    assert await desk.ask("SELECT id FROM sis_stream WHERE context = :old", old=OLD) == []
    desk.sis.feeds["students", NEW].drop("s0007")
    assert (await desk.sync()).changes["students"] == {"withdraw": 1, "unchanged": 29}


async def test_parts_of_the_old_year_add_nothing_any_more(desk: Desk) -> None:
    desk.sis.put("students", part_of("students", "s0001", birth_date="2014-02-03"), context=OLD)
    await desk.sync()
    turn(desk, "students", part_of("students", "s0001", birth_date="2014-03-02"))
    await desk.sync()
    assert (await desk.student("s0001"))["birth_date"] == "2014-03-02"


async def test_p1_until_the_new_year_proved_complete_the_old_one_counts_too(desk: Desk) -> None:
    del desk.sis.feeds["staff", ""]
    desk.sis.put("staff", staff("A", "t1", badge="65", schools=["A"]), staff("B", "t1", badge="65", schools=["B"]), context=OLD)
    await desk.sync()
    turn(desk, "staff", staff("A", "t1", badge="65", schools=["A"], given_name="Iris"), total=None)
    await desk.sync()
    found = (await desk.roster("staff"))["t1"]
    assert (found["schools"], found["given_name"]) == (["A", "B"], "Iris")  # the later year's word, with all that is known
    desk.sis.feeds["staff", NEW].total = "rows"
    await desk.sync()
    assert (await desk.roster("staff"))["t1"]["schools"] == ["A"]


async def test_rows_of_one_year_stay_united(desk: Desk) -> None:
    del desk.sis.feeds["staff", ""]
    for name in "AB":
        desk.sis.put("staff", staff(name, "t1", badge="65", schools=[name]), context=f"school={name};{OLD}")
    await desk.sync()
    for name in "AB":
        turn(
            desk,
            "staff",
            staff(name, "t1", badge="65", schools=[name]),
            before=f"school={name};{OLD}",
            now=f"school={name};{NEW}",
        )
    await desk.sync()
    assert (await desk.roster("staff"))["t1"]["schools"] == ["A", "B"]


async def test_a_read_of_one_school_takes_nothing_from_the_others(desk: Desk) -> None:
    del desk.sis.feeds["staff", ""]
    for name in "AB":
        rows = staff(name, "t1", badge="65", schools=[name])
        desk.sis.put("staff", rows, context=f"school={name};{OLD}", school=name)
    await desk.sync()
    turn(desk, "staff", staff("A", "t1", badge="65", schools=["A"]), before=f"school=A;{OLD}", now=f"school=A;{NEW}", school="A")
    await desk.sync(scope=Scope(schools=frozenset("A")))
    assert (await desk.roster("staff"))["t1"]["schools"] == ["A", "B"]


async def test_where_two_years_are_read_the_later_one_has_the_word(desk: Desk) -> None:
    del desk.sis.feeds["students", ""]
    desk.sis.put("students", student("s1", grade="05"), context=OLD)
    desk.sis.put("students", student("s1", grade="06"), context=NEW)
    await desk.sync()
    assert (await desk.student("s1"))["grade"] == "06"


async def test_p7_what_nobody_asks_for_any_more_is_neither_kept_nor_written_again(desk: Desk) -> None:
    desk.sis.put(
        "students", *[part_of("students", f"s{n:04d}", birth_date="2014-02-03") for n in range(30)], context="demographics"
    )
    await desk.sync()
    desk.settings = {"absence_grace": 0}
    del desk.sis.feeds["students", "demographics"]
    await desk.sync()
    assert await desk.ask("SELECT 1 FROM sis_staged WHERE document LIKE '%birth_date%'") == []
    bases = "SELECT 1 FROM sis_student_mapping WHERE base_sis LIKE '%birth_date%' OR base_local LIKE '%birth_date%'"
    assert await desk.ask(bases) == []
    await desk.delete("s0002")
    await desk.sync()
    assert "birth_date" not in await desk.student("s0002")
