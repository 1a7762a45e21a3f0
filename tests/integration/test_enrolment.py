"""The reasons that plans and reports give, over the kinds: what becomes of a student, of the stays, and of the enrolments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from roster_fixture import Desk, Row, enrollment, row, school, section, staff, stay, student
from sis_connect.capabilities import Kind, KindCapabilities

TODAY = "2026-11-23"
#: One student for each story; of most there is nothing to tell.
STORIES = (
    "withdrawn", "absent", "never came", "moved", "re-entered on the day", "sent to the wrong school", "began later", "moved up",
    "graduated", "left", "left by mistake", "moves soon", *[f"other {n}" for n in range(48)],
)  # fmt: skip


def term(year: int, start: str, end: str) -> Row:
    dates = {"start_date": start, "end_date": end}
    return row(f"y{year}", terms={"sis_id": f"y{year}", "title": "Year", "type": "school_year", "school_year": year, **dates})


@pytest.fixture(autouse=True)
async def district(desk: Desk) -> None:
    """Students with a stay and an enrolment each, in an SIS that tells history; absence counts at once."""
    desk.settings = {"absence_grace": 0}
    told = KindCapabilities(offered=True, leaving="absence", stint_history=True)
    desk.sis.offer(school_enrollments=told, terms=KindCapabilities(offered=True, leaving="absence"))
    desk.sis.put("terms", term(2026, "2025-08-13", "2026-05-30"), term(2027, "2026-08-12", "2027-05-29"))
    desk.sis.put("schools", *[school(name) for name in "ABC"])
    desk.sis.put("students", *[student(name) for name in STORIES])
    desk.sis.put("school_enrollments", *[stay(f"{name} at A", student=name, grade="05") for name in STORIES])
    desk.sis.put("sections", section("x"), section("y", school="B"))
    desk.sis.put("enrollments", *[enrollment(f"{name} in x", user=name) for name in STORIES])
    report = await desk.sync()
    assert report.reasons["school_enrollments"] == {"new": len(STORIES)}


async def reasons(desk: Desk) -> Mapping[str, Any]:
    """What the next sync does to whom, and why."""
    report = await desk.sync()
    assert (report.status, report.holds) == ("succeeded", [])
    return {
        name.replace("school_enrollments", "stays"): (found.action, found.reason)
        for name, found in (await desk.rows(report)).items()
    }


def change(desk: Desk, kind: Kind, sis_id: str, **fields: Any) -> None:
    feed = desk.sis.feeds[kind, ""]
    feed[sis_id] = {**feed[sis_id], kind: {**feed[sis_id][kind], **fields}}


def leave(desk: Desk, name: str, on: str, why: str = "withdrawn") -> None:
    """The SIS says that a student has left."""
    change(desk, "students", name, status="inactive", status_reason=why)
    change(desk, "school_enrollments", f"{name} at A", exit_date=on)


def move(desk: Desk, name: str, left: str, entered: str, school: str = "B") -> None:
    """The SIS tells of a student's stay at another school."""
    change(desk, "school_enrollments", f"{name} at A", exit_date=left)
    add(desk, "school_enrollments", stay(f"{name} at {school}", student=name, school=school, entry_date=entered, grade="05"))


def add(desk: Desk, kind: Kind, told: Row) -> None:
    desk.sis.feeds[kind, ""].rows.append(told)


def drop(desk: Desk, kind: Kind, *sis_ids: str) -> None:
    desk.sis.feeds[kind, ""].drop(*sis_ids)


