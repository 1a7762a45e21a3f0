"""The eight reasons why a record is decided about although its source row has not changed, and what a new reading changes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from roster_fixture import HOUR, Desk, bad, enrollment, school, section, stay, student, students
from sis_connect.capabilities import KindCapabilities
from sis_connect.settings import FieldPolicy


async def settled(desk: Desk) -> None:
    """A first sync, after which nothing is a candidate any more."""
    report = await desk.sync()
    assert report.status == "succeeded"
    assert await desk.ask("SELECT * FROM sis_candidate") == []


# -- the eight reasons -------------------------------------------------------------------------------------------------


async def test_reason_1_a_new_or_changed_source_row(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    feed["s0001"] = student("s0001", grade="06")
    feed.rows.append(student("new"))
    report = await desk.plan()
    assert {name: row.action for name, row in (await desk.rows(report)).items()} == {
        "students s0001": "update",
        "students new": "create",
    }


async def test_reason_2_the_app_has_changed_its_row(desk: Desk) -> None:
    desk.settings = {"policies": {"students.grade": FieldPolicy(owner="sis")}}
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.edit("s0001", grade="09", given_name="Eda")
    report = await desk.sync()
    assert report.changes["students"] == {"update": 1, "unchanged": 4}
    edited = await desk.student("s0001")
    assert (edited["grade"], edited["given_name"]) == ("05", "Eda")


async def test_reason_3_the_policy_has_changed(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.edit("s0001", grade="09")
    await desk.sync()
    assert (await desk.student("s0001"))["grade"] == "09"
    desk.settings = {"policies": {"students.grade": FieldPolicy(owner="sis")}}
    assert (await desk.sync(kinds=("schools",))).status == "succeeded"
    await desk.run("UPDATE roster_students SET edited_at = NULL")  # the new policy alone is reason enough
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 4}
    assert (await desk.student("s0001"))["grade"] == "05"


async def test_reason_4_it_waits_in_quarantine(desk: Desk) -> None:
    desk.sis.put("students", *students(5), bad("s9"))
    await desk.sync()
    assert "s9" not in await desk.roster("students")
    desk.sis.mends = {"s9": student("s9")["students"]}
    await desk.sync()
    assert (await desk.student("s9"))["given_name"] == "Givens9"
    assert await desk.waiting() == []


async def test_reason_5_what_it_refers_to_was_not_there(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("enrollments", enrollment("e1"))
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 1)
    assert await desk.waiting() == [("enrollments", "e1")]
    assert await desk.roster("enrollments") == {}
    desk.sis.put("sections", section("x"))
    report = await desk.sync()
    assert (report.changes["enrollments"], report.quarantined) == ({"create": 1, "unchanged": 0}, 0)
    assert await desk.waiting() == []


async def test_reason_6_the_app_has_deleted_its_row(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.delete("s0001")
    report = await desk.sync()
    assert report.changes["students"] == {"create": 1, "unchanged": 4}
    assert report.reasons["students"] == {"deleted_locally": 1}
    assert (await desk.student("s0001"))["given_name"] == "Givens0001"


async def test_reason_6_the_row_is_missed_without_a_trigger_too(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.run("DROP TRIGGER roster_students_deleted")
    await desk.delete("s0001")
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 4}


async def test_reason_7_it_was_held_or_planned_and_not_applied(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30))
    await settled(desk)
    feed["s0001"] = student("s0001", grade="06")
    await desk.plan()
    assert (await desk.student("s0001"))["grade"] == "05"
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 29}
    for number in range(10):
        feed[f"s{number:04d}"] = student(f"s{number:04d}", status="inactive")
    assert (await desk.sync()).held["students"] == {"withdraw": 10}
    assert (await desk.sync()).held["students"] == {"withdraw": 10}


async def test_reason_8_its_day_has_come(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    tomorrow, later = desk.today + timedelta(days=1), desk.today + timedelta(days=30)
    desk.sis.put("school_enrollments", stay("now", exit_date=later.isoformat()), stay("soon", entry_date=tomorrow.isoformat()))
    await settled(desk)
    assert await desk.statuses("school_enrollments") == {"now": "active", "soon": "scheduled"}
    desk.today = tomorrow
    report = await desk.sync()
    assert report.reasons["school_enrollments"] == {"began": 1}
    assert await desk.statuses("school_enrollments") == {"now": "active", "soon": "active"}
    desk.today = later
    report = await desk.sync()
    assert (report.status, report.changes["school_enrollments"]) == ("succeeded", {"withdraw": 1, "unchanged": 1})
    ended = (await desk.roster("school_enrollments"))["now"]
    assert (ended["status"], ended["status_reason"]) == ("inactive", "ended")


async def test_reason_8_the_time_of_grace_is_over(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    feed.drop("s0001")
    for hours, status in ((0, "active"), (11, "active"), (1, "inactive")):
        desk.clock.advance(hours * HOUR)
        assert (await desk.sync()).status == "succeeded"
        assert (await desk.student("s0001"))["status"] == status


# -- absence -----------------------------------------------------------------------------------------------------------


async def test_p1_without_grace_one_complete_pull_is_enough(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    feed.drop("s0001")
    report = await desk.sync()
    assert report.changes["students"] == {"withdraw": 1, "unchanged": 4}
    assert report.reasons["students"] == {"absence": 1}
    left = await desk.student("s0001")
    assert (left["status"], left["status_reason"]) == ("inactive", "absence")


async def test_p1_a_pull_between_that_was_not_complete_does_not_count(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    feed.drop("s0001")
    await desk.sync()
    desk.clock.advance(13 * HOUR)
    feed.total = None
    await desk.sync(full=True)
    assert (await desk.student("s0001"))["status"] == "active"
    feed.total = "rows"
    await desk.sync()
    assert (await desk.student("s0001"))["status"] == "inactive"


async def test_p6_who_returns_within_the_time_of_grace_was_never_gone(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    before = await desk.everything()
    feed.drop("s0001")
    await desk.sync()
    feed.rows.append(student("s0001"))
    await desk.sync()
    feed.drop("s0001")
    desk.clock.advance(13 * HOUR)
    await desk.sync()
    assert await desk.everything() == before


async def test_p6_return_revives_and_nothing_was_deleted(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    for _ in range(2):
        feed.drop("s0001")
        assert (await desk.sync()).changes["students"] == {"withdraw": 1, "unchanged": 4}
        assert len(await desk.roster("students")) == 5
        feed.rows.append(student("s0001"))
        report = await desk.sync()
        assert report.changes["students"] == {"reenroll": 1, "unchanged": 4}
        back = await desk.student("s0001")
        assert back["status"] == "active"
        assert "status_reason" not in back


async def test_absence_is_held_where_leaving_is_a_status(desk: Desk) -> None:
    desk.sis.offer(students=KindCapabilities(offered=True, leaving="status"))
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    feed.drop("s0001")
    feed["s0002"] = student("s0002", grade="06")
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"withdraw": 1})
    assert await desk.holds() == [("absence", "students", "district", 1)]
    assert (await desk.student("s0001"))["status"] == "active"
    assert (await desk.student("s0002"))["grade"] == "06"
    feed.rows.append(student("s0001"))
    assert (await desk.sync()).status == "succeeded"
    assert await desk.holds() == []


async def test_a_status_withdraws_at_once_and_says_why(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30))
    await settled(desk)
    feed["s0001"] = student("s0001", status="inactive", status_reason="graduated")
    report = await desk.sync()
    assert report.reasons["students"] == {"graduation": 1}
    assert (await desk.student("s0001"))["status_reason"] == "graduated"
    feed["s0001"] = student("s0001")
    assert (await desk.sync()).reasons["students"] == {"re_entry": 1}
    assert "status_reason" not in await desk.student("s0001")


# -- another reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["sis_wins", "manual", "newest_wins"])
async def test_a_mapping_that_reads_old_bytes_differently_is_our_change_and_no_conflict(desk: Desk, strategy: str) -> None:
    desk.settings = {"strategy": strategy}
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.edit("s0001", grade="09")
    desk.sis.version, desk.sis.reading = "2", {"grade": "KG"}
    report = await desk.sync()
    assert (report.conflicts, report.changes["students"]) == (0, {"update": 4, "unchanged": 1})
    assert report.reasons["students"] == {"remapped": 4}
    grades = {sis_id: found["grade"] for sis_id, found in (await desk.roster("students")).items()}
    assert grades == {"s0000": "KG", "s0001": "09", "s0002": "KG", "s0003": "KG", "s0004": "KG"}


async def test_p5_a_mapping_that_reads_the_same_changes_nothing(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await settled(desk)
    before = await desk.everything()
    desk.sis.version = "2"
    report = await desk.sync()
    assert report.changes["students"] == {"unchanged": 5}
    assert await desk.everything() == before


async def test_a_change_that_waits_is_no_remapping_when_the_mapping_changes_too(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.edit("s0001", grade="09")
    feed["s0001"] = student("s0001", grade="06")
    await desk.plan()
    desk.sis.version, desk.sis.reading = "2", {"family_name": "Voss"}
    assert (await desk.sync()).conflicts == 1


async def test_p2_a_field_that_is_no_longer_delivered_stays_as_it_is(desk: Desk) -> None:
    desk.settings = {"fields": ("gender",)}
    feed = desk.sis.put("students", student("s1", gender="X", username="ada"), student("s2"))
    await settled(desk)
    feed["s1"] = student("s1", grade="06")
    await desk.sync()
    found = await desk.student("s1")
    assert (found["gender"], found["username"], found["grade"]) == ("X", "ada", "06")
    feed["s1"] = student("s1", grade="06", gender="X", username="ada")
    assert (await desk.sync()).changes["students"] == {"unchanged": 2}
    feed["s1"] = student("s1", grade="06", gender=None)
    await desk.sync()
    assert "gender" not in await desk.student("s1")


async def test_a_field_that_is_asked_for_later_is_filled(desk: Desk) -> None:
    desk.sis.put("students", student("s1", gender="X"))
    await settled(desk)
    desk.settings, desk.sis.version = {"fields": ("gender",)}, "1+gender"
    report = await desk.sync()
    assert report.reasons["students"] == {"remapped": 1}
    assert (await desk.student("s1"))["gender"] == "X"


async def test_a_full_sync_compares_every_record_anew(desk: Desk) -> None:
    desk.settings = {"policies": {"students.grade": FieldPolicy(owner="sis")}}
    desk.sis.put("students", *students(5))
    await settled(desk)
    await desk.run("DROP TRIGGER roster_students_edited")
    await desk.edit("s0001", grade="09")
    assert (await desk.sync()).changes["students"] == {"unchanged": 5}
    assert (await desk.sync(full=True)).changes["students"] == {"update": 1, "unchanged": 4}


# -- orphans and carriers ----------------------------------------------------------------------------------------------


async def test_an_orphan_keeps_its_last_good_state(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    feed = desk.sis.put("enrollments", enrollment("e1"))
    await settled(desk)
    feed["e1"] = enrollment("e1", section="nowhere", primary=True)
    report = await desk.sync()
    assert report.quarantined == 1
    assert (await desk.roster("enrollments"))["e1"]["section"] == "x"
    feed["e1"] = enrollment("e1", primary=True)
    await desk.sync()
    assert await desk.waiting() == []
    assert (await desk.roster("enrollments"))["e1"]["primary"] is True


async def test_a_reference_by_another_id_that_leads_nowhere_waits_too(desk: Desk) -> None:
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x", course={"ref": ["staff", "badge", "65"]}))
    report = await desk.sync()
    assert (report.status, report.error) == ("succeeded", None)
    assert await desk.waiting() == [("sections", "x")]
    desk.sis.put("sections", section("x"))
    await desk.sync()
    assert await desk.waiting() == []


@pytest.mark.parametrize("many", [4, 5], ids=["loaded at once", "asked for batch by batch"])
async def test_no_target_is_forgotten_while_a_kind_is_decided(desk: Desk, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr("sis_connect.roster.references.MANY", many)
    monkeypatch.setattr("sis_connect.roster.references._PORTION", 2)
    monkeypatch.setattr("sis_connect.roster.plan.BATCH", 4)
    desk.sis.put("students", *students(9))
    desk.sis.put("sections", section("x"), section("y"))
    desk.sis.put(
        "enrollments",
        *[enrollment(f"e{n}{at}", section=at, user=f"s{n:04d}") for n in range(9) for at in ("x", "y")],
    )
    report = await desk.sync()
    assert (report.quarantined, len(await desk.roster("enrollments"))) == (0, 18)


async def test_what_hangs_from_a_section_ends_and_returns_with_it(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(30))
    sections = desk.sis.put("sections", section("x"), *[section(f"y{n}") for n in range(9)])
    for one in sections.rows:
        who = [enrollment(f"{one['key']}-{n}", section=one["key"], user=f"s{n:04d}") for n in range(3)]
        desk.sis.put("enrollments", *who, context=one["key"])
    del desk.sis.feeds["enrollments", ""]
    await settled(desk)
    roster = desk.sis.feeds.pop(("enrollments", "x"))
    sections.drop("x")
    report = await desk.sync()
    assert report.held["enrollments"] == {"withdraw": 3}  # 10 % of them
    await desk.approve(report.holds[0])
    ended = {sis_id: found for sis_id, found in (await desk.roster("enrollments")).items() if found["status"] == "inactive"}
    assert {sis_id: found["status_reason"] for sis_id, found in ended.items()} == dict.fromkeys(
        ("x-0", "x-1", "x-2"), "section_withdrawn"
    )
    sections.rows.append(section("x"))
    desk.sis.feeds["enrollments", "x"] = roster
    report = await desk.sync()
    assert report.changes["enrollments"] == {"reenroll": 3, "unchanged": 27}
    assert set((await desk.statuses("enrollments")).values()) == {"active"}


async def test_a_year_that_rolls_over(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    feed = desk.sis.put("students", *students(30))
    stays = [stay(f"{n}", student=f"s{n:04d}", exit_date="2027-05-29", grade="05") for n in range(30)]
    year = desk.sis.put("school_enrollments", *stays)
    await settled(desk)
    desk.today = date(2027, 8, 12)
    for n in range(30):
        moved = {"school": "B", "grade": "06"} if n < 15 else {"grade": "06"}
        feed[f"s{n:04d}"] = student(f"s{n:04d}", **moved)
        fresh = {"entry_date": "2027-08-11", "exit_date": "2028-05-27", "grade": "06", "school": moved.get("school", "A")}
        year[f"{n}"] = {**stay(f"{n}-2028", student=f"s{n:04d}", **fresh), "key": f"{n}"}
    report = await desk.sync()
    assert (report.status, report.holds) == ("succeeded", [])
    assert report.reasons["students"] == {"promotion": 30}
    assert report.reasons["school_enrollments"] == {"rollover": 30, "promotion": 30}
    found = await desk.roster("school_enrollments")
    assert {found[f"{n}"]["exit_date"] for n in range(30)} == {"2027-05-29"}
    assert [found[f"{n}-2028"]["status"] for n in range(30)] == ["active"] * 30


async def test_a_new_district_whose_ids_all_changed_is_held(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *[student(f"s{n:04d}", ids={"state_id": f"9{n}"}) for n in range(120)])
    await settled(desk)
    before = await desk.everything()
    desk.sis.put("students", *[student(f"t{n:04d}", ids={"state_id": f"9{n}"}) for n in range(120)])
    report = await desk.sync()
    assert report.status == "held"
    assert report.held["students"] == {"create": 120, "withdraw": 120}
    assert await desk.everything() == before
