"""Students are withdrawn by hand: one after the other, a whole school, and what the SIS has to say then."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from desk_service import service_of
from roster_fixture import Desk, Row, enrollment, school, section, staff, stay, student
from sis_connect.capabilities import Kind
from sis_connect.errors import AuthorizationError, ConfigurationError
from sis_connect.roster.report import SyncReport

NAMES = [f"s{n:02d}" for n in range(40)]
AT_B = NAMES[30:]
KINDS: tuple[Kind, ...] = ("students", "school_enrollments", "enrollments")


@pytest.fixture(autouse=True)
async def district(desk: Desk) -> None:
    """Thirty students at school A, ten at B, one at both; each with a stay and an enrolment there."""
    desk.settings = {"absence_grace": 0}
    at = {name: "B" if name in AT_B else "A" for name in NAMES}
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *[student(name, school=at[name]) for name in NAMES])
    desk.sis.put("staff", staff("t1", "t1", badge="1"))
    stays = [stay(f"{name} at {at[name]}", student=name, school=at[name]) for name in NAMES]
    desk.sis.put("school_enrollments", *stays, stay("s39 at A", student="s39", school="A"))
    desk.sis.put("sections", section("a"), section("b", school="B"))
    taught = enrollment("t1 in b", user="t1", role="teacher", section="b", school="B")
    desk.sis.put("enrollments", *[taken(name, at[name], begin_date="2026-08-12") for name in NAMES], taught)
    assert (await desk.sync()).status == "succeeded"


def taken(name: str, at: str, **dates: Any) -> Row:
    return enrollment(f"{name} in {at.lower()}", user=name, section=at.lower(), school=at, **dates)


async def withdraw(desk: Desk, **said: Any) -> SyncReport:
    return await (await service_of(desk)).withdraw("lincoln", actor="ada", **said)


async def ended(desk: Desk) -> dict[str, tuple[str, str | None]]:
    """Who and what is over: why, and since when where it is dated."""
    return {
        sis_id: (found["status_reason"], found.get("exit_date") or found.get("end_date"))
        for kind in KINDS
        for sis_id, found in (await desk.roster(kind)).items()
        if found["status"] == "inactive"
    }


async def test_students_go_with_their_stays_and_enrolments_on_the_day_that_is_said(desk: Desk) -> None:
    report = await withdraw(desk, students=["s01", "s02"], day=date(2026, 11, 20))
    assert (report.status, report.requests) == ("succeeded", 0)
    assert report.changes == {kind: {"withdraw": 2} for kind in KINDS}
    assert report.reasons == {kind: {"withdrawal": 2} for kind in KINDS}
    gone = await ended(desk)
    assert gone == {
        **dict.fromkeys(("s01", "s02"), ("withdrawn", None)),
        **{f"{name} at A": ("withdrawal", "2026-11-20") for name in ("s01", "s02")},
        **{f"{name} in a": ("withdrawal", "2026-11-20") for name in ("s01", "s02")},
    }
    (row,) = [it for name, it in (await desk.rows(report)).items() if name == "students s01"]
    assert row.rule == "a person withdrew the student"
    assert ("withdraw", "ada") in await desk.ask("SELECT type, actor FROM sis_sync_operation")


async def test_p5_the_next_sync_neither_undoes_nor_repeats_it(desk: Desk) -> None:
    await withdraw(desk, students=["s01"], reason="transfer")
    assert (await desk.student("s01"))["status_reason"] == "transferred"
    before = await desk.everything()
    for full in (False, True):
        report = await desk.sync(full=full)
        assert report.status == "succeeded"
        assert await desk.everything() == before
    again = await withdraw(desk, students=["s01"])
    assert (again.status, again.changes) == ("succeeded", {})
    assert await desk.everything() == before


async def test_what_the_sis_says_anew_is_taken(desk: Desk) -> None:
    await withdraw(desk, students=["s01", "s02"])
    left = {"status": "inactive", "status_reason": "withdrawn"}
    desk.sis.feeds["students", ""]["s01"] = student("s01", **left)
    desk.sis.feeds["school_enrollments", ""]["s01 at A"] = stay("s01 at A", student="s01", exit_date="2026-11-19")
    assert (await desk.sync()).status == "succeeded"
    assert (await ended(desk))["s01 at A"][1] == "2026-11-19"  # the SIS knows better when it was
    desk.sis.feeds["students", ""]["s01"] = student("s01", grade="06")
    report = await desk.sync()
    assert report.changes["students"] == {"reenroll": 1, "unchanged": 39}
    found = await desk.roster("students")
    assert (found["s01"]["status"], found["s02"]["status"]) == ("active", "inactive")


async def test_a_change_that_a_guard_holds_is_not_forgotten_over_it(desk: Desk) -> None:
    feed = desk.sis.feeds["students", ""]
    for name in NAMES:
        feed[name] = student(name, school="B" if name in AT_B else "A", ids={"student_number": f"1{name[1:]}"})
    await desk.sync()
    for name in NAMES:
        feed[name] = student(name, school="B" if name in AT_B else "A", ids={"student_number": f"2{name[1:]}"})
    assert [(hold.guard, hold.count) for hold in (await desk.sync()).holds] == [("identity", 40)]
    await withdraw(desk, students=["s01"])
    (hold,) = (await desk.sync()).holds
    assert hold.count == 40
    await desk.approve(hold)
    found = await desk.student("s01")
    assert (found["ids"]["student_number"], found["status"]) == ("201", "inactive")


async def test_p3_the_guards_judge_it_like_any_removal_and_a_person_lets_it_through(desk: Desk) -> None:
    report = await withdraw(desk, school="A")
    assert report.status == "held"
    assert {(hold.guard, hold.kind) for hold in report.holds} >= {("withdrawals_of_school", "students")}
    assert {hold.owner for hold in report.holds} == {"ada"}
    for hold in report.holds:
        assert (await desk.approve(hold)).status == "succeeded"
    gone = await ended(desk)
    assert [name for name in NAMES if name not in gone] == AT_B
    assert "s39 at A" in gone  # at A no more, at B still


async def test_a_school_is_left_by_those_who_are_there_and_only_by_them(desk: Desk) -> None:
    desk.settings |= {"guard_profiles": [{"from": "2026-11-01", "to": "2026-12-01", "profile": "rollover"}]}
    report = await withdraw(desk, school="B", preview=True)
    planned = {name: row.action for name, row in (await desk.rows(report)).items()}
    assert set(planned.values()) == {"withdraw"}
    assert sorted(planned) == sorted(
        [f"students {name}" for name in AT_B if name != "s39"]  # who goes on at A
        + [f"school_enrollments {name} at B" for name in AT_B]
        + [f"enrollments {name} in b" for name in AT_B]
    )


async def test_a_preview_writes_nothing_and_can_be_applied(desk: Desk) -> None:
    before = await desk.everything()
    planned = await withdraw(desk, students=["s01"], preview=True)
    assert planned.changes == {kind: {"withdraw": 1} for kind in KINDS}
    assert await desk.everything() == before
    applied = await desk.apply(planned)
    assert applied.changes == {kind: {"withdraw": 1} for kind in KINDS}


async def test_no_stay_ends_before_it_began_nor_after_its_own_end(desk: Desk) -> None:
    feed = desk.sis.feeds["school_enrollments", ""]
    feed["s01 at A"] = stay("s01 at A", student="s01", entry_date="2026-11-16")
    feed["s02 at A"] = stay("s02 at A", student="s02", exit_date="2026-12-01")
    feed["s03 at A"] = stay("s03 at A", student="s03", entry_date="2026-12-01")
    await desk.sync()
    report = await withdraw(desk, students=["s01", "s02", "s03"], day=date(2026, 11, 13))
    gone = await ended(desk)
    assert (gone["s01 at A"][1], gone["s02 at A"][1], "s03 at A" in gone) == ("2026-11-16", "2026-11-13", False)
    (warning,) = [it for it in report.warnings if it["warning"] == "begins_later"]
    assert warning["message"] == "1 record of these students begins later; call it off in the SIS."


async def test_whom_somebody_has_pinned_is_left_out_with_all_that_is_theirs(desk: Desk) -> None:
    service = await service_of(desk)
    await service.pin("lincoln", "students", "s01", actor="ada")
    await service.pin("lincoln", "enrollments", "s02 in a", actor="ada")
    report = await withdraw(desk, students=["s01", "s02", "s03"])
    assert report.changes == {"students": {"withdraw": 2}, "school_enrollments": {"withdraw": 2}, "enrollments": {"withdraw": 1}}
    assert [it["message"] for it in report.warnings if it["warning"] == "pinned"] == [
        "2 records are pinned and stay as they are."
    ]


async def test_p7_who_is_not_known_is_told_by_place_and_nothing_is_done(desk: Desk) -> None:
    before = await desk.everything()
    with pytest.raises(ConfigurationError, match=r"does not know 2 of the 3 students named \(number 1, 3\)") as refused:
        await withdraw(desk, students=["nobody", "s01", "okonkwo"])
    assert "okonkwo" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="no such school"):
        await withdraw(desk, school="Z")
    for said in ({}, {"students": ["s01"], "school": "A"}):
        with pytest.raises(ConfigurationError, match="not clear who"):
            await withdraw(desk, **said)
    with pytest.raises(ConfigurationError, match="not one word"):
        await withdraw(desk, students=["s01"], reason="moved to Okonkwo Street")
    with pytest.raises(ConfigurationError, match="2026-11-24 is still to come"):
        await withdraw(desk, students=["s01"], day=date(2026, 11, 24))
    assert await desk.everything() == before


async def test_whom_the_host_does_not_let_may_not_withdraw(desk: Desk) -> None:
    service = await service_of(
        desk, permission=lambda actor, action, name: (actor, action, name) == ("ada", "withdraw", "lincoln")
    )
    with pytest.raises(AuthorizationError):
        await service.withdraw("lincoln", students=["s01"], actor="bob")
    assert (await service.withdraw("lincoln", students=["s01"], actor="ada")).status == "succeeded"


async def test_p6_it_can_be_undone(desk: Desk) -> None:
    before = {kind: await desk.statuses(kind) for kind in KINDS}
    report = await withdraw(desk, students=["s01", "s02"])
    undone = await (await service_of(desk)).undo(report.operation, actor="ada")
    assert undone.changes == {kind: {"reenroll": 2} for kind in KINDS}
    assert {kind: await desk.statuses(kind) for kind in KINDS} == before
    assert (await desk.roster("school_enrollments"))["s01 at A"].get("exit_date") is None
    after = await desk.everything()
    await desk.sync(full=True)
    assert await desk.everything() == after