async def test_a_change_is_called_the_same_in_all_kinds(desk: Desk) -> None:
    leave(desk, "withdrawn", TODAY)
    drop(desk, "enrollments", "withdrawn in x")

    drop(desk, "students", "absent")
    drop(desk, "school_enrollments", "absent at A")
    drop(desk, "enrollments", "absent in x")

    leave(desk, "never came", "2026-08-12")
    change(desk, "enrollments", "never came in x", begin_date="2026-08-12", end_date="2026-08-12")

    change(desk, "students", "moved", school="B")
    move(desk, "moved", "2026-11-20", TODAY)
    drop(desk, "enrollments", "moved in x")
    add(desk, "enrollments", enrollment("moved in y", user="moved", section="y", school="B"))

    change(desk, "school_enrollments", "re-entered on the day at A", exit_date=TODAY)
    add(desk, "school_enrollments", stay("again", student="re-entered on the day", entry_date=TODAY, grade="05"))

    change(desk, "students", "sent to the wrong school", school="B")
    move(desk, "sent to the wrong school", "2026-08-12", "2026-08-12")

    change(desk, "school_enrollments", "began later at A", entry_date="2026-08-17")

    change(desk, "students", "moved up", grade="06")
    change(desk, "school_enrollments", "moved up at A", grade="06")

    change(desk, "students", "graduated", status="inactive", status_reason="graduated")

    add(desk, "students", student("newcomer"))
    past = {"entry_date": "2025-08-13", "exit_date": "2026-05-30"}
    add(desk, "school_enrollments", stay("newcomer before", student="newcomer", **past))
    add(desk, "school_enrollments", stay("newcomer now", student="newcomer"))
    add(desk, "enrollments", enrollment("newcomer in x", user="newcomer"))

    kinds = ("students {}", "stays {} at A", "enrollments {} in x")
    everything = {
        **{kind.format("withdrawn"): ("withdraw", "withdrawal") for kind in kinds},
        **{kind.format("absent"): ("withdraw", "absence") for kind in kinds},
        **{kind.format("never came"): ("withdraw", "no_show") for kind in kinds},
        "students moved": ("update", "transfer"),
        "stays moved at A": ("withdraw", "transfer"),
        "stays moved at B": ("create", "transfer"),
        "enrollments moved in x": ("withdraw", "transfer"),
        "enrollments moved in y": ("create", "transfer"),
        "stays re-entered on the day at A": ("withdraw", "correction"),
        "stays again": ("create", "correction"),
        "students sent to the wrong school": ("update", "correction"),
        "stays sent to the wrong school at A": ("withdraw", "correction"),
        "stays sent to the wrong school at B": ("create", "correction"),
        "stays began later at A": ("update", "correction"),
        "students moved up": ("update", "promotion"),
        "stays moved up at A": ("update", "promotion"),
        "students graduated": ("withdraw", "graduation"),
        "students newcomer": ("create", "new"),
        "stays newcomer before": ("create", "history"),
        "stays newcomer now": ("create", "new"),
        "enrollments newcomer in x": ("create", "new"),
    }
    assert await reasons(desk) == everything
    statuses = {name: found.get("status_reason") for name, found in (await desk.roster("school_enrollments")).items()}
    assert (statuses["never came at A"], statuses["withdrawn at A"]) == ("no_show", "ended")


async def test_the_next_days_go_on_with_the_story(desk: Desk) -> None:
    leave(desk, "left", "2026-10-05", "transferred")
    leave(desk, "left by mistake", "2026-11-20")
    change(desk, "students", "graduated", status="inactive", status_reason="graduated")
    move(desk, "moves soon", "2026-12-07", "2026-12-07")
    assert await reasons(desk) == {
        "students left": ("withdraw", "withdrawal"),
        "stays left at A": ("withdraw", "withdrawal"),
        "students left by mistake": ("withdraw", "withdrawal"),
        "stays left by mistake at A": ("withdraw", "withdrawal"),
        "students graduated": ("withdraw", "graduation"),
        "stays moves soon at A": ("update", "transfer"),
        "stays moves soon at B": ("create", "transfer"),
    }

    desk.today = date(2026, 12, 7)
    change(desk, "students", "left", status="active", status_reason=None)
    add(desk, "school_enrollments", stay("left and came again", student="left", entry_date="2026-12-07", grade="05"))
    add(desk, "enrollments", enrollment("left, again in x", user="left"))
    change(desk, "students", "left by mistake", status="active", status_reason=None)
    change(desk, "school_enrollments", "left by mistake at A", exit_date=None)
    change(desk, "school_enrollments", "graduated at A", exit_date="2026-12-07")
    drop(desk, "enrollments", "graduated in x")
    assert await reasons(desk) == {
        "students left": ("reenroll", "re_entry"),
        "stays left and came again": ("create", "re_entry"),
        "enrollments left, again in x": ("create", "re_entry"),
        "students left by mistake": ("reenroll", "correction"),
        "stays left by mistake at A": ("reenroll", "correction"),
        "stays graduated at A": ("withdraw", "graduation"),
        "enrollments graduated in x": ("withdraw", "graduation"),
        "stays moves soon at A": ("withdraw", "transfer"),
        "stays moves soon at B": ("update", "began"),
    }
    assert (await desk.roster("school_enrollments"))["moves soon at B"]["status"] == "active"
    assert await reasons(desk) == {}


