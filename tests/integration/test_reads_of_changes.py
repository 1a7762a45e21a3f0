"""Reads of changes only: what they write, what they leave alone, and when everything is read again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from changing_sis import STUDENTS, ChangingSIS, asked_for_changes, standing
from roster_fixture import HOUR, Desk, bad, row, school, student, students
from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.provider import Scope
from sis_connect.roster import staged_rows

# -- what a list of changes does ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_length")
async def test_p1_changes_are_written_and_what_is_not_listed_stays(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8), size=3)
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    feed["s0002"] = student("s0002", status="tobedeleted")
    feed.rows.append(student("new"))
    feed.drop("s0003")  # it vanishes, and a list of changes does not speak of it
    report = await desk.sync()
    assert sis.listed[STUDENTS] == 3
    assert report.status == "succeeded"
    assert report.records["students"] == 9
    assert report.changes["students"] == {"update": 1, "withdraw": 1, "create": 1, "unchanged": 6}
    assert (await desk.student("s0001"))["grade"] == "06"
    statuses = await desk.statuses("students")
    assert (statuses["s0002"], statuses["s0003"], statuses["new"]) == ("inactive", "active", "active")
    assert await desk.ask("SELECT key FROM sis_staged WHERE missing_pulls > 0") == []


async def test_a_list_without_rows_changes_nothing_and_is_no_empty_scope(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(30))
    await desk.sync()
    before = await desk.everything()
    for _ in range(2):
        report = await desk.sync()
        assert (report.status, sis.listed[STUDENTS]) == ("succeeded", 0)
        assert (report.records["students"], report.changes["students"]) == (30, {"unchanged": 30})
        assert (report.holds, report.incomplete) == ([], [])
    assert await desk.everything() == before


async def test_p5_what_is_listed_twice_is_written_once(desk: Desk, sis: ChangingSIS) -> None:
    sis.overlap = 5
    feed = sis.put("students", *students(6))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    before = await desk.everything()
    report = await desk.sync()
    assert sis.listed[STUDENTS] == 6
    assert report.changes["students"] == {"unchanged": 6}
    assert await desk.everything() == before
    assert await desk.ask("SELECT * FROM sis_candidate") == []


@pytest.mark.usefixtures("any_length")
async def test_what_changes_and_changes_back_is_back_in_the_roster(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8), size=3)
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    feed.rows.append(student("new", grade="01"))
    await desk.sync()
    feed["new"] = student("new", grade="02")
    await desk.sync()
    feed["s0001"] = student("s0001")
    feed["new"] = student("new", grade="01")
    desk.clock.advance(24 * HOUR)
    report = await desk.sync()
    assert not asked_for_changes(sis)
    assert report.changes["students"] == {"update": 2, "unchanged": 7}
    assert ((await desk.student("s0001"))["grade"], (await desk.student("new"))["grade"]) == ("05", "01")


@pytest.mark.usefixtures("any_length")
async def test_rows_that_a_list_of_changes_brought_are_recognised_by_the_next_full_read(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8), size=3)
    await desk.sync()
    for grade in ("06", "07"):
        feed["s0001"] = student("s0001", grade=grade)
        feed.rows.append(student(f"new{grade}"))
        await desk.sync()
    desk.clock.advance(24 * HOUR)
    sis.reading = {"given_name": "would be seen"}
    assert (await desk.sync()).changes["students"] == {"unchanged": 10}
    assert not asked_for_changes(sis)


async def test_who_is_missing_comes_back_with_a_change(desk: Desk, sis: ChangingSIS) -> None:
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(30), student("s9"), bad("s8"))
    await desk.sync()
    feed.drop("s9")
    await desk.sync(full=True)
    assert (await desk.statuses("students"))["s9"] == "inactive"
    assert (await standing(desk))["rows"] == 31
    feed.rows.append(student("s9", grade="06"))
    report = await desk.sync()
    assert asked_for_changes(sis)
    assert report.changes["students"] == {"reenroll": 1, "unchanged": 30}
    assert await desk.ask("SELECT key FROM sis_staged WHERE missing_pulls > 0") == []
    assert (await standing(desk))["rows"] == 32


def leaving_by_absence(sis: ChangingSIS) -> Capabilities:
    own = sis.info.capabilities
    return Capabilities({kind: replace(own.of(kind), leaving="absence") for kind in own.offered()})


async def test_p1_nobody_is_withdrawn_on_the_word_of_a_list_of_changes(desk: Desk, sis: ChangingSIS) -> None:
    """Two full reads were without somebody, too close together; a list of changes is not the third."""
    desk.settings = {"absence_grace": 12}
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(30))
    await desk.sync()
    feed.drop("s0003")
    await desk.sync(full=True)
    desk.clock.advance(HOUR)
    await desk.sync(full=True)
    desk.clock.advance(13 * HOUR)
    await desk.edit("s0003", grade="06")  # so that somebody looks
    await desk.sync()
    assert asked_for_changes(sis)
    assert (await desk.statuses("students"))["s0003"] == "active"
    await desk.sync(full=True)
    assert (await desk.statuses("students"))["s0003"] == "inactive"


async def test_p2_an_invalid_row_in_a_list_of_changes_waits_and_heals(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(40), bad("s9"))
    await desk.sync()
    for number in range(3):
        feed[f"s000{number}"] = bad(f"s000{number}")
    report = await desk.sync()
    assert (report.status, report.quarantined, report.records["students"]) == ("held", 4, 37)
    await desk.approve(report.holds[0])
    feed["s0000"], feed["s9"] = student("s0000"), student("s9")
    report = await desk.sync()
    assert (report.status, report.quarantined, report.records["students"]) == ("succeeded", 2, 39)
    assert (await standing(desk))["rows"] == 41


async def test_the_guard_of_invalid_rows_compares_with_the_whole_list(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(100))
    await desk.sync()
    feed["s0000"] = bad("s0000")
    for number in range(1, 30):
        feed[f"s{number:04d}"] = student(f"s{number:04d}", grade="06")
    report = await desk.sync()
    assert (report.status, sis.listed[STUDENTS], report.quarantined) == ("succeeded", 30, 1)


async def test_a_row_without_a_key_is_told_once(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8))
    await desk.sync()
    before = (await standing(desk))["mark"]
    feed.rows.append({**bad(None), "key": None})
    assert (await desk.sync()).status == "incomplete"
    assert (await standing(desk))["mark"] == before
    assert (await desk.sync()).status == "succeeded"
    assert (await standing(desk))["mark"] != before


async def test_a_row_that_feeds_nothing_any_more_withdraws_nobody_by_itself(desk: Desk, sis: ChangingSIS) -> None:
    feed = sis.put("students", *students(8), row("nobody"))
    await desk.sync()
    feed["nobody"] = row("nobody", note="changed")
    assert (await desk.sync()).changes["students"] == {"unchanged": 8}


# -- when changes are asked for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "settings", "changes"),
    [
        pytest.param(1, {}, True, id="an hour later"),
        pytest.param(23, {}, True, id="before the day is over"),
        pytest.param(23.6, {}, False, id="the next night, somewhat early"),
        pytest.param(24, {}, False, id="a day later"),
        pytest.param(24, {"full_every": 168}, True, id="a day later, with a full read each week"),
        pytest.param(168, {"full_every": 168}, False, id="a week later"),
        pytest.param(1, {"full_every": 0}, False, id="always all"),
    ],
)
async def test_everything_is_read_again_on_a_schedule(
    desk: Desk, sis: ChangingSIS, hours: float, settings: dict[str, Any], changes: bool
) -> None:
    sis.put("students", *students(8))
    desk.settings |= settings
    await desk.sync()
    desk.clock.advance(hours * HOUR)
    report = await desk.sync()
    assert asked_for_changes(sis) is changes
    assert report.read["changes"] == (6 if changes else 0)


async def test_a_full_read_counts_from_its_beginning_and_lists_of_changes_do_not_put_it_off(desk: Desk, sis: ChangingSIS) -> None:
    sis.seconds_per_page = 3
    sis.put("students", *students(8), size=2)
    began = desk.clock.now()
    await desk.sync()
    first = await standing(desk)
    assert first["full_at"] == began.isoformat()
    for _ in range(5):
        desk.clock.advance(5 * HOUR)
        known = await standing(desk)
        report = await desk.sync()
        if asked_for_changes(sis):
            assert (known["complete_at"], known["full_at"]) == (first["complete_at"], first["full_at"])
    assert not asked_for_changes(sis)
    assert report.read == {"changes": 0, "whole": 7, "full_due": None}
    assert (await standing(desk))["full_at"] > first["full_at"]


async def test_the_report_says_what_was_read_how(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8))
    began = desk.clock.now()
    assert (await desk.sync()).as_dict()["read"] == {"changes": 0, "whole": 7, "full_due": None}
    report = await desk.sync()
    due = began.replace(day=began.day + 1).isoformat()
    assert report.as_dict()["read"] == {"changes": 6, "whole": 1, "full_due": due}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"full": True}, id="a full sync"),
        pytest.param({"scope": Scope(schools=frozenset("A"))}, id="one school"),
        pytest.param({"scope": Scope(students=frozenset(["s0001"]))}, id="one student"),
    ],
)
async def test_these_reads_are_of_everything_they_are_about(desk: Desk, sis: ChangingSIS, request_: dict[str, Any]) -> None:
    sis.put("students", *students(8))
    await desk.sync()
    await desk.sync(**request_)
    assert sis.since is None


async def test_a_full_plan_reads_everything_and_another_one_the_changes(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8))
    await desk.sync()
    await desk.plan()
    assert asked_for_changes(sis)
    await desk.plan(full=True)
    assert sis.since is None


async def test_kinds_that_cannot_tell_their_changes_are_read_whole(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8), also=("schools",))
    sis.put("staff")
    sis.unmarked.add(("courses", ""))
    await desk.sync()
    await desk.sync()
    assert isinstance(sis.since, dict)
    assert {endpoint for endpoint, _ in sis.since} == {"staff", "school_enrollments", "sections", "enrollments"}


async def test_a_provider_without_deltas_is_not_asked_since_when(desk: Desk, sis: ChangingSIS) -> None:
    none = {kind: KindCapabilities(offered=True) for kind in sis.info.capabilities.offered()}
    sis.info = replace(sis.info, capabilities=Capabilities(none))
    sis.put("students", *students(8))
    await desk.sync()
    await desk.sync()
    assert sis.since is None


async def test_rows_that_are_read_differently_by_now_are_all_read_again(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("students", *students(8))
    await desk.sync()
    sis.version, sis.reading = "2", {"grade": "07"}
    report = await desk.sync()
    assert sis.since is None
    assert report.changes["students"] == {"update": 8, "unchanged": 0}
    await desk.sync()
    assert asked_for_changes(sis)


async def test_a_stream_that_lists_everything_though_asked_for_changes_is_judged_as_whole(desk: Desk, sis: ChangingSIS) -> None:
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(30))
    await desk.sync()
    desk.clock.advance(HOUR)
    sis.whole.add(STUDENTS)
    feed.drop("s0003")
    report = await desk.sync()
    assert (report.read["changes"], report.changes["students"]) == (5, {"withdraw": 1, "unchanged": 29})
    assert (await standing(desk))["full_at"] == desk.clock.now().isoformat()


async def test_a_provider_may_list_students_elsewhere_and_come_back(desk: Desk, sis: ChangingSIS) -> None:
    rows = students(30)
    sis.put("students", *rows)
    await desk.sync()
    del sis.feeds[STUDENTS]
    other = sis.put("students", student("s0000", grade="06"), *rows[1:])
    sis.feeds["people", ""] = sis.feeds.pop(STUDENTS)
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 1, "unchanged": 29})
    assert (await desk.student("s0000"))["grade"] == "06"
    sis.feeds[STUDENTS] = sis.feeds.pop(("people", ""))
    other["s0001"] = student("s0001", grade="07")
    report = await desk.sync()
    assert not asked_for_changes(sis)
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 1, "unchanged": 29})


async def test_a_read_of_one_school_in_between_loses_nothing(desk: Desk, sis: ChangingSIS) -> None:
    sis.put("schools", school("A"), school("B"))
    feed = sis.put("students", *students(8))
    await desk.sync()
    sis.put("students", student("s0000", grade="06"), context="school=A", school="A")
    sis.feeds["students_of_school", "school=A"] = sis.feeds.pop(("students", "school=A"))
    del sis.feeds[STUDENTS]
    await desk.sync(kinds=("students",), scope=Scope(schools=frozenset("A")))
    assert (await desk.student("s0000"))["grade"] == "06"
    sis.feeds[STUDENTS] = feed
    del sis.feeds["students_of_school", "school=A"]
    feed["s0000"], feed["s0001"] = student("s0000", grade="06"), student("s0001", grade="07")
    report = await desk.sync()
    assert asked_for_changes(sis)
    assert report.changes["students"] == {"update": 1, "unchanged": 7}


async def test_a_hold_of_a_full_read_stays_open_until_the_next_one(desk: Desk, sis: ChangingSIS) -> None:
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(100))
    await desk.sync()
    rows, feed.rows = feed.rows, feed.rows[:50]
    assert (await desk.sync(full=True)).status == "held"
    before = await desk.holds()
    report = await desk.sync()
    assert (asked_for_changes(sis), await desk.holds()) == (True, before)
    assert report.status == "held"
    feed.rows = rows
    await desk.sync(full=True)
    assert await desk.holds() == []


async def test_a_full_read_takes_in_what_was_noted_beside_the_fingerprints(
    desk: Desk, sis: ChangingSIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_rows, "_WORTH_KEEPING", 3)
    feed = sis.put("students", *students(8))
    await desk.sync()
    for grade in ("06", "07"):
        feed["s0001"] = student("s0001", grade=grade)
        await desk.sync()
    assert await desk.ask("SELECT portion FROM sis_fingerprint ORDER BY portion") == [(-2,), (-1,), (0,)]
    await desk.sync()
    assert len(await desk.ask("SELECT 1 FROM sis_fingerprint")) == 3  # nothing came, and nothing is noted
    desk.clock.advance(24 * HOUR)
    await desk.sync()
    assert await desk.ask("SELECT portion FROM sis_fingerprint") == [(0,)]


async def test_p1_a_hold_stays_open_where_its_list_broke_off(desk: Desk, sis: ChangingSIS) -> None:
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(100))
    await desk.sync()
    feed.rows = feed.rows[:50]
    await desk.sync(full=True)
    before, feed.breaks = await desk.holds(), 0
    assert (await desk.sync(full=True)).records["students"] == 0
    assert await desk.holds() == before != []


async def test_p3_a_list_of_changes_adds_to_what_a_full_read_has_held(desk: Desk, sis: ChangingSIS) -> None:
    desk.settings = {"absence_grace": 0}
    sis.info = replace(sis.info, capabilities=leaving_by_absence(sis))
    feed = sis.put("students", *students(100))
    await desk.sync()
    feed.drop(*[f"s{number:04d}" for number in range(10)])
    (first,) = (await desk.sync(full=True)).holds
    feed.rows.append(student("s0009"))
    for number in range(10, 30):
        feed[f"s{number:04d}"] = student(f"s{number:04d}", status="inactive")
    report = await desk.sync()
    assert asked_for_changes(sis)
    assert [(hold.guard, hold.count) for hold in report.holds if hold.id == first.id] == [("withdrawals", 29)]
    for hold in report.holds:
        await desk.approve(hold)
    gone = [sis_id for sis_id, status in (await desk.statuses("students")).items() if status == "inactive"]
    assert sorted(gone) == [f"s{number:04d}" for number in range(30) if number != 9]
