"""Reads of changes only: when their mark moves, and how they are interrupted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from changing_sis import STUDENTS, ChangingSIS, asked_for_changes, standing
from roster_fixture import HOUR, Desk, Killed, school, stay, student, students
from sis_connect.capabilities import Capabilities
from sis_connect.provider import Scope
from sis_connect.roster import planning as engine
from sis_connect.roster.apply import Applier

# -- marks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"total": None}, id="its end could not be proved"),
        pytest.param({"total": 5}, id="the server counts more"),
        pytest.param({"ends": False}, id="it never ended"),
        pytest.param({"size": 1, "breaks": 1}, id="it broke off"),
        pytest.param({"breaks": 0}, id="it broke off at once"),
    ],
)
async def test_p4_a_mark_moves_only_with_a_proved_end(desk: Desk, sis: ChangingSIS, told: dict[str, Any]) -> None:
    rows = students(8)
    sis.put("students", *rows)
    await desk.sync()
    before = await standing(desk)
    rows[1], rows[2] = student("s0001", grade="06"), student("s0002", grade="06")
    sis.put("students", *rows, **told)
    report = await desk.sync()
    assert (report.status, [entry["endpoint"] for entry in report.incomplete]) == ("incomplete", ["students"])
    assert {**await standing(desk), "state": ""} == {**before, "state": ""}
    sis.put("students", *rows)
    report = await desk.sync()
    assert (report.status, sis.listed[STUDENTS], asked_for_changes(sis)) == ("succeeded", 2, True)
    assert (await desk.student("s0001"))["grade"] == (await desk.student("s0002"))["grade"] == "06"
    assert int(str((await standing(desk))["mark"])) > int(before["mark"])


async def test_a_full_read_that_did_not_prove_complete_leaves_mark_and_schedule(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8), size=2)
    await desk.sync()
    before = await standing(desk)
    feed["s0007"] = student("s0007", grade="06")
    feed.breaks = 2
    desk.clock.advance(HOUR)
    assert (await desk.sync(full=True)).status == "incomplete"
    after = await standing(desk)
    assert (after["mark"], after["full_at"]) == (before["mark"], before["full_at"])
    feed.breaks = None
    await desk.sync()
    assert asked_for_changes(sis)
    assert (await desk.student("s0007"))["grade"] == "06"
    assert (await standing(desk))["rows"] == 8


async def test_a_full_read_without_a_mark_forgets_the_old_one(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8))
    await desk.sync()
    sis.unmarked.add(STUDENTS)
    await desk.sync(full=True)
    assert (await standing(desk))["mark"] is None
    await desk.sync()
    assert not asked_for_changes(sis)


async def test_pages_of_both_sorts_in_one_stream_prove_nothing(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8), size=4)
    await desk.sync()
    listing = sis._listing

    async def mixed(stream: Any, *arguments: Any, **named: Any) -> Any:
        number = 0
        async for page in listing(stream, *arguments, **named):
            number += 1
            yield replace(page, changes_only=number == 2) if stream == STUDENTS else page

    sis._listing = mixed  # type: ignore[method-assign]
    sis.put("students", *students(7), size=4)
    assert (await desk.sync(full=True)).status == "incomplete"
    assert await desk.ask("SELECT key FROM sis_staged WHERE missing_pulls > 0") == []


# -- interrupted reads -------------------------------------------------------------------------------------------------


async def interrupt(desk: Desk, sis: ChangingSIS, pages: int, **request: Any) -> None:
    """Begin a read and die after so many pages of students; each takes long enough for a checkpoint."""
    sis.killed_after, sis.seconds_per_page = pages, 3.0
    with pytest.raises(Killed):
        await desk.sync(**request)
    sis.killed_after, sis.seconds_per_page = None, 0.0
    sis.asked.clear()


def students_first(sis: ChangingSIS, number: int = 12) -> None:
    sis.feeds.clear()
    sis.put("students", *students(number), size=2)
    sis.put("schools", school("A"))


KINDS = ("schools", "students")
PAGES = [(STUDENTS, number) for number in range(1, 7)]


@pytest.mark.usefixtures("any_length")
async def test_p4_a_list_of_changes_goes_on_where_it_was_interrupted(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis)
    await desk.sync(kinds=KINDS)
    before = (await standing(desk))["mark"]
    sis.put("students", *students(12, grade="06"), student("new"), size=2)
    await interrupt(desk, sis, 3, kinds=KINDS)
    report = await desk.sync(kinds=KINDS)
    assert sis.asked == [*PAGES[2:], (STUDENTS, 7), (("schools", ""), 1)]
    assert report.status == "succeeded"
    assert {found["grade"] for key, found in (await desk.roster("students")).items() if key != "new"} == {"06"}
    assert (await standing(desk))["rows"] == 13
    # It knows no mark of its own, so the next one begins where this one did.
    assert (await standing(desk))["mark"] == before
    await desk.sync(kinds=KINDS)
    assert (sis.listed[STUDENTS], (await standing(desk))["mark"]) == (13, str(sis.number))


async def test_p4_a_full_read_goes_on_as_such_and_counts_from_its_beginning(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis)
    await desk.sync(kinds=KINDS)
    before = (await standing(desk))["mark"]
    desk.clock.advance(HOUR)
    began = desk.clock.now()
    await interrupt(desk, sis, 3, kinds=KINDS, full=True)
    await desk.sync(kinds=KINDS)
    assert not asked_for_changes(sis)
    assert sis.asked == [*PAGES[2:], (("schools", ""), 1)]
    after = await standing(desk)
    assert (after["full_at"], after["mark"]) == (began.isoformat(), before)


async def test_p4_a_list_of_changes_is_not_gone_on_with_once_everything_is_due(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis)
    await desk.sync(kinds=KINDS)
    desk.clock.advance(23.45 * HOUR)
    sis.put("students", *students(12, grade="06"), size=2)
    await interrupt(desk, sis, 3, kinds=KINDS)
    desk.clock.advance(400)
    assert (await desk.sync(kinds=KINDS)).status == "succeeded"
    assert not asked_for_changes(sis)
    assert sis.asked == [*PAGES, (("schools", ""), 1)]
    assert {found["grade"] for found in (await desk.roster("students")).values()} == {"06"}


async def test_p4_a_list_of_changes_that_was_read_to_its_end_is_not_read_again(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis, 4)
    sis.put("schools", school("A"), school("B"), school("C"), size=1)
    await desk.sync(kinds=KINDS)
    sis.put("students", *students(4, grade="06"), size=2)
    await interrupt(desk, sis, 4, kinds=KINDS)
    report = await desk.sync(kinds=KINDS)
    assert STUDENTS not in {asked for asked, _ in sis.asked}
    assert report.read["changes"] == 1
    assert {found["grade"] for found in (await desk.roster("students")).values()} == {"06"}


async def test_p4_rows_that_are_read_differently_are_not_gone_on_with(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis)
    await interrupt(desk, sis, 3, kinds=KINDS)
    sis.version, sis.reading = "2", {"grade": "07"}
    await desk.sync(kinds=KINDS)
    assert {found["grade"] for found in (await desk.roster("students")).values()} == {"07"}


@pytest.mark.usefixtures("any_length")
async def test_p4_after_an_interrupted_list_of_changes_everything_is_known_as_it_is(desk: Desk, sis: ChangingSIS) -> None:
    students_first(sis)
    await desk.sync(kinds=KINDS)
    sis.put("students", *students(12, grade="06"), size=2)
    await interrupt(desk, sis, 3, kinds=KINDS)
    desk.clock.advance(HOUR)
    await desk.sync(kinds=KINDS)
    sis.put("students", *students(12), size=2)
    desk.clock.advance(24 * HOUR)
    await desk.sync(kinds=KINDS)
    assert not asked_for_changes(sis)
    assert {found["grade"] for found in (await desk.roster("students")).values()} == {"05"}


# -- what a full read is good for --------------------------------------------------------------------------------------


async def a_day_later(desk: Desk, sis: ChangingSIS, **capabilities: Any) -> None:
    """30 students, each with a stay that the same row brings, of whom a day later one is gone."""
    desk.settings = {"absence_grace": 0}
    own = sis.info.capabilities
    kinds: dict[Any, Any] = {kind: replace(own.of(kind), leaving="absence") for kind in own.offered()}
    sis.info = replace(sis.info, capabilities=Capabilities(kinds | capabilities))
    del sis.feeds["school_enrollments", ""]
    stays = [stay(f"stay{number}", student=f"s{number:04d}") for number in range(30)]
    rows = [{**its, **one} for one, its in zip(students(30), stays, strict=True)]
    sis.put("students", *rows, also=("school_enrollments",))
    await desk.sync()
    desk.clock.advance(24 * HOUR)
    sis.feeds[STUDENTS].drop("s0003")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"how": "plan"}, id="it was for a plan"),
        pytest.param({"dies": (engine, "succeed")}, id="the process died before it was decided about"),
        pytest.param({"dies": (Applier, "apply")}, id="the process died before that was applied"),
        pytest.param({"kinds": ("students",)}, id="not all that it told was asked for"),
        pytest.param({"scope": Scope(schools=frozenset("B"))}, id="it was about another school"),
        pytest.param({"strict": True, "gone": 10}, id="all was held"),
    ],
)
async def test_p4_a_full_read_counts_once_what_follows_from_it_was_applied(
    desk: Desk, sis: ChangingSIS, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any]
) -> None:
    await a_day_later(desk, sis)
    asked = {name: value for name, value in what.items() if name in ("kinds", "scope", "strict")}
    sis.feeds[STUDENTS].drop(*[f"s{number:04d}" for number in range(what.get("gone", 0))])
    with monkeypatch.context() as patched:
        if "dies" in what:

            async def die(*_: Any, **__: Any) -> None:
                raise Killed

            owner, name = what["dies"]
            patched.setattr(owner, name, die)
            with pytest.raises(Killed):
                await desk.sync()
        else:
            await (desk.plan if "how" in what else desk.sync)(**asked)
    desk.clock.advance(HOUR)
    report = await desk.sync()
    assert not asked_for_changes(sis)
    for hold in report.holds:
        await desk.approve(hold)
    assert ((await desk.student("s0003"))["status"], (await desk.statuses("school_enrollments"))["stay3"]) == (
        "inactive", "inactive",
    )  # fmt: skip
    desk.clock.advance(HOUR)
    await desk.sync()
    assert asked_for_changes(sis)


async def test_p9_an_empty_list_that_nobody_has_decided_about_is_read_again(
    desk: Desk, sis: ChangingSIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_day_later(desk, sis)
    sis.feeds[STUDENTS].rows = []
    await desk.plan()
    desk.clock.advance(HOUR)
    report = await desk.sync()
    assert "empty" in {hold.guard for hold in report.holds}
    desk.clock.advance(HOUR)
    await desk.sync()
    assert asked_for_changes(sis)  # what is held is decided


async def test_a_list_that_also_feeds_what_has_no_changes_is_read_whole_though_only_the_rest_was_asked_for(
    desk: Desk, sis: ChangingSIS
) -> None:
    own = sis.info.capabilities.of("school_enrollments")
    await a_day_later(desk, sis, school_enrollments=replace(own, delta="none"))
    feed = sis.feeds[STUDENTS]
    feed.kinds = ("students",)  # a page speaks of what was asked for
    await desk.sync(kinds=("students",))
    feed.kinds = ("students", "school_enrollments")
    desk.clock.advance(HOUR)
    await desk.sync()
    assert not asked_for_changes(sis)


async def one_school(desk: Desk, sis: ChangingSIS, *rows: Any) -> None:
    """Read the students of school A in a way of its own, and then let them be listed in the usual way again."""
    feed = sis.feeds.pop(STUDENTS)
    sis.put("students", *rows, context="school=A", school="A")
    sis.feeds["students_of_school", "school=A"] = sis.feeds.pop(("students", "school=A"))
    await desk.sync(kinds=("students",), scope=Scope(schools=frozenset("A")))
    del sis.feeds["students_of_school", "school=A"]
    sis.feeds[STUDENTS] = feed


async def test_who_only_a_narrow_read_has_seen_leaves_though_a_list_of_changes_came_first(desk: Desk, sis: ChangingSIS) -> None:
    await a_day_later(desk, sis)
    await desk.sync()
    await one_school(desk, sis, *students(30)[4:], student("guest"))
    assert (await desk.student("guest"))["status"] == "active"
    sis.feeds[STUDENTS]["s0005"] = student("s0005", grade="06")
    desk.clock.advance(HOUR)
    await desk.sync()
    assert asked_for_changes(sis)
    assert (await desk.student("s0005"))["grade"] == "06"
    desk.clock.advance(24 * HOUR)
    await desk.sync()
    assert (await desk.student("guest"))["status"] == "inactive"


async def test_the_rows_of_a_list_are_counted_right_though_a_narrow_read_has_brought_one_back(
    desk: Desk, sis: ChangingSIS
) -> None:
    await a_day_later(desk, sis)
    await desk.sync()
    assert (await standing(desk))["rows"] == 29
    sis.feeds[STUDENTS].rows.append(student("s0003"))
    await one_school(desk, sis, student("s0003"))
    desk.clock.advance(HOUR)
    await desk.sync()
    assert asked_for_changes(sis)
    assert await desk.ask("SELECT rows FROM sis_stream WHERE endpoint = 'students'") == [(30,)]