async def test_how_long_somebody_was_away_whom_the_sis_left_out_is_known_by_our_own_account(desk: Desk) -> None:
    away = ("absent", "moved")
    for name in away:
        drop(desk, "students", name)
        drop(desk, "school_enrollments", f"{name} at A")
    assert set((await reasons(desk)).values()) == {("withdraw", "absence")}
    for name, back in (("moved", date(2026, 11, 30)), ("absent", date(2027, 2, 1))):
        desk.today = back
        add(desk, "students", student(name, school="B"))
        add(desk, "school_enrollments", stay(f"{name} at B", student=name, school="B", entry_date=f"{back}", grade="05"))
        why = "transfer" if name == "moved" else "re_entry"
        assert await reasons(desk) == {f"students {name}": ("reenroll", why), f"stays {name} at B": ("create", why)}


async def test_the_year_rolls_over_by_the_calendar(desk: Desk) -> None:
    desk.today = date(2027, 8, 11)
    for name in STORIES:
        there = "B" if name == "moved" else "A"
        change(desk, "students", name, grade="06", school=there)
        change(desk, "school_enrollments", f"{name} at A", exit_date="2027-05-29")
        add(desk, "school_enrollments", stay(f"{name} 2028", student=name, school=there, entry_date="2027-08-11", grade="06"))
    report = await desk.sync()
    assert report.reasons["students"] == {"promotion": len(STORIES)}
    assert report.reasons["school_enrollments"] == {"rollover": 2 * len(STORIES)}


async def test_accident_17_which_of_two_stays_of_one_day_counts_does_not_depend_on_their_order(desk: Desk) -> None:
    move(desk, "moved", "2026-11-20", TODAY, "B")
    move(desk, "moved", "2026-11-20", TODAY, "C")
    change(desk, "school_enrollments", "moved at B", exit_date=TODAY)
    before = await desk.rows(await desk.plan())
    desk.sis.feeds["school_enrollments", ""].rows.reverse()
    assert await reasons(desk) == {
        "stays moved at A": ("withdraw", "transfer"),
        "stays moved at C": ("create", "correction"),
        "stays moved at B": ("create", "history"),
    }
    assert [found.reason for found in before.values()] == ["transfer", "history", "correction"]


async def test_accident_19_a_stale_entry_date_makes_no_transfer(desk: Desk) -> None:
    leave(desk, "left", "2026-10-05")
    add(desk, "school_enrollments", stay("of a form of 2019", student="left", school="B", entry_date="2019-08-14", grade="KG"))
    assert await reasons(desk) == {
        "students left": ("withdraw", "withdrawal"),
        "stays left at A": ("withdraw", "withdrawal"),
        "stays of a form of 2019": ("create", "new"),
    }


async def test_accident_19_a_stale_entry_date_does_not_undo_a_stay_that_took_place(desk: Desk) -> None:
    """Where only the current stay is told, the next one closes it; but not one of years ago."""
    desk.sis.offer(terms=KindCapabilities(offered=True, leaving="absence"))
    stale = stay("of a form of 2019", student="left", entry_date="2019-08-14")
    desk.sis.feeds["school_enrollments", ""]["left at A"] = {**stale, "key": "left at A"}
    await desk.sync()
    first = (await desk.roster("school_enrollments"))["left at A"]
    assert (first["status_reason"], first["exit_date"]) == ("withdrawal", TODAY)


# -- teachers ----------------------------------------------------------------------------------------------------------


