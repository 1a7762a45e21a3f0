"""Rows that only complete a record: what they add, and that nobody comes, stays or leaves because of them."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import HOUR, TODAY, Desk, Killed, Row, bad, enrollment, part_of, section, stay, student, students
from sis_connect.capabilities import KindCapabilities


def demographics(sis_id: str, **fields: Any) -> Row:
    return part_of("students", sis_id, birth_date="2014-02-03", **fields)


@pytest.fixture(autouse=True)
def asked(desk: Desk) -> None:
    """What the integration asks for is kept; without grace, one complete read without a record is enough."""
    desk.settings = {"fields": ("birth_date", "gender", "emails"), "absence_grace": 0}


async def settled(desk: Desk, number: int = 5) -> None:
    """Students with their birth dates, after a first sync."""
    desk.sis.put("students", *students(number))
    desk.sis.put("students", *[demographics(f"s{n:04d}") for n in range(number)], context="demographics")
    assert (await desk.sync()).changes["students"] == {"create": number, "unchanged": 0}


@pytest.mark.parametrize("first", ["", "demographics"])
async def test_a_part_completes_its_record_whichever_comes_first(desk: Desk, first: str) -> None:
    desk.sis.feeds.pop(("students", ""))
    rows = {"": [student("s1")], "demographics": [demographics("s1", gender="F")]}
    for context in sorted(rows, key=lambda name: name != first):
        desk.sis.put("students", *rows[context], context=context)
    report = await desk.sync()
    assert (report.status, report.records["students"]) == ("succeeded", 1)
    assert report.changes["students"] == {"create": 1, "unchanged": 0}
    found = await desk.student("s1")
    assert (found["given_name"], found["birth_date"], found["gender"]) == ("Givens1", "2014-02-03", "F")


async def test_a_part_may_come_in_a_later_sync_than_the_record_and_the_record_in_a_later_one_than_the_part(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    feed = desk.sis.put("students", demographics("s2"), context="demographics")
    await desk.sync()
    assert list(await desk.roster("students")) == ["s1"]
    feed.rows.append(demographics("s1"))
    desk.sis.put("students", student("s1"), student("s2"))
    report = await desk.sync()
    assert report.changes["students"] == {"create": 1, "update": 1, "unchanged": 0}
    assert {found["birth_date"] for found in (await desk.roster("students")).values()} == {"2014-02-03"}


async def test_parts_of_somebody_who_is_no_student_are_ignored_and_not_counted(desk: Desk) -> None:
    await settled(desk)
    desk.sis.feeds["students", "demographics"].rows.append(demographics("t1"))
    report = await desk.sync()
    assert (report.status, report.records["students"], report.quarantined) == ("succeeded", 5, 0)
    assert report.changes["students"] == {"unchanged": 5}
    assert "t1" not in await desk.roster("students")
    assert await desk.ask("SELECT * FROM sis_candidate") == []


async def test_parts_are_not_counted_where_only_some_streams_are_read_either(desk: Desk) -> None:
    desk.sis.put("students", student("s1"), context="A", school="A")
    desk.sis.put("students", student("s2"), context="B", school="B")
    desk.sis.put("students", demographics("s1"), demographics("t1"), context="demographics", school="A")
    await desk.sync()
    desk.sis.feeds.pop(("students", "B"))
    assert (await desk.sync()).records["students"] == 1


async def test_p9_parts_alone_are_no_students(desk: Desk) -> None:
    desk.sis.put("students", demographics("s1"), context="demographics")
    report = await desk.sync()
    assert report.status == "failed"
    assert report.records["students"] == 0


async def test_p9_a_list_that_came_empty_is_held_although_parts_still_come(desk: Desk) -> None:
    await settled(desk)
    desk.sis.put("students")
    report = await desk.sync()
    assert report.status == "held"
    assert "empty" in {guard for guard, *_ in await desk.holds()}
    assert set((await desk.statuses("students")).values()) == {"active"}


async def test_a_part_that_changes_is_one_update_of_its_field(desk: Desk) -> None:
    await settled(desk)
    desk.sis.feeds["students", "demographics"]["s0001"] = part_of("students", "s0001", birth_date="2014-02-04")
    planned = await desk.plan()
    (change,) = (await desk.rows(planned)).values()
    assert (change.action, dict(change.after)) == ("update", {"birth_date": "2014-02-04"})
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 4}


async def test_p5_a_second_sync_writes_nothing(desk: Desk) -> None:
    await settled(desk)
    desk.sis.feeds["students", "demographics"].rows.append(demographics("t1"))
    before = await desk.everything()
    for full in (False, True):
        assert (await desk.sync(full=full)).changes["students"] == {"unchanged": 5}
        assert await desk.everything() == before


async def test_p2_what_a_part_said_stays_when_the_part_comes_no_longer(desk: Desk) -> None:
    await settled(desk)
    before = await desk.everything()
    desk.sis.feeds["students", "demographics"].drop("s0001")
    for _ in range(2):
        assert (await desk.sync()).changes["students"] == {"unchanged": 5}
    assert await desk.everything() == before


async def test_p2_a_part_that_cannot_be_read_waits_and_its_student_stays(desk: Desk) -> None:
    await settled(desk)
    before = await desk.everything()
    desk.sis.feeds["students", "demographics"]["s0001"] = bad("s0001")
    report = await desk.sync()
    assert (report.records["students"], report.quarantined) == (5, 1)
    assert await desk.everything() == before


async def test_somebody_whose_record_is_missing_leaves_by_the_usual_rule_although_the_part_still_comes(desk: Desk) -> None:
    desk.settings["absence_grace"] = 12
    await settled(desk)
    desk.sis.feeds["students", ""].drop("s0001")
    for hours, status in ((0, "active"), (11, "active"), (1, "inactive")):
        desk.clock.advance(hours * HOUR)
        report = await desk.sync()
        assert report.records["students"] == 4
        assert (await desk.student("s0001"))["status"] == status
    left = await desk.student("s0001")
    assert (left["status_reason"], left["birth_date"]) == ("absence", "2014-02-03")


async def test_p1_who_is_missing_from_parts_alone_is_not_missing(desk: Desk) -> None:
    await settled(desk)
    desk.sis.put("students", context="demographics")
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"unchanged": 5})


async def test_p6_who_returns_has_what_the_part_says_by_then(desk: Desk) -> None:
    await settled(desk)
    feed = desk.sis.feeds["students", ""]
    feed.drop("s0001")
    await desk.sync()
    desk.sis.feeds["students", "demographics"]["s0001"] = part_of("students", "s0001", birth_date="2014-02-04")
    assert (await desk.sync()).changes["students"] == {"unchanged": 4}
    feed.rows.append(student("s0001"))
    assert (await desk.sync()).changes["students"] == {"reenroll": 1, "unchanged": 4}
    back = await desk.student("s0001")
    assert (back["status"], back["birth_date"]) == ("active", "2014-02-04")


@pytest.mark.parametrize("status", ["active", "inactive"])
async def test_a_part_has_no_say_in_the_status_of_somebody_who_is_there(desk: Desk, status: str) -> None:
    desk.sis.put("students", student("s1", status="inactive", status_reason="graduated"), student("s2"))
    parts = [part_of("students", sis_id, gender="F", status=status) for sis_id in ("s1", "s2")]
    desk.sis.put("students", *parts, context="demographics")
    await desk.sync()
    assert await desk.statuses("students") == {"s2": "active"}


async def test_a_row_that_says_no_more_than_that_somebody_left_is_believed(desk: Desk) -> None:
    await settled(desk, 30)
    feed = desk.sis.feeds["students", ""]
    feed["s0001"] = part_of("students", "s0001", status="tobedeleted")
    feed.rows.append(part_of("students", "unknown", status="tobedeleted"))
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"withdraw": 1, "unchanged": 29})
    left = await desk.student("s0001")
    assert (left["status"], left["status_reason"], left["given_name"]) == ("inactive", "deleted", "Givens0001")
    assert "unknown" not in await desk.roster("students")
    feed["s0001"] = student("s0001")
    assert (await desk.sync()).changes["students"] == {"reenroll": 1, "unchanged": 29}


async def test_a_row_that_turns_from_a_record_into_a_part_speaks_of_the_record_no_longer(desk: Desk) -> None:
    await settled(desk, 30)
    desk.sis.feeds["students", ""]["s0001"] = part_of("students", "s0001", gender="F")
    report = await desk.sync()
    assert report.reasons["students"] == {"no_longer_stated": 1}
    assert (await desk.student("s0001"))["status"] == "inactive"


async def test_a_part_without_its_record_is_no_orphan_and_needs_no_target(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1"))
    parts = [part_of("enrollments", "e1", primary=True), part_of("enrollments", "e2", section="nowhere")]
    desk.sis.put("enrollments", *parts, context="details")
    report = await desk.sync()
    assert (report.quarantined, report.records["enrollments"]) == (0, 1)
    assert (await desk.roster("enrollments"))["e1"]["primary"] is True


async def test_a_row_may_bring_a_record_and_a_part_of_another_kind(desk: Desk) -> None:
    desk.sis.offer(guardians=KindCapabilities(offered=True, leaving="absence"))
    child = {**student("s1"), **part_of("guardians", "g1", relationship="aunt", students=["s1"]), "key": "s1"}
    desk.sis.put("students", child, also=("guardians",))
    desk.sis.put("guardians", {"key": "g1", "guardians": {"sis_id": "g1", "family_name": "Vale"}})
    await desk.sync(kinds=("students", "guardians"))
    found = (await desk.roster("guardians"))["g1"]
    assert (found["family_name"], found["relationship"], found["students"]) == ("Vale", "aunt", ["s1"])


async def test_guardians_are_read_only_where_they_are_asked_for(desk: Desk) -> None:
    desk.sis.offer(guardians=KindCapabilities(offered=True, leaving="absence"))
    desk.sis.put("students", student("s1"))
    desk.sis.put("guardians", {"key": "g1", "guardians": {"sis_id": "g1", "family_name": "Vale"}})
    report = await desk.sync()
    assert (report.status, await desk.roster("guardians")) == ("succeeded", {})
    assert "guardians" not in report.records
    desk.settings["fields"] = ("guardians",)
    assert (await desk.sync()).changes["guardians"] == {"create": 1, "unchanged": 0}


async def test_former_stays_are_closed_whatever_parts_of_others_come(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    feed = desk.sis.put("school_enrollments", {"key": "row", "school_enrollments": stay("one")["school_enrollments"]})
    await desk.sync()
    feed["row"] = {"key": "row", "school_enrollments": {**stay("two")["school_enrollments"], "entry_date": "2026-11-02"}}
    desk.sis.put("school_enrollments", part_of("school_enrollments", "two", student="s1", entry_code="E1"), context="codes")
    await desk.sync()
    stays = await desk.roster("school_enrollments")
    assert (stays["one"]["exit_date"], stays["two"]["entry_code"]) == ("2026-11-02", "E1")
    assert TODAY.isoformat() > stays["one"]["exit_date"]


@pytest.mark.parametrize("pages", [1, 2, 3, 4, 5])
async def test_p4_killed_anywhere_the_next_sync_ends_in_the_same_state(desk: Desk, pages: int) -> None:
    desk.sis.put("students", *students(4), size=2)
    desk.sis.put("students", *[demographics(f"s{n:04d}") for n in range(6)], context="demographics", size=2)
    desk.sis.seconds_per_page, desk.sis.killed_after = 3, pages
    with pytest.raises(Killed):
        await desk.sync()
    desk.sis.killed_after = None
    report = await desk.sync()
    assert report.records["students"] == 4
    assert {found["birth_date"] for found in (await desk.roster("students")).values()} == {"2014-02-03"}
    assert (await desk.sync()).changes["students"] == {"unchanged": 4}
