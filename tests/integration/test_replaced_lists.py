"""Lists that the provider reads in another way than before: what counts then, and who is missing."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import HOUR, Desk, bad, enrollment, row, school, section, stay, student, students


def bring(desk: Desk, *rows: Any, way: str = "bulk_students", **told: Any) -> None:
    """Let the students be listed by an endpoint of this name, and by no other."""
    for stream in [stream for stream, feed in desk.sis.feeds.items() if "students" in feed.kinds]:
        del desk.sis.feeds[stream]
    desk.sis.put("students", *rows, **told)
    desk.sis.feeds[way, ""] = desk.sis.feeds.pop(("students", ""))


async def at_first(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    bring(desk, *students(30), way="students")
    await desk.sync()


async def inactive(desk: Desk, kind: Any = "students") -> set[str]:
    return {sis_id for sis_id, status in (await desk.statuses(kind)).items() if status == "inactive"}


async def test_who_vanished_between_two_ways_of_asking_is_missing(desk: Desk) -> None:
    await at_first(desk)
    bring(desk, *students(30, grade="06")[:29])
    report = await desk.sync()
    assert report.changes["students"] == {"update": 29, "withdraw": 1, "unchanged": 0}
    assert await inactive(desk) == {"s0029"}
    assert await desk.ask("SELECT 1 FROM sis_stream WHERE endpoint = 'students'") == []
    before = await desk.everything()
    assert (await desk.sync()).changes["students"] == {"unchanged": 29}
    assert await desk.everything() == before


async def test_who_vanished_is_missing_as_long_as_anybody_else(desk: Desk) -> None:
    await at_first(desk)
    desk.settings = {"absence_grace": 12}
    bring(desk, *students(29))
    for hours in (0, 1, 13):
        assert await inactive(desk) == set(), hours
        desk.clock.advance(hours * HOUR)
        await desk.sync()
    assert await inactive(desk) == {"s0029"}


async def test_who_is_listed_again_is_back(desk: Desk) -> None:
    await at_first(desk)
    bring(desk, *students(29))
    await desk.sync()
    bring(desk, *students(30))
    assert (await desk.sync()).changes["students"] == {"reenroll": 1, "unchanged": 29}
    bring(desk, *students(30), way="students")
    assert (await desk.sync()).changes["students"] == {"unchanged": 30}


async def test_p1_a_list_that_is_silent_today_was_not_replaced(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(30))
    desk.sis.put("students", *[student(f"former{number}") for number in range(3)], context="former")
    desk.sis.feeds["former_students", ""] = desk.sis.feeds.pop(("students", "former"))
    await desk.sync()
    del desk.sis.feeds["former_students", ""]
    await desk.sync()
    assert await inactive(desk) == set()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param(students(29), {"total": None}, id="its end could not be proved"),
        pytest.param([*students(29), bad("odd")], {}, id="a row cannot be read, and may be theirs"),
    ],
)
async def test_p1_without_proof_nobody_is_missing(desk: Desk, rows: list[Any], told: dict[str, Any]) -> None:
    await at_first(desk)
    bring(desk, *rows, **told)
    await desk.sync()
    assert await inactive(desk) == set()
    bring(desk, *students(29))
    await desk.sync()
    assert await inactive(desk) == {"s0029"}


async def test_what_came_in_the_new_way_counts_although_a_row_cannot_be_read(desk: Desk) -> None:
    await at_first(desk)
    bring(desk, *students(28)[1:], bad("s0000"))  # two are not there any more, and may be the one that cannot be read
    await desk.sync()
    bring(desk, *students(28, grade="06")[2:], bad("s0000"))
    await desk.sync()
    assert (await desk.student("s0005"))["grade"] == "06"
    assert await inactive(desk) == {"s0001"}
    bring(desk, *students(28)[2:], students(28)[0])
    await desk.sync()
    assert await inactive(desk) == {"s0001", "s0028", "s0029"}


async def test_many_lists_are_replaced_by_one_that_covers_them_and_others_are_out_of_sight(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"))
    desk.sis.put("students", student("s1"), student("s2"))
    desk.sis.put("sections", section("x"), section("y"))
    del desk.sis.feeds["enrollments", ""]
    for year, name in ((2027, "x"), (2027, "y"), (2026, "x")):
        rows = [enrollment(f"{name}{year}{user}", user=user, section=name) for user in ("s1", "s2")]
        desk.sis.put("enrollments", *rows, context=f"section={name};year={year}")
    await desk.sync()
    desk.sis.feeds = {stream: feed for stream, feed in desk.sis.feeds.items() if stream[0] != "enrollments"}
    rows = [enrollment(f"{name}2027{user}", user=user, section=name) for name, user in (("x", "s1"), ("x", "s2"), ("y", "s1"))]
    desk.sis.put("enrollments", *rows, context="year=2027")
    desk.sis.feeds["bulk", "year=2027"] = desk.sis.feeds.pop(("enrollments", "year=2027"))
    for hold in (await desk.sync()).holds:
        await desk.approve(hold)
    assert await inactive(desk, "enrollments") == {"y2027s2"}


async def test_a_row_that_fed_two_kinds_gives_up_the_one_that_comes_elsewhere(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    del desk.sis.feeds["school_enrollments", ""]
    people, stays = (
        [student(f"s{number}") for number in range(4)],
        [stay(f"e{number}", student=f"s{number}") for number in range(4)],
    )
    both = [
        row(one["key"], students=one["students"], school_enrollments=its["school_enrollments"])
        for one, its in zip(people, stays, strict=True)
    ]
    desk.sis.put("students", *both, also=("school_enrollments",))
    await desk.sync()
    assert len(await desk.roster("school_enrollments")) == 4
    desk.sis.put("students", *people)
    desk.sis.put("school_enrollments", *stays[:3])
    bring(desk, *people)
    for hold in (await desk.sync()).holds:
        await desk.approve(hold)
    assert (await inactive(desk, "school_enrollments"), await inactive(desk)) == ({"e3"}, set())