async def test_a_lead_teacher_and_a_co_teacher_are_told_apart_and_may_change_roles(desk: Desk) -> None:
    desk.sis.put("staff", staff("t1", "t1", badge="1"), staff("t2", "t2", badge="2"))
    for name, role in (("t1", "teacher"), ("t2", "co_teacher")):
        add(desk, "enrollments", enrollment(f"{name} in x", user=name, role=role, primary=role == "teacher"))
    assert set((await reasons(desk)).values()) == {("create", "new")}
    found = await desk.roster("enrollments")
    assert {name: (found[f"{name} in x"]["role"], found[f"{name} in x"]["primary"]) for name in ("t1", "t2")} == {
        "t1": ("teacher", True), "t2": ("co_teacher", False),
    }  # fmt: skip
    change(desk, "enrollments", "t1 in x", role="co_teacher", primary=False)
    change(desk, "enrollments", "t2 in x", role="teacher", primary=True)
    assert await reasons(desk) == {f"enrollments {name} in x": ("update", "role") for name in ("t1", "t2")}


async def test_a_teacher_has_an_account_that_is_mapped_and_leaves_by_status(desk: Desk) -> None:
    desk.sis.put("staff", *[staff(f"t{n}", f"t{n}", badge=f"{n}") for n in range(30)])
    add(desk, "enrollments", enrollment("t1 in x", user="t1", role="teacher"))
    await desk.sync()
    ((local_id, status),) = await desk.ask("SELECT local_id, status FROM sis_staff_mapping WHERE sis_id = 't1'")
    assert (local_id, status) == (str((await desk.roster("staff"))["t1"]["id"]), "active")
    change(desk, "staff", "t1", status="inactive")
    drop(desk, "enrollments", "t1 in x")
    assert await reasons(desk) == dict.fromkeys(("staff t1", "enrollments t1 in x"), ("withdraw", "withdrawal"))


async def test_accident_7_no_teacher_is_removed_by_absence_without_a_person(desk: Desk) -> None:
    feed = desk.sis.put("staff", *[staff(f"t{n}", f"t{n}", badge=f"{n}") for n in range(20)])
    await desk.sync()
    feed.drop("t1")
    report = await desk.sync()
    assert [(hold.guard, hold.kind, hold.count) for hold in report.holds] == [("staff", "staff", 1)]
    assert (await desk.roster("staff"))["t1"]["status"] == "active"
    assert (await desk.approve(report.holds[0])).changes["staff"] == {"withdraw": 1}
    assert (await desk.roster("staff"))["t1"]["status"] == "inactive"


@pytest.mark.parametrize("told", [{"status": "inactive", "status_reason": "dropped"}, {}], ids=["by status", "by its date"])
async def test_who_has_left_a_section_that_closes_has_left_when_and_as_the_sis_says(desk: Desk, told: dict[str, str]) -> None:
    feed = desk.sis.feeds["enrollments", ""]
    feed.rows.append(enrollment("in y", user="left", section="y", end_date="2027-06-11"))
    assert (await desk.sync()).status == "succeeded"
    desk.sis.put("sections", section("x"))
    feed["in y"] = enrollment("in y", user="left", section="y", end_date="2026-08-20", **told)
    assert (await desk.sync()).status == "succeeded"
    dropped = (await desk.roster("enrollments"))["in y"]
    assert (dropped["status"], dropped["end_date"]) == ("inactive", "2026-08-20")
    assert dropped["status_reason"] == told.get("status_reason", "ended")


async def test_a_stay_that_went_with_its_school_ends_on_the_day_that_the_sis_gives_later(desk: Desk) -> None:
    feed = desk.sis.feeds["school_enrollments", ""]
    feed.rows.append(stay("at C", student="other 1", school="C"))
    assert (await desk.sync()).status == "succeeded"
    desk.sis.put("schools", school("A"), school("B"))
    assert (await desk.sync()).status == "succeeded"
    assert (await desk.roster("school_enrollments"))["at C"]["status_reason"] == "school_withdrawn"
    feed["at C"] = stay("at C", student="other 1", school="C", exit_date="2026-12-12")
    await desk.sync()
    desk.today = date(2026, 12, 12)
    await desk.sync()
    ended = (await desk.roster("school_enrollments"))["at C"]
    assert (ended["status"], ended["exit_date"], ended["status_reason"]) == ("inactive", "2026-12-12", "ended")
    before = await desk.everything()
    assert sum(found.get("update", 0) for found in (await desk.sync()).changes.values()) == 0
    assert await desk.everything() == before
