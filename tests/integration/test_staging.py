"""Reading into the staged snapshot: what is recognised, what proves complete, what waits, and how an interrupted read goes on."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import HOUR, Desk, Killed, bad, enrollment, row, school, section, staff, student, students
from sis_connect.provider import Scope


async def missing(desk: Desk) -> dict[str, int]:
    """How many complete reads were without each row."""
    return {row[0]: row[1] for row in await desk.ask("SELECT key, missing_pulls FROM sis_staged WHERE missing_pulls > 0")}


# -- completeness ------------------------------------------------------------------------------------------------------


async def test_p1_a_row_that_a_complete_read_did_not_bring_is_missing(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed.drop("s0002")
    report = await desk.sync()
    assert report.status == "succeeded"
    assert await missing(desk) == {"s0002": 1}


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"total": None}, id="its end could not be proved"),
        pytest.param({"total": 5}, id="the server counts more"),
        pytest.param({"ends": False}, id="it never ended"),
        pytest.param({"size": 2, "breaks": 1}, id="it broke off"),
    ],
)
async def test_p1_an_incomplete_read_adds_and_takes_nothing_away(desk: Desk, told: dict[str, Any]) -> None:
    desk.sis.put("students", *students(5))
    await desk.sync()
    desk.sis.put("students", student("new"), *students(2), **told)
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("incomplete", 4)
    assert [entry["endpoint"] for entry in report.incomplete] == ["students"]
    assert await missing(desk) == {}
    assert "new" in await desk.roster("students")
    desk.clock.advance(24 * HOUR)
    await desk.sync()
    assert set((await desk.statuses("students")).values()) == {"active"}


async def test_p1_a_page_that_came_twice_hides_another_one(desk: Desk) -> None:
    desk.sis.put("students", *students(6), size=2)
    await desk.sync()
    rows = students(6)
    desk.sis.put("students", *rows[:4], *rows[2:4], size=2, total=6)
    assert (await desk.sync()).status == "incomplete"
    assert await missing(desk) == {}


async def test_p1_what_lies_outside_the_scope_is_out_of_sight(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", student("a"), context="A", school="A")
    desk.sis.put("students", student("b", school="B"), context="B", school="B")
    await desk.sync()
    desk.sis.put("schools", school("A"))
    desk.sis.put("students", context="B", school="B")
    desk.sis.put("students", student("a", grade="06"), context="A", school="A")
    assert (await desk.sync(kinds=("students",), scope=Scope(schools=frozenset(["A"])))).status == "succeeded"
    assert await desk.statuses("students") == {"a": "active", "b": "active"}
    assert (await desk.student("a"))["grade"] == "06"
    assert await desk.statuses("schools") == {"A": "active", "B": "active"}


async def test_p9_a_kind_that_is_lacking_is_not_offered_and_never_zero(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    report = await desk.sync()
    assert report.records["guardians"] == "not_offered"
    assert report.records["students"] == 1
    assert report.records["courses"] == 0


async def test_p9_a_kind_of_which_nothing_was_observed_is_incomplete(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    del desk.sis.feeds["courses", ""]
    report = await desk.sync()
    assert report.status == "incomplete"
    assert report.incomplete == [{"endpoint": "courses", "context": "", "reason": "nothing was observed of it"}]


async def test_p9_where_everything_breaks_the_run_has_failed(desk: Desk) -> None:
    for feed in desk.sis.feeds.values():
        feed.breaks = 0
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert report.error.category == "network"


# -- recognising -------------------------------------------------------------------------------------------------------


async def test_p5_unchanged_rows_are_not_parsed_again(desk: Desk) -> None:
    desk.sis.put("students", *students(30), size=7)
    await desk.sync()
    desk.sis.reading = {"given_name": "would be seen"}
    report = await desk.sync()
    assert report.changes["students"] == {"unchanged": 30}
    assert report.records["students"] == 30


async def test_rows_in_another_order_are_the_same_rows(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30), size=7)
    await desk.sync()
    before = await desk.everything()
    feed.rows = [*feed.rows[20:], *feed.rows[:20][::-1]]
    assert (await desk.sync()).status == "succeeded"
    assert await desk.everything() == before
    assert await missing(desk) == {}


async def test_a_row_that_feeds_nothing_is_recognised_too(desk: Desk) -> None:
    feed = desk.sis.put("students", student("s1"), row("nobody"))
    await desk.sync()
    report = await desk.sync()
    assert (report.status, report.records["students"]) == ("succeeded", 1)
    feed["nobody"] = row("nobody", students=student("s2")["students"])
    await desk.sync()
    assert set(await desk.roster("students")) == {"s1", "s2"}


async def test_a_transfer_between_two_streams_counts_a_student_once(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    del desk.sis.feeds["students", ""]
    desk.sis.put("students", student("s1"), student("s2"), context="A", school="A")
    desk.sis.put("students", student("s3", school="B"), context="B", school="B")
    await desk.sync()
    desk.sis.put("students", student("s2"), context="A", school="A")
    desk.sis.put("students", student("s1", school="B"), student("s3", school="B"), context="B", school="B")
    report = await desk.sync()
    assert report.records["students"] == 3
    assert report.changes["students"] == {"update": 1, "unchanged": 2}
    assert (await desk.student("s1"))["school"] == "B"


async def test_a_record_is_counted_once_also_where_a_stream_is_gone(desk: Desk) -> None:
    desk.sis.put("students", *students(3))
    del desk.sis.feeds["staff", ""]
    for at in "ABC":
        desk.sis.put("staff", staff(f"{at}1", "t1", badge=f"{at}1"), staff(f"{at}2", f"t{at}", badge=f"{at}2"), context=at)
    assert (await desk.sync()).records["staff"] == 4
    del desk.sis.feeds["staff", "C"]
    desk.sis.feeds["staff", "B"]["B2"] = bad("B2")
    report = await desk.sync()
    assert (report.records["staff"], report.records["students"]) == (2, 3)


async def test_fields_that_nobody_asked_for_are_not_kept(desk: Desk) -> None:
    desk.sis.put("students", student("s1", birth_date="2015-01-02", gender="X"))
    desk.settings = {"fields": ("gender",)}
    await desk.sync()
    assert (await desk.student("s1"))["gender"] == "X"
    ((document,),) = await desk.ask("SELECT document FROM sis_staged WHERE kind = 'students'")
    assert "gender" in document
    assert "birth_date" not in document


async def test_p7_raw_rows_are_never_stored(desk: Desk) -> None:
    desk.sis.put("students", {**student("s1"), "nickname": "Sparrow"}, {**bad("s2"), "nickname": "Sparrow"})
    await desk.sync()
    tables = [table for (table,) in await desk.ask("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        assert "Sparrow" not in str(await desk.ask(f'SELECT * FROM "{table}"')), table


# -- what cannot be read -----------------------------------------------------------------------------------------------


async def test_p2_an_invalid_row_waits_and_keeps_its_last_good_state(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0002"] = bad("s0002")
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 1)
    assert report.changes["students"] == {"unchanged": 4, "quarantine": 1}
    assert await desk.waiting() == [("students", "s0002")]
    assert await missing(desk) == {}
    assert (await desk.student("s0002"))["status"] == "active"


async def test_p2_a_row_that_reads_as_it_did_before_leaves_quarantine_though_the_end_is_not_proved(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0003"] = bad("s0003")
    assert (await desk.sync()).quarantined == 1
    feed["s0003"], feed.total = student("s0003"), None
    assert (await desk.sync()).quarantined == 0
    feed["s0003"] = bad("s0003")
    assert (await desk.sync()).quarantined == 1


async def test_p2_a_row_that_can_be_read_again_leaves_quarantine(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5), bad("s9"))
    await desk.sync()
    assert await desk.waiting() == [("students", "s9")]
    feed["s0002"], feed["s9"] = bad("s0002"), student("s9")
    await desk.sync()
    assert await desk.waiting() == [("students", "s0002")]
    feed["s0002"] = student("s0002")
    await desk.sync()
    assert await desk.waiting() == []
    assert len(await desk.roster("students")) == 6


async def test_p2_a_bad_row_that_no_longer_comes_waits_no_longer(desk: Desk) -> None:
    feed = desk.sis.put("students", student("s1"), bad("s9"))
    await desk.sync()
    feed.drop("s9")
    await desk.sync()
    assert await desk.waiting() == []


async def test_p2_where_half_the_students_are_invalid_nobody_is_missing(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(40))
    await desk.sync()
    before = await desk.everything()
    for number in range(20):
        feed[f"s{number:04d}"] = bad(f"s{number:04d}")
    report = await desk.sync()
    assert (report.status, report.quarantined, report.records["students"]) == ("held", 20, 20)
    assert report.held["students"] == {"quarantine": 20}
    assert await desk.everything() == before


async def test_p2_a_row_whose_key_cannot_be_read_hides_nobody(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(3))
    await desk.sync()
    feed["s0001"] = bad(None)
    report = await desk.sync()
    assert report.status == "incomplete"
    assert await missing(desk) == {}
    feed.rows = [*students(3), bad(None)]
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 1)


# -- one record, several rows; one row, several records ----------------------------------------------------------------


async def test_one_human_at_two_schools_is_one_record_and_one_affiliation_may_vanish(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("schools", school("A"), school("B"))
    del desk.sis.feeds["staff", ""]
    desk.sis.put("staff", staff("65", "t1", badge="65"), context="A", school="A")
    desk.sis.put("staff", staff("66", "t1", badge="66", schools=["B"]), context="B", school="B")
    report = await desk.sync()
    assert report.records["staff"] == 1
    assert (await desk.roster("staff"))["t1"]["schools"] == ["A", "B"]
    assert (await desk.roster("staff"))["t1"]["ids"] == {"badge": ["65", "66"]}
    desk.sis.put("staff", context="B", school="B")
    report = await desk.sync()
    assert (report.status, report.changes["staff"]) == ("succeeded", {"update": 1, "unchanged": 0})
    ida = (await desk.roster("staff"))["t1"]
    assert (ida["schools"], ida["ids"], ida["status"]) == (["A"], {"badge": "65"}, "active")


async def test_a_row_may_feed_more_records_than_before_and_fewer(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("staff", staff("65", "t1", badge="65"), staff("66", "t2", badge="66"))
    lead = {"section": "x", "role": "teacher", "school": "A"}

    async def leads() -> dict[str, str]:
        return {sis_id: status for sis_id, status in (await desk.statuses("enrollments")).items() if sis_id.startswith("x-")}

    feed = desk.sis.put("sections", section("x"), also=("enrollments",))
    desk.sis.put("enrollments", *[enrollment(f"e{number}") for number in range(30)])
    await desk.sync()
    first = {**section("x"), "enrollments": {"sis_id": "x-t1", "user": {"ref": ["staff", "badge", "65"]}, **lead}}
    feed["x"] = first
    assert (await desk.sync()).changes["enrollments"] == {"create": 1, "unchanged": 30}
    feed["x"] = {**section("x"), "enrollments": {"sis_id": "x-t2", "user": {"ref": ["staff", "badge", "66"]}, **lead}}
    await desk.sync()
    assert await leads() == {"x-t1": "inactive", "x-t2": "active"}
    feed["x"] = first
    await desk.sync()
    assert await leads() == {"x-t1": "active", "x-t2": "inactive"}
    feed["x"] = section("x")
    await desk.sync()
    assert await leads() == {"x-t1": "inactive", "x-t2": "inactive"}
    assert (await desk.roster("enrollments"))["x-t1"]["user"] == "t1"


# -- an interrupted read -----------------------------------------------------------------------------------------------


async def interrupt(desk: Desk, pages: int) -> None:
    """Begin a read and die after so many pages; each takes long enough for a checkpoint."""
    desk.sis.killed_after, desk.sis.seconds_per_page = pages, 3.0
    with pytest.raises(Killed):
        await desk.sync()
    desk.sis.killed_after, desk.sis.seconds_per_page = None, 0.0
    desk.sis.asked.clear()


def only_students(desk: Desk, number: int = 12) -> None:
    desk.sis.feeds.clear()
    desk.sis.put("schools", school("A"))
    desk.sis.put("students", *students(number), size=2)
    desk.settings = {"absence_grace": 0}


PAGES = [(("students", ""), number) for number in range(1, 7)]


async def test_p4_an_interrupted_read_goes_on_after_a_look_at_its_last_page(desk: Desk) -> None:
    only_students(desk)
    await interrupt(desk, 4)
    desk.clock.advance(580)
    await desk.sync(kinds=("schools", "students"))
    assert desk.sis.asked == PAGES[2:]
    assert len(await desk.roster("students")) == 12
    assert set((await desk.statuses("students")).values()) == {"active"}


async def test_p4_a_read_of_known_rows_goes_on_too(desk: Desk) -> None:
    only_students(desk)
    await desk.sync(kinds=("schools", "students"))
    desk.sis.feeds["students", ""]["s0001"] = student("s0001", grade="06")
    desk.sis.feeds["students", ""]["s0002"] = bad("s0002")
    desk.sis.feeds["students", ""].drop("s0009")
    await interrupt(desk, 4)
    report = await desk.sync(kinds=("schools", "students"))
    assert desk.sis.asked == PAGES[2:]
    assert report.status == "succeeded"
    assert await missing(desk) == {"s0009": 1}
    assert (await desk.student("s0001"))["grade"] == "06"
    assert [sis_id for sis_id, status in (await desk.statuses("students")).items() if status == "inactive"] == ["s0009"]


async def test_p4_an_older_read_is_begun_again(desk: Desk) -> None:
    only_students(desk)
    await interrupt(desk, 4)
    desk.clock.advance(601)
    await desk.sync(kinds=("schools", "students"))
    assert desk.sis.asked == [(("schools", ""), 1), *PAGES]
    assert len(await desk.roster("students")) == 12


async def test_p4_where_the_ground_has_moved_all_is_read_again(desk: Desk) -> None:
    only_students(desk)
    await interrupt(desk, 4)
    feed = desk.sis.feeds["students", ""]
    feed.rows.insert(0, student("new"))
    report = await desk.sync(kinds=("schools", "students"))
    assert desk.sis.asked == [PAGES[2], (("schools", ""), 1), *PAGES, (("students", ""), 7)]
    assert report.status == "succeeded"
    assert len(await desk.roster("students")) == 13


async def test_p4_a_read_that_is_complete_is_not_gone_on_with(desk: Desk) -> None:
    only_students(desk)
    await desk.sync(kinds=("schools", "students"))
    desk.sis.asked.clear()
    await desk.sync(kinds=("schools", "students"))
    assert desk.sis.asked == [(("schools", ""), 1), *PAGES]


async def test_p9_a_run_that_was_killed_has_not_succeeded(desk: Desk) -> None:
    only_students(desk)
    await interrupt(desk, 4)
    assert await desk.ask("SELECT status FROM sis_sync_operation") == [("failed",)]
